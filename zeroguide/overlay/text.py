"""Fonts, and texts cut to the room they have.

Pillow carries a font, so Latin letters need nothing installed; but it holds ASCII and a few signs
only. Other letters are drawn with a font of the system if one has them, else without accents.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
BUNDLED = ""
# File names that Pillow looks up in the system's font folders: Linux, macOS, Windows; then CJK.
SYSTEM_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "Arial Unicode.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "NotoSansCJK-Regular.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "malgun.ttf",
)
ELLIPSIS = "…"


@lru_cache(maxsize=64)
def load_font(name: str, size: int) -> Font | None:
    """A font by file name (BUNDLED: Pillow's own) and size in pixels; None if there is none."""
    try:
        font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None
    return font if isinstance(font, Font) else None


@lru_cache(maxsize=4096)
def has_glyph(name: str, character: str) -> bool:
    """Whether the font draws the character, rather than the box that stands for a missing one."""
    font = load_font(name, 24)
    if font is None:
        return False
    if character.isspace():
        return True
    missing = font.getmask("\uffff")
    drawn = font.getmask(character)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


@lru_cache(maxsize=1024)
def legible(text: str) -> tuple[str, str]:
    """(text, font name) such that the font draws every character of the text.

    Line breaks become spaces. Where no font has a letter, its accent is dropped; a letter of which
    nothing can be drawn is left out, so the text may come back empty.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = unicodedata.normalize("NFC", text)
    # ASCII needs no look into the fonts; the search through the system's stops at the first hit
    if text.isascii():
        return text, BUNDLED
    for name in (BUNDLED, *SYSTEM_FONTS):
        if all(has_glyph(name, c) for c in text):
            return text, name
    plain = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in plain if has_glyph(BUNDLED, c)).split()), BUNDLED


def font_of(text: str, size: int) -> Font:
    """The font that `legible` found for a text."""
    return load_font(legible(text)[1], size) or bundled_font(size)


def bundled_font(size: int) -> Font:
    """Pillow's own font at a size in pixels."""
    font = load_font(BUNDLED, size)
    if font is None:  # a Pillow built without FreeType; its wheels have it
        raise RuntimeError("the overlay needs a Pillow with FreeType support")
    return font


def ellipsise(text: str, size: int, room: float) -> str:
    """The text if it is at most `room` pixels wide, else its beginning and an ellipsis."""
    font = font_of(text, size)
    if font.getlength(text) <= room:
        return text
    for end in range(len(text) - 1, 0, -1):
        shorter = text[:end].rstrip() + ELLIPSIS
        if font.getlength(shorter) <= room:
            return shorter
    return ELLIPSIS


def wrap(text: str, size: int, room: float, max_lines: int) -> tuple[str, ...]:
    """Lines at most `room` pixels wide, as even as they can be; what is over ends in an ellipsis."""
    font = font_of(text, size)
    words = text.split()
    # The narrowest room that still needs no more lines than the full one gives even lines.
    lines = _fill(words, font, room)
    if len(lines) <= max_lines:
        low, high = 0.0, room
        for _ in range(8):
            middle = (low + high) / 2
            if len(_fill(words, font, middle)) <= len(lines) and all(
                font.getlength(line) <= middle for line in _fill(words, font, middle)
            ):
                high = middle
            else:
                low = middle
        lines = _fill(words, font, high)
    else:
        lines = [*lines[: max_lines - 1], " ".join(lines[max_lines - 1 :])]
    return tuple(ellipsise(line, size, room) for line in lines)


def _fill(words: list[str], font: Font, room: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
