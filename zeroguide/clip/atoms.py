"""Masks that may overlap as regions: the picture is cut into atoms, of which every mask is a union.

An atom is all pixels that lie in the same masks; those that lie in none are an atom of no region.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from zeroguide.clip.region import Region, SegmentedImage
from zeroguide.errors import ZeroguideError

_BITS = 31  # masks that are looked at together: with an atom's number they fill 64 bits


def regions_of(pixels: np.ndarray, masks: Iterable[np.ndarray]) -> list[Region]:
    """The masks as regions of one image, in their order.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        masks: (H, W) bool each; read once, none is kept.

    Raises ZeroguideError, with the mask's number from 1, for one of another size or type and for
    one without a pixel.
    """
    size = pixels.shape[:2]
    label_map = np.zeros(size, np.int64)
    inside = np.zeros((1, 0), bool)  # (atoms, masks so far)
    bits, n_bits = np.zeros(size, np.int64), 0
    for number, mask in enumerate(masks, start=1):
        np.bitwise_or(bits, 1 << n_bits, out=bits, where=_checked(mask, number, size))
        n_bits += 1
        if n_bits == _BITS:
            label_map, inside = _refined(label_map, inside, bits, n_bits)
            bits, n_bits = np.zeros(size, np.int64), 0
    if n_bits:
        label_map, inside = _refined(label_map, inside, bits, n_bits)
    image = SegmentedImage(pixels, label_map.astype(np.int32))
    return [Region(image, tuple(np.flatnonzero(column).tolist())) for column in inside.T]


def _checked(mask: np.ndarray, number: int, size: tuple[int, ...]) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 2:
        raise ZeroguideError(
            f"mask {number} has the shape {mask.shape} and the type {mask.dtype}; give masks as "
            "(n, height, width) bool"
        )
    if mask.shape != size:
        raise ZeroguideError(
            f"mask {number} is {mask.shape[1]} x {mask.shape[0]} pixels, but the image is "
            f"{size[1]} x {size[0]}; give masks of the image's size"
        )
    if not mask.any():
        raise ZeroguideError(f"mask {number} is empty; leave it out")
    return mask


def _refined(
    label_map: np.ndarray, inside: np.ndarray, bits: np.ndarray, n_bits: int
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms cut further by masks, of which `bits` (H, W) holds one in each bit."""
    keys = (label_map << n_bits | bits).ravel()
    # Neighbours mostly lie in the same masks: only where they don't is there something to sort.
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    found, atoms = np.unique(keys[starts], return_inverse=True)
    lengths = np.diff(starts, append=len(keys))
    added = (found[:, None] >> np.arange(n_bits) & 1).astype(bool)  # (atoms, n_bits)
    return (
        np.repeat(atoms.ravel(), lengths).reshape(label_map.shape),
        np.hstack([inside[found >> n_bits], added]),
    )
