"""The networks behind the page: from an image to an `Editor`, one image at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from zeroguide.clip import Region, SegmentedImage
from zeroguide.clip.atoms import regions_of
from zeroguide.errors import UsageError
from zeroguide.image import Image
from zeroguide.labeler import Labeler, NamedSegment, Watcher
from zeroguide.name.name import UNNAMED, Name
from zeroguide.name.phrases import PhrasesDecoder
from zeroguide.result.provenance import provenance
from zeroguide.result.rle import decode
from zeroguide.runs.masks.drawn import Mask
from zeroguide.system.memo import Memo
from zeroguide.web.editing import Editor
from zeroguide.web.mask_files import NamedMasks
from zeroguide.web.masking import explain, seen
from zeroguide.web.namings import Naming, Parts, TextTable


@dataclass(frozen=True, eq=False)
class Look:
    """A segment as CLIP saw it, beside the whole picture.

    before: what it says without the mask. after: with it. pixels: (h, w, 3) uint8, what the mask
    let through. about: how that is to be read.
    """

    before: Naming
    after: Naming
    pixels: np.ndarray
    about: str


class _Listener(Watcher):
    """Keeps every segment that ever got a name."""

    def __init__(self, stage: Callable[[str], None]) -> None:
        self.segments: list[NamedSegment] = []
        self._stage = stage

    def stage(self, name: str) -> None:
        self._stage(name)

    def named(self, segments: list[NamedSegment]) -> None:
        self.segments += segments


class Namer:
    """Runs a labeler's networks for one caller after another: two at once would both wait longer.

    labeler: its models are shared by all sessions.
    """

    def __init__(self, labeler: Labeler) -> None:
        self.labeler = labeler
        self._one_at_a_time = threading.Lock()

    @property
    def granularity(self) -> float | None:
        """The recipe's own; None where it doesn't act."""
        section = self.labeler.recipe.segmenter
        return section.granularity if section.chooses_number() else None

    @property
    def certainty(self) -> float | None:
        """The recipe's own; None where it doesn't act."""
        own = self.labeler.recipe.decoder
        return own.certainty if own.method == "phrases" else None

    def open(
        self,
        image: Image,
        stage: Callable[[str], None] = lambda name: None,
        granularity: float | None = None,
    ) -> Editor:
        """Cut an image into segments and name each, as `Labeler.label` does.

        stage: told what begins; see `zeroguide.labeler.Watcher.stage`. granularity: another than
        the recipe's.
        """
        labeler = self.labeler
        if granularity is not None:
            labeler = labeler.with_granularity(granularity)
        with self._one_at_a_time:
            listener, memo = _Listener(stage), Memo()
            labeler.describe([image], listener, memo)
            segmented = listener.segments[0].region.image
            namings = self._namings_of(listener.segments, memo)
            texts = self._texts(namings, memo)
        return Editor(
            image,
            segmented.label_map,
            named=dict(zip((s.region.parts for s in listener.segments), namings, strict=True)),
            texts=texts,
            merge=self.labeler.recipe.merge,
            provenance=provenance(labeler.recipe),
            tree=segmented.tree,
            certainty=self.certainty,
        )

    def name_again(self, editor: Editor, part: int) -> None:
        """Let the networks name the segment around an over-segment, whose name was an estimate."""
        region = Region(
            SegmentedImage(editor.image.pixels, editor.label_map, editor.tree),
            editor.segment_of(part).parts,
        )
        with self._one_at_a_time:
            memo = Memo()
            namings = self._namings_of(self.labeler.name([region]), memo)
            texts = self._texts(namings, memo)
        editor.add_naming(part, namings[0], texts)
        if editor.certainty is not None and editor.certainty != editor.recipe_certainty:
            self.set_certainty(editor, editor.certainty)

    def name_masks(self, image: Image, file_name: str, masks: Sequence[Mask]) -> NamedMasks:
        """Name masks that another tool has drawn, as `Labeler.name_masks` does."""
        labeler = self.labeler
        with self._one_at_a_time:
            regions = regions_of(image.pixels, (decode(mask.code) for mask in masks))
            named = labeler.name(regions)
            embeddings = torch.stack([segment.embedding for segment in named])
            namings = self._namings(embeddings, [segment.labels for segment in named], Memo())
        kept = embeddings.float().cpu().numpy()
        return NamedMasks(image, file_name, masks, kept, namings, provenance(labeler.recipe))

    def with_certainty(self, masks: NamedMasks, certainty: float) -> NamedMasks:
        """The masks under the names of another `decoder.certainty`; no image network runs."""
        embeddings = torch.from_numpy(masks.embeddings).to(self.labeler.device)
        memo = Memo()
        namings = self._namings(embeddings, self._decode(embeddings, certainty, memo), memo)
        return masks.with_names(namings, None if certainty == self.certainty else certainty)

    def look(self, editor: Editor, parts: Parts) -> Look:
        """What CLIP sees in a union of over-segments, and in the whole picture without a mask."""
        labeler = self.labeler
        image = SegmentedImage(editor.image.pixels, editor.label_map, editor.tree)
        every = tuple(range(editor.n_parts))
        masked = Region(image, parts)
        with self._one_at_a_time:
            memo = Memo()
            named = labeler.name([Region(image, every), masked])
            embeddings = torch.stack([segment.embedding for segment in named])
            names = [segment.labels for segment in named]
            if editor.certainty != editor.recipe_certainty:
                names = self._decode(embeddings, editor.certainty, memo)
            before, after = self._namings(embeddings, names, memo)
            pixels = seen(labeler.embedder, masked)
        window = labeler.embedder.mode != "crop" and pixels.shape != image.pixels.shape
        blocks = labeler.recipe.embedding.masked_blocks
        return Look(before, after, pixels, explain(labeler.embedder, blocks, window=window))

    def set_certainty(self, editor: Editor, certainty: float) -> None:
        """Name all that CLIP has seen with another `decoder.certainty`, 0 to 1.

        No image network runs, and nobody waits for those who use one: the decoder is one matrix
        product for all segments. Raises UsageError where it has no certainty.
        """
        known = editor.embeddings()
        embeddings = torch.from_numpy(np.stack(list(known.values()))).to(self.labeler.device)
        memo = Memo()
        namings = self._namings(embeddings, self._decode(embeddings, certainty, memo), memo)
        editor.set_certainty(
            certainty,
            dict(zip(known, namings, strict=True)),
            self._texts(namings, memo, known=editor.names()),
        )

    def _decode(
        self, embeddings: torch.Tensor, certainty: float | None, memo: Memo
    ) -> list[list[Name]]:
        decoder = self.labeler.decode
        if certainty is None or not isinstance(decoder, PhrasesDecoder):
            raise UsageError("this recipe's decoder has no certainty: names are as they are")
        ranked = decoder.with_certainty(certainty)(embeddings, (), memo)
        return [[Name(*name) for name in row] for row in ranked]

    def _namings_of(self, segments: list[NamedSegment], memo: Memo) -> list[Naming]:
        embeddings = torch.stack([segment.embedding for segment in segments])
        return self._namings(embeddings, [segment.labels for segment in segments], memo)

    def _namings(
        self, embeddings: torch.Tensor, names: list[list[Name]], memo: Memo
    ) -> list[Naming]:
        """What is known of n segments by their embeddings (n, e) and their names, best first."""
        confidences = self.labeler.confidences(embeddings, [own[0] for own in names], memo)
        return [
            Naming(
                tuple((name.text, name.score) for name in own),
                embedding,
                confidence,
                composed=own[0].composed,
            )
            for own, embedding, confidence in zip(
                names, embeddings.float().cpu().numpy(), confidences, strict=True
            )
        ]

    def _texts(
        self, namings: Iterable[Naming], memo: Memo, known: Collection[str] = ()
    ) -> TextTable:
        """The names' texts; those that are known already are left out."""
        confidence = self.labeler.confidence
        used = {label for naming in namings for label, _ in naming.labels} | {UNNAMED}
        names = sorted(used.difference(known)) or [UNNAMED]
        plain = self.labeler.texts.embed(names, memo).cpu().numpy()
        prompted = self.labeler.texts.embed(
            [confidence.template.replace("{}", name) for name in names], memo
        )
        return TextTable(
            dict(zip(names, plain, strict=True)),
            dict(zip(names, prompted.cpu().numpy(), strict=True)),
            confidence.label_set.cpu().numpy(),
            confidence.midpoint,
            confidence.slope,
        )
