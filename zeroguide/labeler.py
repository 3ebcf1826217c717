"""The flow from image to named segments: the one module that knows every stage."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Self, overload

import numpy as np
import torch

from zeroguide.clip import Prepared, Region, SegmentedImage, SegmentEmbedder, TextEncoder
from zeroguide.clip.atoms import regions_of
from zeroguide.clip.confidence import calibrated
from zeroguide.clip.extents import measure
from zeroguide.clip.region import over_segments, region_map, union
from zeroguide.example_embeddings import embed_examples
from zeroguide.image import Image, ImageSource, path_of, to_image
from zeroguide.models import choose_device, load_all
from zeroguide.models.device import autocast
from zeroguide.name.decoders import make_classifier, make_decoder
from zeroguide.name.label_lists import make_confidence
from zeroguide.name.merging import Merger, merge_all, merge_groups
from zeroguide.name.name import Name, NamedSegment
from zeroguide.recipe import Recipe
from zeroguide.result import Category, Label, Labeling, Segment
from zeroguide.result.detections import Detections, Found, masks_of, with_names
from zeroguide.result.provenance import provenance
from zeroguide.segmenter import Segmenter
from zeroguide.streaming import BATCH_SIZE, label_in_order
from zeroguide.system.device_errors import device_errors, on_device
from zeroguide.system.memo import Memo


class Watcher:
    """Told how `Labeler.describe` goes on; subclass it to listen."""

    def stage(self, name: str) -> None:
        """What begins now: "segments", "embeddings", "names" or "merging"; some come again."""

    def named(self, segments: list[NamedSegment]) -> None:
        """Segments that have got names: first the over-segments, then what joining makes."""


_NOBODY = Watcher()


class Labeler:
    """Names every segment of an image in free text.

    Args:
        recipe: all knobs; see `zeroguide.recipe.load_recipe`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        offline: never ask the hub.

    Raises:
        UsageError: the device isn't there, or a prompt file of the recipe can't be read.
        WeightsError: a model can't be had or read, or doesn't fit the recipe.
        DeviceError: by any method, too; only another process can go on.
    """

    def __init__(self, recipe: Recipe, *, device: str = "auto", offline: bool = False) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        models = load_all(recipe.checkpoints(), device=self.device, offline=offline)
        self.embedder = SegmentEmbedder.from_recipe(recipe, models.clip)
        self.segmenter = Segmenter(recipe, device=device, dino=models.dino, embedder=self.embedder)
        self.texts = TextEncoder(models.clip)
        with device_errors(self.device):
            examples = embed_examples(recipe.decoder.examples, self.segmenter, self.embedder)
            self.decode = make_decoder(recipe, self.texts, models, examples)
            self.classify = make_classifier(recipe, self.texts, self.decode)
            self.confidence = make_confidence(recipe, self.texts)

    def with_granularity(self, granularity: float) -> Self:
        """The same models with another `segmenter.granularity`, 0 to 1; nothing is loaded."""
        section = self.recipe.segmenter.model_copy(update={"granularity": granularity})
        other, segmenter = copy.copy(self), copy.copy(self.segmenter)
        other.recipe = segmenter.recipe = self.recipe.model_copy(update={"segmenter": section})
        other.segmenter = segmenter
        return other

    def label(self, image: ImageSource) -> Labeling:
        """Cut an image into segments and name each.

        image: a file, a Pillow image, pixels of shape (H, W, 3) uint8 RGB, or an `Image`. The
        result knows a file by its path, all else by its pixels.

        Raises ImageError for an image that can't be read, ZeroguideError for one that the networks
        can't take.
        """
        opened = self._open(image)
        labeling = self.label_batch([opened])[0]
        return replace(labeling, picture=path_of(image) or opened.pixels)

    def label_many(
        self,
        images: Iterable[ImageSource],
        *,
        batch_size: int | None = None,
        failed: Callable[[ImageSource, Exception], None] | None = None,
    ) -> Iterator[Labeling]:
        """Label any number of images: results one by one, in the order of the images.

        Images are read ahead, and only a few batches of them are held: `images` may be a
        generator without end. A result knows a file by its path; of other images no pixels are
        kept (`Labeling.with_image` adds them).

        Args:
            images: as `label` takes them.
            batch_size: images in the networks at once, at most; it is halved where they don't
                fit into memory. None: 1 on a CPU, which gains nothing by more, else 8.
            failed: told of an image that can't be read or labelled, and its error; the image is
                left out. None: the error is raised.

        Raises UsageError for a batch size below 1, DeviceError, and what else `label` raises unless
        `failed` is told.
        """
        if batch_size is None:
            batch_size = 1 if self.device.type == "cpu" else BATCH_SIZE
        with contextlib.closing(label_in_order(self, images, self._open, batch_size)) as results:
            for source, result in results:
                if not isinstance(result, Exception):
                    yield replace(result, picture=path_of(source))
                elif failed is None:
                    raise result
                else:
                    failed(source, result)

    def _open(self, image: ImageSource) -> Image:
        return to_image(image, self.recipe.image.value_range)

    @on_device
    def label_batch(self, images: Sequence[Image]) -> list[Labeling]:
        """The same for several images at once: their segments share passes and searches."""
        memo = Memo()
        described = self.describe(images, memo=memo)
        return [self._finish(*done, memo) for done in zip(images, described, strict=True)]

    @on_device
    def describe(
        self,
        images: Sequence[Image],
        watcher: Watcher = _NOBODY,
        memo: Memo | None = None,
    ) -> list[list[NamedSegment]]:
        """Every image's segments, merged, with their embeddings, in the order of their parts.

        To the last bit a function of these images alone, whatever was described before, so that
        a run that was interrupted ends like one that was not.

        memo: a new one, where the caller wants to go on with what is read here.
        """
        memo = Memo() if memo is None else memo
        watcher.stage("segments")
        cut, encoded = self.segmenter.encode_and_segment(images)
        segmented = [
            SegmentedImage(image.pixels, over.label_map, over.tree)
            for image, over in zip(images, cut, strict=True)
        ]
        watcher.stage("embeddings")
        with autocast(self.device, self.recipe.precision):
            prepared = self.embedder.prepare(segmented, encoded)
        regions = [over_segments(image) for image in segmented]
        segments = self._name(prepared, regions, watcher, memo)
        segments = self._merge(prepared, segments, watcher, memo)
        return [sorted(of_image, key=lambda s: s.region.parts) for of_image in segments]

    @on_device
    def name(self, regions: Sequence[Region]) -> list[NamedSegment]:
        """Embed and name any regions of any images, at least one, without merging."""
        images = list(dict.fromkeys(region.image for region in regions))
        with autocast(self.device, self.recipe.precision):
            prepared = self.embedder.prepare(images)
        return self._name(prepared, [list(regions)], _NOBODY, Memo())[0]

    @overload
    def name_masks(self, image: ImageSource, masks: Found) -> Found: ...
    @overload
    def name_masks(self, image: ImageSource, masks: Iterable[np.ndarray]) -> list[Segment]: ...
    def name_masks(self, image: ImageSource, masks: Any) -> Any:
        """Name masks that come from elsewhere; they may overlap.

        image: as `label` takes it. masks: (n, H, W) bool, any iterable of (H, W) bool, or
        supervision's Detections: those come back, with names (see `zeroguide.result.detections`).

        Returns a `Segment` for each mask, in their order, ids from 1, `merged_from` empty. Raises
        ImageError for an image that can't be read, ZeroguideError for a mask of another size or
        type, or without a pixel.
        """
        if isinstance(masks, Detections):
            return with_names(masks, self.name_masks(image, masks_of(masks)))
        regions = regions_of(self._open(image).pixels, masks)
        if not regions:
            return []
        extents = measure(regions[0].image.label_map)
        with device_errors(self.device):
            labels = self._labels(self.name(regions), Memo())
        return [
            label._replace(merged_from=()).measured(number, *extents.of(region.parts))
            for number, (label, region) in enumerate(zip(labels, regions, strict=True), start=1)
        ]

    def _name(
        self, prepared: Prepared, regions: list[list[Region]], watcher: Watcher, memo: Memo
    ) -> list[list[NamedSegment]]:
        """Embed and name every image's regions, all of them together."""
        together = list(chain(*regions))
        if not together:
            return [[] for _ in regions]
        with autocast(self.device, self.recipe.precision):
            embeddings = self.embedder.embed(prepared, together)  # (n, e)
        watcher.stage("names")
        ranked = self.decode(embeddings, together, memo)
        labels = [[Name(*name) for name in names] for names in ranked]
        named = list(map(NamedSegment, together, embeddings, labels))
        watcher.named(named)
        rest = iter(named)
        return [[next(rest) for _ in of_image] for of_image in regions]

    def _merge(
        self, prepared: Prepared, segments: list[list[NamedSegment]], watcher: Watcher, memo: Memo
    ) -> list[list[NamedSegment]]:
        """Join alike segments, embed and name the joined ones again, until none are alike."""
        images = [of_image[0].region.image for of_image in segments]
        mergers = {i: Merger(self.recipe.merge, i.label_map, i.tree) for i in images}

        def alike(segments: list[NamedSegment]) -> list[list[NamedSegment]]:
            labels = [segment.labels[0][0] for segment in segments]
            graph = mergers[segments[0].region.image].graph(
                [segment.region.parts for segment in segments],
                torch.stack([segment.embedding for segment in segments]),
                labels,
                self.texts.embed(labels, memo),
            )
            groups = merge_groups(graph, self.recipe.merge.threshold)
            return [[segments[i] for i in group] for group in groups]

        def join(groups: list[list[list[NamedSegment]]]) -> list[list[NamedSegment]]:
            regions = [[union([s.region for s in group]) for group in each] for each in groups]
            named = self._name(prepared, regions, watcher, memo)
            watcher.stage("merging")
            return named

        watcher.stage("merging")
        return merge_all(segments, alike, join)

    def confidences(
        self, embeddings: torch.Tensor, names: Sequence[Name], memo: Memo | None = None
    ) -> list[float]:
        """How probable each of n names is for the region of its embedding (n, e), 0 to 1.

        What the decoder says, where it can tell; else how far the name stands out from a label set.
        """
        if any(name.certainty is None for name in names):
            standing_out = self.confidence(embeddings, [name.text for name in names], memo)
        else:
            standing_out = [0.0] * len(names)
        knobs = self.recipe.confidence
        curve = {"slope": knobs.posterior_slope, "offset": knobs.posterior_offset}
        return [
            other if name.certainty is None else calibrated(name.certainty, **curve)
            for name, other in zip(names, standing_out, strict=True)
        ]

    def _finish(self, image: Image, segments: list[NamedSegment], memo: Memo) -> Labeling:
        label_map, labels = region_map([s.region for s in segments]), self._labels(segments, memo)
        return Labeling.build(image, label_map, labels, provenance(self.recipe))

    def _labels(self, segments: list[NamedSegment], memo: Memo) -> list[Label]:
        """What results say of at least one segment; over-segments count from 1."""
        embeddings = torch.stack([segment.embedding for segment in segments])
        best = [segment.labels[0] for segment in segments]
        confidences = self.confidences(embeddings, best, memo)
        categories: Sequence[Category | None] = [None] * len(segments)
        if self.classify is not None:
            categories = [Category(*each) for each in self.classify(embeddings)]
        return [
            Label(
                segment.labels[0].text,
                segment.labels[0].score,
                confidence=confidence,
                alternatives=[(name.text, name.score) for name in segment.labels[1:]],
                merged_from=[part + 1 for part in segment.region.parts],
                embedding=segment.embedding.cpu().numpy(),
                composed=segment.labels[0].composed,
                category=category,
            )
            for segment, confidence, category in zip(segments, confidences, categories, strict=True)
        ]
