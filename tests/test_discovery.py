"""Classes of a folder: planted clusters are found, typical segments come first."""

import json
import os

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.cli import main
from zeroguide.evaluate.discovery import discover_classes
from zeroguide.evaluate.taxonomy import Survey, labeling_of
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result.overlay.contact_sheet import MARGIN, TILE, Card, contact_sheet, cut_out


def planted(
    counts: list[int], noise: float = 0.05, d: int = 16
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings and texts around one direction a class, of any length; and the classes (n,)."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(len(counts)), counts)
    rows = np.eye(d)[truth] + noise * rng.normal(size=(len(truth), d))
    rows *= rng.uniform(0.5, 20, size=(len(truth), 1))
    return rows.astype("f4"), np.eye(d, dtype="f4")[truth], truth


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    return pairs == len(np.unique(a)) == len(np.unique(b))


@pytest.mark.parametrize("n_classes", [4, None])
def test_planted_classes_are_found(n_classes):
    embeddings, texts, truth = planted([40, 12, 25, 9])
    found = discover_classes(embeddings, texts, n_classes=n_classes)
    assert same_partition(found.labels, truth)
    assert np.bincount(found.labels).tolist() == [40, 25, 12, 9]  # the largest first
    directions = found.centres[found.labels].argmax(axis=1)
    assert np.array_equal(directions, truth)
    assert np.linalg.norm(found.centres, axis=1) == pytest.approx(np.ones(4), abs=1e-5)


def test_texts_tell_apart_what_looks_the_same():
    embeddings, _, _ = planted([60])
    names = np.repeat([0, 1], 30)
    texts = np.eye(4, dtype="f4")[names]
    found = discover_classes(embeddings, texts, n_classes=2)
    assert same_partition(found.labels, names)
    blind = discover_classes(embeddings, texts, n_classes=2, embedding_weight=1)
    assert not same_partition(blind.labels, names)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 30), st.one_of(st.none(), st.integers(1, 40)), st.integers(1, 4), st.booleans()
)
def test_any_number_of_segments(n, n_classes, n_kinds, named):
    embeddings, texts, _ = planted([n] * n_kinds, noise=0.3)
    texts = texts if named else np.zeros_like(texts)
    found = discover_classes(embeddings, texts, n_classes=n_classes)
    counts = np.bincount(found.labels)
    assert len(counts) == len(found.centres) and counts.min() >= 1
    assert (np.diff(counts) <= 0).all()
    assert n_classes is None or len(counts) <= n_classes
    again = discover_classes(embeddings, texts, n_classes=n_classes)
    assert np.array_equal(found.labels, again.labels)


def test_equal_segments_are_one_class():
    found = discover_classes(np.ones((20, 8)), np.ones((20, 8)), n_classes=5)
    assert found.labels.max() == 0


def test_examples_are_typical_and_from_different_images():
    embeddings, texts, _ = planted([30, 30], noise=0.2)
    found = discover_classes(embeddings, texts, n_classes=2)
    images = np.arange(60) // 3
    for number in range(2):
        examples = found.examples(number, images, 5)
        assert (found.labels[examples] == number).all()
        assert len(set(images[examples])) == 5
        best = np.flatnonzero(found.labels == number)
        assert found.nearness[examples[0]] == found.nearness[best].max()
        assert (np.diff(found.nearness[examples]) <= 0).all()
    few = found.examples(0, np.zeros(60, int), 5)  # one image has to do
    assert len(set(few)) == 5


# A survey of rendered scenes ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        PIL.Image.fromarray(render(5, i, size=112).pixels).save(folder / f"{i}.png")
    return folder


