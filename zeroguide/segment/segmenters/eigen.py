"""The leading eigenvectors of a graph, which are its relaxed normalised cuts.

Shi and Malik, "Normalized Cuts and Image Segmentation", PAMI 2000: with affinities W and degrees D,
the smallest solutions of (D - W) x = value D x. They are the eigenvectors of D^-1/2 W D^-1/2 with
the largest eigenvalues, scaled by D^-1/2. The first, sqrt(degree), is known and taken out.

Lanczos needs some tens of products with W: 0.05 s for one vector at 3,600 cells, where a dense
solver takes 4 s. On the features of DINO its bipartitions are those of the dense one, in all cells;
LOBPCG, given the same time, agrees as well on the first vectors, less on later ones. Small graphs,
and those on which Lanczos stalls, go to the dense solver. Vectors of almost equal values are only
defined up to a rotation among them: there solvers differ, and so would the picture's segments after
any change of its last bits.
"""

from __future__ import annotations

from inspect import signature

import numpy as np

from zeroguide.system.one_thread import one_thread

DENSE_CELLS = 128  # below, the dense solver is as fast
TOLERANCE = 1e-4
# A cut of value 1 is that of cells that are all linked alike: its vector is any vector at all.
NO_CUT = 1 - TOLERANCE


def cut_vectors(affinity: np.ndarray, n: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The n smallest cuts of a graph: values (n,) and vectors (cells, n) float32.

    affinity: (cells, cells) float32, symmetric, not negative, every row with a positive sum.
    Values ascend from 0, which is that of a part without links to the rest. Vectors are of length 1
    and orthogonal under the degrees; their entry of largest size is positive. There are fewer than
    n where there are not more than n cells, or not n cuts of a value below NO_CUT.
    """
    root = np.sqrt(affinity.sum(axis=1, dtype=np.float64))
    n = min(n, len(root) - 1)
    if n < 1:
        return np.empty(0), np.empty((len(root), 0), np.float32)
    found = None
    if len(root) > max(DENSE_CELLS, 4 * n):
        found = lanczos(affinity, root, n, seed)
    values, vectors = found or dense(affinity, root, n)
    real = 1 - values < NO_CUT
    values, vectors = values[real], vectors[:, real] / root[:, None]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))]
    return 1 - values, (vectors * np.sign(largest)).astype(np.float32)


def lanczos(
    affinity: np.ndarray, root: np.ndarray, n: int, seed: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """The largest n eigenpairs of the normalised graph but the known one; None if it stalls.

    root: (cells,) square roots of the degrees. Returns values (n,), descending, and unit vectors
    (cells, n).
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    inverse = (1 / root).astype(np.float32)
    known = (root / np.linalg.norm(root)).astype(np.float32)

    def product(x: np.ndarray) -> np.ndarray:
        x = x.ravel()
        return inverse * (affinity @ (inverse * x)) - (2 * (known @ x)) * known

    operator = LinearOperator(affinity.shape, matvec=product, dtype=np.float32)
    rng = np.random.default_rng(seed)
    start = rng.standard_normal(len(root)).astype(np.float32)
    # ARPACK draws a new vector where it runs out of directions: by our seed, where scipy (from
    # 1.17) lets us say so.
    options = {"rng": rng} if "rng" in signature(eigsh).parameters else {}
    try:
        with one_thread():
            values, vectors = eigsh(operator, n, which="LA", v0=start, tol=TOLERANCE, **options)
    except ArpackError:
        return None
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def dense(affinity: np.ndarray, root: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The same, exact and slow."""
    from scipy.linalg import eigh

    known = root / np.linalg.norm(root)
    normalized = affinity / np.outer(root, root) - 2 * np.outer(known, known)  # 1 becomes -1
    last = len(root) - 1
    with one_thread():
        values, vectors = eigh(normalized, subset_by_index=(last + 1 - n, last))
    return values[::-1], vectors[:, ::-1]
