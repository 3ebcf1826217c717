"""Every script starts, by the command that its docstring names."""

from __future__ import annotations

import importlib
import inspect
import sys

import pytest
from conftest import REPOSITORY

PATHS = sorted((REPOSITORY / "scripts").rglob("*.py"))
SCRIPTS = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): source
    for path in PATHS
    if "__main__" in (source := path.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_starts(name: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # bench.runs takes it away
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("scripts", "zeroguide"):
            raise
        pytest.skip(f"{name} needs {error.name}, which isn't installed")
    assert inspect.getdoc(module.main)
    if "argparse" in SCRIPTS[name]:
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        with pytest.raises(SystemExit, match="0"):
            module.main()
        assert "usage" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(SCRIPTS.keys() - {"scripts.real_weights"}))
def test_its_docstring_tells_the_command(name: str) -> None:
    assert f" -m {name}" in SCRIPTS[name].split('"""')[1]


def test_none_is_long() -> None:
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 400 for path in PATHS)
