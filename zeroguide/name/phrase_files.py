"""Phrase lists and templates: text files in ``prompts/`` or the user's own."""

from __future__ import annotations

from pathlib import Path

from zeroguide.errors import UsageError, nearest

_PACKAGE = Path(__file__).parents[1]
# Installed from a wheel they are inside the package; in a checkout, editable or not, beside it.
FOLDER = next((p for p in (_PACKAGE / "prompts", _PACKAGE.parent / "prompts") if p.is_dir()), None)


def read_prompts(names_or_paths: str) -> list[str]:
    """The lines of a list: ``"everyday"`` from prompts/, or the path of a user's text file.

    Several are joined by commas: ``"labels,mine.txt"``; each line is taken once. Empty lines and
    lines that begin with # are left out. Raises UsageError for an unknown name, a file that can't
    be read and an empty list.
    """
    lines = [line for name in list_names(names_or_paths) for line in _read(_find(name))]
    return list(dict.fromkeys(lines))


def list_names(names_or_paths: str) -> list[str]:
    """The lists that a recipe's value names: one, or several with commas between."""
    if "," not in names_or_paths or Path(names_or_paths).expanduser().is_file():
        return [names_or_paths]
    return [name.strip() for name in names_or_paths.split(",") if name.strip()]


def _read(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"{path} can't be read as a text file in UTF-8: {e}") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise UsageError(f"{path} is empty: write one phrase per line")
    return lines


def _find(name: str) -> Path:
    shipped = {path.stem: path for path in sorted(FOLDER.glob("*.txt"))} if FOLDER else {}
    if name in shipped:
        return shipped[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise UsageError(f"there is no list or file {name!r}: {nearest(name, list(shipped))}")
