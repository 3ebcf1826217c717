"""The rooms of the package keep their order, and docs/architecture.md leads where it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "zeroguide"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DOOR = "zeroguide"


def table(title: str) -> list[list[str]]:
    """The cells of the rows of a section's table."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


ROOMS = [row[0] for row in table("Rooms")]


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(tree: ast.AST, known: set[str]) -> Iterator[str]:
    """Modules of the package that a module names, also late and also for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == DOOR:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in known else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == DOOR)
        else:
            yield from imports(node, known)


def graph() -> nx.DiGraph:
    found: nx.DiGraph = nx.DiGraph()
    known = modules()
    for module, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.add_edges_from((module, other) for other in imports(tree, set(known)))
    return found


def room(module: str) -> str:
    """The first name below the package; the door itself stands above all rooms."""
    return module.split(".")[1] if "." in module else DOOR


def test_nothing_is_loose() -> None:
    """Every room of the table is there, and there is no other."""
    here = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert here - {"__init__", "__main__"} == set(ROOMS)


def test_no_arrow_goes_upwards() -> None:
    order = {name: place for place, name in enumerate([*ROOMS, DOOR, "__main__"])}
    # The door's version is data that the command line shows.
    edges = [(a, b) for a, b in graph().edges if not (room(a) == "cli" and b == DOOR)]
    upwards = [f"{a} -> {b}" for a, b in edges if order[room(b)] > order[room(a)]]
    assert not upwards


def test_no_circle() -> None:
    found = graph()
    found.remove_edges_from(nx.selfloop_edges(found))
    assert [sorted(c) for c in nx.strongly_connected_components(found) if len(c) > 1] == []


def test_every_room_says_what_belongs_in_it() -> None:
    packages = [p for p in PACKAGE.rglob("__init__.py") if p.parent != PACKAGE]
    for path in packages:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        code = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        assert not code, f"{path}: exports only"


@pytest.mark.parametrize("question, file, name", table("Where is ...?"))
def test_the_page_leads_there(question: str, file: str, name: str) -> None:
    """In one step: the file is there and defines what the question asks for."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"(?m)^(def|class) {name}\b|^{name}\b.*=", text), question
