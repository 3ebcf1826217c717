"""Noun phrases of captions: names of the list with what stands before them ("a black dog")."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

LONGEST_NAME = 4  # words
_ARTICLES = frozenset({"a", "an", "the", "two", "three", "some", "his", "her", "their", "its"})


def modifiers() -> frozenset[str]:
    """The single words of prompts/modifiers.txt."""
    return frozenset(entry for entry in read_prompts("modifiers") if entry.isalpha())


def noun_phrases(captions: Path, hypernyms: Hypernyms) -> Counter[str]:
    """How often each phrase of up to two modifiers and a name occurs, articles left out."""
    words_before = modifiers()
    found: Counter[str] = Counter()
    with captions.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            words = re.findall(r"[a-z'-]+", row["caption"].casefold())
            i = 0
            while i < len(words):
                length = _name_at(words, i, hypernyms)
                if length:
                    start = i
                    while start > max(0, i - 2) and words[start - 1] in words_before:
                        start -= 1
                    # What stands before must be whole: an article, or nothing of a noun phrase.
                    if start == i or start == 0 or words[start - 1] in _ARTICLES:
                        found[" ".join(words[start : i + length])] += 1
                i += max(1, length)
    return found


def _name_at(words: list[str], i: int, hypernyms: Hypernyms) -> int:
    """How many words the longest name has that begins at i; 0 if none does."""
    for length in range(min(LONGEST_NAME, len(words) - i), 0, -1):
        node = hypernyms.whole_node_of(" ".join(words[i : i + length]))
        if node is not None and hypernyms.is_label(node):
            return length
    return 0
