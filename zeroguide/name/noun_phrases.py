"""From a model's text to a label: one clean noun phrase."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache

from zeroguide.name.phrase_files import read_prompts

ARTICLES = ("a", "an", "the", "some")
"""Words that a name stands behind."""
# A full stop, unless it belongs to a short title, as in "St. Bernard".
_NEXT_SENTENCE = re.compile(
    r"(?<!\bst)(?<!\bmt)(?<!\bmr)(?<!\bdr)(?<!\bmrs)[.!?;](?=\s)", re.IGNORECASE
)
# What is left of a word whose beginning wasn't written.
_SUFFIX = re.compile(r"^\W*['’](?:s|t|d|m|re|ve|ll)\b", re.IGNORECASE)
# Punctuation of all kinds, spaces, mathematical and modifying symbols such as <, | and `.
_EDGES = frozenset(["Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Zs", "Zl", "Zp", "Sm", "Sk"])
# What a byte-level tokenizer writes for a character of which it produced only some bytes.
_HALF_CHARACTER = "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=50_000)  # beams of many segments end in the same words
def clean_phrase(text: str, prompt: str = "") -> str:
    """The noun phrase in a model's text, or "" if there is none; never raises.

    Its first line and sentence, with single spaces; without control characters and words that
    hold half a character; without punctuation around, and without function words there: articles,
    and those of ``prompts/phrase_ends.txt``, as in ``"This is a dog and"`` -> ``"dog"``. Everything
    else, adjectives above all, stays: ``" a golden retriever."`` -> ``"golden retriever"``.
    Cleaning a clean phrase changes nothing.

    Args:
        text: what was written.
        prompt: the text that the model was to continue; if it says that again, it is left out:
            ``clean_phrase("image of the dog", "Image of a")`` is ``"dog"``.
    """
    # Articles may differ: "an image of the" repeats "Image of a".
    echo = [word for word in prompt.lower().split() if word not in ARTICLES]
    while echo and _is_function_word(echo[0]):
        echo.pop(0)
    while (cleaned := _clean_once(text, echo)) != text:
        text = cleaned
    return text


def _clean_once(text: str, echo: list[str]) -> str:
    text = _SUFFIX.sub("", "".join(map(_printable, text)))
    lines = [part for line in text.splitlines() if (part := _without_edges(line))]
    sentence = _NEXT_SENTENCE.split(lines[0], maxsplit=1)[0] if lines else ""
    words = [word for word in sentence.split() if _HALF_CHARACTER not in word]
    while words and _is_function_word(words[0]):
        words.pop(0)
    if echo and [word.lower() for word in words[: len(echo)]] == echo:
        words = words[len(echo) :]
    while words and _is_function_word(words[-1]):
        words.pop()
    return _without_edges(" ".join(words))


def _is_function_word(word: str) -> bool:
    return _without_edges(word).lower() in _function_words()


@cache
def _function_words() -> frozenset[str]:
    return frozenset([*read_prompts("phrase_ends"), *ARTICLES, "of"])


def _printable(character: str) -> str:
    """The character; a space instead of a control character, nothing for invisible marks."""
    category = unicodedata.category(character)
    if category == "Cf":  # soft hyphens, joiners, byte order marks
        return ""
    return " " if category in ("Cc", "Co", "Cs") and character not in "\r\n" else character


def _without_edges(text: str) -> str:
    """The text without punctuation, mathematical signs and spaces around it."""
    first, last = 0, len(text)
    while first < last and _is_edge(text[first]):
        first += 1
    while last > first and _is_edge(text[last - 1]):
        last -= 1
    return text[first:last]


def _is_edge(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in _EDGES
