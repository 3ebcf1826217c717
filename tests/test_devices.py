"""Device mistakes show without a device: see `far.flow`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

TESTS = Path(__file__).parent


@pytest.mark.slow
def test_the_whole_flow_on_a_device_that_does_not_mix_with_the_cpu() -> None:
    if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch takes no devices from Python")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    done = subprocess.run(
        [*command, str(TESTS / "far" / "flow.py")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
    assert "[100%]" in done.stdout
