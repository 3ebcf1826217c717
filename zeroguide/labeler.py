"""The flow from picture to named segments: the one module that knows every stage."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from zeroguide import __version__
from zeroguide.decoders import Ranked, make_decoder
from zeroguide.embeddings import MaskedClip
from zeroguide.features import extract_features
from zeroguide.graph import adjacent_pairs, merge_graph, merge_groups
from zeroguide.image import Image
from zeroguide.labeling import Labeling
from zeroguide.models import Dino, choose_device, load_all, load_dino
from zeroguide.recipe import Recipe
from zeroguide.refine import refine
from zeroguide.segmenters import segment
from zeroguide.texts import TextEncoder


class Segmenter:
    """Cuts pictures into over-segments: the flow's first half, without CLIP and language model.

    Args:
        recipe: its features, segmenter and refine sections are used.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        offline: never ask the hub.
        dino: the loaded model, where the caller has it already.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        device: str = "auto",
        offline: bool = False,
        dino: Dino | None = None,
    ) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        self.dino = dino or load_dino(recipe.models.dino, device=self.device, offline=offline)

    def segment(self, image: Image) -> np.ndarray:
        """The label map: (H, W) int32, 0..n-1, every value present."""
        features = extract_features(
            self.dino, image.pixels, **self.recipe.features.model_dump()
        )  # (h, w, d)
        over = segment(
            features,
            method=self.recipe.segmenter.method,
            seed=self.recipe.seed,
            **self.recipe.segmenter.parameters(),
        )  # (h, w)
        return refine(
            over.label_map, image.pixels, device=self.device, **self.recipe.refine.model_dump()
        )


@dataclass
class _Draft:
    """Segments on their way: rows belong together, one per segment.

    members: over-segments each is made of. masks: (n, tokens). embeddings: (n, e).
    """

    members: list[list[int]]
    masks: torch.Tensor
    embeddings: torch.Tensor
    labels: list[Ranked]


class Labeler:
    """Names every segment of a picture in free text.

    Args:
        recipe: all knobs; see `zeroguide.recipe.load_recipe`.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        offline: never ask the hub.

    Raises:
        UsageError: the device isn't there, or a prompt file of the recipe can't be read.
        WeightsError: a model can't be had or read.
    """

    def __init__(self, recipe: Recipe, *, device: str = "auto", offline: bool = False) -> None:
        self.recipe = recipe
        self.device = choose_device(device)
        models = load_all(recipe.checkpoints(), device=self.device, offline=offline)
        self.segmenter = Segmenter(recipe, device=device, dino=models.dino)
        self.clip = MaskedClip(models.clip, **recipe.embedding.model_dump())
        self.texts = TextEncoder(models.clip)
        self.decode = make_decoder(recipe.decoder, self.texts, models.language_model)

    def label(self, image: Image) -> Labeling:
        """Cut a picture into segments and name each.

        Raises:
            ImageError: from opening the image, not from here.
        """
        over_segments = self.segmenter.segment(image)  # (H, W)
        tokens = self.clip.tokens(image.pixels)  # (1, T, d)
        masks = self.clip.masks(over_segments)  # (n, T - 1)
        embeddings = self.clip.embed(tokens, masks)  # (n, e)
        labels = self.decode(embeddings)
        draft = _Draft([[i] for i in range(len(masks))], masks, embeddings, labels)
        draft = self._merge(draft, tokens, over_segments)
        return self._finish(image, over_segments, draft)

    def _merge(self, draft: _Draft, tokens: torch.Tensor, over_segments: np.ndarray) -> _Draft:
        """Join alike segments, embed and name the joined ones again, until none are alike."""
        recipe = self.recipe.merge
        while True:
            pairs = None
            if recipe.edges == "adjacent":
                pairs = adjacent_pairs(_group_map(over_segments, draft.members))
            graph = merge_graph(
                draft.embeddings,
                self.texts.embed([ranked[0][0] for ranked in draft.labels]),
                pairs=pairs,
                embedding_weight=recipe.embedding_weight,
            )
            groups = merge_groups(graph, recipe.threshold)
            if len(groups) == len(draft.members):
                return draft
            draft = self._join(draft, groups, tokens)

    def _join(self, draft: _Draft, groups: list[list[int]], tokens: torch.Tensor) -> _Draft:
        first = [group[0] for group in groups]
        joined = [k for k, group in enumerate(groups) if len(group) > 1]
        masks = torch.stack([draft.masks[group].sum(0) for group in groups])
        embeddings = draft.embeddings[first].clone()
        embeddings[joined] = self.clip.embed(tokens, masks[joined])
        labels = [draft.labels[i] for i in first]
        for k, ranked in zip(joined, self.decode(embeddings[joined]), strict=True):
            labels[k] = ranked
        members = [sorted(m for i in group for m in draft.members[i]) for group in groups]
        return _Draft(members, masks, embeddings, labels)

    def _finish(self, image: Image, over_segments: np.ndarray, draft: _Draft) -> Labeling:
        labels = [
            # Over-segments count from 1 in results, like all ids there.
            (ranked[0][0], ranked[0][1], ranked[1:], [m + 1 for m in members])
            for ranked, members in zip(draft.labels, draft.members, strict=True)
        ]
        label_map = _group_map(over_segments, draft.members)
        return Labeling.build(image, label_map, labels, provenance(self.recipe))


def _group_map(label_map: np.ndarray, groups: list[list[int]]) -> np.ndarray:
    """Replace each label of an (H, W) map by the number of its group."""
    group_of = np.empty(sum(map(len, groups)), np.int32)
    for k, group in enumerate(groups):
        group_of[group] = k
    return group_of[label_map]


def provenance(recipe: Recipe) -> dict[str, Any]:
    """What a result records of its making: the recipe's name and seed, and library versions."""
    libraries = ("torch", "open_clip_torch", "transformers")
    versions = {"zeroguide": __version__, **{name: version(name) for name in libraries}}
    return {"name": recipe.name, "seed": recipe.seed, "versions": versions}
