"""What tests share: where reference data may lie, tiny models, and no network."""

import os
from pathlib import Path

import pytest

# Set before any library reads it: a test that asks the hub is wrong.
os.environ["HF_HUB_OFFLINE"] = "1"

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
TINY = REPOSITORY / "zeroguide" / "models" / "weights" / "tiny"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data, which isn't part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data in {SHARED}")
    return SHARED


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text embeddings are cached on disk; tests must neither read nor fill the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
