"""How sure a score is: percentile bootstrap over images (Efron 1979).

Images are drawn with replacement and the score is computed again, 1,000 times; the interval holds
the middle 95 %. A score is a ratio of sums over images, or the mean of several (one per class):

    score = mean over columns c of  sum_i numerator_ic / sum_i denominator_ic

which covers means over images (`of_mean`), recall, accuracy, dataset mIoU (tp and union of each
class) and PQ. Intervals of classes seen in a handful of images are too narrow, as all bootstraps'
are. For two methods on the same images compare differences, not two intervals: most of the
spread is that some images are hard, which both feel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 1000
CHUNK = 1 << 22  # numbers drawn at once: bounds memory for large datasets


@dataclass(frozen=True)
class Interval:
    """A score, or a difference of two, with the ends of its interval."""

    value: float
    low: float
    high: float


def of_ratio(
    numerators: np.ndarray, denominators: np.ndarray, *, level: float = 0.95, seed: int = 0
) -> Interval:
    """The interval of a ratio of sums over n images.

    Args:
        numerators, denominators: (n,) or (n, C), one row per image; columns whose denominators sum
            to 0 are skipped.
        level: share of resamples inside.

    Raises ValueError for rows that don't match, or none.
    """
    parts = _rows(numerators, denominators)
    draws = np.concatenate([_score(*(w @ x for x in parts)) for w in _weights(len(parts[0]), seed)])
    return _interval(float(_score(*(x.sum(axis=0) for x in parts))), draws, level)


def of_mean(values: np.ndarray, *, level: float = 0.95, seed: int = 0) -> Interval:
    """The interval of the mean of (n,) per-image values; NaN ones are left out."""
    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    return of_ratio(np.where(known, values, 0), known, level=level, seed=seed)


def of_difference(
    a: tuple[np.ndarray, np.ndarray],
    b: tuple[np.ndarray, np.ndarray],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The interval of a's score minus b's, both on the same images drawn together.

    If it doesn't hold 0 the difference isn't the choice of images.

    Args:
        a, b: numerators and denominators as in `of_ratio`; row i is the same image in both.
    """
    first, second = _rows(*a), _rows(*b)
    if len(first[0]) != len(second[0]):
        raise ValueError(f"{len(first[0])} images against {len(second[0])}: not the same ones")
    draws = np.concatenate(
        [
            _score(*(w @ x for x in first)) - _score(*(w @ x for x in second))
            for w in _weights(len(first[0]), seed)
        ]
    )
    plain = [float(_score(*(x.sum(axis=0) for x in parts))) for parts in (first, second)]
    return _interval(plain[0] - plain[1], draws, level)


def _weights(n: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks, (1000, n) in all, of how often each image is drawn; the same for the same n."""
    rng = np.random.default_rng(seed)
    size = max(1, min(N_RESAMPLES, CHUNK // n))
    for start in range(0, N_RESAMPLES, size):
        rows = min(size, N_RESAMPLES - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        yield counts.astype(np.float64)


def _score(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Mean over the last axis of the quotients whose denominator isn't 0; NaN if all are."""
    known = denominator > 0
    quotients = np.where(known, numerator / np.where(known, denominator, 1), 0)
    n = known.sum(axis=-1)
    return np.where(n > 0, quotients.sum(axis=-1) / np.maximum(n, 1), np.nan)


def _interval(value: float, draws: np.ndarray, level: float) -> Interval:
    """Percentiles of the draws; NaN draws, which have no score, are left out."""
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _rows(numerators: np.ndarray, denominators: np.ndarray) -> list[np.ndarray]:
    """Both as (n, C) float64."""
    top, bottom = (np.asarray(x, dtype=np.float64) for x in (numerators, denominators))
    if top.shape != bottom.shape:
        raise ValueError(f"numerators {top.shape} and denominators {bottom.shape} differ")
    if not len(top):
        raise ValueError("no images to draw from")
    return [x.reshape(len(x), -1) for x in (top, bottom)]
