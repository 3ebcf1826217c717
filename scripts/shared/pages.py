"""Tables for docs/: written by the scripts that measure them, between two markers of a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path


def table(rows: Sequence[dict[str, str | float]]) -> str:
    """Rows as a Markdown table; columns are the keys in the order in which they first occur."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        shown = [cell if isinstance(cell, str) else f"{cell:.3g}" for cell in cells]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def replace_block(page: Path, name: str, text: str) -> None:
    """Put `text` between the lines ``<!-- NAME -->`` and ``<!-- end NAME -->`` of a page.

    Raises ValueError if the page doesn't have both.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->\n"
    old = page.read_text(encoding="utf-8")
    new, count = re.subn(
        f"({re.escape(begin)}).*?({re.escape(end)})",
        lambda match: match[1] + text + match[2],
        old,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{page} must have one block between {begin.strip()} and {end.strip()}")
    page.write_text(new, encoding="utf-8")
