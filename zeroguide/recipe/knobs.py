"""Every knob of the flow with its default, by section, as checked, immutable data."""

from __future__ import annotations

import math
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from zeroguide.recipe.class_files import mistake

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
_Class = Annotated[tuple[int, str], Field(strict=False)]


class Section(BaseModel):
    """Immutable; an unknown key and a value of another type are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Models(Section):
    """The checkpoints: each a hub id, a folder in the same format, or ``shipped:...``."""

    dino: str
    clip: str
    language_model: str
    text_memory: str | None = None
    """For the decoder "text-memory": trained for this very CLIP by scripts/train/text_memory.py."""
    vlm: str | None = None
    """For the decoder "vlm": an image-text-to-text model."""


class Image(Section):
    """An image's file -> bytes."""

    value_range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    """The values of 16-bit and float images that become black and white; None: each image's own
    range, so that frames of one camera can't be compared."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Image:
        low, high = self.value_range or (0.0, 1.0)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise PydanticCustomError(
                "contradiction",
                "image.value_range={low:g},{high:g} is wrong: the first number must be below the "
                "second",
                {"low": low, "high": high},
            )
        return self


class Features(Section):
    """Image -> grid of DINO features."""

    shorter_side: Count = 448
    stride: Count | None = None
    """Pixels between two features; None: the model's patch size."""
    layer: int = -1
    facet: Literal["key", "query", "value", "token", "embedding"] = "key"
    """What of a block: a projection of its attention, or its output. "embedding": what CLIP reads
    out of each patch, so that what is called the same lies together; for a CLIP that is the DINO,
    too, whose segments are the mean of their patches."""
    median_blur: Count = 1
    """Side in pixels of a median filter on the resized picture, odd; 1: none."""


class Segmenter(Section):
    """Features -> over-segments."""

    method: Literal[
        "kmeans", "agglomerative", "spectral", "ncut", "kway", "communities", "prima", "saliency",
        "multilevel", "fitted",
    ] = "agglomerative"  # fmt: skip
    """What each does is said in `segmenters.SEGMENTERS`; "fitted" is a `model`."""
    n_segments: Count | Literal["auto", "eigengap", "silhouette"] = "auto"
    """How many there may be at most, or how the number is chosen from the image; see
    `zeroguide.segment.segmenters.automatic`."""
    granularity: Share = 0.5
    """How fine the number is that is chosen from the image: 0.5 takes it as it is, 0 a quarter of
    it, 1 four times as many."""
    min_share: Share = 0.0
    """Regions below this share of the cells go to a neighbour; 0: specks stay."""
    pca: float | int | None = None
    """kmeans, agglomerative: principal components kept, or below 1 the share of the variance; None:
    all."""
    umap: Count | None = None
    """kmeans, agglomerative: dimensions that UMAP reduces the features to, after the PCA; None: no
    UMAP. Needs zeroguide[umap]."""
    normalize: bool = True
    """kmeans, agglomerative, multilevel: features to unit length, so that clusters go by direction,
    as cosine similarity does. prima and saliency take them as they are; the others compare by
    cosine in any case."""
    spatial_weight: Annotated[float, Field(ge=0)] = 0.0
    """kmeans, agglomerative: weight of the cells' positions beside their features."""
    connected: bool = True
    """Agglomerative only: merge neighbouring cells only, so that every segment is one piece."""
    n_vectors: Count = 5
    """spectral: eigenvectors that are clustered."""
    power: Count = 10
    """kway: of the affinities; the higher, the less count cells that are only somewhat alike."""
    n_neighbours: Count = 10
    """communities: others that each cell is linked to."""
    center: bool = False
    """spectral, ncut, kway, communities: subtract the image's mean feature before comparing, for
    features that have a large part in common."""
    variant: Literal["bipartition", "maskcut", "recursive"] = "maskcut"
    """ncut: TokenCut's one mask, MaskCut's rounds or DiffCut's recursion."""
    tau: Annotated[float, Field(ge=-1, le=2)] | None = None
    """ncut: least cosine that links cells, or for "recursive" the cost from which parts aren't cut;
    None: the source's."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.4
    """prima: share of a round's greatest cosine from which cells belong to its mask."""
    resolution: Annotated[float, Field(gt=0)] = 1.0
    """communities: above 1 for more of them, below 1 for fewer."""
    model: str | None = None
    """fitted: the folder that `zeroguide fit` wrote."""

    def keeps_tree(self) -> bool:
        """Whether the method gives a merge tree."""
        recursive = self.method == "ncut" and self.variant == "recursive"
        return recursive or self.method in ("agglomerative", "communities")

    def chooses_number(self) -> bool:
        """Whether the number of segments comes from the image, so that granularity acts."""
        return isinstance(self.n_segments, str) and self.method != "fitted"


class Refine(Section):
    """Grid -> full resolution, borders moved to the picture's edges (PAMR)."""

    method: Literal["pamr", "bilinear", "none"] = "pamr"
    iterations: Annotated[int, Field(ge=0)] = 10
    dilations: Annotated[tuple[Count, ...], Field(min_length=1, strict=False)] = (1, 2, 4, 8)
    max_side: Count = 480
    """Refinement runs at this size at most: it costs time and memory per pixel."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    """Of the softmax that makes cells' masks soft, by their cosines to the segments; None: 0 or 1.
    It depends on how far apart a network's cosines lie."""


