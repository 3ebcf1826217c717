"""How well decoders name what an embedding says, with a real text encoder and language model.

    make real-weights
    python -m scripts.evaluate.naming --shared ../shared --page docs/results.md

A query is the embedding of a name in a sentence that no decoder uses, plus a constant offset (the
gap between pictures and texts) and noise. At level 100 there is no noise; at 90, 70 and 50 so much
that of the names which the list has, the nearest phrase of the list is the name itself for that
many per cent. What is printed, per list of names, level and decoder:

- exact or synonym: the label is one of the name's synonyms, or WordNet has them as one;
- or hypernym: or what the name is a kind of, and by how many steps on average over all of these;
- finer: the label is a kind of the name;
- MiniLM >= 0.5: the cosine of label and name;
- words per label, distinct labels, seconds per 20 segments.

MiniLM stands in for CLIP's text tower and SmolLM2-135M (4 bits) is the language model: figures of
these, not of a CLIP. `--modifiers` asks for noun phrases of captions with a modifier instead,
`--many 20000` whether a segment of a long run costs what one of a short run does.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from scripts.shared.pages import replace_block
from scripts.shared.relations import judge
from scripts.shared.stand_ins import MINILM, SMOLLM2, Gap, level_for, read_names, text_side
from zeroguide.clip import TextEncoder
from zeroguide.evaluate.metrics.wordnet import WordNet, wordnet_folders
from zeroguide.models import LanguageModel, LoadedModels, load_language_model
from zeroguide.name.decoders import make_decoder
from zeroguide.name.noun_forms import american
from zeroguide.name.phrase_files import read_prompts
from zeroguide.recipe import load_recipe
from zeroguide.system.memo import Memo

LISTS = {
    "COCO-Stuff": "coco_stuff",
    "ADE-150": "ade20k_150",
    "ADE-847": "ade20k_847",
    "LVIS": "lvis_1203",
    "Pascal-459": "pascal_ctx_459",
}
LEVELS = (100, 90, 70, 50)
# None of them is a decoder's template or prompt.
SENTENCES = ("this is a {}", "look at the {} here", "I can see the {}", "one {} among others")
DECODERS = {
    "vocabulary": ["decoder.method=vocabulary"],
    "phrases": ["decoder.method=phrases"],
    "phrases, no prior": ["decoder.method=phrases", "decoder.frequency_weight=0"],
    "phrases, composing": ["decoder.compose=true", "decoder.lm_weight=0.6"],
    "beam": ["decoder.method=beam", "decoder.beam_size=3", "decoder.n_candidates=16"],
}
TOGETHER = 20
# Adjectives that say nothing of what one sees.
NOT_SEEN = frozenset({
    "african", "american", "asian", "certain", "different", "european", "favorite", "few", "first",
    "left", "local", "lone", "many", "next", "opposite", "other", "own", "public", "right", "same",
    "second", "several", "similar", "single", "third", "various",
})  # fmt: skip


@dataclass(frozen=True)
class Row:
    """Of one list of names, level and decoder; shares from 0 to 1."""

    names: str
    level: int
    decoder: str
    right: float
    hypernym: float
    steps: float
    finer: float
    similar: float
    words: float
    distinct: int
    seconds: float


class Bench:
    """The networks, and decoders made of them."""

    def __init__(self, *, writes: bool) -> None:
        clip = text_side()
        self.texts = TextEncoder(clip)
        self.language_model: LanguageModel | None = None
        if writes:
            self.language_model = load_language_model(str(SMOLLM2), device="cpu")
        self._models = LoadedModels(cast(Any, None), clip, self.language_model)
        self.phrases = read_prompts("labels")
        self.embedded = self.texts.embed_phrases(self.phrases, read_prompts("templates_labels"))
        self._known: dict[str, int] = {phrase: i for i, phrase in enumerate(self.phrases)}

    def decoder(self, settings: list[str]) -> Any:
        recipe = load_recipe("fast", settings)
        models = self._models
        if not recipe.decoder.required_models():
            models = LoadedModels(models.dino, models.clip)
        return make_decoder(recipe, self.texts, models)

    def embed(self, names: list[str]) -> torch.Tensor:
        """The names in sentences that take turns: (n, e) unit."""
        sentences = [SENTENCES[i % len(SENTENCES)] for i in range(len(names))]
        texts = [s.replace("{}", name) for s, name in zip(sentences, names, strict=True)]
        return self.texts.embed(texts).clone()

    def noise_levels(
        self, unit: torch.Tensor, noise: torch.Tensor, names: list[str], gap: Gap
    ) -> dict[int, float]:
        """Level in per cent -> length of the noise."""
        own = [i for i, name in enumerate(names) if name in self._known]
        target = torch.tensor([self._known[names[i]] for i in own])

        def right(length: float) -> float:
            queries = gap.queries(unit[own], noise[own], length)
            return float(((queries @ self.embedded.T).argmax(1) == target).float().mean())

        return {level: level_for(level / 100, right) if level < 100 else 0.0 for level in LEVELS}


def run(decoder: Any, queries: torch.Tensor) -> tuple[list[str], float]:
    """The labels, and the median of the seconds that TOGETHER segments take."""
    labels, seconds = [], []
    for part in queries.split(TOGETHER):
        started = time.perf_counter()
        found = decoder(part, (), Memo())
        seconds.append((time.perf_counter() - started) * TOGETHER / len(part))
        labels += [names[0][0] for names in found]
    return labels, float(np.median(seconds))


def measure(bench: Bench, args: argparse.Namespace) -> list[Row]:
    """All lists, levels and decoders."""
    wordnet = WordNet()
    decoders = {name: bench.decoder(DECODERS[name]) for name in args.decoder}
    rows = []
    for title, path in args.lists:
        synonyms = read_names(path)
        if args.limit:
            chosen = np.random.default_rng(0).permutation(len(synonyms))[: args.limit]
            synonyms = [synonyms[i] for i in sorted(chosen)]
        names = [own[0] for own in synonyms]
        unit = bench.embed(names)
        own = bench.texts.embed(names).clone()
        gap = Gap(unit.shape[1])
        noise = gap.noise(unit)
        levels = bench.noise_levels(unit, noise, names, gap)
        for level in args.level:
            queries = gap.queries(unit, noise, levels[level])
            for decoder in args.decoder:
                labels, seconds = run(decoders[decoder], queries)
                judged = [judge(*one, wordnet) for one in zip(labels, synonyms, strict=True)]
                kinds = Counter(kind for kind, _ in judged)
                n, held = len(labels), kinds["right"] + kinds["hypernym"]
                cosines = (bench.texts.embed(labels) * own).sum(1)
                rows.append(
                    Row(
                        title,
                        level,
                        decoder,
                        kinds["right"] / n,
                        held / n,
                        sum(steps for _, steps in judged) / max(1, held),
                        kinds["finer"] / n,
                        float((cosines >= 0.5).float().mean()),
                        float(np.mean([len(label.split()) for label in labels])),
                        len(set(labels)),
                        seconds,
                    )
                )
                print(line(rows[-1]), flush=True)
                if args.show:
                    for own_names, label, (kind, _) in zip(synonyms, labels, judged, strict=True):
                        if kind != "right":
                            print(f"    {own_names[0]} -> {label} [{kind}]")
    return rows


HEAD = (
    "| names | level | decoder | exact or synonym, % | or hypernym, % | steps | finer, % "
    "| MiniLM >= 0.5, % | words | distinct | s / 20 segments |\n" + "|---" * 11 + "|"
)


def line(row: Row) -> str:
    """A row of the table."""
    return (
        f"| {row.names} | {row.level} | {row.decoder} | {100 * row.right:.1f} "
        f"| {100 * row.hypernym:.1f} | {row.steps:.2f} | {100 * row.finer:.1f} "
        f"| {100 * row.similar:.1f} | {row.words:.2f} | {row.distinct} | {row.seconds:.2f} |"
    )


def modified_phrases(captions: Path, n: int, seed: int = 0) -> list[tuple[str, str]]:
    """(modifier, noun) of noun phrases in captions, drawn with the root of how often they occur."""
    folder = next(f for f in wordnet_folders() if (f / "index.adj").is_file())
    adjectives = {entry.split()[0] for entry in (folder / "index.adj").read_text().splitlines()}
    nouns = set(read_prompts("labels"))
    # What stands behind a noun phrase: so that "red brick" of "red brick wall" isn't one.
    after = r"(?=\s+(?:in|on|is|are|and|with|at|by|that|who|near|while|through|[.,]))"
    pattern = re.compile(r"\b(?:a|an|the)\s+([a-z-]+)\s+([a-z-]+)\b" + after)
    found = Counter(
        match
        for caption in captions.read_text(encoding="utf-8").splitlines()
        for match in pattern.findall(caption.lower())
    )
    pairs = sorted(
        (a, b)
        for a, b in found
        if a in adjectives and a not in nouns and a not in NOT_SEEN and b in nouns
    )
    weights = np.sqrt([found[pair] for pair in pairs])
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(pairs), n, replace=False, p=weights / weights.sum())
    return [pairs[i] for i in chosen]


def adjective_senses() -> Callable[[str], set[str]]:
    """A function from an adjective to its senses in WordNet: "large" and "big" share one."""
    folder = next(f for f in wordnet_folders() if (f / "index.adj").is_file())
    lines = (folder / "index.adj").read_text(encoding="utf-8").splitlines()
    entries = [line.split() for line in lines if not line.startswith(" ")]  # not the licence
    known = {entry[0]: set(entry[-int(entry[2]) :]) for entry in entries}
    return lambda word: known.get(american(word), set())


def measure_modifiers(bench: Bench, args: argparse.Namespace) -> dict[str, float]:
    """How often the modifier of a noun phrase is said, and how often another one."""
    captions = args.shared / "captioned" / "flickr8k" / "captions.tsv"
    pairs = modified_phrases(captions, 200)
    if args.tuning:
        reported = set(pairs)
        drawn = modified_phrases(captions, 420, seed=1)
        pairs = [pair for pair in drawn if pair not in reported][:200]
    unit = bench.embed([f"{a} {b}" for a, b in pairs])
    gap = Gap(unit.shape[1])
    composing = [*DECODERS["phrases, composing"]]
    if args.lm_weight is not None:
        composing.append(f"decoder.lm_weight={args.lm_weight}")
    labels, seconds = run(bench.decoder(composing), gap.queries(unit, gap.noise(unit), 0.0))
    plain, _ = run(bench.decoder(DECODERS["phrases"]), gap.queries(unit, gap.noise(unit), 0.0))
    known = {
        word for entry in read_prompts("modifiers") for word in entry.split() if "{" not in word
    }
    known |= {a for a, _ in pairs}
    said = wrong = head = 0
    senses = adjective_senses()
    for (a, b), label, before in zip(pairs, labels, plain, strict=True):
        words = label.split()
        same = any(word == a or senses(word) & senses(a) for word in words)
        said += same
        wrong += not same and any(word in known for word in words)
        head += words[-1] == b
        if args.show:
            print(f"    {a} {b} -> {before} -> {label}")
    n = len(pairs)
    shares = {"said": said / n, "wrong": wrong / n, "noun right": head / n, "seconds": seconds}
    print(
        f"{n} noun phrases of captions with a modifier: it is said in {100 * said / n:.1f} %, "
        f"another one in {100 * wrong / n:.1f} %, the noun in {100 * head / n:.1f} %; "
        f"{seconds:.2f} s per {TOGETHER} segments"
    )
    return shares


def measure_many(bench: Bench, n: int) -> dict[str, float]:
    """What TOGETHER segments cost in a run of n, by the first calls and by all of them."""
    names = np.random.default_rng(0).choice(bench.phrases[:5000], n)
    unit = bench.embedded[[bench._known[name] for name in names]]
    gap = Gap(unit.shape[1])
    queries = gap.queries(unit, gap.noise(unit), 0.5)
    decoder = bench.decoder(DECODERS["phrases"])
    run(decoder, queries[:TOGETHER])  # reads what is read once
    _, first = run(decoder, queries[: 20 * TOGETHER])
    _, every = run(decoder, queries)
    _, last = run(decoder, queries[-20 * TOGETHER :])
    print(
        f"{TOGETHER} segments cost {first:.3f} s at first, {every:.3f} s in the middle of {n}, "
        f"{last:.3f} s at the end (medians)"
    )
    return {"first": first, "every": every, "last": last}


def main() -> None:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="benchmarks' names")
    parser.add_argument("--names", type=Path, nargs="+", help="other lists of names")
    parser.add_argument("--decoder", nargs="+", choices=DECODERS, default=list(DECODERS))
    parser.add_argument("--level", nargs="+", type=int, choices=LEVELS, default=list(LEVELS))
    parser.add_argument("--limit", type=int, help="names of each list, drawn")
    parser.add_argument("--modifiers", action="store_true")
    parser.add_argument(
        "--tuning", action="store_true", help="modifiers: on other phrases, to choose settings by"
    )
    parser.add_argument("--lm-weight", type=float, help="modifiers: another than the presets'")
    parser.add_argument("--many", type=int, metavar="N", help="time a run of N segments")
    parser.add_argument("--show", action="store_true", help="print what isn't right")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path, help="the page whose table is replaced")
    args = parser.parse_args()
    if not MINILM.is_dir():
        parser.error(f"{MINILM} is missing: make real-weights")
    args.lists = [(path.stem, path) for path in args.names or ()] or [
        (title, args.shared / "classnames" / f"{stem}.txt") for title, stem in LISTS.items()
    ]
    writes = args.modifiers or any("composing" in d or d == "beam" for d in args.decoder)
    bench = Bench(writes=writes)
    if args.many:
        result: Any = measure_many(bench, args.many)
    elif args.modifiers:
        result = measure_modifiers(bench, args)
    else:
        rows = measure(bench, args)
        result = [asdict(row) for row in rows]
        if args.page:
            table = "\n".join([HEAD, *map(line, rows)])
            replace_block(args.page, "evaluate.naming", table + "\n")
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
