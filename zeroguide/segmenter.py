"""The flow's first half: an image -> over-segments, by DINO or by CLIP's own pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from zeroguide.clip import Encoded, SegmentEmbedder
from zeroguide.errors import UsageError
from zeroguide.image import Image
from zeroguide.models import Dino, choose_device, load_clip, load_dino, trunk_of
from zeroguide.models.device import autocast
from zeroguide.recipe import Recipe
from zeroguide.segment.features import extract_features_batch
from zeroguide.segment.fitted import load_fitted
from zeroguide.segment.refine import refine
from zeroguide.segment.segmenters import SegmenterResult, arguments, segment
from zeroguide.segment.segmenters.regions import remove_small
from zeroguide.system.device_errors import on_device


class Segmenter:
    """Cuts images into over-segments: the flow's first half, without CLIP and language model.

    Args:
        recipe: its features, segmenter and refine sections are used.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        offline: never ask the hub.
        dino: the loaded model, where the caller has it already.
        embedder: of a CLIP that may be this DINO, too: where the recipe allows it, its pass is
            shared, and no DINO is loaded.

    Raises UsageError and WeightsError as `Labeler` does.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str = "auto",
        offline: bool = False,
        dino: Dino | None = None,
        embedder: SegmentEmbedder | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        if embedder is None and recipe.features.facet == "embedding":
            clip = load_clip(recipe.models.clip, device=self.device, offline=offline)
            embedder = SegmentEmbedder.from_recipe(recipe, clip)
        shared = embedder is not None and embedder.has_features and recipe.one_pass
        if recipe.features.facet == "embedding" and not shared:
            raise UsageError(
                f"features.facet=embedding: {recipe.models.clip} isn't read out by the mean of its "
                "patches, so a patch has no embedding of its own; choose token"
            )
        self.embedder = embedder if shared else None
        self.dino: Dino | None = dino
        if not shared and dino is None:
            if embedder is not None and recipe.models.dino == recipe.models.clip:
                self.dino = trunk_of(embedder.clip, recipe.models.clip)
            else:
                self.dino = load_dino(recipe.models.dino, device=self.device, offline=offline)
        self.fitted = None
        if recipe.segmenter.model is not None and recipe.segmenter.method == "fitted":
            self.fitted = load_fitted(recipe.segmenter.model)
            self.fitted.check_backbone(recipe.models.dino, recipe.features.model_dump())

    def segment(self, image: Image) -> SegmenterResult:
        """The over-segments at the image's size: the label map is (H, W) int32."""
        return self.segment_batch([image])[0]

    def segment_batch(self, images: Sequence[Image]) -> list[SegmenterResult]:
        """The same for several images: those of like size go through DINO together."""
        return self.encode_and_segment(images)[0]

    @on_device
    def encode_and_segment(
        self, images: Sequence[Image]
    ) -> tuple[list[SegmenterResult], list[Encoded] | None]:
        """The over-segments and, where it is the same pass, what CLIP's tower makes of images."""
        pixels = [image.pixels for image in images]
        encoded = None
        extracted: list[tuple[torch.Tensor, torch.Tensor | None]]
        with autocast(self.device, self.recipe.precision):
            if self.embedder is not None:
                encoded = self.embedder.encode(pixels)
                facet = self.recipe.features.facet
                extracted = [(self.embedder.features(one, facet), None) for one in encoded]
            else:
                assert self.dino is not None
                extracted = extract_features_batch(
                    self.dino,
                    pixels,
                    attention=self.recipe.segmenter.method == "saliency",
                    **self.recipe.features.model_dump(),
                )
        return [self._cut(*one) for one in zip(images, extracted, strict=True)], encoded

    def _cut(
        self, image: Image, extracted: tuple[torch.Tensor, torch.Tensor | None]
    ) -> SegmenterResult:
        features, weights = extracted  # (h, w, d), (h, w)
        attention = None if weights is None else weights.cpu().numpy()
        if self.fitted is None:
            parameters = arguments(self.recipe.segmenter)
            over = segment(features, attention=attention, seed=self.recipe.seed, **parameters)
            n_pixels = image.pixels[..., 0].size
            if over.label_map.max() >= n_pixels:  # an image of a few pixels can't hold them
                parameters["n_segments"] = n_pixels
                over = segment(features, attention=attention, seed=self.recipe.seed, **parameters)
        else:
            over = self.fitted.segment(features, seed=self.recipe.seed)
            over = remove_small(over, self.recipe.segmenter.min_share)
        refined = refine(
            over.label_map,
            image.pixels,
            features=features,
            device=self.device,
            **self.recipe.refine.model_dump(),
        )
        return replace(over, label_map=refined)
