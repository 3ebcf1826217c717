"""The nouns that a picture can show, from WordNet's own files.

WordNet (Fellbaum, 1998) sorts nouns into lexicographer files by what they mean, and counts how
often each sense occurs in a tagged corpus. What is taken:

- animal, artifact, food, object and plant: everything, because most of it can be photographed.
- body, location, phenomenon and substance: words that occur in the tagged corpus. The rest is
  anatomy, administration, physics and chemistry, which no photograph shows.
- group and person: a few plain words, and roles that clothes or tools show. Most words for people
  judge character, origin or belief; a picture shows none of these.

Of a word with several senses the taken ones must be at least a third of what occurs, or its first
one if none occurs. Of words that don't occur an animal or a plant gets only its first one, because
the others are mostly folk names. Left out are names of single persons and places, Latin names,
single capitalised words outside food, offensive words, and whatever isn't written in letters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Lexicographer files by number, see lexnames(5WN).
TOPS, ANIMAL, ARTIFACT, BODY, FOOD, GROUP, LOCATION, OBJECT = 3, 5, 6, 8, 13, 14, 15, 17
PERSON, PHENOMENON, PLANT, SUBSTANCE = 18, 19, 20, 27
WHOLE = (ANIMAL, ARTIFACT, FOOD, OBJECT, PLANT)
SYNONYMS = (ARTIFACT, FOOD)
FREQUENT = (BODY, LOCATION, PHENOMENON, SUBSTANCE)
# Senses taken from the other files, by their first word.
PICKED = {
    TOPS: ("animal", "person", "plant", "food"),
    GROUP: ("forest", "crowd", "herd", "flock", "swarm", "audience", "traffic"),
    PERSON: (
        "man", "woman", "male_child", "girl", "female_child", "child", "baby", "infant", "toddler",
        "adolescent", "adult", "rider", "passenger", "tourist", "cyclist", "horseman", "spectator",
        "bride", "groom", "skier", "swimmer", "farmer", "painter", "monk", "nun", "priest",
        "student", "teacher",
    ),
}  # fmt: skip
ROLES = (
    "athlete", "entertainer", "lawman", "serviceman", "skilled_worker", "health_professional",
)  # fmt: skip
# Of these kinds, too, only words that occur: most are names of medicines and germs.
TOO_SMALL = ("drug", "microorganism", "virus")
RANK = re.compile(r"(sub|super)?(genus|family|order|class|phylum|division|kingdom|tribe)_[A-Z]")
OFFENSIVE = re.compile(
    r"slur|offensive (and|term|name|slang)|sometimes offensive|disparag|derogat|pejorat|obscene"
    r"|insulting|vulgar"
)
WORD = re.compile(r"[A-Za-z]+(['-]?[A-Za-z]+)*(_[A-Za-z]+(['-]?[A-Za-z]+)*)*")


@dataclass(frozen=True)
class Synset:
    """One sense and the words that have it, as in a line of data.noun; see wndb(5WN)."""

    file: int
    words: tuple[str, ...]
    above: tuple[str, ...]
    """Offsets of the hypernyms."""
    instance: bool
    """One person, place or thing, such as Paris."""
    gloss: str


def read_synsets(folder: Path) -> dict[str, Synset]:
    """The noun senses by their offset."""
    return {
        line[:8]: _synset(line)
        for line in (folder / "data.noun").read_text(encoding="utf-8").splitlines()
        if not line.startswith(" ")  # the licence
    }


def _synset(line: str) -> Synset:
    data, _, gloss = line.partition("|")
    fields = data.split()
    end = 4 + 2 * int(fields[3], 16)  # each word is followed by a number
    pointers = fields[end + 1 :]  # symbol, offset, part of speech, source and target
    kinds = list(zip(pointers[::4], pointers[1::4], strict=False))
    return Synset(
        file=int(fields[1]),
        words=tuple(fields[4:end:2]),
        above=tuple(offset for symbol, offset in kinds if symbol == "@"),
        instance=any(symbol == "@i" for symbol, _ in kinds),
        gloss=gloss,
    )


def read_senses(folder: Path) -> tuple[dict[str, dict[str, int]], Counter[str]]:
    """Word in small letters -> offsets of its noun senses, commonest first -> how often tagged.

    And how often a word is tagged as anything else than a noun.
    """
    ranked: dict[str, list[tuple[int, str, int]]] = {}
    others: Counter[str] = Counter()
    for line in (folder / "index.sense").read_text(encoding="utf-8").splitlines():
        key, offset, rank, count = line.split()
        word, _, kind = key.partition("%")
        if kind.startswith("1"):  # nouns
            ranked.setdefault(word, []).append((int(rank), offset, int(count)))
        else:
            others[word] += int(count)
    senses = {
        word: {offset: count for _, offset, count in sorted(own)} for word, own in ranked.items()
    }
    return senses, others


def read_small_words(folder: Path) -> set[str]:
    """Words of all kinds that are written without a capital."""
    lines = [
        line
        for path in sorted(folder.glob("data.*"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.startswith(" ")
    ]
    words = {word for line in lines for word in _synset(line).words}
    return {re.sub(r"\(.*\)", "", word) for word in words if word.islower()}


class WordNet:
    """WordNet's nouns, and which of them can be seen."""

    def __init__(self, folder: Path) -> None:
        self.synsets = read_synsets(folder)
        self.senses, self.tagged_otherwise = read_senses(folder)
        self.small = read_small_words(folder)
        self._above = cache(self._find_above)
        self.seen = {offset for offset in self.synsets if self._is_seen(offset)}
        self.genera = {
            word for synset in self.synsets.values() if _is_taxon(synset) for word in synset.words
        }

    def phrases(self) -> list[str]:
        """What a picture can show, the most frequent first, then by sense, length and letters."""
        ranks: dict[str, tuple[int, int, int, str]] = {}
        for offset in sorted(self.seen):
            for word in self._words(offset):
                lower = word.lower()
                own = self.senses[lower]
                count = sum(own[o] for o in own if o in self.seen)
                phrase = word.replace("_", " ")
                rank = (-count, list(own).index(offset), len(phrase.split()), phrase)
                ranks[lower] = min(rank, ranks.get(lower, rank))
        return [rank[-1] for rank in sorted(ranks.values())]

    def _words(self, offset: str) -> Iterator[str]:
        """A seen sense's words: those that occur, and the first of those that don't."""
        synset = self.synsets[offset]
        fresh = synset.file not in FREQUENT and self.kinds(offset).isdisjoint(TOO_SMALL)
        for word in synset.words:
            if not self._is_name(word, synset.file) and self._is_mostly_seen(word.lower()):
                if any(self.senses[word.lower()].values()):
                    yield word
                elif fresh:
                    fresh = synset.file in SYNONYMS
                    yield word

    def _is_mostly_seen(self, word: str) -> bool:
        senses = self.senses[word]
        occurring = sum(senses.values())
        if not occurring:
            offensive = any(OFFENSIVE.search(self.synsets[offset].gloss) for offset in senses)
            return next(iter(senses)) in self.seen and not offensive
        return 3 * sum(senses[offset] for offset in senses if offset in self.seen) >= occurring

    def _is_name(self, word: str, file: int) -> bool:
        """A proper or Latin name, or no word at all."""
        first, *rest = word.split("_")
        if not WORD.fullmatch(word):
            return True
        if not rest:
            capital = word[0].isupper() and word[1:2] != "-"  # a T-shirt is no name
            return not word[1:].islower() or (capital and file != FOOD)
        if first in self.genera and all(part.islower() for part in rest):
            return True
        last = rest[-1].lower()  # Latin names end in words that English doesn't have
        return last not in self.senses and last.removesuffix("s") not in self.senses

    def _is_seen(self, offset: str) -> bool:
        synset = self.synsets[offset]
        if synset.instance or OFFENSIVE.search(synset.gloss) or _is_taxon(synset):
            return False
        above = self.kinds(offset)
        if "taxonomic_group" in above:
            return False
        return (
            synset.file in WHOLE + FREQUENT
            or synset.words[0] in PICKED.get(synset.file, ())
            or (synset.file == PERSON and not above.isdisjoint(ROLES))
        )

    def kinds(self, offset: str) -> set[str]:
        """The words of a sense and of all its hypernyms."""
        return {word for higher in self._above(offset) for word in self.synsets[higher].words}

    def _find_above(self, offset: str) -> frozenset[str]:
        """The offsets of a sense and of all its hypernyms."""
        higher = (self._above(up) for up in self.synsets[offset].above)
        return frozenset({offset}).union(*higher)


def _is_taxon(synset: Synset) -> bool:
    return any(RANK.match(word) for word in synset.words)


def licence(folder: Path) -> list[str]:
    """WordNet's licence, which each of its files begins with, without the line numbers."""
    lines = (folder / "data.noun").read_text(encoding="utf-8").splitlines()
    return [re.sub(r"^ +\d+ ?", "", line).rstrip() for line in lines if line.startswith(" ")]