class Embedding(Section):
    """Segments -> CLIP embeddings, attention masked to the segment."""

    mode: Literal["exact", "packed", "packed+global", "pooled", "crop"] = "packed"
    """exact: the paper's formula, one sequence per segment. packed: the mask alone, all segments in
    one sequence. packed+global: with the subtraction, from one unmasked pass. pooled: only the last
    pooling is masked. crop: the segment cut out and encoded as a picture of its own, for which only
    batch_size matters of what follows."""
    masked_blocks: Count = 4
    """exact, packed, packed+global: the mask acts in the last n blocks of the image tower; all of
    them if it has no more."""
    subtraction_sd: Annotated[float, Field(gt=0)] | None = 5.0
    """exact, packed+global: spread of the paper's global subtraction; None: the mask alone."""
    softness: Share = 1.0
    """How tokens on a border count: 1 by the share of their area, 0 wholly or not at all."""
    fit: Literal["squash", "letterbox", "native", "features"] = "squash"
    """How the picture meets CLIP's square: stretched, whole with a border, or in its own
    proportions with interpolated positions; features: at the size at which DINO sees it, so that a
    network that is both is run once."""
    image_size: Count | None = None
    """Side of the tower's input in pixels, positions interpolated; None: its own. With the fit
    "features", features.shorter_side counts instead."""
    windows: bool = False
    """Embed small segments from overlapping windows at twice the resolution."""
    batch_size: Count = 16
    """Sequences per forward pass: memory only, never the result."""


class Decoder(Section):
    """Embeddings -> texts."""

    method: Literal["phrases", "vocabulary", "beam", "zerocap", "text-memory", "vlm"] = "phrases"
    vocabulary: str = "labels"
    """A list in prompts/, or a path to a text file with one phrase per line; several are joined by
    commas. phrases, vocabulary: the labels to choose from; beam: what its first words are retrieved
    from."""
    templates: str = "templates_labels"
    """phrases, vocabulary: a list of templates in prompts/, or a path; {} stands for the phrase."""
    frequency_weight: Annotated[float, Field(ge=0)] = 0.5
    """phrases: exponent of how often a phrase of the list "labels" is said, as a prior; a list of
    one's own has none."""
    certainty: Share = 0.5
    """phrases: the least probability of a label; below it, a wider name is taken."""
    examples: str | None = None
    """phrases: a folder that holds one for each name of one's own, with pictures of what is called
    so; the names may be said beside those of the vocabulary."""
    compose: bool = False
    """phrases: whether a modifier may stand before the name, chosen by CLIP and language model."""
    prompt: str = "Image of a"
    """The text that is continued by the language model; it isn't part of the label."""
    beam_size: Count = 4
    n_candidates: Count = 32
    """beam, zerocap: the most likely next tokens that CLIP scores, per beam and step."""
    max_tokens: Count = 5
    lm_weight: Annotated[float, Field(ge=0)] = 0.1
    """beam: weight of the mean log-probability per token beside CLIP's score. phrases: weight of
    the log-probability that a modifier costs."""
    iterations: Count = 5
    """zerocap: gradient steps on the context per token."""
    n_alternatives: Annotated[int, Field(ge=0)] = 3

    def required_models(self) -> tuple[str, ...]:
        """Keys of `Models` that the method needs beside CLIP."""
        if self.method == "phrases":
            return ("language_model",) if self.compose else ()
        return {
            "beam": ("language_model",),
            "zerocap": ("language_model",),
            "text-memory": ("text_memory",),
            "vlm": ("vlm",),
        }.get(self.method, ())


class Classes(Section):
    """Fixed classes with fixed numbers, of which a segment gets one beside its label."""

    names: Annotated[tuple[_Class, ...], Field(strict=False)] = ()
    """Numbers and names; see `class_files`. Without any, segments have labels only."""
    least: Share = 0.2
    """The least probability of a class; a segment for which none has it is of the class "other"."""

    @model_validator(mode="after")
    def _are_classes(self) -> Classes:
        found = mistake(self.names)
        if found is not None:
            raise PydanticCustomError("contradiction", "classes.names: {found}", {"found": found})
        return self


class Confidence(Section):
    """How far a label must stand out from others to be believed; see `confidence.py`."""

    vocabulary: str = "everyday"
    """A list in prompts/ or a path: the labels that a label must stand out from."""
    midpoint: float = 3.0
    """Standard deviations of an even chance. Three is where the best of some hundred unrelated
    labels lies; the presets for photographs aren't calibrated."""
    slope: Annotated[float, Field(gt=0)] = 1.5
    """Growth of the log-odds per standard deviation."""
    posterior_slope: Annotated[float, Field(gt=0)] = 1.0
    """phrases: growth of the log-odds of being right with those of the label's probability."""
    posterior_offset: float = 0.0
    """phrases: log-odds of being right where the label's probability is a half."""


class Merge(Section):
    """Alike segments become one, which is embedded and named again."""

    threshold: Annotated[float, Field(ge=0)] = 0.8
    """Least similarity that merges; above 1: never."""
    embedding_weight: Share = 0.5
    """Weight of the segments' embeddings; the rest weighs their labels' embeddings."""
    edges: Literal["adjacent", "all", "siblings"] = "adjacent"
    """Which pairs may merge: those that touch, all, or the siblings of the segmenter's tree."""


def method_with(model: str) -> str:
    """A decoder's method that needs one of the models beside DINO and CLIP, by its key."""
    methods = get_args(Decoder.model_fields["method"].annotation)
    return next(m for m in methods if model in Decoder(method=m).required_models())
