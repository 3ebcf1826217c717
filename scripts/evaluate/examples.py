"""How well names are given by examples: classes are left out of the list and shown instead.

    python -m scripts.evaluate.examples --real ../shared/real --shots 1 5

For each draw ten classes of COCO panoptic are chosen; every phrase of the list that says one of
them or a kind of it is taken out. Each class gets one or five examples, from as many photographs,
and all true regions (of at least 1 %) of the other photographs are named. Examples are cut-outs
(the true mask) or crops (the box and a margin of 5 %, of which only the picture is known).

Printed, in per cent, means over draws and their 95 % intervals: "right", the regions of the
left-out classes that get their name; "elsewhere", those of other classes that wrongly get one of
the ten. "text": names are added to the list without examples; "alone": CLIP is not told what the
names are, as if they were words that it doesn't know.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scripts.shared.pages import replace_block, table
from scripts.shared.photographs import true_regions
from zeroguide.evaluate.datasets import ClassName, load_dataset
from zeroguide.example_embeddings import embed_example
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.name.examples import Examples
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrases import OwnNames, PhraseList, PhrasesDecoder
from zeroguide.recipe import load_recipe

N_CLASSES = 10
MARGIN = 0.05
THINNEST = 3  # a side over the other, of a crop: nobody gives strips for examples
KINDS = ("cut-out", "crop")
NEVER = -40.0  # log-prior of what nothing is called


@dataclass(frozen=True)
class Seen:
    """A true region. embedding: (e,) unit, in its photograph; examples: the same of its cut-out
    and its crop, for regions that may be examples."""

    photo: int
    cls: int
    embedding: torch.Tensor
    examples: dict[str, torch.Tensor]


def look(
    labeler: Labeler, real: Path, skip: int, limit: int | None
) -> tuple[list[Seen], list[ClassName]]:
    """All true regions; up to three of a photograph, drawn at random and no strips, may be
    examples."""
    dataset = load_dataset("coco-panoptic", real / "coco_panoptic")
    seen = []
    for photo, sample in enumerate(list(dataset)[skip:][:limit]):
        truth = true_regions(sample)
        if not truth.regions:
            continue
        embedder = labeler.embedder
        embedded = embedder.embed(embedder.prepare([truth.regions[0].image]), truth.regions)
        chosen = np.random.default_rng(photo).permutation(len(truth.regions))[:3]
        for i, (region, cls) in enumerate(zip(truth.regions, truth.classes, strict=True)):
            examples = {}
            window = around(region.mask)
            image = from_array(np.ascontiguousarray(region.image.pixels[window]))
            height, width = image.pixels.shape[:2]
            if i in chosen and max(height, width) <= THINNEST * min(height, width):
                for kind, mask in (("cut-out", region.mask[window]), ("crop", None)):
                    examples[kind] = embed_example(image, mask, labeler.segmenter, embedder)
            seen.append(Seen(photo, int(cls), F.normalize(embedded[i], dim=-1), examples))
    return seen, list(dataset.classes)


def around(mask: np.ndarray) -> tuple[slice, ...]:
    """The window of a mask (H, W) with a margin."""
    window = []
    for axis in (1, 0):
        inside = np.flatnonzero(mask.any(axis))
        margin = int(MARGIN * (inside[-1] + 1 - inside[0]))
        window.append(slice(max(0, inside[0] - margin), inside[-1] + 1 + margin))
    return tuple(window)


class Lists:
    """The decoder's list with some classes left out."""

    def __init__(self, labeler: Labeler, classes: list[ClassName]) -> None:
        assert isinstance(labeler.decode, PhrasesDecoder)
        self.decoder, self.whole = labeler.decode, labeler.decode.list
        self.texts, self.classes, self.hypernyms = labeler.texts, classes, Hypernyms.load()
        nodes = [self.hypernyms.node_of(phrase) for phrase in self.whole.phrases]
        above = {n: set(self.hypernyms.ancestors(n)) for n in set(nodes) if n is not None}
        self.above = [set() if n is None else above[n] for n in nodes]
        self.said = {c: self._says(each) for c, each in enumerate(classes)}

    def _says(self, cls: ClassName) -> np.ndarray:
        """(p,) bool: which phrases say a class or a kind of it."""
        names = {cls.name, *cls.synonyms}
        nodes = {self.hypernyms.whole_node_of(name) for name in names} - {None}
        spelled = {name.casefold() for name in names}
        return np.array(
            [
                bool(above & nodes) or phrase.casefold() in spelled
                for phrase, above in zip(self.whole.phrases, self.above, strict=True)
            ]
        )

    def without(self, left_out: list[int]) -> PhraseList:
        """The list without what says one of the classes."""
        keep = np.flatnonzero(~np.any([self.said[c] for c in left_out], axis=0))
        found = self.whole.with_names([], torch.empty(0, self.whole.embeddings.shape[1]))
        found.phrases = tuple(self.whole.phrases[i] for i in keep)
        found.embeddings = self.whole.embeddings[keep]
        found.log_prior = self.whole.log_prior[keep].log_softmax(0)
        return found

    def with_names(self, phrases: PhraseList, names: list[str]) -> PhraseList:
        return phrases.with_names(names, self.texts.embed_phrases(names, ["a photo of a {}"]))

    def muted(self, phrases: PhraseList, n_names: int) -> PhraseList:
        """The same, but nothing is called one of the last `n_names` by its text."""
        found = phrases.with_names([], phrases.embeddings[:0])
        found.log_prior = phrases.log_prior.clone()
        found.log_prior[-n_names:] = NEVER
        found.log_prior = found.log_prior.log_softmax(0)
        return found

    def label(self, phrases: PhraseList, unit: torch.Tensor) -> np.ndarray:
        decoder = PhrasesDecoder(
            phrases, certainty=self.decoder.certainty, modifiers=None, n_alternatives=0
        )
        return np.array([names[0][0] for names in decoder(unit)])


