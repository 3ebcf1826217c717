"""200 requests of 8 clients at once, many of them bad, then SIGTERM among them."""

from __future__ import annotations

import sys

import pytest

from scripts.bench.serve import measure

from .conftest import SCENE


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_right_answers_clean_errors_flat_memory_nothing_lost() -> None:
    assert measure("tiny", SCENE) == []
