"""Write the list of phrases for photographs and what is a kind of what among them.

    apt-get install wordnet-base wordnet-sense-index
    pip download --no-deps symspellpy && unzip symspellpy-*.whl 'symspellpy/frequency_*' -d books
    python -m scripts.labels.build --wordnet /usr/share/wordnet --classnames ../shared/classnames \\
        --captions ../shared/captioned --books books/symspellpy

It makes prompts/labels.txt and prompts/hypernyms.tsv; docs/labels.md describes them. Phrases
come from WordNet (`wordnet_nouns`), prompts/everyday.txt, the names of benchmarks, RAM's tags, Open
Images and scripts/labels/added.txt. Spellings of one phrase are joined, the commonest in the US is
taken; scripts/labels/left_out.txt says what is dropped. They are ordered by how often they are said
in captions and books, times the share of what can be seen in WordNet's tagged corpus.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from scripts.labels.senses import Nodes, Senses
from scripts.labels.sources import LONGEST, Frequency, read_classes, read_list, read_open_images
from scripts.labels.wordnet_nouns import ARTIFACT, OBJECT, WHOLE, WordNet, licence
from zeroguide.name.noun_forms import american, base_forms, squeezed
from zeroguide.name.phrase_files import read_prompts

HAND = Path(__file__).parent
PROMPTS = Path(__file__).parents[2] / "prompts"
BENCHMARKS = (
    "lvis_1203", "coco_stuff", "ade20k_150", "ade20k_847", "pascal_ctx_459", "pascal_voc_21",
    "cityscapes",
)  # fmt: skip
# What both files begin with.
SOURCES = """\
Made by scripts/labels/build.py from
- WordNet 3.0: see its licence below;
- class names of Open Images V6, (c) Google LLC, CC BY 4.0, selected and in small letters;
- tags of RAM (Recognize Anything), Apache-2.0, selected;
- class names of LVIS, COCO-Stuff, ADE20K, Pascal Context, Pascal VOC and Cityscapes;
- lists of the project's own, Apache-2.0.
The order is by captions of photographs (Flickr8k, Corel5k, COCO) and SymSpell's frequency
dictionaries, MIT, from Google Books Ngrams, CC BY 3.0. WordNet's licence:
""".splitlines()
# A hypernym of so many phrases that no list of photographs' names has is a word of science.
MANY = 12
# Kinds of natural objects that a photograph shows.
LAND = frozenset({"geological_formation", "body_of_water", "land", "ice", "rock", "nest", "shell"})
# Share of a word's tagged occurrences that mean something to be seen, for a word of WordNet alone.
MOSTLY = 0.75
# A plural that is said so many times as often as the singular is the name: stairs, grapes.
PLURAL = 3


class Collection:
    """Phrases with the sources that name them; spellings of one are joined at the end."""

    def __init__(self, senses: Senses, frequency: Frequency) -> None:
        self.senses = senses
        self.frequency = frequency
        self.sources: dict[str, set[str]] = defaultdict(set)
        self._capital = _capitals(senses.wordnet)

    def add(self, phrases: Iterable[str], source: str) -> None:
        for phrase in phrases:
            words = phrase.replace("_", " ").split()
            if len(words) <= LONGEST:
                for spelled in (words, [american(word) for word in words]):
                    text = " ".join(self._capital.get(word, word) for word in spelled)
                    self.sources[text].add(source)

    def joined(self, left_out: set[str]) -> dict[str, set[str]]:
        """Phrase -> its other spellings; without those of which any spelling is left out."""
        keys = {squeezed(phrase) for phrase in self.sources}
        groups: dict[str, list[str]] = defaultdict(list)
        for phrase in self.sources:
            groups[self._key(phrase, keys)].append(phrase)
        out = {squeezed(phrase) for phrase in left_out}
        found = {}
        for key, spellings in groups.items():
            if key not in out and out.isdisjoint(map(squeezed, spellings)):
                best = self._best(spellings)
                found[best] = set(spellings) - {best}
                for other in found[best]:
                    self.sources[best] |= self.sources[other]
        return found

    def _key(self, phrase: str, keys: set[str]) -> str:
        """What all spellings of one phrase have in common, number among them."""
        phrase = " ".join(map(american, phrase.split()))
        sense = self.senses.of(phrase)
        for form in list(base_forms(phrase))[1:]:
            key = squeezed(form)
            # Glasses are more than one glass.
            if key in keys and self.senses.of(form) == sense:
                return key
        return squeezed(phrase)

    def _best(self, spellings: list[str]) -> str:
        """The commonest spelling: American; in the plural only if that is what people say."""

        def rank(text: str) -> tuple[bool, float, bool, str]:
            plural = any(squeezed(f) in singulars for f in list(base_forms(text))[1:])
            said = self.frequency(text) / (PLURAL if plural else 1)
            british = squeezed(text) != text.lower().replace(" ", "").replace("-", "")
            return (not british, said, " " in text, text)

        singulars = {squeezed(text) for text in spellings}
        best = max(spellings, key=rank)
        # WordNet's capitals are right where it has the word: T-shirt, German shepherd.
        return min(s for s in spellings if s.lower() == best.lower())


def _capitals(wordnet: WordNet) -> dict[str, str]:
    """Words in small letters that are written with a capital: German, Christmas."""
    words = {w for synset in wordnet.synsets.values() for w in synset.words if w.istitle()}
    return {w.lower(): w for w in sorted(words) if w.lower() not in wordnet.small}


def collect(args: argparse.Namespace, senses: Senses, frequency: Frequency) -> Collection:
    """All phrases of all sources."""
    wordnet = senses.wordnet
    found = Collection(senses, frequency)
    nouns = wordnet.phrases()
    found.add(nouns, "wordnet")
    found.add(read_prompts("everyday"), "everyday")
    found.add(read_list(HAND / "added.txt"), "added")
    for name in BENCHMARKS:
        for names in read_classes(args.classnames / f"{name}.txt"):
            found.add(names, "benchmark")

    known = {squeezed(noun) for noun in nouns}

    def is_seen(word: str) -> bool:
        return any(squeezed(form) in known for form in base_forms(word))

    def is_word(word: str) -> bool:
        return any(form in wordnet.small for form in base_forms(word))

    tags = (args.classnames / "ram_tags_4585.txt").read_text(encoding="utf-8").splitlines()
    found.add((t for t in tags if is_seen(t.split()[-1])), "ram")
    named = (args.classnames / "open_images_v6.txt").read_text(encoding="utf-8").splitlines()
    # What WordNet has is taken from there; that photographs show it is worth knowing.
    found.add((n for n in (name.lower() for name in named) if is_seen(n)), "open images")
    brands = set(read_list(HAND / "brands.txt"))
    found.add(
        read_open_images(args.classnames / "open_images_v6.txt", is_word, is_seen, brands),
        "open images",
    )
    return found


class Filter:
    """Which of WordNet's words are worth a label that no other source and no caption has."""

    def __init__(self, collection: Collection, senses: Senses) -> None:
        self.collection = collection
        self.senses = senses
        self.frequency = collection.frequency
        self._pictured = {
            word.lower()
            for phrase, sources in collection.sources.items()
            if sources != {"wordnet"}
            for word in phrase.split()
        }

    def keeps(self, phrase: str) -> bool:
        """Animals, plants, food and things that books name; no forces, officers and substances.

        A word must mostly mean what can be seen, a thing of several words be written of or consist
        of words that photographs are described with.
        """
        words = phrase.lower().replace("-", " ").split()
        genera, small = self.senses.wordnet.genera, self.senses.wordnet.small
        if len(words) > 1 and words[0].capitalize() in genera and words[-1] not in small:
            return False  # Canis familiaris
        if self.collection.sources[phrase] != {"wordnet"} or self.frequency.in_captions(phrase):
            return True
        offset = self.senses.of(phrase)
        if offset is None:
            return True
        wordnet = self.senses.wordnet
        file = wordnet.synsets[offset].file
        if file not in WHOLE or (file == OBJECT and LAND.isdisjoint(wordnet.kinds(offset))):
            return False
        if len(words) == 1:
            return self.frequency(phrase) > 0 and self.senses.share(phrase) >= MOSTLY
        if file != ARTIFACT:
            return True
        return self.frequency.in_books(phrase) > 0 or self._pictured.issuperset(words)


