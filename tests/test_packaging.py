"""The wheel holds every data file that running needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_wheel_is_complete(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("zeroguide", "prompts"):
        shutil.copytree(ROOT / folder, source / folder, ignore=skip)
    for name in ("pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, source)
    for name in ("README.md", "LICENSE"):  # not what this is about
        (source / name).write_text(name)
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]) as wheel:
        packed = set(wheel.namelist())
    files = [p for p in (ROOT / "zeroguide").rglob("*") if p.is_file()]
    wanted = {str(p.relative_to(ROOT)) for p in files if "__pycache__" not in p.parts}
    wanted |= {f"zeroguide/prompts/{p.name}" for p in (ROOT / "prompts").glob("*.txt")}
    assert wanted - packed == set()
    inside = {name for name in packed if ".dist-info/" not in name}
    assert all(name.startswith("zeroguide/") for name in inside)
