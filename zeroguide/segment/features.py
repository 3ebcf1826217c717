"""Image -> dense patch features of a self-supervised vision transformer.

Any `transformers` ViTModel (DINO), Dinov2Model, Dinov2WithRegistersModel or DINOv3ViTModel. The
model's own forward pass does all the work and hooks only listen, so features at stride == patch
size are the library's own. A smaller stride (Amir et al., "Deep ViT Features as Dense Visual
Descriptors", 2021) needs no change to the model either: running the patch convolution at stride s
is the same as laying the overlapping patches side by side on a larger canvas and running it at its
own stride; the model then spreads its position embeddings (or RoPE coordinates) over that grid.

The class token's attention (Caron et al., "Emerging Properties in Self-Supervised Vision
Transformers", 2021) comes from the same pass: it tells things from their surroundings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional as F

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.segment.block_outputs import FACETS, captured_outputs
from zeroguide.system import forks

if TYPE_CHECKING:
    from zeroguide.models import Dino

# Attention is quadratic in the cells; a 3:1 panorama at shorter side 512 and stride 4 still fits.
MAX_CELLS = 50_000
MAX_BLUR = 31  # pixels: more leaves no picture, and takes minutes


def extract_features(
    dino: Dino,
    pixels: np.ndarray,
    *,
    shorter_side: int,
    stride: int | None = None,
    layer: int = -1,
    facet: str = "key",
    median_blur: int = 1,
) -> torch.Tensor:
    """Patch features of one image: (h, w, d) float32, on the model's device.

    `pixels` is (H, W, 3) uint8 RGB. The image is resized (bicubic, antialiased) to about
    `shorter_side` with its aspect ratio kept, both sides rounded to whole cells of `stride` pixels
    (None: the patch size). Cell (i, j) of the result stands for the i-th of h equal rows and the
    j-th of w equal columns of the image, whatever the stride: below the patch size the image is
    extended by its mirrored border, by (patch size - stride) / 2 on each side, so that patches stay
    centred on their cells. `median_blur` is the side, in pixels of the resized image, of a median
    filter that it goes through first; 1 is none.

    `facet` is "key", "query" or "value", the projections of block `layer`, heads concatenated,
    or "token", the block's output. A negative `layer` counts from the end. The last block's
    "token" goes through the model's final layer norm, so that it is the model's own
    last_hidden_state. DINOv3 rotates queries and keys by position (RoPE) after projecting them; the
    facets are taken before the rotation, so that equal content at two places has equal features.
    CLS and register tokens are dropped.

    Raises UsageError for an unknown facet, a layer the model doesn't have, a stride outside
    1..patch size, a shorter side below the patch size or a `median_blur` that isn't odd or above
    MAX_BLUR; ZeroguideError for a picture that makes more than MAX_CELLS cells.
    """
    return extract_features_batch(
        dino,
        [pixels],
        shorter_side=shorter_side,
        stride=stride,
        layer=layer,
        facet=facet,
        median_blur=median_blur,
    )[0][0]


def extract_features_and_attention(
    dino: Dino, pixels: np.ndarray, **settings: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same features (h, w, d), and the class token's attention to every cell: (h, w) float32.

    The attention is that of block `layer`, the mean over its heads of the softmax over all tokens:
    at least 0, its sum below 1, as class and register tokens have a share too. Takes what
    `extract_features` takes, and raises the same.
    """
    features, attention = extract_features_batch(dino, [pixels], attention=True, **settings)[0]
    assert attention is not None
    return features, attention


def extract_features_batch(
    dino: Dino,
    images: Sequence[np.ndarray],
    *,
    shorter_side: int,
    stride: int | None = None,
    layer: int = -1,
    facet: str = "key",
    median_blur: int = 1,
    attention: bool = False,
) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """What `extract_features` gives for each image, and the attention or None.

    Images whose grids are equal go through the model together, so that their features may differ in
    the last bits from those of a single image. Raises what `extract_features` raises.
    """
    forks.computing()
    patch = dino.patch_size
    stride = patch if stride is None else stride
    _check(patch, dino.network.config.num_hidden_layers, shorter_side, stride, layer, facet)
    if median_blur % 2 == 0 or not 1 <= median_blur <= MAX_BLUR:
        raise UsageError(
            f"features.median_blur={median_blur} must be an odd number from 1 to {MAX_BLUR}"
        )
    alike: dict[tuple[int, int], list[int]] = {}
    for i, pixels in enumerate(images):
        grid = grid_shape(pixels.shape[0], pixels.shape[1], shorter_side, stride)
        alike.setdefault(grid, []).append(i)
    results: dict[int, tuple[torch.Tensor, torch.Tensor | None]] = {}
    for grid, indices in alike.items():
        canvas = torch.cat(
            [_canvas(dino, images[i], *grid, stride, median_blur) for i in indices]
        )  # (b, 3, h * patch, w * patch)
        features, weights = _forward(dino, canvas, layer, facet, attention)
        for row, i in enumerate(indices):
            cells = features[row].unflatten(0, grid)
            results[i] = cells, None if weights is None else weights[row].reshape(grid)
    return [results[i] for i in range(len(images))]


