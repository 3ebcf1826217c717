"""From a language model's text to a label: one clean noun phrase."""

from __future__ import annotations

import re

_ARTICLES = ("a", "an", "the", "some")
_EDGES = " \t\n.,;:!?\"'`()[]{}<>|*_-–—…"


def clean_phrase(text: str) -> str:
    """The noun phrase in a continuation of a prompt, or "" if there is none.

    Spaces are joined; an article in front and punctuation around are dropped; everything else,
    adjectives above all, stays: ``" a golden retriever."`` -> ``"golden retriever"``.
    """
    words = re.sub(r"\s+", " ", text).strip(_EDGES).split(" ")
    while words and words[0].lower() in _ARTICLES:
        words = words[1:]
    return " ".join(words).strip(_EDGES)
