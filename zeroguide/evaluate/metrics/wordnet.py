"""Relations between nouns, read from WordNet's own files (Fellbaum, 1998): index.noun, data.noun.

Any sense of a word counts, as a label has no context: "dog" is also a frankfurter. Plurals are
brought to their base form by WordNet's list of exceptions and its rules. A label that WordNet
doesn't have is looked up without its first words ("wet road": "road"), and is then at best a
hyponym: the words left out made it narrower. Parts are inherited: a dog has what an animal has.
The format is described in wndb(5WN).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import lru_cache
from os import PathLike
from pathlib import Path
from zipfile import BadZipFile
from zipfile import Path as ZipPath

from zeroguide.errors import ZeroguideError
from zeroguide.evaluate.metrics.lac import Level, plain

FILES = ("index.noun", "data.noun", "noun.exc")
KIND_OF = ("@", "@i")  # pointers to hypernyms
HAS = ("%p", "%m", "%s")  # pointers to parts, members and substances
ENDINGS = (
    ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"),
    ("ies", "y"), ("s", ""),
)  # fmt: skip


def wordnet_folders() -> list[Path]:
    """Where WordNet is looked for: WNSEARCHDIR, NLTK_DATA, Debian's folder, NLTK's in the home."""
    nltk = [Path(f) for f in os.environ.get("NLTK_DATA", "").split(os.pathsep) if f]
    folders = [folder / "corpora" / "wordnet" for folder in nltk]
    folders += [Path("/usr/share/wordnet"), Path.home() / "nltk_data" / "corpora" / "wordnet"]
    if "WNSEARCHDIR" in os.environ:
        folders.insert(0, Path(os.environ["WNSEARCHDIR"]))
    return folders


def _open(folder: Path) -> Path | ZipPath | None:
    """The folder, or NLTK's download ``folder.zip``, if it holds WordNet's nouns."""
    places: list[Path | ZipPath] = [folder]
    with contextlib.suppress(OSError, BadZipFile):
        places.append(ZipPath(folder.with_name(folder.name + ".zip"), f"{folder.name}/"))
    return next((p for p in places if all((p / name).is_file() for name in FILES)), None)


class WordNet:
    """The nouns of one WordNet; `relation` answers for two texts.

    Args:
        folder: holds index.noun, data.noun and noun.exc, or does so as an archive beside it, as
            NLTK downloads it; None: the first of `wordnet_folders` that does.

    Raises ZeroguideError if there is none.
    """

    def __init__(self, folder: str | PathLike[str] | None = None) -> None:
        folder = None if folder is None else Path(folder)
        folders = [folder] if folder is not None else wordnet_folders()
        places = (place for folder in folders if (place := _open(folder)) is not None)
        found: Path | ZipPath | None = next(places, None)
        if found is None:
            raise ZeroguideError(
                f"no WordNet (index.noun, data.noun, noun.exc) in {', '.join(map(str, folders))}: "
                "install it with `apt-get install wordnet-base` or `pip install nltk && "
                "python -m nltk.downloader wordnet`, or set WNSEARCHDIR to its folder"
            )
        self._index, self._data = ((found / name).read_bytes() for name in FILES[:2])
        exceptions = (found / FILES[2]).read_text(encoding="utf-8").splitlines()
        self._bases = {line.split()[0]: line.split()[1:] for line in exceptions if line.strip()}
        # Labels and names come again and again: once per segment, class and image.
        self.relation = lru_cache(maxsize=1 << 20)(self._relation)
        self._senses = lru_cache(maxsize=1 << 16)(self._find_senses)
        self._pointers = lru_cache(maxsize=1 << 17)(self._read_pointers)
        self._above = lru_cache(maxsize=1 << 16)(self._find_above)
        self._parts = lru_cache(maxsize=1 << 12)(self._find_parts)

    def _relation(self, label: str, name: str) -> Level:
        """How the label is related to the class name: the closest Level that holds."""
        label, name = plain(label), plain(name)
        if label == name:
            return Level.EXACT
        senses, whole = self._head_senses(label)
        targets = self._senses(name)
        # The name itself may be what is left of the label, known to WordNet or not.
        if label.endswith(" " + name):
            return Level.SYNONYM if whole and senses & targets else Level.HYPONYM
        if not senses or not targets:
            return Level.NONE
        if whole and senses & targets:
            return Level.SYNONYM
        if any(sense in targets or self._above(sense) & targets for sense in senses):
            return Level.HYPONYM
        if any(senses & self._parts(target) for target in targets):
            return Level.MERONYM
        return Level.NONE

    def steps_up(self, name: str, label: str) -> int | None:
        """How many links a label lies above a name, at least 1; None if it isn't a hypernym of it.

        A name that WordNet doesn't have is one link below what is left without its first words.
        """
        senses, whole = self._head_senses(plain(name))
        targets, _ = self._head_senses(plain(label))
        if self._senses(plain(label)) != targets:
            return None  # a label's own first words made it narrower
        current, steps = senses, 0 if whole else 1
        seen: frozenset[str] = frozenset()
        while current:
            if steps and current & targets:
                return steps
            seen |= current
            above = {o for sense in current for s, o in self._pointers(sense) if s in KIND_OF}
            current, steps = frozenset(above) - seen, steps + 1
        return None

    def _head_senses(self, label: str) -> tuple[frozenset[str], bool]:
        """Senses of the longest end of the label that WordNet has, and whether it is all of it."""
        words = label.split()
        for start in range(len(words)):
            senses = self._senses(" ".join(words[start:]))
            if senses:
                return senses, start == 0
        return frozenset(), False

    def _find_senses(self, phrase: str) -> frozenset[str]:
        """Offsets in data.noun of the phrase's senses, or of its base forms'."""
        found: set[str] = set()
        for base in self._base_forms(phrase):
            for separator in ("_", "-", ""):  # polo_shirt, T-shirt, sweatshirt
                found.update(self._lookup(base.replace(" ", separator)))
        return frozenset(found)

    def _base_forms(self, phrase: str) -> Iterator[str]:
        """The phrase, and it with its last word in the singular."""
        yield phrase
        yield from (
            base.replace("_", " ") for base in self._bases.get(phrase.replace(" ", "_"), ())
        )
        start, _, last = phrase.rpartition(" ")
        for base in self._bases.get(last, ()):
            yield f"{start} {base}".strip()
        for ending, instead in ENDINGS:
            if phrase.endswith(ending) and len(last) > len(ending) + 1 and last[-2:] != "ss":
                yield phrase.removesuffix(ending) + instead

    def _lookup(self, lemma: str) -> list[str]:
        """Offsets in data.noun of a lemma's senses; none if it isn't in the index."""
        start = self._index.find(b"\n" + lemma.encode() + b" n ")
        if start < 0:
            return []
        fields = self._index[start + 1 : self._index.index(b"\n", start + 1)].decode().split()
        return fields[-int(fields[2]) :]

    def _read_pointers(self, offset: str) -> list[tuple[str, str]]:
        """(symbol, offset) of what the sense at `offset` points to: nouns, for KIND_OF and HAS."""
        start = int(offset)
        line = self._data[start : self._data.index(b"\n", start)].decode()
        fields = line.partition(" | ")[0].split()
        first = 4 + 2 * int(fields[3], 16)  # after the words, each with its number
        pointers = fields[first + 1 : first + 1 + 4 * int(fields[first])]
        return list(zip(pointers[::4], pointers[1::4], strict=True))

    def _find_above(self, offset: str) -> frozenset[str]:
        """All hypernyms of a sense, up to the root, and the sense itself."""
        seen = {offset}
        todo = [offset]
        while todo:
            above = {o for symbol, o in self._pointers(todo.pop()) if symbol in KIND_OF} - seen
            seen |= above
            todo += above
        return frozenset(seen)

    def _find_parts(self, offset: str) -> frozenset[str]:
        """All parts of a sense: its own, its hypernyms', and parts of parts."""
        parts: set[str] = set()
        todo = list(self._above(offset))
        while todo:
            has = {o for symbol, o in self._pointers(todo.pop()) if symbol in HAS} - parts
            parts |= has
            todo += has
        return frozenset(parts)
