"""The names of the Playroom: 96 things and 8 kinds of stuff, from ``names.json``."""

from __future__ import annotations

import json
from importlib.resources import files

_data = json.loads((files("zeroguide.playroom") / "names.json").read_text(encoding="utf-8"))

THINGS: tuple[str, ...] = tuple(entry["name"] for entry in _data["things"])
"""Names of countable objects, each one glyph."""

STUFF: tuple[str, ...] = tuple(entry["name"] for entry in _data["stuff"])
"""Names of backgrounds, each one family of textures."""

NAMES: tuple[str, ...] = THINGS + STUFF
"""All names; a name's index here is its class id in evaluations."""

ARTICLES: dict[str, str] = {
    entry["name"]: entry["article"] for entry in _data["things"] + _data["stuff"]
}
"""The article a caption puts before a name; empty for mass nouns and plurals."""

CODEPOINTS: dict[str, str] = {
    entry["name"]: chr(int(entry["codepoint"].removeprefix("U+"), 16)) for entry in _data["things"]
}
"""The character whose glyph draws a thing."""