def without_science(collection: Collection, senses: Senses, phrases: list[str]) -> list[str]:
    """Without WordNet's wide terms that nobody calls a thing in a photograph: placental, artifact.

    Such is a sense with at least MANY phrases under it none of whose words stands in another
    source or is said in a caption.
    """
    nodes = Nodes(senses, phrases)
    n_below = nodes.n_below()
    dropped: set[str] = set()
    for node, own in nodes.labels.items():
        if n_below[node] - len(own) >= MANY:
            dropped |= {
                phrase
                for phrase in own
                if collection.sources[phrase] == {"wordnet"}
                and not collection.frequency.in_captions(phrase)
            }
    return [phrase for phrase in phrases if phrase not in dropped]


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun")
    parser.add_argument("--classnames", type=Path, required=True, help="lists of names")
    parser.add_argument("--captions", type=Path, required=True, help="folders of captions.tsv")
    parser.add_argument("--books", type=Path, required=True, help="SymSpell's dictionaries")
    parser.add_argument("--output", type=Path, default=PROMPTS)
    args = parser.parse_args()

    senses = Senses(WordNet(args.wordnet), read_list(HAND / "senses.txt"))
    frequency = Frequency(sorted(args.captions.glob("*/*.tsv")), args.books)
    collection = collect(args, senses, frequency)
    spellings = collection.joined(set(read_list(HAND / "left_out.txt")))
    rates = {p: frequency.of_photographs(p) * senses.share(p) for p in spellings}
    phrases = sorted(rates, key=lambda p: (-rates[p], len(p.split()), p))
    phrases = [*filter(Filter(collection, senses).keeps, phrases)]
    phrases = without_science(collection, senses, phrases)

    terms = [f"# {line}".rstrip() for line in [*SOURCES, *licence(args.wordnet)]]
    about = [f"# {len(phrases)} phrases for what photographs show, the most frequent first."]
    text = "\n".join([*about, *terms, *phrases])
    (args.output / "labels.txt").write_text(text + "\n", encoding="utf-8")
    lines = Nodes(senses, phrases).lines(spellings)
    about = [f"# {len(lines)} nodes: what is a kind of what among the phrases of labels.txt."]
    text = "\n".join([*about, *terms, *lines])
    (args.output / "hypernyms.tsv").write_text(text + "\n", encoding="utf-8")
    for source in sorted({s for p in phrases for s in collection.sources[p]}):
        print(f"{sum(source in collection.sources[p] for p in phrases):6} from {source}")
    print(f"{len(phrases):6} phrases, {len(lines)} nodes in {args.output}")


if __name__ == "__main__":
    main()