def draws(
    seen: list[Seen], n_shots: int, n_draws: int
) -> Iterator[tuple[dict[int, list[Seen]], list[Seen]]]:
    """Of each draw the examples of each class and all regions of other photographs."""
    may = {c: [s for s in seen if s.cls == c and s.examples] for c in sorted({s.cls for s in seen})}
    enough = [
        c
        for c, own in may.items()
        if len({s.photo for s in own}) >= n_shots
        and len({s.photo for s in seen if s.cls == c}) > n_shots
    ]
    for number in range(n_draws):
        rng = np.random.default_rng(number)
        shown: dict[int, list[Seen]] = {}
        for c in rng.permutation(enough)[:N_CLASSES]:
            taken = rng.permutation(sorted({s.photo for s in may[c]}))[:n_shots]
            shown[int(c)] = [next(s for s in may[c] if s.photo == photo) for photo in taken]
        used = {s.photo for own in shown.values() for s in own}
        yield shown, [s for s in seen if s.photo not in used]


def measure(
    lists: Lists, drawn: list[tuple[dict[int, list[Seen]], list[Seen]]]
) -> dict[str, list[float]]:
    """In per cent, of each draw."""
    found: dict[str, list[float]] = {}
    for shown, asked in drawn:
        names = {c: lists.classes[c].name for c in shown}
        phrases = lists.with_names(lists.without(list(shown)), list(names.values()))
        unit = torch.stack([s.embedding for s in asked])
        truth = np.array([names.get(s.cls, "") for s in asked])
        muted = lists.muted(phrases, len(names))
        labels = {"text": lists.label(phrases, unit)}
        for kind in KINDS:
            rows = tuple(torch.stack([s.examples[kind] for s in own]) for own in shown.values())
            examples = Examples(tuple(names.values()), rows)
            labels[kind] = lists.label(OwnNames(phrases, examples), unit)
            labels[f"{kind} alone"] = lists.label(OwnNames(muted, examples), unit)
        inside = truth != ""
        for kind, given in labels.items():
            right = 100 * float((given == truth)[inside].mean())
            wrong = 100 * float(np.isin(given, list(names.values()))[~inside].mean())
            found.setdefault(f"{kind}, right", []).append(right)
            found.setdefault(f"{kind}, elsewhere", []).append(wrong)
    return found


GIVEN = {
    "text": "the names, no example",
    "cut-out": "names and cut-outs",
    "crop": "names and crops",
    "cut-out alone": "cut-outs of what has no name that CLIP knows",
    "crop alone": "crops of that",
}


def laid_out(row: dict[str, str | float]) -> list[dict[str, str | float]]:
    """What was found with a number of examples, a line for each thing that is given."""
    return [
        {
            "examples": row["examples"],
            "given": about,
            "right": row[f"{kind}, right"],
            "elsewhere": row[f"{kind}, elsewhere"],
        }
        for kind, about in GIVEN.items()
    ]


def interval(values: list[float]) -> str:
    """Mean over draws and where 95 % of its bootstrapped means lie."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{np.mean(values):.1f} [{low:.1f}, {high:.1f}]"


def main() -> None:
    """Print the table; with --page, put it there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--real", type=Path, default=Path("../shared/real"))
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--limit", type=int, help="photographs")
    parser.add_argument("--skip", type=int, default=0, help="photographs that come before")
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()

    labeler = Labeler(load_recipe("photo"))
    seen, classes = look(labeler, args.real, args.skip, args.limit)
    lists = Lists(labeler, classes)
    rows: list[dict[str, str | float]] = []
    for n_shots in args.shots:
        drawn = list(draws(seen, n_shots, args.draws))
        found = {key: interval(values) for key, values in measure(lists, drawn).items()}
        rows.append({"examples": str(n_shots), **found})
        print(json.dumps(rows[-1]), flush=True)
    if args.page:
        lines = [line for row in rows for line in laid_out(row)]
        replace_block(args.page, "evaluate.examples", table(lines))


if __name__ == "__main__":
    main()
