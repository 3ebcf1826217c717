"""The command as a process, with the models that come with the package."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

from scripts.bench.serve import Server, running

SCENE = REPOSITORY / "examples" / "playroom.png"
NEEDED = ("fastapi_offline", "python_multipart", "uvicorn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        skip = pytest.mark.skip(reason="the service needs pip install zeroguide[serve]")
        for item in items:
            if Path(__file__).parent in item.path.parents and item.path.name != "test_command.py":
                item.add_marker(skip)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """With `tiny`; it takes four requests at a time."""
    with running("tiny", "--queue", "4") as one:
        yield one
