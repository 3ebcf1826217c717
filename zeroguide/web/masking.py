"""What CLIP saw of a segment, as a picture: before and after the mask."""

from __future__ import annotations

import numpy as np

from zeroguide.clip import Region, SegmentEmbedder, TokenWeights
from zeroguide.clip.crop import cut_out
from zeroguide.clip.extents import measure

HIDDEN = 0.12  # of what the mask hides, so that one sees where one is
DARK = 24  # the grey that the rest of it fades to

_ABOUT = {
    "pooled": "The network has read the whole picture; of its patches, these were pooled, by the "
    "share that is in the segment.",
    "crop": "The segment was cut out and read as a picture of its own.",
}
_MASKED = (
    "In the last {blocks} blocks of the network the segment's token attended to these patches only,"
    " by the share that is in the segment."
)
_WINDOW = " As the segment is small, this part of the picture was enlarged."


def seen(embedder: SegmentEmbedder, region: Region) -> np.ndarray:
    """The part of the picture that CLIP saw, as far as the mask let it: (h, w, 3) uint8.

    What is hidden is nearly black. In the mode "crop" it is the square that was encoded.
    """
    if embedder.mode == "crop":
        box = measure(region.image.label_map).box(region.parts)
        return cut_out(region, box, embedder.clip.mean)
    counted = embedder.token_weights(region)
    return shade(region.image.pixels[counted.box.slices], counted)


def explain(embedder: SegmentEmbedder, masked_blocks: int, *, window: bool) -> str:
    """One sentence or two on what the picture of `seen` shows."""
    about = _ABOUT.get(embedder.mode, _MASKED.format(blocks=masked_blocks))
    return about + _WINDOW if window else about


def shade(pixels: np.ndarray, counted: TokenWeights) -> np.ndarray:
    """Pixels (h, w, 3) uint8 of the box, each as bright as its token counts."""
    frame = counted.frame
    rows = _cells(pixels.shape[0], frame.top, frame.inner_height, frame.patch, frame.rows)
    columns = _cells(pixels.shape[1], frame.left, frame.inner_width, frame.patch, frame.columns)
    weight = counted.weights[rows][:, columns][..., None]
    weight = HIDDEN + (1 - HIDDEN) * weight
    return np.round(weight * pixels + (1 - weight) * DARK).astype(np.uint8)


def _cells(size: int, offset: int, inner: int, patch: int, n: int) -> np.ndarray:
    """The token that each pixel's middle lies in, along an axis: (size,)."""
    middles = offset + (np.arange(size) + 0.5) * inner / size
    return np.minimum((middles / patch).astype(int), n - 1)