def _forward(
    dino: Dino, canvas: torch.Tensor, layer: int, facet: str, attention: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Cells' features (b, cells, d) float32 and, if asked for, their attention (b, cells)."""
    network: Any = dino.network
    n_layers = network.config.num_hidden_layers
    facets = {facet, "query", "key"} if attention else {facet}
    with torch.no_grad(), captured_outputs(network, layer % n_layers, facets) as captured:
        # ViT refuses other sizes than its own unless asked; the others always interpolate.
        vit = network.config.model_type == "vit"
        output = network(canvas, **({"interpolate_pos_encoding": True} if vit else {}))
    is_last_token = facet == "token" and layer % n_layers == n_layers - 1
    # (b, prefix + cells, d)
    tokens = output.last_hidden_state if is_last_token else captured[facet]
    weights = _class_attention(network, captured)[:, dino.n_prefix :] if attention else None
    return tokens[:, dino.n_prefix :].float(), weights


def grid_shape(height: int, width: int, shorter_side: int, stride: int) -> tuple[int, int]:
    """Rows and columns of the feature grid of an image; ZeroguideError above MAX_CELLS."""
    scale = shorter_side / min(height, width)
    rows = max(1, round(height * scale / stride))
    columns = max(1, round(width * scale / stride))
    if rows * columns > MAX_CELLS:
        fitting = int(stride * (MAX_CELLS * min(height, width) / max(height, width)) ** 0.5)
        raise ZeroguideError(
            f"a picture of {width} x {height} px makes {rows * columns} feature cells, more than "
            f"the {MAX_CELLS} supported: set features.shorter_side to {max(1, fitting - 1)} "
            f"(now {shorter_side}) or crop the picture"
        )
    return rows, columns


def _check(
    patch: int, n_layers: int, shorter_side: int, stride: int, layer: int, facet: str
) -> None:
    if facet == "embedding":
        raise UsageError(
            "features.facet=embedding is what a CLIP reads out of its patches, not a DINO's; "
            "choose token, whose features are those of the same network"
        )
    if facet not in FACETS:
        raise UsageError(f"unknown features.facet {facet!r}: choose one of {', '.join(FACETS)}")
    if not -n_layers <= layer < n_layers:
        raise UsageError(
            f"features.layer={layer} is out of range: the model has {n_layers} layers, "
            f"choose {-n_layers}..{n_layers - 1}"
        )
    if not 1 <= stride <= patch:
        raise UsageError(
            f"features.stride={stride} is out of range: choose 1..{patch} (the model's patch size)"
        )
    if shorter_side < patch:
        raise UsageError(
            f"features.shorter_side={shorter_side} is smaller than the model's patch size: "
            f"choose at least {patch}"
        )


def _canvas(
    dino: Dino, pixels: np.ndarray, rows: int, columns: int, stride: int, median_blur: int
) -> torch.Tensor:
    """Normalised model input (1, 3, rows * patch, columns * patch): one patch for every cell."""
    patch = dino.patch_size
    size = (columns * stride, rows * stride)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    if median_blur > 1:
        resized = resized.filter(ImageFilter.MedianFilter(median_blur))
    parameter = next(dino.network.parameters())
    x = (
        torch.from_numpy(np.array(resized)).to(parameter.device).permute(2, 0, 1)[None].float()
        / 255
    )
    mean = x.new_tensor(dino.mean)[:, None, None]
    std = x.new_tensor(dino.std)[:, None, None]
    x = (x - mean) / std  # (1, 3, rows * stride, columns * stride)
    if stride < patch:
        before = (patch - stride) // 2
        after = patch - stride - before
        x = F.pad(x, (before, after, before, after), mode="reflect")
        x = x.unfold(2, patch, stride).unfold(3, patch, stride)  # (1, 3, rows, columns, p, p)
        x = x.permute(0, 1, 2, 4, 3, 5).reshape(1, 3, rows * patch, columns * patch)
    return x.to(parameter.dtype)


def _class_attention(network: Any, captured: dict[str, Any]) -> torch.Tensor:
    """(b, tokens) the class token's attention, heads averaged, by its block's queries and keys."""
    n_heads = network.config.num_attention_heads
    query, key = (
        captured[facet].float().unflatten(-1, (n_heads, -1)).transpose(1, 2)
        for facet in ("query", "key")
    )  # (b, heads, tokens, d) each
    if captured["rope"] is not None:
        from transformers.models.dinov3_vit.modeling_dinov3_vit import apply_rotary_pos_emb

        query, key = apply_rotary_pos_emb(query, key, *(x.float() for x in captured["rope"]))
    scores = query[:, :, :1] @ key.transpose(2, 3) / query.shape[-1] ** 0.5  # (b, heads, 1, tokens)
    return scores.softmax(-1).mean(1)[:, 0]
