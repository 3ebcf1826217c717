"""Spellings of one noun phrase brought together: case, hyphens, number, British and US English."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

# Plurals whose rule would lead to another word, or to none.
_IRREGULAR = {
    "bacteria": "bacterium", "calves": "calf", "cacti": "cactus", "children": "child",
    "dice": "die", "feet": "foot", "fungi": "fungus", "geese": "goose", "halves": "half",
    "hooves": "hoof", "knives": "knife", "ladies": "lady", "leaves": "leaf", "lice": "louse",
    "lives": "life", "loaves": "loaf", "mice": "mouse", "oases": "oasis", "octopi": "octopus",
    "oxen": "ox", "people": "person", "scarves": "scarf", "teeth": "tooth", "wives": "wife",
}  # fmt: skip
_PLURALS = {singular: several for several, singular in _IRREGULAR.items()}
# An ending of the plural -> of the singular; the first one that leads to a known word holds.
_ENDINGS = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"), ("men", "man"))

# British words whose US spelling is another; only such as stand in names of things.
_AMERICAN = {
    "aeroplane": "airplane", "aluminium": "aluminum", "armour": "armor", "armoured": "armored",
    "atomiser": "atomizer", "ax": "axe", "calibre": "caliber", "catalogue": "catalog",
    "centre": "center", "cheque": "check", "chilli": "chili", "colour": "color",
    "coloured": "colored", "colouring": "coloring", "cosy": "cozy", "doughnut": "donut",
    "draught": "draft", "tricolour": "tricolor",
    "drier": "dryer", "enamelled": "enameled", "fibre": "fiber", "gramme": "gram",
    "grey": "gray", "harbour": "harbor", "jewellery": "jewelry",
    "kerb": "curb", "labour": "labor", "licence": "license", "litre": "liter", "metre": "meter",
    "mould": "mold", "moulding": "molding", "moustache": "mustache", "nebuliser": "nebulizer",
    "neighbour": "neighbor", "neighbourhood": "neighborhood", "omelet": "omelette",
    "organiser": "organizer", "parlour": "parlor", "plough": "plow", "programme": "program",
    "pulveriser": "pulverizer", "pyjama": "pajama", "racquet": "racket", "sabre": "saber",
    "sceptre": "scepter", "smokey": "smoky", "spectre": "specter", "steriliser": "sterilizer",
    "storey": "story", "sulphur": "sulfur", "theatre": "theater", "tranquilliser": "tranquilizer",
    "traveller": "traveler", "tumour": "tumor", "tyre": "tire", "vapour": "vapor",
    "waggon": "wagon", "whisky": "whiskey", "woollen": "woolen", "yoghurt": "yogurt",
}  # fmt: skip


@lru_cache(maxsize=1 << 17)
def squeezed(phrase: str) -> str:
    """What spellings of one phrase have in common: small letters in US spelling, nothing between.

    ``"Grey-wolf"`` and ``"gray wolf"`` are ``"graywolf"``, ``"T-shirt"`` is ``"tshirt"``. Number is
    kept: whether "glasses" are several of "glass" a list of known words must tell (`base_forms`).
    """
    words = phrase.casefold().replace("-", " ").replace("_", " ").replace("'", "").split()
    return "".join(american(word) for word in words)


def base_forms(phrase: str) -> Iterator[str]:
    """The phrase, then what it could be in the singular, the likeliest first.

    Only the last word is changed. The rules make words that don't exist, too: "glasses" gives
    "glasse" before "glass". The first that is known is right.
    """
    yield phrase
    at = max(phrase.rfind(" "), phrase.rfind("-")) + 1
    start, last = phrase[:at], phrase[at:]
    lower = last.casefold()
    if lower in _IRREGULAR:
        yield start + _IRREGULAR[lower]
    for ending, instead in _ENDINGS:
        if lower.endswith(ending) and len(last) > len(ending) + 1 and not lower.endswith("ss"):
            yield start + last[: -len(ending)] + instead


def plural(phrase: str) -> str:
    """Several of it: ``"book"`` -> "books"; what is a plural already stays."""
    at = max(phrase.rfind(" "), phrase.rfind("-")) + 1
    start, last = phrase[:at], phrase[at:]
    lower = last.casefold()
    if lower in _PLURALS:
        return start + _PLURALS[lower]
    if lower in _IRREGULAR or (lower.endswith("s") and not lower.endswith(("ss", "us"))):
        return phrase
    if lower.endswith("y") and lower[-2:-1] not in "aeiou":
        return phrase[:-1] + "ies"
    if lower.endswith(("s", "x", "z", "ch", "sh")):
        return phrase + "es"
    return phrase[:-3] + "men" if lower.endswith("man") else phrase + "s"


def american(word: str) -> str:
    """A word of small letters in US spelling."""
    if word in _AMERICAN:
        return _AMERICAN[word]
    if word.endswith("s") and word[:-1] in _AMERICAN:
        return _AMERICAN[word[:-1]] + "s"
    return word
