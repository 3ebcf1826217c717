"""A recipe: all sections together, and which of their values contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from zeroguide.errors import UsageError
from zeroguide.recipe.class_files import mistake
from zeroguide.recipe.knobs import (
    Classes,
    Confidence,
    Decoder,
    Embedding,
    Features,
    Image,
    Merge,
    Models,
    Refine,
    Section,
    Segmenter,
)

DEFAULT = "fast"


class Recipe(Section):
    """Everything that decides a result. Immutable; every value has been checked."""

    name: str
    description: str = ""
    knows: str = ""
    """One sentence: what pictures the weights understand."""
    stands_in: str = ""
    """Why it was taken instead of the default preset, where none was named."""
    seed: Annotated[int, Field(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the two image networks (autocast): bfloat16 is faster where the hardware has it, and moves
    scores a little. Texts are always read in float32: they are compared with each other."""
    models: Models
    image: Image = Image()
    features: Features = Features()
    segmenter: Segmenter = Segmenter()
    refine: Refine = Refine()
    embedding: Embedding = Embedding()
    decoder: Decoder = Decoder()
    classes: Classes = Classes()
    merge: Merge = Merge()
    confidence: Confidence = Confidence()

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        for key in self.decoder.required_models():
            if getattr(self.models, key) is None:
                raise PydanticCustomError(
                    "contradiction",
                    "the decoder {method} needs models.{key}: a folder or a hub id",
                    {"method": self.decoder.method, "key": key},
                )
        is_fitted = self.segmenter.method == "fitted"
        contradictions = {
            "decoder.examples is for the method phrases, which has a list that names can be added "
            "to: set decoder.method=phrases, or leave the examples out": (
                self.decoder.examples is not None and self.decoder.method != "phrases"
            ),
            "merge.edges=siblings needs a segmenter that keeps its merge tree: set "
            "segmenter.method to agglomerative or communities, or to ncut with "
            "segmenter.variant=recursive": (
                self.merge.edges == "siblings" and not self.segmenter.keeps_tree()
            ),
            "features.facet=embedding needs one network and one pass: the same models.dino and "
            "models.clip, embedding.mode=pooled, embedding.fit=features, no other setting of "
            "features than shorter_side, and a segmenter.method other than saliency and fitted": (
                self.features.facet == "embedding" and (is_fitted or not self.one_pass)
            ),
            "embedding.image_size can't be set with embedding.fit=features, which is the size "
            "of features.shorter_side: leave one of them out": (
                self.embedding.fit == "features" and self.embedding.image_size is not None
            ),
            "segmenter.model is for the method fitted: set segmenter.method=fitted, or leave "
            "the model out": not is_fitted and self.segmenter.model is not None,
            "the segmenter fitted needs segmenter.model: a folder that `zeroguide fit` wrote": (
                is_fitted and self.segmenter.model is None
            ),
        }
        for sentence, holds in contradictions.items():
            if holds:
                raise PydanticCustomError("contradiction", sentence)
        return self

    def with_classes(self, names: Mapping[int, str]) -> Recipe:
        """The same with fixed classes: numbers and names, as `read_classes` reads them.

        Raises UsageError for a name or a number that can't be, or comes twice.
        """
        pairs = tuple(names.items())
        wrong = mistake(pairs)
        if wrong is not None:
            raise UsageError(f"classes: {wrong}")
        classes = Classes(names=pairs, least=self.classes.least)
        return self.model_copy(update={"classes": classes})

    @property
    def introduction(self) -> str:
        """Its name, and what its weights know or, if that isn't said, its description."""
        about = (self.knows or self.description).rstrip(".")
        named = f"preset {self.name}"
        if self.stands_in:
            return f"{named}, {self.stands_in}; names are better with {DEFAULT}. It was {about}"
        return f"{named}: {about}" if about else named

    def checkpoints(self, *, labels: bool = True) -> dict[str, str]:
        """What the flow loads, by role; without labels only what over-segments need."""
        if not labels:
            return {"dino": self.models.dino}
        keys = ("dino", "clip", *self.decoder.required_models())
        return {key: getattr(self.models, key) for key in keys}

    @property
    def one_pass(self) -> bool:
        """Whether the cut asks for the very tokens that embeddings are pooled from."""
        features = self.features
        plain = Features(shorter_side=features.shorter_side, facet=features.facet)
        return (
            self.models.dino == self.models.clip
            and (self.embedding.fit, self.embedding.mode) == ("features", "pooled")
            and features == plain
            and features.facet in ("token", "embedding")
            and self.segmenter.method != "saliency"  # it asks for the class token's attention
        )
