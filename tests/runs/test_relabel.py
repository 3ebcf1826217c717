"""Labels of a run renamed: joined, swapped, kept for images to come, taken back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from zeroguide.cli import main
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.result import Labeling
from zeroguide.result.renames import composed
from zeroguide.runs import label_maps, relabel
from zeroguide.runs.label_run import Run
from zeroguide.runs.run_folder import RunFolder
from zeroguide.runs.sources import find_items

from .stand_ins import picture, settings, texts

TREE, SKY = "tall tree", "blue sky"  # what the stand-in writes on every image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a/x.png", "a/y.png", "z.png"):
        picture(tmp_path / "in" / name)
    return tmp_path / "in"


def label(images: Path, output: Path, workers: int = 1, **changes: Any) -> None:
    items = find_items([str(images)], output, lambda text: None)
    chosen = settings(output, **changes)
    load = chosen.load_labeler if workers == 1 else None
    summary = Run(items, chosen, items.roots, workers=workers, load_labeler=load).label()
    assert summary.failed == 0


def labels(output: Path) -> dict[str, list[str]]:
    return {e.key: [s.label for s in e.labeling.segments] for e in RunFolder(output)}


@pytest.fixture
def run(images: Path, tmp_path: Path) -> Path:
    label(images, tmp_path / "run", overlay=True)
    return tmp_path / "run"


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "map.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_label_is_renamed_and_the_segment_keeps_what_was_written(run: Path) -> None:
    before = Labeling.load(run / "z.png.json")
    done = relabel.relabel(run, {TREE: "plant"})
    assert (done.segments, done.images, done.unknown) == (3, 3, ())
    after = Labeling.load(run / "z.png.json")
    assert [(s.label, s.original) for s in after.segments] == [(SKY, None), ("plant", TREE)]
    assert after.segments[1].alternatives == before.segments[1].alternatives
    assert (after.label_map == before.label_map).all()
    after.save(run / "again.json")
    assert (run / "again.json").read_bytes() == (run / "z.png.json").read_bytes()


def test_labels_are_joined_and_undone_to_the_byte(run: Path) -> None:
    before = texts(run)
    relabel.relabel(run, {TREE: "thing", SKY: "thing"})
    assert set(map(tuple, labels(run).values())) == {("thing", "thing")}
    relabel.relabel(run, {"thing": "matter"})
    assert label_maps.kept(run) == {TREE: "matter", SKY: "matter", "thing": "matter"}
    assert texts(run).keys() == before.keys() | {"renamed-labels.csv"}
    done = relabel.undo(run)
    assert (done.segments, done.images, done.drawn) == (6, 3, 3)
    assert texts(run) == before


def test_a_map_is_applied_once(run: Path) -> None:
    before = texts(run)
    relabel.relabel(run, {TREE: SKY, SKY: TREE})
    assert labels(run)["z.png"] == [TREE, SKY]
    relabel.relabel(run, {TREE: SKY, SKY: TREE})
    assert texts(run) == before


def test_tables_one_after_the_other() -> None:
    assert composed({"a": "b", "b": "a"}, {"a": "c"}) == {"a": "b", "b": "c"}
    assert composed({"a": "b"}, {"b": "a"}) == {"b": "a"}
    assert composed({"puppy": "dog"}, {"dog": "animal"}) == {"puppy": "animal", "dog": "animal"}


@pytest.mark.parametrize("workers", [1, 2])
def test_images_to_come_get_the_labels_as_if_renamed_afterwards(
    images: Path, tmp_path: Path, workers: int
) -> None:
    table = {TREE: "plant", "not there yet": "x"}
    label(images, tmp_path / "whole", overlay=True)
    relabel.relabel(tmp_path / "whole", table)
    (images / "z.png").rename(tmp_path / "z.png")
    label(images, tmp_path / "run", overlay=True)
    assert relabel.relabel(tmp_path / "run", table).unknown == ("not there yet",)
    (tmp_path / "z.png").rename(images / "z.png")
    picture(images / "a/x.png", seed=1)
    label(images, tmp_path / "run", workers, overlay=True)
    again = texts(tmp_path / "run")
    label(images, tmp_path / "new", overlay=True)
    relabel.relabel(tmp_path / "new", table)
    assert again == texts(tmp_path / "new")
    assert again["z.png.json"] == texts(tmp_path / "whole")["z.png.json"]


def test_overlays_show_the_new_labels(run: Path, images: Path, tmp_path: Path) -> None:
    before = texts(run)
    (images / "z.png").rename(tmp_path / "z.png")
    picture(images / "a/y.png", seed=1)  # another picture by now
    (run / "a/x.png.png").unlink()  # nobody wanted it
    done = relabel.relabel(run, {TREE: "plant"})
    assert (done.images, done.drawn, done.not_drawn) == (3, 0, 2)
    assert not (run / "a/x.png.png").exists()
    relabel.undo(run)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "z.png").rename(tmp_path / "elsewhere/z.png")
    done = relabel.relabel(run, {TREE: "plant"}, photos_at=tmp_path / "elsewhere")
    assert (done.drawn, done.not_drawn) == (1, 1)
    after = texts(run)
    assert after["z.png.png"] != before["z.png.png"]
    assert after["a/y.png.png"] == before["a/y.png.png"]


def test_photos_in_an_archive_are_found(run: Path, images: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "photos"), "tar", images)
    label(Path(archive), tmp_path / "packed", overlay=True)
    done = relabel.relabel(tmp_path / "packed", {TREE: "plant"})
    assert (done.drawn, done.not_drawn) == (3, 0)
    relabel.relabel(run, {TREE: "plant"})
    packed, plain = texts(tmp_path / "packed"), texts(run)
    (name,) = (name for name in packed if name.endswith("z.png.png"))
    assert packed[name] == plain["z.png.png"]


@pytest.mark.parametrize("at", range(1, 7))
def test_what_is_interrupted_is_finished(
    run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
) -> None:
    table = {TREE: SKY, SKY: TREE}
    shutil.copytree(run, tmp_path / "whole")
    relabel.relabel(tmp_path / "whole", table)
    calls = 0

    def dying(write: Any) -> Any:
        def once(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            write(*arguments)

        return once

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(relabel, "write_png", dying(relabel.write_png))
        patch.setattr(
            "zeroguide.runs.documents.write_atomically",
            dying(label_maps.write_atomically),
        )
        relabel.relabel(run, table)
    for read in (
        lambda: list(RunFolder(run)),
        lambda: relabel.count_labels(run),
        lambda: label(tmp_path / "in", run),
    ):
        with pytest.raises(UsageError, match="was interrupted"):
            read()
    relabel.relabel(run, table)
    assert texts(run) == texts(tmp_path / "whole")


def test_another_map_after_an_interruption(run: Path) -> None:
    label_maps.begin(run, {TREE: "plant"})
    relabel.relabel(run, {"plant": "wood"})
    assert labels(run)["z.png"] == [SKY, "wood"]
    label_maps.begin(run, {})
    before = relabel.undo(run)
    assert before.segments == 3 and not label_maps.kept(run)


def test_results_of_another_table_are_refused(run: Path) -> None:
    relabel.relabel(run, {TREE: "plant"})
    (run / "renamed-labels.csv").unlink()
    before = texts(run)
    with pytest.raises(ZeroguideError, match=r"calls 'plant' what the models called 'tall tree'"):
        relabel.relabel(run, {SKY: "heaven"})
    assert texts(run) == before
    relabel.undo(run)
    assert labels(run)["z.png"] == [SKY, TREE]


def test_counts_and_examples(run: Path) -> None:
    counts = relabel.count_labels(run, examples=2)
    assert [(c.label, c.segments, c.images) for c in counts] == [(SKY, 3, 3), (TREE, 3, 3)]
    assert len(counts[1].examples) == 2
    key, id = counts[1].examples[0]
    assert Labeling.load(run / f"{key}.json").segments[id - 1].label == TREE


def test_the_list_is_a_map(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["relabel", str(run), "--list"]) == 0
    listed = capsys.readouterr().out
    assert listed == f"old,new,segments,images\n{SKY},{SKY},3,3\n{TREE},{TREE},3,3\n"
    edited = write(tmp_path, listed.replace(f"{TREE},{TREE}", f'{TREE},"tree, tall"'))
    assert main(["relabel", str(run), "--map", str(edited)]) == 0
    assert "3 segments of 3 images renamed, 3 overlays drawn anew" in capsys.readouterr().err
    assert labels(run)["z.png"] == [SKY, "tree, tall"]
    assert main(["relabel", str(run)]) == 0
    assert '"tree, tall","tree, tall",3,3\n' in capsys.readouterr().out
    assert main(["relabel", str(run), "--undo"]) == 0
    assert labels(run)["z.png"] == [SKY, TREE]


def test_the_same_map_again_changes_nothing(run: Path) -> None:
    table = {TREE: "plant", SKY: SKY, "cow": "animal"}
    assert relabel.relabel(run, table).unknown == ("cow",)
    before = texts(run)
    again = relabel.relabel(run, table)
    assert (again.segments, again.images) == (0, 0)
    assert texts(run) == before


def test_unknown_labels_are_said_once(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, f"old,new\ncow,animal\n{TREE},plant\nhen,animal\n")
    assert main(["relabel", str(run), "--map", str(path)]) == 0
    said = capsys.readouterr().err
    assert "2 of the 3 labels of the map aren't in" in said and "(cow, hen)" in said


@pytest.mark.parametrize(
    "text", ["old;new\r\ntall tree;plant\r\n;\r\n", '"Old"\t"New"\ntall tree\tplant']
)
def test_maps_of_spreadsheets(run: Path, tmp_path: Path, text: str) -> None:
    assert main(["relabel", str(run), "--map", str(write(tmp_path, "\ufeff" + text))]) == 0
    assert labels(run)["z.png"] == [SKY, "plant"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("old,new\ncow,animal\n", "has none of the labels to rename ('cow')"),
        ("cow,animal\n", "first line is 'cow,animal', not old,new"),
        ("", "first line is '', not old,new"),
        ("old,new\n", "holds no row"),
        ("old,new\na,b\nc,d\na,e\n", "line 4: 'a' is to become 'e', but 'b' further up"),
        ("old,new\na, \n", "line 2: has no new label beside 'a'"),
        ("old,new\na\n", "line 2: has no new label beside 'a'"),
        ("old,new\n,b\n", "line 2: has no old label beside 'b'"),
        ('old,new\n"a,b\n', "isn't CSV"),
        (b"old,new\n\xe9t\xe9,summer\n", "isn't UTF-8"),
    ],
)
def test_bad_maps_change_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | bytes, said: str
) -> None:
    before = texts(run)
    assert main(["relabel", str(run), "--map", str(write(tmp_path, text))]) == 2
    err = capsys.readouterr().err
    assert said in err.replace("\n", " ") and "Traceback" not in err
    assert texts(run) == before


def test_wrong_usage(run: Path, tmp_path: Path) -> None:
    assert main(["relabel", str(tmp_path / "nowhere")]) == 2
    assert main(["relabel", str(run), "--map", str(tmp_path / "nowhere.csv")]) == 2
    assert main(["relabel", str(run), "--undo", "--list"]) == 2
    (run / "z.png.json").write_text('{"schema": "zeroguide/1", "im')
    before = texts(run)
    with pytest.raises(ZeroguideError, match=r"z\.png\.json: is damaged"):
        relabel.relabel(run, {TREE: "plant"})
    assert texts(run) == before


def test_results_of_a_cluster(images: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import json

    from zeroguide.runs.parts import Row, write_part
    from zeroguide.runs.ray_stages import _BlockResults

    def cluster(output: Path, renames: dict[str, str]) -> Path:
        chosen = settings(output, renames=renames)
        results = _BlockResults(chosen)
        labeler = chosen.load_labeler()
        rows = []
        from zeroguide.image import open_image

        for key in ("a/x.png", "z.png"):
            image = open_image(images / key)
            labeling = results.write(None, image, labeler.label_batch([image])[0])  # type: ignore[arg-type]
            rows.append(Row(key, labeling.sha256, json.dumps(labeling.to_dict())))
        return write_part(output / "parts", rows, 1)

    plain = cluster(tmp_path / "run", {}).read_bytes()
    relabel.relabel(tmp_path / "run", {TREE: "plant"})
    renamed = cluster(tmp_path / "new", {TREE: "plant"})
    (part,) = (tmp_path / "run/parts").iterdir()
    assert (part.name, part.read_bytes()) == (renamed.name, renamed.read_bytes())
    assert labels(tmp_path / "run")["z.png"] == [SKY, "plant"]
    relabel.undo(tmp_path / "run")
    assert part.read_bytes() == plain
