"""Tools that read exports: no network, no database, no files in the user's home."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = str(tmp_path_factory.mktemp("tools"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("YOLO_CONFIG_DIR", "MPLCONFIGDIR", "HF_DATASETS_CACHE"):
            patch.setenv(name, home)
        patch.setenv("YOLO_OFFLINE", "true")
        patch.setenv("FIFTYONE_CONFIG_PATH", f"{home}/fiftyone.json")
        patch.setenv("FIFTYONE_DATABASE_VALIDATION", "false")
        patch.setenv("FIFTYONE_DO_NOT_TRACK", "true")
        patch.setenv("QT_QPA_PLATFORM", "offscreen")
        yield
