"""A whole run: the manifest, resuming, shards, failures, interruption."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.errors import OutputError, UsageError
from zeroguide.runs.label_run import Observer, Run, Summary
from zeroguide.runs.layout import MANIFEST
from zeroguide.runs.run_folder import Manifest, RunFolder
from zeroguide.runs.settings import Outcome
from zeroguide.runs.shard import Shard
from zeroguide.runs.sources import find_items

from .stand_ins import picture, settings, texts


def make(folder: Path, output: Path, observer: Observer | None = None, **changes: Any) -> Run:
    run = {key: changes.pop(key) for key in ("shard", "workers") if key in changes}
    items = find_items([str(folder)], output, lambda text: None)
    chosen = settings(output, **changes)
    return Run(items, chosen, items.roots, observer=observer or Observer(), **run)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(6):
        picture(tmp_path / "in" / f"{i % 2}" / f"{i}.png")
    return tmp_path / "in"


# The manifest -------------------------------------------------------------------------------------


def test_the_manifest_says_what_the_run_is(folder: Path, tmp_path: Path) -> None:
    (folder / "empty.png").touch()
    summary = make(folder, tmp_path / "out").label()
    assert (summary.labelled, summary.kept, summary.failed, summary.total) == (6, 0, 1, 7)
    manifest = Manifest.read(tmp_path / "out")
    assert manifest is not None
    assert manifest.counts == {"labelled": 6, "kept": 0, "failed": 1}
    assert manifest.roots == [str(folder)]
    assert manifest.recipe["name"] == "tiny" and "torch" in manifest.recipe["versions"]
    entries = list(RunFolder(tmp_path / "out"))
    assert [e.key for e in entries] == sorted(f"{i % 2}/{i}.png" for i in range(6))
    assert all(e.image == folder / e.key for e in entries)
    assert RunFolder(tmp_path / "out").keys() == [e.key for e in entries]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema": "other"}', '{"schema": 1}'])
def test_a_damaged_manifest_is_one_sentence(folder: Path, tmp_path: Path, damage: str) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    (output / MANIFEST).write_text(damage)
    before = texts(output)
    with pytest.raises(UsageError, match=r"run\.json: is damaged .* delete this one file"):
        make(folder, output).label()
    assert texts(output) == before
    (output / MANIFEST).unlink()  # what the sentence says
    assert make(folder, output).label().kept == 6


def test_nothing_labelled_leaves_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/empty.png").touch()
    make(tmp_path / "in", tmp_path / "out").label()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_photo_gets_no_second_result_under_another_key(folder: Path, tmp_path: Path) -> None:
    """Further inputs move the folder that keys are relative to."""
    output = tmp_path / "out"
    make(folder, output).label()
    before = texts(output)
    picture(tmp_path / "more" / "7.png")
    items = find_items([str(folder), str(tmp_path / "more")], output, lambda text: None)
    with pytest.raises(UsageError) as caught:
        Run(items, settings(output), items.roots).label()
    assert str(caught.value) == (
        f"{output}: holds {folder}/0/0.png already, as 0/0.png, from a run that named other inputs;"
        " name those again, or choose another folder with -o"
    )
    assert texts(output) == before
    assert make(folder, output).label().kept == 6
    # Another picture in the place of a photo is not that photo, and what lies elsewhere isn't.
    (folder / "0/0.png").write_bytes((tmp_path / "more/7.png").read_bytes())
    assert make(folder / "0/0.png", output).label().labelled == 1
    assert make(tmp_path / "more", output).label().labelled == 1


# Another recipe -----------------------------------------------------------------------------------

OTHER = ["merge.threshold=0.3", "seed=4"]


def test_another_recipe_is_refused_where_nobody_can_be_asked(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    before = texts(output)
    with pytest.raises(UsageError) as caught:
        make(folder, output, overrides=OTHER).label()
    assert str(caught.value) == (
        f"{output}: holds results of another recipe (merge.threshold 0.75 -> 0.3; seed 0 -> 4); "
        "replace them with --overwrite or choose another folder with -o"
    )
    assert texts(output) == before


def test_replacing_that_was_interrupted_goes_on_without_a_manifest(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    (output / MANIFEST).unlink()

    def stop(outcome: Outcome, summary: Summary) -> None:
        if summary.total == 1:
            signal.raise_signal(signal.SIGINT)

    run = make(folder, output, Observer(done=stop), overrides=OTHER, overwrite=True)
    assert run.label().interrupted
    assert make(folder, output, overrides=OTHER).label().failed == 0
    assert len({json.dumps(entry.labeling.recipe) for entry in RunFolder(output)}) == 1


def test_many_differences_are_counted(folder: Path, tmp_path: Path) -> None:
    make(folder, tmp_path / "out").label()
    keys = ("segmenter.n_segments", "decoder.beam_size", "decoder.max_tokens")
    others = [*OTHER, *(f"{key}=5" for key in keys), "refine.method=none"]
    with pytest.raises(UsageError, match=r"\(([^;]+; ){4}and 2 more\); replace them"):
        make(folder, tmp_path / "out", overrides=others).label()


@pytest.mark.parametrize("answer", [True, False])
def test_another_recipe_is_asked_about(folder: Path, tmp_path: Path, answer: bool) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    before = texts(output)
    asked: list[str] = []
    observer = Observer(confirm=lambda question: bool(asked.append(question)) or answer)
    run = make(folder, output, observer, overrides=OTHER)
    if answer:
        assert run.label().labelled == 6
        assert texts(output) != before
        assert make(folder, output, overrides=OTHER).label().kept == 6
    else:
        with pytest.raises(UsageError, match="nothing was changed"):
            run.label()
        assert texts(output) == before
    (question,) = asked
    assert question.endswith("Replace them?")


def test_replacing_that_was_cut_short_goes_on(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    stop = OutputError("killed here")

    def die(outcome: Outcome, summary: object) -> None:
        raise stop

    with pytest.raises(OutputError):
        make(folder, output, Observer(done=die), overrides=OTHER, overwrite=True).label()
    summary = make(folder, output, overrides=OTHER).label()
    assert summary.failed == 0 and summary.kept >= 1 and summary.total == 6
    recipes = {json.dumps(entry.labeling.recipe) for entry in RunFolder(output)}
    assert len(recipes) == 1  # no mix


def test_results_that_were_not_replaced_are_said_and_stay_replaceable(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    notes: list[str] = []
    some = list(find_items([str(folder)], output, notes.append))[:3]
    part = settings(output, overrides=OTHER, overwrite=True)
    assert Run(some, part, [folder], observer=Observer(note=notes.append)).label().labelled == 3
    assert [note for note in notes if "made by another recipe" in note] == notes[-1:]
    assert notes[-1].startswith(f"{output}: ")
    summary = make(folder, output, Observer(note=notes.append), overrides=OTHER).label()
    assert summary.failed == 0 and summary.total == 6
    recipes = {json.dumps(entry.labeling.recipe) for entry in RunFolder(output)}
    manifest = Manifest.read(output)
    assert manifest is not None and not manifest.replacing
    assert len(recipes) == 1


def test_other_versions_of_libraries_are_noted(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    manifest = Manifest.read(output)
    assert manifest is not None
    manifest.recipe["versions"]["torch"] = "1.0"
    manifest.write(output)
    notes: list[str] = []
    assert make(folder, output, Observer(note=notes.append)).label().kept == 6
    assert notes == [f"{output}: its results are kept, though by other library versions"]


# Shards -------------------------------------------------------------------------------------------


@given(st.lists(st.text(min_size=1), unique=True, max_size=50), st.integers(1, 9))
def test_every_image_is_in_exactly_one_shard(keys: list[str], n: int) -> None:
    shards = [Shard(i, n) for i in range(1, n + 1)]
    assert all(sum(shard.has(key) for shard in shards) == 1 for key in keys)


def test_shards_share_the_work(tmp_path: Path) -> None:
    for i in range(30):
        picture(tmp_path / "in" / f"{i}.png")
    make(tmp_path / "in", tmp_path / "whole").label()
    counts = []
    for index in (1, 2, 3):
        shard = Shard.parse(f"{index}/3")
        counts.append(make(tmp_path / "in", tmp_path / "parts", shard=shard).label().labelled)
    assert sum(counts) == 30 and min(counts) > 0
    results = {n: t for n, t in texts(tmp_path / "parts").items() if not n.startswith("run-")}
    assert results == texts(tmp_path / "whole")
    assert len(list(RunFolder(tmp_path / "parts"))) == 30
    summary = make(tmp_path / "in", tmp_path / "parts").label()
    assert summary.kept == 30


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_wrong_shards(text: str) -> None:
    with pytest.raises(UsageError, match="write i/n"):
        Shard.parse(text)


# Failures -----------------------------------------------------------------------------------------


def test_failures_are_listed_and_tried_again(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (folder / "later.png").touch()
    (folder / "fail ü.png").write_bytes(picture(folder / "ok.png").read_bytes())
    assert make(folder, output).label().failed == 2
    lines = [json.loads(line) for line in (output / "failures.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == {"later.png", "fail ü.png"}
    assert all(line["file"] == str(folder / line["key"]) and line["error"] for line in lines)
    picture(folder / "later.png")
    summary = make(folder, output).label()
    assert (summary.labelled, summary.kept, summary.failed) == (1, 7, 1)
    assert len((output / "failures.jsonl").read_text().splitlines()) == 1


def test_one_run_at_a_time(folder: Path, tmp_path: Path) -> None:
    refused: list[str] = []

    def again(outcome: Outcome, summary: object) -> None:
        try:
            make(folder, tmp_path / "out").label()
        except OutputError as error:
            refused.append(str(error))

    make(folder, tmp_path / "out", Observer(done=again)).label()
    assert len(refused) == 6 and "another run is writing its results there" in refused[0]


def test_a_read_only_output(folder: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    output = tmp_path / "out"
    output.mkdir(mode=0o500)
    with pytest.raises(OutputError, match=r"can't write to this folder \(Permission denied\)"):
        make(folder, output).label()


def test_an_output_that_turns_read_only(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("zeroguide.system.files.open", refuse, raising=False)
    with pytest.raises(OutputError, match=r"can't write to this folder \(Read-only file system\)"):
        make(folder, tmp_path / "out").label()


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """In a file system of its own, where that may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        for i in range(200):
            picture(tmp_path / "in" / f"{i:03d}.png")
        with pytest.raises(OutputError, match="No space left on device"):
            make(tmp_path / "in", disk / "out", workers=1).label()
        done = RunFolder(disk / "out").keys()
        assert 0 < len(done) < 200
        assert all(entry.labeling.segments for entry in RunFolder(disk / "out"))  # all whole
        (tmp_path / "saved").mkdir()
        shutil.copytree(disk / "out", tmp_path / "saved", dirs_exist_ok=True)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    summary = make(tmp_path / "in", tmp_path / "saved", workers=1).label()
    assert (summary.kept, summary.total) == (len(done), 200)


