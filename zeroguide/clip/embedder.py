"""The stage from over-segmented images to segment embeddings, whatever the mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, Self

import numpy as np
import torch

from zeroguide.clip.crop import embed_crops
from zeroguide.clip.exact import embed_exact
from zeroguide.clip.extents import Box, Extents, measure
from zeroguide.clip.frame import Frame, make_frame, preprocess, soften
from zeroguide.clip.packed import embed_packed
from zeroguide.clip.packed_global import embed_packed_global
from zeroguide.clip.pooled import embed_pooled, encode_pooled
from zeroguide.clip.region import Region, SegmentedImage
from zeroguide.clip.towers import (
    averages_tokens,
    check_tower,
    encode_early,
    patch_size,
)
from zeroguide.clip.views import Encoded, Prepared, TokenWeights, View, part_masks
from zeroguide.clip.windows import SMALL, best_window
from zeroguide.models import Clip
from zeroguide.recipe import Recipe
from zeroguide.system import forks

# Normalised images (B, 3, H, W) -> tokens (B, T, d).
_Encode = Callable[[torch.Tensor], torch.Tensor]
# Tokens (B, T, d), masks (n, h*w), the segments' images (n,) -> embeddings (n, e).
_Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class SegmentEmbedder:
    """A CLIP image tower that embeds the segments of images.

    The arguments after `clip` are the recipe's section "embedding" and documented there. With the
    mode "crop", which encodes squares of its own, only `batch_size` matters.

    Raises:
        WeightsError: the mode can't work with this image tower.
        UsageError: `fit` or `image_size` needs positions that this image tower doesn't have.
    """

    def __init__(
        self,
        clip: Clip,
        *,
        mode: str,
        masked_blocks: int,
        subtraction_sd: float | None,
        softness: float,
        fit: str,
        image_size: int | None,
        windows: bool,
        batch_size: int,
    ) -> None:
        self.clip = clip
        self.mode = mode
        self.softness = softness
        self.fit = fit
        self.windows = windows
        self.batch_size = batch_size
        self._side = image_size or clip.image_size
        visual: Any = clip.network.visual
        place = next(visual.parameters())
        self._device, self._dtype = place.device, place.dtype
        if mode == "crop":
            return
        check_tower(visual, mode, fit, image_size)
        self._patch = patch_size(visual)
        self._encode: _Encode = partial(encode_early, visual, masked_blocks=masked_blocks)
        self._attend: _Attend
        if mode == "pooled":
            self._encode = partial(encode_pooled, visual)
            self._attend = partial(embed_pooled, visual)
        elif mode == "packed" or subtraction_sd is None:
            self._attend = partial(embed_packed, visual, masked_blocks=masked_blocks)
        else:
            self._attend = (
                partial(embed_exact, visual, batch_size=batch_size)
                if mode == "exact"
                else partial(embed_packed_global, visual)
            )
            self._attend = partial(self._attend, masked_blocks=masked_blocks, sd=subtraction_sd)

    @classmethod
    def from_recipe(cls, recipe: Recipe, clip: Clip) -> Self:
        """As the recipe's section "embedding" wants it, with what that takes from others."""
        settings = recipe.embedding.model_dump()
        if recipe.embedding.fit == "features":
            settings["image_size"] = recipe.features.shorter_side
        return cls(clip, **settings)

    @torch.no_grad()
    def encode(self, images: Sequence[np.ndarray]) -> list[Encoded]:
        """Images (H, W, 3) uint8 through the blocks before the mask, those of a size together."""
        forks.computing()
        frames = [self._frame(*image.shape[:2]) for image in images]
        encoded: dict[int, Encoded] = {}
        for batch in _batches([(f.height, f.width) for f in frames], self.batch_size):
            inputs = [
                preprocess(images[i], frames[i], self.clip.mean, self.clip.std) for i in batch
            ]
            tokens = self._encode(torch.stack(inputs).to(self._device, self._dtype))
            encoded |= {i: Encoded(row, frames[i]) for i, row in zip(batch, tokens, strict=True)}
        return [encoded[i] for i in range(len(images))]

    @property
    def has_features(self) -> bool:
        """Whether `features` can be asked for: tokens have been through all blocks."""
        return self.mode == "pooled" and averages_tokens(self.clip.network.visual)

    @torch.no_grad()
    def features(self, encoded: Encoded, facet: str = "token") -> torch.Tensor:
        """The patches as the tower's end reads them: (rows, columns, d) float32.

        Only where `has_features`: "token"s of a tower that is a DINO are DINO's features, each
        "embedding" is what a segment of that patch alone would have.
        """
        visual = self.clip.network.visual
        patches = visual.ln_post(encoded.tokens[1:])
        if facet == "embedding" and visual.proj is not None:
            patches = patches @ visual.proj
        return patches.unflatten(0, (encoded.frame.rows, encoded.frame.columns)).float()

    @torch.no_grad()
    def prepare(
        self, images: Sequence[SegmentedImage], encoded: Sequence[Encoded] | None = None
    ) -> Prepared:
        """What doesn't depend on the regions: the blocks before the mask, images together.

        encoded: the same images, where they have been through the tower.
        """
        forks.computing()
        prepared = Prepared()
        if self.mode != "crop":
            keys = [(image, _whole(image)) for image in images]
            self._add_views(prepared, keys, encoded)
        return prepared

    @torch.no_grad()
    def embed(self, prepared: Prepared, regions: Sequence[Region]) -> torch.Tensor:
        """Embeddings, not normalised: (n, e) float32, on the tower's device.

        Args:
            prepared: from `prepare`.
            regions: n regions of any of its images, in any order; n may be 0.
        """
        if not regions:
            size = self.clip.image_size
            blank = torch.zeros(1, 3, size, size, device=self._device, dtype=self._dtype)
            return self.clip.network.encode_image(blank)[:0].float()
        if self.mode == "crop":
            boxes = [_extents(prepared, region.image).box(region.parts) for region in regions]
            return embed_crops(self.clip, regions, boxes, batch_size=self.batch_size)
        keys = [(region.image, self._box(prepared, region)) for region in regions]
        distinct = list(dict.fromkeys(keys))
        self._add_views(prepared, [key for key in distinct if key not in prepared.views])
        lengths = [len(prepared.views[key].tokens) for key in distinct]
        embeddings: dict[int, torch.Tensor] = {}
        for batch in _batches(lengths, self.batch_size):
            views = {distinct[i]: number for number, i in enumerate(batch)}
            members = [i for i, key in enumerate(keys) if key in views]
            rows = self._embed_views(
                [prepared.views[key] for key in views],
                [regions[i].parts for i in members],
                [views[keys[i]] for i in members],
            )
            embeddings |= zip(members, rows, strict=True)
        return torch.stack([embeddings[i] for i in range(len(regions))])

    def token_weights(self, region: Region) -> TokenWeights:
        """What the mask lets through of a region's image, to be looked at; no network runs.

        Not with the mode "crop", in which there is no mask.
        """
        box = self._box(Prepared(), region)
        frame = self._frame(box.bottom - box.top, box.right - box.left)
        masks = part_masks(region.image, box, frame).to(self._device)
        weights = self._count(masks, [region.parts])[0].cpu().numpy()
        return TokenWeights(box, frame, weights.reshape(frame.rows, frame.columns))

    def _embed_views(
        self, views: list[View], segments: list[tuple[int, ...]], view_of: list[int]
    ) -> torch.Tensor:
        """Embeddings of segments, unions of parts, in views of one grid: (n, e)."""
        parts = torch.cat([view.masks for view in views])  # (p, h*w), of all views
        first = [0, *accumulate(len(view.masks) for view in views)]
        masks = self._count(
            parts,
            [
                [first[view] + part for part in segment]
                for segment, view in zip(segments, view_of, strict=True)
            ],
        )
        tokens = torch.stack([view.tokens for view in views])  # (B, T, d)
        return self._attend(tokens, masks, self._indices(view_of))

    def _count(self, parts: torch.Tensor, segments: Sequence[Sequence[int]]) -> torch.Tensor:
        """Soft masks of parts (p, h*w) -> those of unions of them, as they count: (n, h*w)."""
        source = [part for segment in segments for part in segment]
        target = [i for i, segment in enumerate(segments) for _ in segment]
        masks = torch.zeros(len(segments), parts.shape[1], device=self._device)
        masks.index_add_(0, self._indices(target), parts[self._indices(source)])
        return soften(masks.clamp(max=1), self.softness)

    def _box(self, prepared: Prepared, region: Region) -> Box:
        """The part of its image in which a region is embedded."""
        whole = _whole(region.image)
        if not self.windows:
            return whole
        extents = _extents(prepared, region.image)
        if extents.area(region.parts) >= SMALL * whole.bottom * whole.right:
            return whole
        return best_window(extents.box(region.parts), whole.bottom, whole.right) or whole

    def _add_views(
        self,
        prepared: Prepared,
        keys: list[tuple[SegmentedImage, Box]],
        encoded: Sequence[Encoded] | None = None,
    ) -> None:
        if encoded is None:
            encoded = self.encode([image.pixels[box.slices] for image, box in keys])
        for (image, box), view in zip(keys, encoded, strict=True):
            masks = part_masks(image, box, view.frame)
            prepared.views[image, box] = View(view.tokens, masks.to(self._device))

    def _frame(self, height: int, width: int) -> Frame:
        return make_frame(height, width, fit=self.fit, side=self._side, patch=self._patch)

    def _indices(self, values: list[int]) -> torch.Tensor:
        return torch.tensor(values, device=self._device)


def _batches(kinds: Sequence[Any], batch_size: int) -> list[list[int]]:
    """Indices in groups of one kind, at most `batch_size` each."""
    by_kind: dict[Any, list[int]] = {}
    for i, kind in enumerate(kinds):
        by_kind.setdefault(kind, []).append(i)
    return [
        group[start : start + batch_size]
        for group in by_kind.values()
        for start in range(0, len(group), batch_size)
    ]


def _whole(image: SegmentedImage) -> Box:
    return Box(0, 0, *image.label_map.shape)


def _extents(prepared: Prepared, image: SegmentedImage) -> Extents:
    if image not in prepared.extents:
        prepared.extents[image] = measure(image.label_map)
    return prepared.extents[image]
