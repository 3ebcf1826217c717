"""The command line with a stand-in for the models: files, messages, exit codes, start-up."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import fake_labeler
import numpy as np
import PIL.Image
import pytest
from fake_labeler import FakeLabeler

import zeroguide
from zeroguide.cli import main
from zeroguide.errors import WeightsError
from zeroguide.result import Labeling
from zeroguide.segment.segmenters import SEGMENTERS

ROOT = Path(zeroguide.__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    "COLUMNS": "100",
}


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder and a labeler without models."""
    monkeypatch.setitem(sys.modules, "zeroguide.labeler", fake_labeler.module())
    monkeypatch.setitem(sys.modules, "zeroguide.segmenter", fake_labeler.module())
    monkeypatch.setattr("zeroguide.models.prepare", lambda checkpoints, offline: None)
    monkeypatch.setattr("zeroguide.models.default.find", lambda checkpoint, role: tmp_path)
    monkeypatch.setattr(FakeLabeler, "made", [])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(path: str | Path = "photo.png", size: tuple[int, int] = (60, 40)) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size, (30, 90, 160)).save(path)
    return Path(path)


def files(folder: Path | str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def snapshot() -> list[str]:
    return sorted(str(p) for p in Path().rglob("*"))


# label --------------------------------------------------------------------------------------------


def test_label_one_image(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", str(photo())]) == 0
    out, err = capsys.readouterr()
    assert out == "1\tblue sky\t0.750\t0.90\t0.6667\t\n2\ttall tree\t0.250\t0.50\t0.3333\tbush\n"
    assert err.splitlines() == [
        "note: preset fast: trained on photographs from the web; it names everyday things and "
        "scenes in English.",
        "note: device cpu, chosen by auto.",
        "note: results are in labels/photo.png.png and labels/photo.png.json.",
    ]
    assert files("labels") == ["photo.png.json", "photo.png.png", "run.json"]
    labeling = Labeling.load("labels/photo.png.json")
    assert [s.label for s in labeling.segments] == ["blue sky", "tall tree"]
    assert labeling.file_name == "photo.png"
    with PIL.Image.open("labels/photo.png.png") as overlay:
        assert overlay.mode == "RGB"


def test_quiet_prints_data_only(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", str(photo("turned [1].gif")), "-q", "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err == ""


def test_an_explicit_device_is_not_commented(capsys: pytest.CaptureFixture) -> None:
    main(["label", str(photo()), "--device", "cpu"])
    assert "device" not in capsys.readouterr().err


def test_notes_about_an_image_are_said(capsys: pytest.CaptureFixture) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), c) for c in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    assert main(["label", "moving.gif"]) == 0
    note = "note: moving.gif: animated GIF: only the first frame is used.\n"
    assert note in capsys.readouterr().err


def test_recipe_flags_reach_the_recipe() -> None:
    argv = ["--preset", "tiny", "--seed", "7", "--set", "decoder.beam_size=9", "--offline"]
    argv += ["--set", "merge.threshold=0.5", "--legend", "never"]
    assert main(["label", str(photo()), *argv]) == 0
    (recipe,) = FakeLabeler.made
    assert (recipe.name, recipe.seed) == ("tiny", 7)
    assert (recipe.decoder.beam_size, recipe.merge.threshold) == (9, 0.5)


def test_several_images_load_models_once(capsys: pytest.CaptureFixture) -> None:
    images = [str(photo(name)) for name in ("a.png", "b.png", "b.jpg")]
    assert main(["label", *images, "-o", "out/deep"]) == 0
    assert len(FakeLabeler.made) == 1
    expected = [f"{i}.{kind}" for i in images for kind in ("json", "png")]
    assert files("out/deep") == sorted([*expected, "run.json"])
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "a.png\t1\tblue sky\t0.750\t0.90\t0.6667\t"
    assert len(out.splitlines()) == 6
    assert "note: 3 images labelled; results are in out/deep.\n" in err


def test_equal_names_of_two_folders_stay_apart() -> None:
    images = [photo("in/a/x.png"), photo("in/b/x.png"), photo("in/b/c/x.png")]
    assert main(["label", *map(str, images), "-o", "out"]) == 0
    wanted = ["a/x.png.json", "a/x.png.png", "b/c/x.png.json", "b/c/x.png.png"]
    assert files("out") == [*wanted, "b/x.png.json", "b/x.png.png", "run.json"]


def test_an_image_named_twice_is_labelled_once(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", str(photo()), f"./{photo()}", str(photo().absolute())]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_is_labelled_is_not_labelled_again(capsys: pytest.CaptureFixture) -> None:
    old, new = photo("old.png"), photo("new.png")
    assert main(["label", str(old)]) == 0
    first = capsys.readouterr().out
    assert main(["label", str(old)]) == 0
    assert capsys.readouterr().out == first  # told again, from the result
    assert len(FakeLabeler.made) == 1  # no model was loaded
    assert main(["label", str(old), str(new)]) == 0
    assert "note: 1 image labelled, 1 were labelled before" in capsys.readouterr().err
    assert main(["label", str(old), "--overwrite"]) == 0
    assert len(FakeLabeler.made) == 3


def test_files_of_others_are_never_replaced(capsys: pytest.CaptureFixture) -> None:
    images = [str(photo("a.png")), str(photo("b.png")), str(photo("c.png"))]
    Path("labels").mkdir()
    Path("labels/a.png.json").write_text('{"shapes": []}')
    photo("labels/b.png.png")
    before = Path("labels/b.png.png").read_bytes()
    assert main(["label", *images, "--overwrite"]) == 3
    err = capsys.readouterr().err
    for name in ("a.png.json", "b.png.png"):
        assert f"labels/{name}: already exists and isn't a result of this program" in err
    assert Path("labels/a.png.json").read_text() == '{"shapes": []}'
    assert Path("labels/b.png.png").read_bytes() == before
    assert Path("labels/c.png.json").exists()


def test_results_never_replace_an_image_of_the_run(capsys: pytest.CaptureFixture) -> None:
    photo("x.jpg"), photo("x.jpg.png")
    before = Path("x.jpg.png").read_bytes()
    assert main(["label", "x.jpg", "x.jpg.png", "-o", ".", "--overwrite"]) == 3
    assert "x.jpg.png: already exists" in capsys.readouterr().err
    assert Path("x.jpg.png").read_bytes() == before


def test_a_name_that_is_not_utf8(capfd: pytest.CaptureFixture) -> None:
    try:
        images = [photo(os.fsdecode(b"caf\xe9.png")), photo("b.png")]
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert main(["label", *map(str, images)]) == 0
    assert len(files("labels")) == 5
    assert "caf" in capfd.readouterr().out


def test_control_characters_of_a_name_are_shown(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", "a\tb\x1b[31m.jpg"]) == 1
    expected = "error: a\\x09b\\x1b[31m.jpg: no such file; check the path.\n"
    assert capsys.readouterr().err == expected


# Failures of some images --------------------------------------------------------------------------


def test_bad_images_do_not_stop_the_others(capsys: pytest.CaptureFixture) -> None:
    photo("a.png"), photo("d.png")
    Path("b.png").write_bytes(b"")
    Path("c.png").write_bytes(photo("d.png").read_bytes()[:70])
    assert main(["label", "a.png", "b.png", "c.png", "d.png", "e.png"]) == 3
    out, err = capsys.readouterr()
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a.png"] * 2 + ["d.png"] * 2
    errors = [line.removeprefix("error: ") for line in err.splitlines() if "error" in line]
    assert len(errors) == 3
    said = "2 images labelled, 3 failed, listed in labels/failures.jsonl; results are in labels.\n"
    assert said in err
    lines = [json.loads(line) for line in Path("labels/failures.jsonl").read_text().splitlines()]
    assert {line["file"] for line in lines} == {"b.png", "c.png", "e.png"}
    assert [line["error"] for line in lines] == errors
    assert len(files("labels")) == 6
    # The next run has its own list.
    assert main(["label", "a.png", "d.png"]) == 0
    assert "failures.jsonl" not in files("labels")


def test_all_images_bad(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", "a.png", "b.png"]) == 1
    assert FakeLabeler.made == []
    assert files("labels") == ["failures.jsonl"]


def test_one_bad_image_leaves_nothing(capsys: pytest.CaptureFixture) -> None:
    assert main(["label", "a.png", "-o", "new/folder"]) == 1
    assert capsys.readouterr().err == "error: a.png: no such file; check the path.\n"
    assert snapshot() == []


def fail(name: str) -> None:
    if name == "b.png":
        raise RuntimeError("tensor\nof doom.")


def test_an_unexpected_error_costs_one_image(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeLabeler, "hook", staticmethod(fail))
    images = [str(photo(f"{name}.png")) for name in "abc"]
    assert main(["label", *images]) == 3
    expected = (
        "error: b.png: unexpected RuntimeError (tensor of doom); please report it with the output "
        "of the same command with --verbose.\n"
    )
    err = capsys.readouterr().err
    assert expected in err
    assert "Traceback" not in err
    assert main(["label", "b.png", "-v", "-o", "other"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert not Path("other").exists()


def test_models_that_fail_to_load_end_the_run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise WeightsError("weights/clip is damaged: download it again")

    monkeypatch.setattr(FakeLabeler, "__init__", broken)
    assert main(["label", str(photo("a.png")), str(photo("b.png"))]) == 1
    assert "error: weights/clip is damaged: download it again.\n" in capsys.readouterr().err
    assert not Path("labels").exists()


def test_interrupt(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str) -> None:
        if name == "b.png":
            raise KeyboardInterrupt

    monkeypatch.setattr(FakeLabeler, "hook", staticmethod(interrupt))
    images = [str(photo(f"{name}.png")) for name in "abc"]
    assert main(["label", "missing.png", *images]) == 130
    assert capsys.readouterr().err.endswith("error: interrupted.\n")
    assert files("labels") == ["a.png.json", "a.png.png", "failures.jsonl", "run.json"]


def test_a_failing_write_leaves_no_half(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Labeling, "save", full)
    assert main(["label", str(photo("a.png")), str(photo("b.png"))]) == 1
    assert capsys.readouterr().err.endswith(
        "error: a.png: its results can't be written (No space left on device); make room or choose "
        "another folder with -o: what is written is kept.\n"
    )
    assert not Path("labels").exists()


# segment ------------------------------------------------------------------------------------------


def test_segment(capsys: pytest.CaptureFixture) -> None:
    assert main(["segment", str(photo()), "--method", "kmeans"]) == 0
    assert FakeLabeler.made[0].segmenter.method == "kmeans"
    assert capsys.readouterr().out == "1\t0.6667\n2\t0.3333\n"
    endings = ("json", "map.png", "mask.png", "png")
    assert files("segments") == [f"photo.png.{ending}" for ending in endings]
    with PIL.Image.open("segments/photo.png.map.png") as picture:
        assert picture.mode == "I;16"
        ids = np.asarray(picture)
    assert np.array_equal(ids, Labeling.load("segments/photo.png.json").label_map)
    assert ids[0, 0] == 2  # ids run from the largest
    with PIL.Image.open("segments/photo.png.mask.png") as picture:
        colours = np.asarray(picture)
    assert len({tuple(colour) for colour in colours[ids == 1]}) == 1
    assert tuple(colours[ids == 1][0]) != tuple(colours[ids == 2][0])


def test_segment_lists_its_methods(capsys: pytest.CaptureFixture) -> None:
    assert main(["segment", "--method", "list"]) == 0
    listed = dict(line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert listed == SEGMENTERS


def test_a_folder_is_searched(capsys: pytest.CaptureFixture) -> None:
    for name in ("b.PNG", "sub/a.png", ".hidden.png", ".git/c.png"):
        Path("photos", name).parent.mkdir(parents=True, exist_ok=True)
        Path("photos", name).write_bytes(photo().read_bytes())
    Path("photos/notes.txt").write_text("no image")
    Path("photos/sub/loop").symlink_to("..", target_is_directory=True)
    assert main(["segment", "photos"]) == 0
    expected = ["b.PNG.json", "b.PNG.map.png", "b.PNG.mask.png", "b.PNG.png"]
    expected += [f"sub/a.png.{ending}" for ending in ("json", "map.png", "mask.png", "png")]
    assert files("segments") == expected


def test_segment_has_no_legend_flag(capsys: pytest.CaptureFixture) -> None:
    assert main(["segment", str(photo()), "--legend", "never"]) == 2


# Usage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["label"], "Missing argument 'INPUT' (see zeroguide label --help)."),
        (["lable"], "No such command 'lable'"),
        (["label", "x", "--overwite"], "No such option: --overwite"),
        (["label", "x", "--legend", "maybe"], "Invalid value for '--legend'"),
        (["label", "x", "--seed", "one"], "Invalid value for '--seed'"),
        (["label", "x", "--seed", "-1"], "seed"),
        (["label", "x", "--device", "gpu"], "unknown device 'gpu'; use auto, cpu, cuda, cuda:N"),
        (["label", "x", "--format", "coc"], "unknown --format 'coc': did you mean 'coco'?"),
        (["label", "x", "--preset", "fsat"], "unknown preset 'fsat': did you mean 'fast'?"),
        (["label", "x", "--set", "decoder.beam=2"], "did you mean 'decoder.beam_size'?"),
        (["label", "x", "--set", "decoder.method=beem"], "did you mean 'beam'?"),
        (["label", "x", "--set", "decoder.beam_size"], "must look like decoder.beam_size=8"),
        (["segment", "x", "--method", "kmean"], "did you mean 'kmeans'?"),
        (["models"], "Missing command (see zeroguide models --help)."),
        (["models", "check", "--preset", "tinny"], "did you mean 'tiny'?"),
        (["models", "pull", "--preset", "tinny"], "did you mean 'tiny'?"),
    ],
)
def test_wrong_usage(argv: list[str], message: str, capsys: pytest.CaptureFixture) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert snapshot() == []


def test_without_arguments_help(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 0
    assert "Usage: zeroguide" in capsys.readouterr().out


def test_models_list(capsys: pytest.CaptureFixture) -> None:
    assert main(["models", "list"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert rows[0][0] == "fast"
    assert ["tiny", "dino", "shipped:tiny/dino"] in [row[:3] for row in rows]
    assert {len(row) for row in rows} == {4}


# The real process ---------------------------------------------------------------------------------


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )


def test_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = run("-m", "zeroguide", "--version")
    assert (done.stdout, done.returncode) == (f"zeroguide {project['version']}\n", 0)


HEAVY = {"torch", "transformers", "open_clip", "sklearn", "scipy", "numpy"}
# What only running needs. typer itself takes pydantic to read what stands after a group's name.
LATER = {"huggingface_hub", "rich", "PIL", "zeroguide.recipe", "zeroguide.models"}
COMMANDS = ("label", "segment", "fit", "discover", "export", "search", "video", "web")


@pytest.mark.parametrize(
    ("argv", "later"),
    [
        (["--version"], {*LATER, "pydantic"}),
        (["--help"], {*LATER, "pydantic"}),
        *((([name, "--help"]), {*LATER, "pydantic"}) for name in (*COMMANDS, "eval", "models")),
        (["eval", "compare", "--help"], LATER),
        (["models", "pull", "--help"], LATER),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_imports_nothing_heavy(argv: list[str], later: set[str]) -> None:
    code = (
        "import sys; from zeroguide.cli import main; assert main(sys.argv[1:]) == 0;"
        f"print('heavy:', *{HEAVY | later!r} & set(sys.modules))"
    )
    assert run("-c", code, *argv).stdout.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize("argv", [["label", "missing.jpg"], ["label", "x", "--preset", "tny"]])
def test_mistakes_are_answered_before_torch_is_imported(argv: list[str]) -> None:
    code = (
        "import sys; from zeroguide.cli import main; code = main(sys.argv[1:]);"
        "print(code, 'torch' in sys.modules)"
    )
    done = run("-c", code, *argv)
    assert done.stdout.split() in (["1", "False"], ["2", "False"])
    assert done.stderr.count("\n") == 1


def test_importing_the_package_imports_nothing() -> None:
    code = f"import sys, zeroguide; print(*{HEAVY!r} & set(sys.modules)); zeroguide.Labeling"
    assert run("-c", code).stdout == "\n"
    assert set(zeroguide.__all__) == set(dir(zeroguide))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = zeroguide.nothing


def test_closed_stdout_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    for argv, code in ((["models", "list"], 0), (["--help"], 141), (["--version"], 141)):
        command = [sys.executable, "-m", "zeroguide", *argv]
        done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=ENVIRONMENT)
        assert (done.returncode, done.stderr) == (code, b"")
    os.close(write)


@pytest.mark.parametrize("command", ["label", "segment"])
@pytest.mark.parametrize("with_stderr", [False, True])
def test_a_reader_that_goes_away_costs_no_results(command: str, with_stderr: bool) -> None:
    """`zeroguide label photos | head`: results are files."""
    for i in range(3):
        photo(f"in/{i}.png")
    read, write = os.pipe()
    os.close(read)
    script = (
        "import sys; sys.path[:0] = sys.argv.pop(1).split(':')\n"
        "import fake_labeler; sys.modules['zeroguide.labeler'] = fake_labeler.module()\n"
        "sys.modules['zeroguide.segmenter'] = fake_labeler.module()\n"
        "import zeroguide.cli as cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    argv = [sys.executable, "-c", script, str(Path(fake_labeler.__file__).parent), command, "in"]
    argv += ["-o", "out", "--preset", "tiny", "--device", "cpu"]
    stderr = write if with_stderr else subprocess.PIPE
    done = subprocess.run(argv, stdout=write, stderr=stderr, env=ENVIRONMENT)
    os.close(write)
    assert done.returncode == 0
    assert {f"{i}.png.json" for i in range(3)} <= set(files("out"))
    if not with_stderr:
        assert b"Traceback" not in done.stderr
        assert b"results are in out" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["beam", "zerocap", "text-memory"])
def test_nothing_on_stderr_is_the_libraries(tmp_path: Path, decoder: str) -> None:
    """With real models, as a user runs it: a library's warning is nothing a user can mend."""
    PIL.Image.open(ROOT / "examples" / "playroom.png").crop((0, 0, 128, 128)).save("scene.png")
    knobs = {"decoder.method": decoder, "decoder.max_tokens": 2, "decoder.iterations": 1}
    settings = [word for name, value in knobs.items() for word in ("--set", f"{name}={value}")]
    argv = ["label", "scene.png", "--preset", "tiny", "--device", "cpu", "-o", "out", *settings]
    done = run("-m", "zeroguide", *argv)
    assert (done.returncode, Path("out/scene.png.json").is_file()) == (0, True)
    notes = done.stderr.splitlines()
    assert notes and all(line.startswith("note: ") for line in notes)


def test_on_a_terminal_a_ruled_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real pseudo-terminal: the table on stdout, colours, no stray progress."""
    photo()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import fake_labeler;"
        "sys.modules['zeroguide.labeler'] = fake_labeler.module();"
        "import zeroguide.models;"
        "zeroguide.models.prepare = lambda checkpoints, offline: None;"
        "from zeroguide.cli import main; sys.exit(main(['label', 'photo.png']))"
    )
    main_end, process_end = pty.openpty()
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(main_end, 4096):
                shown.extend(data)
        except OSError:  # the other end was closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent)],
        stdout=process_end,
        stderr=process_end,
        env={**ENVIRONMENT, "TERM": "xterm"},
    )
    os.close(process_end)
    reader.join(10)
    text = shown.decode()
    assert done.returncode == 0
    assert "blue sky" in text
    assert "│" in text
    assert "\t" not in text
