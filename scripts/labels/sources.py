"""Where phrases for labels.txt come from, and how often each of them is said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Names of classes that stand for what is left, such as "wall-other" and "desk-stuff".
_REST = re.compile(r"-(other|stuff|merged)\b|^(invalid_class_id|background)$")
_BRACKETS = re.compile(r"\s*\([^)]*\)")
BOOKS = 0.1  # how much a word of books counts beside one of captions
LONGEST = 4  # words of a phrase that is taken or counted


def read_list(path: Path) -> Iterator[str]:
    """The entries of a text file: commas and lines separate them, # begins a comment."""
    for line in path.read_text(encoding="utf-8").splitlines():
        for entry in line.partition("#")[0].split(","):
            if entry.strip():
                yield entry.strip()


def read_classes(path: Path) -> list[list[str]]:
    """The classes of a benchmark, each with its synonyms: lines ``3:car,cars``.

    Without what stands for the rest or only tells senses apart ("rubber (type of shoe)"); names
    written in one ("diningtable") are left to the spelling.
    """
    classes = []
    for line in path.read_text(encoding="utf-8").splitlines():
        names = [_BRACKETS.sub("", name).strip() for name in line.partition(":")[2].split(",")]
        names = [name for name in names if name and not _REST.search(name)]
        if names:
            classes.append(names)
    return classes


def read_open_images(
    path: Path, is_word: Callable[[str], bool], is_seen: Callable[[str], bool], brands: set[str]
) -> Iterator[str]:
    """Names of Open Images in small letters: what English words say without a brand's name.

    Its list holds thousands of car models, dishes under their maker's name and Latin species. A
    name is taken if its last words can be seen (`is_seen`) and all are common words (`is_word`).
    """
    for name in path.read_text(encoding="utf-8").splitlines():
        words = name.lower().replace("-", " ").split()
        if not 1 < len(words) <= LONGEST or not brands.isdisjoint(words):
            continue
        if is_seen(words[-1]) and all(map(is_word, words)):
            yield name.lower()


class Frequency:
    """How often phrases are said, per million words: in captions, and in books.

    Args:
        captions: files of tab-separated values whose second column is a caption or names between
            commas; their first line is a header.
        books: folder with the frequency dictionaries of SymSpell, made from Google Books Ngrams.
    """

    def __init__(self, captions: Iterable[Path], books: Path) -> None:
        self._said: Counter[str] = Counter()
        n_words = 0
        for path in captions:
            for line in path.read_text(encoding="utf-8").splitlines()[1:]:
                for part in line.split("\t")[1].lower().split(","):
                    words = re.findall(r"[a-z]+(?:['-][a-z]+)*", part)
                    n_words += len(words)
                    self._said.update(
                        " ".join(words[start:end])
                        for start in range(len(words))
                        for end in range(start + 1, min(start + LONGEST, len(words)) + 1)
                    )
        self._caption_share = 1e6 / max(1, n_words)
        self._books: dict[str, float] = {}
        for path in sorted(books.glob("frequency_*dictionary_en_*.txt")):
            for line in path.read_text(encoding="utf-8-sig").splitlines():
                *words, count = line.split()
                self._books[" ".join(words)] = int(count) / 1_024_908.267229  # words of the corpus

    def in_captions(self, phrase: str) -> float:
        """Per million words of the captions."""
        return self._said[phrase.lower()] * self._caption_share

    def in_books(self, phrase: str) -> float:
        """Per million words of books; 0 for more than two words, which nobody counted."""
        return self._books.get(phrase.lower().replace("-", " "), 0.0)

    def of_photographs(self, phrase: str) -> float:
        """Like both together, but captions count most: they say what photographs show."""
        return self(phrase) - (1 - BOOKS) * self.in_books(phrase)

    def __call__(self, phrase: str) -> float:
        """Both together; a phrase never seen gets a little of its rarest word's."""
        found = self.in_captions(phrase) + self.in_books(phrase)
        words = phrase.lower().replace("-", " ").split()
        if found or len(words) < 2:
            return found
        return 1e-4 * min(self.in_captions(word) + self.in_books(word) for word in words)
