"""How true confidences are: a curve that fits them, and the error that is left."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression


def logistic_fit(values: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and offset of the logistic curve over values (n,) that tells best what is right."""
    fit = LogisticRegression(C=1e6).fit(values[:, None], right)
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def log_odds(shares: np.ndarray, least: float) -> np.ndarray:
    """Of shares clipped to [least, 1 - least]."""
    shares = shares.clip(least, 1 - least)
    odds: np.ndarray = np.log(shares / (1 - shares))
    return odds


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each confidence in [0, 1], 0..bins-1; all are equally wide."""
    place: np.ndarray = np.minimum((confidence * bins).astype(int), bins - 1)
    return place


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """Expected calibration error (Guo et al., 2017), in points."""
    place = bin_of(confidence, bins)
    gaps = np.bincount(place, confidence) - np.bincount(place, right)
    return 100 * float(np.abs(gaps).sum()) / len(right)
