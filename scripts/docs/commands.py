"""A hook of MkDocs: the page commands.md, written from the commands' own --help.

It is made when the site is built (`mkdocs.yml` names this file), so it can't be out of date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

PAGE = "commands.md"
WIDTH = 88  # characters of a line


def on_files(files: Any, config: Any) -> Any:
    """MkDocs calls this with the files it has found."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """The page: what every command says with --help."""
    lines = ["# Commands", "", "What each command says with `--help`.", ""]
    for name, text in helps():
        lines += [f"## {name}", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(lines)


def helps() -> Iterator[tuple[str, str]]:
    """Every command's name and help, groups first."""
    import typer

    from zeroguide.cli import app

    os.environ["TERMINAL_WIDTH"] = os.environ["COLUMNS"] = str(WIDTH)

    def walk(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
        context = command.make_context(name.split()[-1], [], parent=parent, resilient_parsing=True)
        context.terminal_width = context.max_content_width = WIDTH
        yield name, command.get_help(context)
        for child in getattr(command, "commands", {}).values():
            yield from walk(child, f"{name} {child.name}", context)

    yield from walk(typer.main.get_command(app), "zeroguide", None)
