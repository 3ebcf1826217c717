"""`zeroguide label` over many images, from the command line, with a stand-in for the models."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_labeler
import PIL.Image
import pytest
from fake_labeler import FakeLabeler

from zeroguide.cli import main
from zeroguide.system.console import Console

N = 40  # more than are labelled without further ado


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images, and a labeler without models."""
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", fake_labeler.module())
    monkeypatch.setattr("zeroguide.models.prepare", lambda checkpoints, offline: None)
    monkeypatch.setattr("zeroguide.runs.label_run.prepare", lambda checkpoints, offline: None)
    monkeypatch.setattr(FakeLabeler, "made", [])
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for i in range(N):
        PIL.Image.new("RGB", (9, 6), (i, 90, 160)).save(f"in/{i:02d}.png")
    return tmp_path


def label(*argv: str) -> int:
    usual = ["-o", "out", "--preset", "tiny", "--device", "cpu", "--no-overlay", "--workers", "1"]
    return main(["label", *argv, *usual])


def labelled() -> list[str]:
    return sorted(p.name for p in Path("out").rglob("*.png.json"))


def test_many_images_print_no_tables(capsys: pytest.CaptureFixture) -> None:
    Path("in/bad.png").touch()
    assert label("in") == 3
    out, err = capsys.readouterr()
    assert out == ""
    said = "note: 40 images labelled, 1 failed, listed in out/failures.jsonl; results are in out.\n"
    assert err.endswith(said)
    assert len(labelled()) == N and len(FakeLabeler.made) == 1
    assert label("in") == 3
    assert "0 images labelled, 40 were labelled before, 1 failed" in capsys.readouterr().err
    assert len(FakeLabeler.made) == 1


def test_a_list_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    names = "".join(f"in/{i:02d}.png\n" for i in range(0, N, 2))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(names.encode())))
    assert label("-") == 0
    assert len(labelled()) == N // 2
    assert Path("out/in/02.png.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("n", [3, N])
def test_a_producer_that_takes_its_time(n: int) -> None:
    """Images are labelled while the list isn't complete; Ctrl-C ends the waiting."""
    script = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split(':')\n"
        "import fake_labeler; sys.modules['zeroguide.labeler'] = fake_labeler.module()\n"
        "import zeroguide.cli as cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, os.path.dirname(fake_labeler.__file__), "label", "-"]
    argv += ["-o", "out", "--preset", "tiny", "--device", "cpu", "--no-overlay", "--workers", "1"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None and child.stderr is not None
    child.stdin.write("".join(f"in/{i:02d}.png\n" for i in range(n)).encode())
    child.stdin.flush()
    deadline = time.monotonic() + 60
    while len(labelled()) < n and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(labelled()) == n
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    assert b"goes on from here" in child.stderr.read()


def test_limit() -> None:
    assert label("in", "--limit", "3") == 0
    assert labelled() == ["00.png.json", "01.png.json", "02.png.json"]


def test_shards_on_the_command_line(capsys: pytest.CaptureFixture) -> None:
    for i in (1, 2):
        assert label("in", "--shard", f"{i}/2") == 0
    assert len(labelled()) == N
    assert Path("out/run-2-of-2.json").exists() and Path("out/run.json").exists()


def test_formats_are_exported_when_all_is_done(capsys: pytest.CaptureFixture) -> None:
    assert label("in", "--format", "coco,masks") == 0
    instances = json.loads(Path("out/exports/coco/instances.json").read_text())
    assert len(instances["images"]) == N and len(instances["annotations"]) == 2 * N
    assert len(list(Path("out/exports/masks").rglob("*.png"))) == N
    assert label("in", "--format", "coco") == 0  # again: replaced
    assert main(["export", "out", "--format", "coco"]) == 2
    assert "already exists; replace it with --overwrite" in capsys.readouterr().err
    assert main(["export", "out", "--format", "coco", "-o", "elsewhere"]) == 0
    assert Path("elsewhere/coco/instances.json").read_bytes() == (
        Path("out/exports/coco/instances.json").read_bytes()
    )


@pytest.mark.parametrize(
    "argv, message",
    [
        (["in", "--shard", "3/2"], "--shard '3/2': write i/n"),
        (
            ["in", "--shard", "1/2", "--format", "coco"],
            "--shard with --format: export when all parts are done",
        ),
        (["in", "--limit", "0"], "--limit 0: at least 1 is needed"),
        (["in", "--batch-size", "-1"], "--batch-size -1: at least 1 is needed"),
        (["in", "--workers", "0"], "--workers 0: at least 1 is needed"),
        (["nothing/*.png"], "nothing: no such file or folder"),
        (["missing.txt"], "missing.txt"),
    ],
)
def test_wrong_usage_of_many(argv: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(["label", *argv, "-o", "out", "--preset", "tiny"]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
    assert not Path("out").exists()


def test_another_recipe_is_asked_about_on_a_terminal(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert label("in", "--limit", "2") == 0
    assert label("in", "--limit", "2", "--seed", "5") == 2
    assert "holds results of another recipe (seed 0 -> 5)" in capsys.readouterr().err
    monkeypatch.setattr(Console, "can_ask", True)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert label("in", "--limit", "2", "--seed", "5") == 2
    assert "nothing was changed" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert label("in", "--limit", "2", "--seed", "5") == 0
    assert json.loads(Path("out/00.png.json").read_text())["recipe"]["seed"] == 5


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture) -> None:
    """Counts, rate, what is left and failures, above which errors appear."""
    master, slave = os.openpty()
    Path("in/bad.png").touch()
    script = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split(':')\n"
        "import fake_labeler; sys.modules['zeroguide.labeler'] = fake_labeler.module()\n"
        "import time; fake_labeler.FakeLabeler.hook = staticmethod(lambda name: time.sleep(0.03))\n"
        "import zeroguide.cli as cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, os.path.dirname(fake_labeler.__file__), "label", "in"]
    argv += ["-o", "out", "--preset", "tiny", "--device", "cpu", "--no-overlay", "--workers", "1"]
    environment = {**os.environ, "COLUMNS": "110", "TERM": "xterm"}
    child = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    said = b""
    while True:
        try:
            said += os.read(master, 4096)
        except OSError:
            break
    assert child.wait() == 3
    text = said.decode(errors="replace")
    assert "/41" in text and "1 failed" in text and "/s" in text
    assert "bad.png: is empty (0 bytes)" in text
