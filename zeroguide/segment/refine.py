"""Label map of the patch grid -> label map of the picture, its borders moved onto colour edges.

Cells become soft masks, PAMR refines these against the picture's colours (`segment.pamr`),
neighbouring pixels vote, and the votes are interpolated to the picture's size, in bands of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.pamr import SoftMask, affinity, pamr

METHODS = ("pamr", "bilinear", "none")
_BAND = 1 << 22  # pixels of a soft mask held at once at the picture's full size (16 MB)


def refine(
    label_map: np.ndarray,
    pixels: np.ndarray,
    *,
    method: str = "pamr",
    iterations: int = 10,
    dilations: Sequence[int] = (1, 2, 4, 8),
    max_side: int = 480,
    temperature: float | None = None,
    features: torch.Tensor | None = None,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Brings a label map (h, w) with ids 0..n-1 to the size of the picture: (H, W) int32.

    `pixels` is (H, W, 3) uint8 RGB. "none" repeats every cell (nearest); "bilinear" interpolates
    between cells, which rounds the stairs off; "pamr" then refines the soft masks against the
    picture's colours, at a size of at most `max_side` px, lets neighbouring pixels vote there,
    and interpolates the votes to full size.

    temperature: masks of cells are 0 or 1 if None, else soft: the softmax over segments of the
    cosine between a cell's feature and each segment's mean, divided by this. A cell half on one
    thing then leans to it, and one that lies in the wrong segment may change over. features: (h, w,
    d), the cells', needed for this.

    Ids stay as they are and no segment vanishes: one that loses all its pixels keeps, of the pixels
    it had before refinement, the half with its best soft scores. Memory: 32 bytes for every pixel
    at `max_side` and dilation, and a few maps of the picture's size, however many segments; with a
    temperature, 8 bytes more for every segment and pixel at `max_side`.

    Raises UsageError for an unknown method or values out of range, ZeroguideError for a picture
    with fewer pixels than the label map has segments.
    """
    _check(method, iterations, dilations, max_side, temperature)
    height, width = pixels.shape[:2]
    n_segments = int(label_map.max()) + 1
    if n_segments > height * width:
        raise ZeroguideError(
            f"a picture of {width} x {height} px can't hold {n_segments} segments: "
            "use a larger picture or lower segmenter.n_segments"
        )
    nearest = _nearest(label_map, height, width)
    if n_segments == 1:
        return nearest
    grid = torch.from_numpy(np.ascontiguousarray(label_map)).to(device)
    cells: Iterable[torch.Tensor] = ((grid == i).float() for i in range(n_segments))  # (h, w) each
    if temperature is not None and method != "none":
        if features is None or features.shape[:2] != label_map.shape:
            raise ValueError("refine with a temperature needs the features of these cells")
        cells = soft_masks(grid, features.to(device), temperature)
    if method == "pamr":
        scale = min(1.0, max_side / max(height, width))
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        small = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
        colours = torch.from_numpy(np.array(small)).to(device).permute(2, 0, 1).float() / 255
        weights = affinity(colours, dilations)
        masks = (_upsample(mask, size) for mask in cells)
        soft = [pamr(mask, weights, iterations, dilations) for mask in masks]
    else:
        size = (label_map.shape[0], label_map.shape[1])
        soft = [SoftMask.of(mask, margin=1) for mask in cells]
    if method == "none":
        labels = nearest.copy()
    else:
        votes = _vote(soft, size) if method == "pamr" else soft
        labels = _argmax(votes, size, height, width)
    return _keep_all(labels, nearest, soft, size)


def soft_masks(label_map: torch.Tensor, features: torch.Tensor, temperature: float) -> torch.Tensor:
    """(n, h, w) float32: the softmax over segments of every cell's cosine to their means.

    label_map: (h, w) with ids 0..n-1, none left out. features: (h, w, d). temperature: above 0.
    """
    rows = F.normalize(features.float().flatten(0, 1), dim=-1)  # (h * w, d)
    ids = label_map.flatten().long()
    means = rows.new_zeros(int(ids.max()) + 1, rows.shape[1]).index_add_(0, ids, rows)
    cosines = F.normalize(means, dim=-1) @ rows.T  # (n, h * w)
    return (cosines / temperature).softmax(0).unflatten(1, label_map.shape)


