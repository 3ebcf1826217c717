"""The command line against a hub: pull once, work offline ever after, find damage."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pickles
import PIL.Image
import pytest
from conftest import REPOSITORY, TINY

from zeroguide.models.checksums import SUMS, compare
from zeroguide.playroom import render

# The fixture alone starts the command a dozen times.
pytestmark = pytest.mark.slow

ROLES = {"dino": "dino", "clip": "clip", "language_model": "lm", "text_memory": "text_memory"}
# Every class that any pickle in the process asks for goes into a file.
WATCHED = """
import os, sys
def watch(event, arguments):
    if event == "pickle.find_class":
        with open(os.environ["FOUND"], "a") as file:
            file.write(f"{arguments}\\n")
sys.addaudithook(watch)
from zeroguide.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Machine:
    """One user's home: a cache, a recipe and a hub, which can be out of reach."""

    def __init__(self, home: Path, url: str) -> None:
        self.home = home
        self.repositories: dict[str, Path] = {}
        self.environment = os.environ | {
            "HF_ENDPOINT": url,
            "HF_HOME": str(home / "cache"),
            "PYTHONPATH": str(REPOSITORY),
            "FOUND": str(home / "found"),
            "NO_PROXY": "*",
            "TERM": "xterm",
        }
        for name in ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN"):
            self.environment.pop(name, None)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", WATCHED, *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.home,
        )

    def run_on_a_terminal(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all that the terminal showed."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        process = subprocess.Popen(
            [sys.executable, "-c", WATCHED, *arguments],
            stdout=theirs,
            stderr=theirs,
            env=self.environment,
            cwd=self.home,
        )
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the other side has gone
            pass
        os.close(ours)
        return process.wait(), shown.decode()

    def blob(self, role: str, name: str = "model.safetensors") -> Path:
        """The file in the cache that a model's file is a link to."""
        pattern = f"cache/hub/models--some--tiny-{role}/snapshots/*/{name}"
        (path,) = self.home.glob(pattern)
        return path.resolve()


@pytest.fixture(scope="module")
def pulled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, str]]:
    """A machine that has pulled the tiny models from a hub that is gone now; what it showed.

    Pickles lie in the repositories, and in the cache beside the weights.
    """
    root = tmp_path_factory.mktemp("hub")
    trace = root / "opened"
    repositories = {}
    for role, name in ROLES.items():
        shutil.copytree(TINY / name, root / role)
        pickles.plant(root / role, trace)
        repositories[f"some/tiny-{role}"] = root / role
    home = root / "home"
    home.mkdir()
    recipe = (REPOSITORY / "zeroguide" / "recipe" / "presets" / "tiny.toml").read_text()
    for role, name in ROLES.items():
        recipe = recipe.replace(f'{role} = "shipped:tiny/{name}"', f'{role} = "some/tiny-{role}"')
    (home / "own.toml").write_text(recipe)
    scene = render(3, 0, size=112)
    PIL.Image.fromarray(scene.pixels).save(home / "photo.png")
    with hub_server.serve(repositories) as hub:
        machine = Machine(home, hub.url)
        machine.repositories = repositories
        pull = ("models", "pull", "--preset", "own.toml")
        code, shown = machine.run_on_a_terminal(*pull)
        assert code == 0, shown
        # What another decoder would need waits until it is asked for.
        assert not any("text_memory" in path for _, path, _ in hub.requests)
        code, more = machine.run_on_a_terminal(*pull, "--set", "decoder.method=text-memory")
        assert code == 0, more
        shown += more
        assert not {name for name in hub.files_sent() if name in pickles.NAMES}
    for role in ROLES:
        (snapshot,) = home.glob(f"cache/hub/models--some--tiny-{role}/snapshots/*")
        pickles.plant(snapshot, trace)
    yield machine, shown
    assert not trace.exists()
    assert not (home / "found").exists(), (home / "found").read_text()


def test_the_first_download_shows_progress(pulled: tuple[Machine, str]) -> None:
    _, shown = pulled
    assert re.search(r"\d+%\|", shown)  # bars
    assert re.search(r"\d+(\.\d+)?M", shown)  # megabytes
    for role in ROLES:
        assert f"some/tiny-{role}" in shown  # the table of what is here now


