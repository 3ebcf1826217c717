"""What answers look like, for the description of the API; docs/json.md says more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Model):
    """Every answer that isn't what was asked for."""

    error: Annotated[str, Field(description="One sentence.")]


class Health(_Model):
    """Whether the service works, and with what."""

    ready: Annotated[bool, Field(description="Requests are being answered.")]
    preset: Annotated[str, Field(description="The recipe's name.")]
    knows: Annotated[str, Field(description="What pictures its models understand.")]
    version: Annotated[str, Field(description="Of zeroguide.")]
    queue: Annotated[int, Field(ge=0, description="Requests that are worked on or wait.")]


class NotReady(Health):
    """A service that is being stopped, or whose device has failed."""

    error: Annotated[str, Field(description="One sentence.")]


class PictureInfo(_Model):
    """The picture that was sent."""

    file_name: Annotated[str, Field(description="Without folders.")]
    width: Annotated[int, Field(ge=1, description="Pixels of the upright picture.")]
    height: Annotated[int, Field(ge=1)]
    sha256: Annotated[str, Field(description="Of the file's bytes.")]


class Code(_Model):
    """A mask as COCO's compressed run-length code; pycocotools reads it."""

    size: Annotated[tuple[int, int], Field(description="Height and width of the picture.")]
    counts: str


class Class(_Model):
    """One of the classes that the service was started with."""

    id: Annotated[int, Field(ge=0, description="Its number in the table of classes.")]
    name: str
    probability: Annotated[float, Field(ge=0, le=1, description="Of `other`: that it is none.")]


class Named(_Model):
    """What is said of a segment or a mask."""

    id: int
    label: Annotated[str, Field(description="Free text; `unnamed` if no name was found.")]
    category: Annotated[
        Class | None, Field(description="Where the service has classes; absent elsewhere.")
    ] = None
    score: Annotated[float, Field(description="The decoder's; comparable within a recipe only.")]
    confidence: Annotated[float, Field(ge=0, le=1, description="That the label is right.")]
    alternatives: Annotated[
        list[tuple[str, float]], Field(description="The next best labels and scores, best first.")
    ]
    bbox: Annotated[
        tuple[int, int, int, int], Field(description="x, y, width and height in pixels.")
    ]
    area: Annotated[int, Field(ge=1, description="Number of pixels.")]
    composed: Annotated[bool, Field(description="A modifier was put before the name.")]
    segmentation: Code


class LabelledSegment(Named):
    """A segment; all together cover every pixel once."""

    merged_from: Annotated[list[int], Field(description="The over-segments it is made of, from 1.")]
    embedding: Annotated[
        str, Field(description="What CLIP sees: base64 of little-endian float16, a unit vector.")
    ]


class Labels(_Model):
    """A labelled picture: what `zeroguide label` writes."""

    schema_: Annotated[Literal["zeroguide/1"], Field(alias="schema")]
    image: PictureInfo
    recipe: Annotated[dict[str, Any], Field(description="How it was made.")]
    segments: Annotated[list[LabelledSegment], Field(description="The largest first.")]


class Names(_Model):
    """Named masks: what `zeroguide name` writes."""

    schema_: Annotated[Literal["zeroguide-names/1"], Field(alias="schema")]
    image: PictureInfo
    recipe: Annotated[dict[str, Any], Field(description="How it was made.")]
    masks: Annotated[list[Named], Field(description="In the order of the file.")]
