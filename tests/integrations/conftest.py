"""The tools people work in: no network, no files in the user's home."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe

# FiftyOne's library: once another tool has imported importlib_metadata it fails to import.
with contextlib.suppress(ImportError):
    import eta  # noqa: F401

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def labeler() -> Labeler:
    return Labeler(load_recipe("tiny"), device="cpu", offline=True)


@pytest.fixture
def picture() -> Path:
    return EXAMPLES / "playroom.png"


@pytest.fixture(scope="session", autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
            patch.setenv(name, str(home))
        yield
