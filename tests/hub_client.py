"""Asks the tests' hub as a user's process does, and the repositories it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = """
import sys
from zeroguide.errors import WeightsError
from zeroguide.models import pull, resolve
from zeroguide.recipe import load_recipe
command, checkpoint, role = sys.argv[1:]
try:
    if command == "pull":
        keys = ("dino", "clip", "language_model")
        models = [f"models.{k}={checkpoint}-{k}" for k in keys]
        recipe = load_recipe("fast", [*models, f"decoder.method={role}"])
        for model in pull([recipe]):
            print(model.role, model.size > 0, model.folder)
    else:
        print(resolve(checkpoint, role, offline=command == "offline"))
except WeightsError as e:
    sys.exit(str(e))
assert "torch" not in sys.modules
"""


class Client:
    """Runs the code in a process of its own, as the hub's address is read at import.

    before : code that runs first; within : a command that runs Python, `unshare` for example
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.before = ""
        self.within: list[str] = []
        self.environment = os.environ | {"HF_ENDPOINT": url, "HF_HOME": str(cache)}
        self.environment |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "*"}
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
            self.environment.pop(name, None)

    def pull(self, checkpoint: str, decoder: str) -> str:
        """Output of fetching what the preset fast uses with a decoder."""
        return self.run("pull", checkpoint, decoder)

    def run(self, command: str, checkpoint: str, role: str = "dino") -> str:
        """Output of a run that must succeed."""
        done = self._run(command, checkpoint, role)
        assert done.returncode == 0 and not done.stderr, done.stderr
        return done.stdout.strip()

    def fail(self, command: str, checkpoint: str, role: str = "dino") -> str:
        """The error of a run that must fail with one sentence and nothing else."""
        done = self._run(command, checkpoint, role)
        assert done.returncode == 1 and done.stdout == ""
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def traceback(self, checkpoint: str) -> str:
        """What Python shows whoever doesn't catch the error."""
        code = f"from zeroguide.models import resolve; resolve({checkpoint!r}, 'dino')"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 1
        return done.stderr.strip()

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self.within, sys.executable, "-c", self.before + CODE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment)


def write_repositories(root: Path) -> dict[str, Path]:
    """Files of the right names, weights and others; the loaders' tests look inside."""
    contents = {
        "dino": ["config.json", "preprocessor_config.json", "model.safetensors"],
        "clip": ["open_clip_config.json", "open_clip_model.safetensors", "model.safetensors",
                 "open_clip_pytorch_model.safetensors", "tokenizer.json"],
        "language_model": ["config.json", "tokenizer.json", "merges.txt",
                           "model-00001-of-00001.safetensors", "model.safetensors.index.json"],
    }  # fmt: skip
    for role, names in contents.items():
        (root / role).mkdir(parents=True)
        for name in [*names, "pytorch_model.bin", "README.md", "model.onnx"]:
            (root / role / name).write_text(f"{role} {name} " * 1000)
    return {f"some/model-{role}": root / role for role in contents}