@pytest.mark.slow
def test_a_label_run_offline_after_the_pull(pulled: tuple[Machine, str]) -> None:
    """The page about working offline, command by command; the hub is there for its mirrors."""
    machine, _ = pulled
    page = (REPOSITORY / "docs" / "offline.md").read_text(encoding="utf-8")
    lines = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
        for line in block.splitlines()
    ]
    shutil.copytree(TINY / "dino", machine.home / "my-dino")
    (machine.home / "my-dino" / SUMS).unlink()
    program = f"{sys.executable} -c '{WATCHED}'"
    with hub_server.serve(machine.repositories) as hub:
        for line in lines:
            if "models check" in line:
                continue  # has a test below
            if "--offline" in line:
                hub.refuse = 500
            command = line.replace("--preset fast", "--preset own.toml")
            command = command.replace("https://hub.example.org", hub.url)
            command = command.replace("zeroguide", program)
            environment = machine.environment | {"HF_ENDPOINT": hub.url}
            asked = len(hub.requests)
            done = subprocess.run(
                ["sh", "-c", command],
                capture_output=True,
                text=True,
                env=environment,
                cwd=machine.home,
            )
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            assert (len(hub.requests) > asked) == ("models pull" in line), line
            hub.refuse = None
    assert (machine.home / "labels" / "photo.png.json").exists()
    assert (machine.home / "carried" / "photo.png.json").exists()
    assert len(compare(machine.home / "my-dino")) == 3


@pytest.mark.slow
def test_check_after_the_pull_and_after_damage(pulled: tuple[Machine, str]) -> None:
    machine, _ = pulled
    sound = machine.run("models", "check", "--preset", "own.toml", "--device", "cpu")
    assert sound.returncode == 0, sound.stderr
    rows = [line.split("\t") for line in sound.stdout.splitlines()]
    assert [row[1] for row in rows] == list(ROLES)
    assert [row[5] for row in rows] == ["3 right", "2 right", "5 right", "6 right"]
    blob = machine.blob("dino")
    whole = blob.read_bytes()
    try:
        blob.write_bytes(whole[:-4000] + bytes([whole[-4000] ^ 1]) + whole[-3999:])
        done = machine.run("models", "check", "--preset", "own.toml", "--device", "cpu")
    finally:
        blob.write_bytes(whole)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"error: \S+/model\.safetensors is damaged or missing \(its checksum isn't the recorded "
        rf"one\): delete {blob} and run `hf download some/tiny-dino`\.\n",
        done.stderr,
    )


@pytest.mark.parametrize("name", ROLES.values())
def test_the_shipped_models_have_their_checksums(name: str) -> None:
    """After training: sha256sum *.json *.safetensors > SHA256SUMS in the model's folder."""
    compared = compare(TINY / name)
    files = {p for p in (TINY / name).iterdir() if p.name not in ("README.md", SUMS)}
    assert compared == dict.fromkeys(files, True)


def test_damage_in_folders_of_the_users_own(tmp_path: Path) -> None:
    from zeroguide.errors import WeightsError
    from zeroguide.models.hub import check_content

    folder = tmp_path / "dino"
    shutil.copytree(TINY / "dino", folder)
    assert check_content(folder, str(folder)) == 3
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    message = r"model\.safetensors is damaged or missing \(its .*: copy it again$"
    with pytest.raises(WeightsError, match=message):
        check_content(folder, str(folder))
    with pytest.raises(WeightsError, match=r"reinstall zeroguide$"):
        check_content(folder, "shipped:tiny/dino")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=message):
        check_content(folder, str(folder))
    (folder / SUMS).write_text("no list\n")
    with pytest.raises(WeightsError, match="isn't a list of sha256sum: write it again or delete"):
        check_content(folder, str(folder))
    (folder / SUMS).unlink()
    assert check_content(folder, str(folder)) == 0


def test_weights_that_compute_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """A flipped bit in an exponent, in a folder without checksums, can show in the output."""
    from safetensors.torch import load_file, save_file

    from zeroguide.cli import main

    shutil.copytree(TINY / "dino", tmp_path / "dino")
    (tmp_path / "dino" / SUMS).unlink()
    path = tmp_path / "dino" / "model.safetensors"
    state = load_file(path)
    next(v for k, v in state.items() if "layernorm.weight" in k or "norm.weight" in k)[0] = 1e38
    next(v for k, v in state.items() if "cls_token" in k)[..., 0] = 3e38
    save_file(state, path, {"format": "pt"})
    recipe = (REPOSITORY / "zeroguide" / "recipe" / "presets" / "tiny.toml").read_text()
    recipe = recipe.replace('dino = "shipped:tiny/dino"', f"dino = '{tmp_path}/dino'")
    (tmp_path / "own.toml").write_text(recipe)
    assert main(["models", "check", "--preset", str(tmp_path / "own.toml"), "-q"]) == 1
    assert "computes values that aren't numbers, so its weights are" in capsys.readouterr().err