@pytest.mark.slow
def test_a_survey_agrees_with_the_labeler(folder):
    labeler = Labeler(load_recipe("tiny"), device="cpu", offline=True)
    images = []
    with Survey(labeler) as survey:
        for path in sorted(folder.iterdir()):
            images.append(from_array(np.asarray(PIL.Image.open(path)), path.name))
            survey.add(path, images[-1])
        taxonomy, found = survey.find_classes(7)
        cards = survey.cards(taxonomy, found, 100)
        assert len(survey.cards(taxonomy, found, 2)) == 2
        maps = [survey.class_map(i, found) for i in range(len(images))]
    assert taxonomy.n_images == 6 and len(taxonomy.classes) == len(cards) <= 7
    assert sum(c.share for c in taxonomy.classes) == pytest.approx(1)
    pixels = np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=8)[1:]
    for own in taxonomy.classes:
        assert own.share == pytest.approx(pixels[own.id - 1] / pixels.sum())
        assert own.n_images == sum((m == own.id).any() for m in maps)
        assert 0 <= own.confidence <= 1 and own.label
        for example in own.examples:
            x, y, w, h = example.bbox
            number = int(example.path.stem)
            assert (maps[number][y : y + h, x : x + w] == own.id).any()
    for image, class_map in zip(images, maps, strict=True):
        # every segment of the labeler lies in one class
        plain = labeler.label(image)
        for segment in plain.segments:
            assert len(np.unique(class_map[plain.mask(segment.id)])) == 1
        labeling = labeling_of(image, class_map, taxonomy.classes, taxonomy.recipe)
        for segment in labeling.segments:
            (own,) = np.unique(class_map[labeling.mask(segment.id)])
            assert taxonomy.classes[own - 1].label == segment.label


def test_command(folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"no picture")
    output = tmp_path / "classes"
    arguments = ["discover", str(folder), "-o", str(output), "--preset", "tiny", "--classes", "5"]
    try:
        assert main(arguments) == 3
    finally:
        (folder / "broken.png").unlink()
    written = json.loads((output / "taxonomy.json").read_text())
    assert written["schema"] == "zeroguide-taxonomy/1" and written["images"] == 6
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[1] for row in rows] == [c["label"] for c in written["classes"]]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert "broken.png" in (output / "failures.jsonl").read_text()
    for i in range(6):
        with PIL.Image.open(output / f"{i}.png.map.png") as picture:
            assert picture.mode == "I;16" and picture.size == (112, 112)
            assert np.isin(np.asarray(picture), range(1, len(rows) + 1)).all()
        assert (output / f"{i}.png.png").stat().st_size > 1000
    with PIL.Image.open(output / "classes.png") as sheet:
        assert sheet.width > 5 * TILE
    assert main(arguments) == 1  # nothing is replaced without being asked
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("classes", ["0", "many", "-3", "70000"])
def test_wrong_number_of_classes(folder, classes, capsys):
    assert main(["discover", str(folder), "--classes", classes]) == 2
    assert "must be auto or a number from 1 to 65535" in capsys.readouterr().err


# The sheet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 60), (300, 20), (1, 1), (2, 500)])
def test_a_cut_out_shows_the_segment(shape):
    pixels = np.full((*shape, 3), 200, np.uint8)
    mask = np.zeros(shape, bool)
    mask[-1, -1] = True
    pixels[-1, -1] = (255, 0, 0)
    tile = np.asarray(cut_out(pixels, mask)).astype(int)
    assert tile.shape == (TILE, TILE, 3)
    assert (tile[..., 0] - tile[..., 1]).max() > 60  # the red pixel is there


def test_a_sheet_has_room_for_its_title_and_cards():
    tile = PIL.Image.new("RGB", (TILE, TILE), "red")
    one = contact_sheet([Card("dog", "2 segments", [tile])], "1 class", n_more=1234)
    assert one.width > TILE + 2 * MARGIN  # the title is wider than the card
    cards = [Card(f"class {i}", "", [tile]) for i in range(30)]
    many = np.asarray(contact_sheet(cards, "30 classes"))
    red = (many == (255, 0, 0)).all(axis=-1)
    assert red.sum() == 30 * TILE * TILE
    longer = np.asarray(contact_sheet(cards, "30 classes", n_more=5))
    assert longer.shape == many.shape and (longer != many).any()  # the heading counts the others
    assert contact_sheet([], "0 classes").width > 1


def test_own_pictures_are_never_replaced(folder, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    photo = (folder / "0.png").read_bytes()
    (photos / "classes.png").write_bytes(photo)
    (photos / "b.png").write_bytes(photo)
    for flags in ([], ["--overwrite"]):
        arguments = ["discover", str(photos), "-o", str(photos), "--preset", "tiny", *flags]
        assert main(arguments) == 2
        assert "would replace a file of this run" in capsys.readouterr().err
    assert (photos / "classes.png").read_bytes() == photo


def test_any_file_name_can_be_told(folder, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    name = os.fsdecode(b"x\xff.png")
    try:
        (photos / name).write_bytes((folder / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    output = tmp_path / "classes"
    assert main(["discover", str(photos), "-o", str(output), "--preset", "tiny"]) == 0
    examples = json.loads((output / "taxonomy.json").read_text())["classes"][0]["examples"]
    assert examples[0]["file"].endswith("x\\xff.png")