def test_a_folder_in_the_place_of_the_failures(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out/failures.jsonl").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"failures\.jsonl: can't be written"):
        make(folder, tmp_path / "out").label()


def test_results_without_a_manifest_are_asked_about_too(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    make(folder, output).label()
    (output / MANIFEST).unlink()
    before = texts(output)
    for _ in range(2):  # the first must not leave what the second takes for consent
        with pytest.raises(UsageError, match="holds results of another recipe"):
            make(folder, output, overrides=OTHER).label()
        assert texts(output) == before


def test_the_photo_of_a_result_is_the_one_with_its_content(tmp_path: Path) -> None:
    """Two folders with an image of one name, labelled one after the other into one run."""
    picture(tmp_path / "a/x.png", seed=1), picture(tmp_path / "b/x.png", seed=2)
    output = tmp_path / "out"
    make(tmp_path / "a", output).label()
    make(tmp_path / "b", output, overwrite=True).label()
    (entry,) = RunFolder(output)
    assert entry.image == tmp_path / "b/x.png"


def test_an_empty_shard_leaves_the_others_manifest(tmp_path: Path) -> None:
    picture(tmp_path / "in/a.png")
    shards = [Shard(i, 2) for i in (1, 2)]
    empty = next(shard for shard in shards if not shard.has("a.png"))
    other = next(shard for shard in shards if shard.has("a.png"))

    def at_the_end(outcome: Outcome, summary: object) -> None:
        assert make(tmp_path / "in", tmp_path / "out", shard=empty).label().total == 0

    run = make(tmp_path / "in", tmp_path / "out", Observer(done=at_the_end), shard=other)
    assert run.label().labelled == 1
    assert Manifest.read(tmp_path / "out") is not None


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        picture(folder / "a.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert make(folder, tmp_path / "out").label().labelled == 1
    (entry,) = RunFolder(tmp_path / "out")
    assert entry.image == folder / "a.png"


# Left-overs and interruption ----------------------------------------------------------------------


def test_left_overs_of_dead_writers_are_removed(folder: Path, tmp_path: Path) -> None:
    """A process that dies between writing a temporary file and renaming it leaves that."""
    output = tmp_path / "out"
    output.mkdir()
    code = (
        "import os, sys; from pathlib import Path\n"
        "from zeroguide.system.files import write_atomically\n"
        "Path.replace = lambda *_: os._exit(9)\n"
        "write_atomically(sys.argv[1], b'half')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(output / "x.json")], check=False)
    assert done.returncode == 9
    (left,) = [p.name for p in output.iterdir()]
    assert left.endswith(".tmp")
    mine = output / left.replace(left.split("-")[1], str(os.getpid()))
    mine.touch()  # of a process that lives
    make(folder, output).label()
    assert [p.name for p in output.rglob("*.tmp")] == [mine.name]


@pytest.mark.parametrize("workers", [None, 2])
def test_ctrl_c_finishes_what_is_in_hand(tmp_path: Path, workers: int | None) -> None:
    for i in range(20):
        picture(tmp_path / "in" / f"slow {i}.png")
    notes: list[str] = []
    told: list[str] = []

    def done(outcome: Outcome, summary: object) -> None:
        told.append(outcome.item.key)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    observer = Observer(done=done, note=notes.append)
    before = signal.getsignal(signal.SIGINT)
    summary = make(tmp_path / "in", tmp_path / "out", observer, workers=workers).label()
    assert summary.interrupted and 1 <= summary.labelled <= 4
    assert signal.getsignal(signal.SIGINT) == before
    if workers == 2:  # otherwise it may have ended before it could be said
        assert notes[0].startswith("interrupted: finishing the image in hand")
    assert sorted(told) == RunFolder(tmp_path / "out").keys()


def test_outside_the_main_thread_signals_are_left_alone(folder: Path, tmp_path: Path) -> None:
    summaries: list[Any] = []
    run = make(folder, tmp_path / "out")
    thread = threading.Thread(target=lambda: summaries.append(run.label()))
    thread.start()
    thread.join()
    assert summaries[0].labelled == 6


@pytest.mark.slow
def test_many_images_in_one_folder(tmp_path: Path) -> None:
    """A tenth of 10,000 files of one content: listed, labelled by a stand-in, found again."""
    first = picture(tmp_path / "in/00000.png", size=(4, 4))
    for i in range(1, 10_000):
        os.link(first, tmp_path / "in" / f"{i:05d}.png")
    summaries = [
        make(tmp_path / "in", tmp_path / "out", shard=Shard(i, 20), workers=1).label()
        for i in (1, 2)
    ]
    assert 900 < sum(summary.labelled for summary in summaries) < 1100
    assert len(RunFolder(tmp_path / "out").keys()) == sum(s.labelled for s in summaries)
