"""STEGO's head as arrays: the published layout, and the codes that it gives."""

from __future__ import annotations

import numpy as np

WIDTH = 70  # of a code
CLUSTERS = "cluster_probe.clusters"
# The names that the published checkpoints use, so that one reader serves both.
FIRST, HIDDEN, LAST = "net.cluster1.0", "net.cluster2.0", "net.cluster2.2"


def codes(rows: np.ndarray, head: dict[str, np.ndarray]) -> np.ndarray:
    """Features (n, d) -> codes (n, 70) float32, not scaled: a linear map plus a small network."""
    hidden = rows @ head[f"{HIDDEN}.weight"].T + head[f"{HIDDEN}.bias"]
    found: np.ndarray = np.maximum(hidden, 0) @ head[f"{LAST}.weight"].T
    found += head[f"{LAST}.bias"] + head[f"{FIRST}.bias"]
    found += rows @ head[f"{FIRST}.weight"].T
    return found


def head_shapes(d: int, k: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of a head from features of width d to codes of width k."""
    return {
        f"{FIRST}.weight": (k, d),
        f"{FIRST}.bias": (k,),
        f"{HIDDEN}.weight": (d, d),
        f"{HIDDEN}.bias": (d,),
        f"{LAST}.weight": (k, d),
        f"{LAST}.bias": (k,),
    }
