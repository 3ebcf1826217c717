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
def find_font(name: str, size: int) -> Font | None:
    """A font by file name (BUNDLED: Pillow's own) and size in pixels; None if there is none."""
    try:
        font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None
    return font if isinstance(font, Font) else None


def load_font(size: int, name: str = BUNDLED) -> Font:
    """A font that is known to be there. Raises RuntimeError if Pillow has no scalable fonts."""
    font = find_font(name, size)
    if font is None:  # a Pillow built without FreeType; its wheels have it
        raise RuntimeError("the overlay needs a Pillow with FreeType support")
    return font


@lru_cache(maxsize=4096)
def has_glyph(name: str, character: str) -> bool:
    """Whether the font draws the character, rather than the box that stands for a missing one."""
    font = find_font(name, 24)
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


def ellipsise(text: str, font: Font, room: float) -> str:
    """The text if it is at most `room` pixels wide, else its beginning and an ellipsis."""
    if font.getlength(text) <= room:
        return text
    low, high = 0, len(text)  # the longest beginning that fits is in low..high - 1
    while high - low > 1:
        middle = (low + high) // 2
        if font.getlength(text[:middle].rstrip() + ELLIPSIS) <= room:
            low = middle
        else:
            high = middle
    return text[:low].rstrip() + ELLIPSIS


def wrap(text: str, font: Font, room: float, n_lines: int) -> tuple[str, ...]:
    """At most n lines, at most `room` pixels wide and as even as can be.

    What is over is cut, with an ellipsis at the end of its line.
    """
    words = text.split()
    lines = _fill(words, font, room)
    if len(lines) > n_lines:
        lines = [*lines[: n_lines - 1], " ".join(lines[n_lines - 1 :])]
    else:  # the narrowest width that needs no more lines gives even ones
        parts = [words[a:b] for b in range(1, len(words) + 1) for a in range(b)]
        widths = sorted({font.getlength(" ".join(part)) for part in parts})
        lines = next(filled for w in widths if len(filled := _fill(words, font, w)) <= n_lines)
    return tuple(ellipsise(line, font, room) for line in lines)


def _fill(words: list[str], font: Font, room: float) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