def _vote(soft: Sequence[SoftMask], size: tuple[int, int]) -> list[SoftMask]:
    """Masks of the winners at every pixel, blurred by 1-2-1 both ways: a vote among neighbours.

    PAMR alone frays borders and leaves specks in texture. Voting takes those away and, unlike a
    blur of the soft masks, leaves straight borders where they are.
    """
    winners = torch.from_numpy(_argmax(soft, size, *size)).to(soft[0].values.device)
    votes = []
    for i in range(len(soft)):
        box = SoftMask.of((winners == i).float(), margin=2)
        x = F.pad(box.values[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        x = (x[:-2] + 2 * x[1:-1] + x[2:]) / 4
        x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
        votes.append(SoftMask(box.rows, box.columns, x))
    return votes


def _nearest(label_map: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w) -> (H, W) int32: the cell each pixel's centre lies in."""
    h, w = label_map.shape
    rows = (2 * np.arange(height) + 1) * h // (2 * height)
    columns = (2 * np.arange(width) + 1) * w // (2 * width)
    return label_map[rows[:, None], columns].astype(np.int32)


def _upsample(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _argmax(soft: Sequence[SoftMask], size: tuple[int, int], height: int, width: int) -> np.ndarray:
    """The best of the masks at every pixel, interpolated to full size: (H, W) int32."""
    device = soft[0].values.device
    best = torch.zeros(height, width, device=device)
    labels = torch.zeros(height, width, dtype=torch.int32, device=device)
    for i, mask in enumerate(soft):
        for rows, columns, values in _at_full_size(mask, size, height, width):
            better = values > best[rows, columns]
            best[rows, columns].copy_(torch.where(better, values, best[rows, columns]))
            labels[rows, columns].masked_fill_(better, i)
    return labels.cpu().numpy()


def _at_full_size(
    mask: SoftMask, size: tuple[int, int], height: int, width: int
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Bilinear interpolation of a mask on a (h, w) grid to (H, W), in bands of rows of its box."""
    device = mask.values.device
    top, above, below, down = _taps(mask.rows, size[0], height, device)
    left, before, after, right = _taps(mask.columns, size[1], width, device)
    step = max(1, _BAND // max(1, len(before)))
    for start in range(0, len(above), step):
        band = slice(start, start + step)
        share = down[band, None]
        rows = mask.values[above[band]] * (1 - share) + mask.values[below[band]] * share
        full = rows[:, before] * (1 - right) + rows[:, after] * right  # (band, columns)
        yield (
            slice(top + start, top + start + len(full)),
            slice(left, left + len(before)),
            full,
        )


def _taps(
    box: slice, n: int, n_full: int, device: torch.device
) -> tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Along one axis: the first full-size pixel inside the box; for each pixel from there on its
    two neighbours in the box and the second one's share."""
    centres = ((torch.arange(n_full, dtype=torch.float64) + 0.5) * (n / n_full) - 0.5).clamp(
        0, n - 1
    )
    inside = (centres >= box.start) & (centres <= box.stop - 1)
    centres = centres[inside] - box.start
    first = centres.floor().long()
    second = (first + 1).clamp(max=box.stop - box.start - 1)
    share = (centres - first).float()
    return int(inside.int().argmax()), first.to(device), second.to(device), share.to(device)


def _keep_all(
    labels: np.ndarray, nearest: np.ndarray, soft: Sequence[SoftMask], size: tuple[int, int]
) -> np.ndarray:
    """Gives every segment without a pixel in `labels` some of those it had in `nearest`.

    If it had none there either (a picture smaller than the grid), the single best pixel.
    No segment loses its last pixel to another.
    """
    flat, flat_nearest = labels.reshape(-1), nearest.reshape(-1)
    counts = np.bincount(flat, minlength=len(soft))
    for lost in np.flatnonzero(counts == 0).tolist():
        scores = np.zeros(labels.shape, dtype=np.float32)
        for rows, columns, values in _at_full_size(soft[lost], size, *labels.shape):
            scores[rows, columns] = values.cpu().numpy()
        candidates = np.flatnonzero(flat_nearest == lost)
        candidates = candidates[counts[flat[candidates]] > 1]
        n_kept = (len(candidates) + 1) // 2
        if n_kept == 0:
            candidates, n_kept = np.flatnonzero(counts[flat] > 1), 1
        best = candidates[np.argsort(-scores.reshape(-1)[candidates], kind="stable")[:n_kept]]
        # Of a segment that would lose everything, the pixel the lost one wants least stays.
        owners, taken = np.unique(flat[best], return_counts=True)
        for owner in owners[taken == counts[owners]]:
            best = np.delete(best, np.flatnonzero(flat[best] == owner)[-1])
        counts -= np.bincount(flat[best], minlength=len(soft))
        flat[best] = lost
        counts[lost] = len(best)
    return labels


def _check(
    method: str,
    iterations: int,
    dilations: Sequence[int],
    max_side: int,
    temperature: float | None,
) -> None:
    if method not in METHODS:
        raise UsageError(f"unknown refine.method {method!r}: choose one of {', '.join(METHODS)}")
    if iterations < 0:
        raise UsageError(f"refine.iterations={iterations} is negative: choose 0 or more")
    if len(dilations) == 0 or min(dilations) < 1:
        raise UsageError(
            f"refine.dilations={list(dilations)} is not usable: give one or more numbers from 1"
        )
    if max_side < 16:
        raise UsageError(f"refine.max_side={max_side} is too small: choose 16 or more")
    if temperature is not None and not temperature > 0:
        raise UsageError(f"refine.temperature={temperature:g} is not usable: choose more than 0")
