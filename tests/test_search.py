"""Search: against brute force, on real rooms, and an index that is never out of date."""

from __future__ import annotations

import errno
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from zeroguide.cli import main
from zeroguide.clip import TextEncoder
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.image import from_array
from zeroguide.models import load_clip
from zeroguide.playroom import render
from zeroguide.recipe import load_recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.provenance import provenance
from zeroguide.runs.layout import PARTS, result_path
from zeroguide.runs.run_folder import Manifest, RunFolder
from zeroguide.runs.search import Hit, Searcher, search
from zeroguide.runs.search import index as index_module
from zeroguide.runs.search.index import FILE, open_index
from zeroguide.runs.search.index_file import Index
from zeroguide.runs.search.searcher import best_rows, cosines_with
from zeroguide.runs.search.sheet import HEIGHT, MOST_TILES, WIDTH, draw_sheet, view

SEED, N_ROOMS = 7, 6
LENGTH = 128  # of the tiny CLIP's embeddings
TINY = provenance(load_recipe("tiny"))
KEYS = ("a/x.jpg", "b/x.jpg", "b/naïve\n名.png")


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of rooms and their labels in run/."""
    folder = tmp_path_factory.mktemp("rooms")
    (folder / "images").mkdir()
    for i in range(N_ROOMS):
        PIL.Image.fromarray(render(SEED, i, size=112).pixels).save(folder / "images" / f"{i}.png")
    command = ["label", str(folder / "images"), "-o", str(folder / "run"), "--preset", "tiny"]
    assert main([*command, "--device", "cpu", "--no-overlay", "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def searcher(rooms: Path) -> Searcher:
    return Searcher(rooms / "run", device="cpu", offline=True)


@pytest.fixture
def room_run(rooms: Path, tmp_path: Path) -> Path:
    """A run over rooms that a test may change."""
    return Path(shutil.copytree(rooms / "run", tmp_path / "run"))


def add(run: Path, key: str, embeddings: np.ndarray | None, recipe: object = TINY) -> None:
    """Write the result of an image whose segments are columns, one wider than the next."""
    n = 2 if embeddings is None else len(embeddings)
    label_map = np.repeat(np.arange(n), np.arange(n, 0, -1))[None].repeat(3, axis=0)
    rows: Sequence[np.ndarray | None] = [None] * n if embeddings is None else list(embeddings)
    labels = [Label(f"{key} {i + 1}", 0.5, 0.5, (), (), row) for i, row in enumerate(rows)]
    image = from_array(np.zeros((*label_map.shape, 3), np.uint8), key.rpartition("/")[2])
    assert isinstance(recipe, dict)
    path = result_path(run, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    Labeling.build(image, label_map, labels, recipe).save(path)


def random_rows(n: int, seed: int, length: int = LENGTH) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, length)).astype(np.float32)


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    """Three images in two folders, one of whose names is unusual; nine segments."""
    run = tmp_path / "run"
    run.mkdir()
    Manifest(TINY).write(run)
    for i, key in enumerate(KEYS):
        add(run, key, random_rows(i + 2, i))
    return run


def keys_and_ids(hits: list[Hit]) -> list[tuple[str, int]]:
    return [(hit.key, hit.segment) for hit in hits]


# -- what is found ---------------------------------------------------------------------------------


def test_the_best_hit_for_a_name_mostly_shows_that_thing(searcher: Searcher) -> None:
    shown: dict[tuple[str, int], str] = {}
    for entry in searcher.run:
        scene = render(SEED, int(entry.key.removesuffix(".png")), size=112)
        for segment in entry.labeling.segments:
            inside = scene.label_map[entry.labeling.mask(segment.id)]
            shown[entry.key, segment.id] = scene.names[int(np.bincount(inside).argmax())]
    names = sorted(set(shown.values()))
    best = [searcher.find(name, 1)[0] for name in names]
    right = [shown[hit.key, hit.segment] == name for hit, name in zip(best, names, strict=True)]
    assert len(names) >= 10  # so that chance is a tenth at most
    assert np.mean(right) >= 0.5
    assert all(hit.image is not None and hit.image.is_file() for hit in best)


@pytest.mark.parametrize("per_image", [None, 1, 2])
def test_ranks_as_brute_force_does(searcher: Searcher, per_image: int | None) -> None:
    # A text is read as the recipe's labels are, after its prompt.
    texts = TextEncoder(load_clip("shipped:tiny/clip", device="cpu"))
    query = texts.embed(["a photo of night sky"])[0].numpy().astype(np.float64)
    every = []
    for entry in searcher.run:
        assert entry.labeling.embeddings is not None
        own = entry.labeling.embeddings.astype(np.float64) @ query
        found = [
            (-cosine, entry.key, segment.id, segment.label)
            for cosine, segment in zip(own, entry.labeling.segments, strict=True)
        ]
        every += sorted(found)[:per_image]
    every.sort()
    for n in (1, 7, len(every), len(every) + 5):
        hits = searcher.find("  night \n sky ", n, per_image=per_image)
        expected = [(key, id, label) for _, key, id, label in every[:n]]
        assert [(hit.key, hit.segment, hit.label) for hit in hits] == expected
        cosines = [-one[0] for one in every[:n]]
        np.testing.assert_allclose([hit.cosine for hit in hits], cosines, atol=1e-5)


def test_the_cosine_is_the_score_of_a_label_that_was_read_alike(searcher: Searcher) -> None:
    # The tiny language model writes "water" after the prompt without an article, so the label's
    # score is the cosine of the very text that a search for it compares.
    hit = searcher.find("water", 1)[0]
    labeling = Labeling.load(result_path(searcher.run.path, hit.key))
    assert hit.label == "water"
    assert hit.cosine == pytest.approx(labeling.segments[hit.segment - 1].score, abs=1e-3)


@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=12).filter(any),
    seed=st.integers(0, 99),
    n=st.integers(1, 30),
    per_image=st.none() | st.integers(1, 3),
)
@settings(deadline=None, max_examples=200)
def test_best_rows_is_a_stable_sort(
    counts: list[int], seed: int, n: int, per_image: int | None
) -> None:
    first = np.concatenate([[0], np.cumsum(counts)])
    total = int(first[-1])
    # few different values: most of them tie
    cosines = np.random.default_rng(seed).integers(0, 4, total).astype(np.float32) / 4
    empty = np.empty(0)
    index = Index({}, [], [], [], first, empty, empty, empty)
    image_of = np.repeat(np.arange(len(counts)), counts)
    expected: list[int] = []
    for row in sorted(range(total), key=lambda row: (-cosines[row], row)):
        same = sum(image_of[row] == image_of[other] for other in expected)
        if per_image is None or same < per_image:
            expected.append(row)
    assert best_rows(index, cosines, n, per_image).tolist() == expected[:n]


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 10_000])
def test_cosines_over_borders_of_blocks(n: int) -> None:
    embeddings = random_rows(n, 0, 3).astype(np.float16)
    query = np.array([0.6, -0.8, 0.5], np.float32)
    expected = embeddings.astype(np.float64) @ query.astype(np.float64)
    np.testing.assert_allclose(cosines_with(embeddings, query), expected, atol=1e-5)


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_text_is_refused_before_anything_is_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        search(tmp_path / "nowhere", text)


def test_a_text_that_is_no_text(searcher: Searcher) -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        searcher.find("\udcff")


def test_a_very_long_text(searcher: Searcher) -> None:
    assert len(searcher.find("red " * 5000, 3)) == 3  # CLIP reads its beginning


# -- the index -------------------------------------------------------------------------------------


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of results that are read from now on."""
    seen: list[str] = []
    read = index_module._read

    def spy(path: Path, key: str, text: str | bytes) -> object:
        seen.append(key)
        return read(path, key, text)

    monkeypatch.setattr(index_module, "_read", spy)
    return seen


def content(index: Index) -> list[tuple[str, list[str], bytes]]:
    """What an index says of each image, however it is laid out."""
    return [
        (key, [index.labels[i] for i in index.label[a:b]], index.embeddings[a:b].tobytes())
        for key, a, b in zip(index.keys, index.first[:-1], index.first[1:], strict=True)
    ]


def truth(run: Path) -> list[tuple[str, list[str], bytes]]:
    """The same, from the results."""
    return sorted(
        (
            entry.key,
            [s.label for s in entry.labeling.segments if entry.labeling.embeddings is not None],
            b"" if entry.labeling.embeddings is None else entry.labeling.embeddings.tobytes(),
        )
        for entry in RunFolder(run)
    )


def test_the_index_holds_what_the_results_hold(small_run: Path) -> None:
    index = open_index(RunFolder(small_run))
    assert sorted(content(index)) == truth(small_run)
    assert index.embeddings.shape == (9, LENGTH) and index.embeddings.dtype == np.float16


def test_the_index_is_a_safetensors_file(small_run: Path) -> None:
    index = open_index(RunFolder(small_run))
    with safe_open(small_run / FILE, "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("embeddings"), index.embeddings)
        np.testing.assert_array_equal(file.get_tensor("first"), index.first)
        np.testing.assert_array_equal(file.get_tensor("label"), index.label)


def test_the_index_is_no_result_and_nothing_else_is_left(small_run: Path) -> None:
    before = {path for path in small_run.rglob("*")}
    keys = RunFolder(small_run).keys()
    open_index(RunFolder(small_run))
    assert {path for path in small_run.rglob("*")} - before == {small_run / FILE}
    assert RunFolder(small_run).keys() == keys


def test_nothing_is_read_while_nothing_changes(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_index(RunFolder(small_run))
    (small_run / "a" / "notes.json").write_text('{"mine": 1}')  # no result
    (small_run / "exports").mkdir()
    shutil.copy(result_path(small_run, "a/x.jpg"), small_run / "exports" / "x.json")
    seen = reads(monkeypatch)
    assert content(open_index(RunFolder(small_run))) == content(first)
    assert not seen


def test_a_new_image_is_found_and_others_are_not_read_again(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_index(RunFolder(small_run))
    seen = reads(monkeypatch)
    add(small_run, "a/a.jpg", random_rows(3, 10))
    assert sorted(content(open_index(RunFolder(small_run)))) == truth(small_run)
    assert seen == ["a/a.jpg"]


def test_an_image_that_is_gone_is_not_found(small_run: Path) -> None:
    open_index(RunFolder(small_run))
    result_path(small_run, "b/x.jpg").unlink()
    index = open_index(RunFolder(small_run))
    assert "b/x.jpg" not in index.keys
    assert sorted(content(index)) == truth(small_run)


def test_a_replaced_result_of_the_same_size_and_time_is_noticed(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = result_path(small_run, "a/x.jpg")
    open_index(RunFolder(small_run))
    before = path.stat()
    seen = reads(monkeypatch)
    add(small_run, "a/x.jpg", -random_rows(2, 0))
    # so that nothing but the inode tells
    path.write_bytes(path.read_bytes().ljust(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert sorted(content(open_index(RunFolder(small_run)))) == truth(small_run)
    assert seen == ["a/x.jpg"]


def test_any_series_of_changes_ends_in_what_the_results_hold(small_run: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(25):
        key = f"{'ab'[random.integers(2)]}/{random.integers(4)}.jpg"
        path = result_path(small_run, key)
        if path.exists() and random.random() < 0.4:
            path.unlink()
        else:
            n = int(random.integers(1, 5))
            add(small_run, key, None if random.random() < 0.2 else random_rows(n, i))
        index = open_index(RunFolder(small_run))
        assert sorted(content(index)) == truth(small_run)
        assert index.n_without == sum(not labels for _, labels, _ in truth(small_run))


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 1023, 1024, 2000, -1])
def test_a_truncated_index_is_made_again(small_run: Path, kept: int) -> None:
    whole = content(open_index(RunFolder(small_run)))
    path = small_run / FILE
    path.write_bytes(path.read_bytes()[:kept])
    assert content(open_index(RunFolder(small_run))) == whole
    assert content(open_index(RunFolder(small_run))) == whole


def test_a_damaged_index_never_raises(small_run: Path) -> None:
    whole = content(open_index(RunFolder(small_run)))
    path = small_run / FILE
    good = path.read_bytes()
    random = np.random.default_rng(0)
    size = 2 * 9 * LENGTH  # of the embeddings, whose damage isn't looked for
    places = [*range(0, 500, 7), *range(1024 + size, len(good), 13)]
    for place in places:
        damaged = bytearray(good)
        damaged[place] = int(random.integers(256))
        path.write_bytes(damaged)
        index = open_index(RunFolder(small_run))
        assert index.embeddings.shape == (9, LENGTH)
    path.write_bytes(b"\0" * len(good))
    assert content(open_index(RunFolder(small_run))) == whole


def test_a_folder_that_cannot_be_written_is_searched_nevertheless(
    small_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise ZeroguideError("no") from OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(index_module, "write_atomically", refuse)
    notes: list[str] = []
    index = open_index(RunFolder(small_run), note=notes.append)
    assert sorted(content(index)) == truth(small_run)
    assert not (small_run / FILE).exists()
    assert len(notes) == 1 and "Read-only file system" in notes[0]


def test_a_full_disk(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    full = open("/dev/full", "r+b")  # noqa: SIM115
    monkeypatch.setattr(index_module, "_scratch_file", lambda folder: full)
    with pytest.raises(ZeroguideError, match=r"index can't be made \(No space left.*make room"):
        open_index(RunFolder(small_run))
    assert not (small_run / FILE).exists()


def test_a_run_that_changed_its_recipe_has_a_new_index(small_run: Path) -> None:
    open_index(RunFolder(small_run))
    other = provenance(load_recipe("tiny", ["seed=5"]))
    Manifest(other).write(small_run)
    # labelling again has begun, but not ended
    add(small_run, "a/x.jpg", random_rows(2, 5), other)
    with pytest.raises(
        ZeroguideError, match=r"(?s)b/.*another recipe \(seed 5 -> 0\).*--overwrite"
    ):
        open_index(RunFolder(small_run))
    for key in KEYS:
        add(small_run, key, random_rows(2, 6), other)
    index = open_index(RunFolder(small_run))
    assert index.recipe == other
    assert sorted(content(index)) == truth(small_run)


def test_other_versions_of_libraries_are_no_other_recipe(small_run: Path) -> None:
    newer = TINY | {"versions": TINY["versions"] | {"torch": "99.0"}}
    add(small_run, "a/x.jpg", random_rows(2, 0), newer)
    assert len(open_index(RunFolder(small_run)).keys) == 3


def test_results_without_a_manifest(small_run: Path) -> None:
    (small_run / "run.json").unlink()
    index = open_index(RunFolder(small_run))
    assert index.recipe == TINY and len(index.keys) == 3
    assert search(small_run, "grass", 1, device="cpu")[0].image is None


def test_a_run_without_embeddings(small_run: Path) -> None:
    for key in KEYS:
        add(small_run, key, None)
    with pytest.raises(ZeroguideError, match=r"no embeddings.*--overwrite"):
        open_index(RunFolder(small_run))
    assert not (small_run / FILE).exists()


def test_some_images_without_embeddings_are_said_and_left_out(small_run: Path) -> None:
    add(small_run, "a/x.jpg", None)
    notes: list[str] = []
    hits = Searcher(small_run, device="cpu", note=notes.append).find("grass", 100)
    assert {hit.key for hit in hits} == {"b/x.jpg", "b/naïve\n名.png"}
    assert len(notes) == 1 and "1 of 3 images" in notes[0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"embedding": "', '"embedding": "!!'),
        lambda text: text.replace('"embedding": "', '"embedding": "AHwA', 1),
        lambda text: text.replace('"embedding": "', '"other": "', 1),
        lambda text: text.replace('"segments"', '"other"'),
    ],
)
def test_a_damaged_result_is_named(small_run: Path, damage: object) -> None:
    path = result_path(small_run, "b/x.jpg")
    assert callable(damage)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ZeroguideError, match=r"b/x\.jpg is damaged .*label again"):
        open_index(RunFolder(small_run))


def test_embeddings_of_another_clip(small_run: Path) -> None:
    add(small_run, "b/x.jpg", random_rows(2, 0, 64))
    with pytest.raises(ZeroguideError, match=r"b/x\.jpg: .* have 64 numbers where others have 128"):
        open_index(RunFolder(small_run))
    for key in KEYS:
        add(small_run, key, random_rows(2, 0, 64))
    with pytest.raises(ZeroguideError, match="have 64 numbers, the recipe's CLIP gives 128"):
        search(small_run, "grass", device="cpu")


def test_a_recipe_of_another_version(small_run: Path) -> None:
    strange = TINY | {"settings": TINY["settings"] | {"telepathy": {"range": 3}}}
    Manifest(strange).write(small_run)
    for key in KEYS:
        add(small_run, key, random_rows(2, 0), strange)
    with pytest.raises(ZeroguideError, match="another version of zeroguide"):
        search(small_run, "grass", device="cpu")


def test_an_image_labelled_later_is_found(rooms: Path, room_run: Path) -> None:
    """The way a user goes: label, search, label more, search again."""
    before = search(room_run, "night sky", 100, device="cpu")
    scene = next(
        s for s in (render(SEED, i, size=112) for i in range(N_ROOMS, 60)) if "night sky" in s.names
    )
    PIL.Image.fromarray(scene.pixels).save(rooms / "later.png")
    command = ["label", str(rooms / "later.png"), "-o", str(room_run), "--preset", "tiny"]
    assert main([*command, "--device", "cpu", "--no-overlay", "--quiet"]) == 0
    after = search(room_run, "night sky", 100, device="cpu")
    assert {hit.key for hit in after} - {hit.key for hit in before} == {"later.png"}
    kept = [pair for pair in keys_and_ids(after) if pair[0] != "later.png"]
    assert kept == keys_and_ids(before)


# -- the sheet -------------------------------------------------------------------------------------


def test_a_view_shows_the_segment_as_it_is_and_the_rest_faded() -> None:
    pixels = np.full((90, 120, 3), 40, np.uint8)
    mask = np.zeros((90, 120), bool)
    mask[30:60, 40:80] = True
    tile = np.asarray(view(pixels, mask))
    assert tile.shape == (HEIGHT, WIDTH, 3)
    assert (tile[HEIGHT // 2, WIDTH // 2] == 40).all()
    assert (tile[2, 2] > 120).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 2000), (300, 7)])
def test_a_view_of_any_shape(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask[-1, -1] = True
    assert view(np.zeros((*shape, 3), np.uint8), mask).size == (WIDTH, HEIGHT)


def test_pictures_that_are_gone_or_changed_are_grey_and_named(
    rooms: Path, room_run: Path, tmp_path: Path
) -> None:
    images = Path(shutil.copytree(rooms / "images", tmp_path / "images"))
    manifest = Manifest.read(room_run)
    assert manifest is not None
    manifest.roots = [str(images)]
    manifest.write(room_run)
    (images / "0.png").unlink()
    PIL.Image.new("RGB", (112, 112), "red").save(images / "1.png")
    (images / "2.png").write_bytes(b"not an image")
    searcher = Searcher(room_run, device="cpu")
    hits = searcher.find("night sky", 100, per_image=1)
    assert len(hits) == N_ROOMS
    result_path(room_run, "3.png").unlink()
    notes: list[str] = []
    sheet = np.asarray(draw_sheet(searcher.run, hits, "night sky", note=notes.append))
    assert sorted(notes) == [
        "image changed, so drawn in grey: 1.png",
        "image not found, so drawn in grey: 0.png",
        "image not readable, so drawn in grey: 2.png",
        "labels not found, so drawn in grey: 3.png",
    ]
    # What is left of the pictures in colour: rooms 4 and 5, and the borders of segments.
    strong = np.ptp(sheet.astype(int), axis=2) > 60
    lines = (np.abs(sheet.astype(int) - [225, 29, 72]).sum(2) < 90).sum()
    assert strong.sum() > lines > 0
    assert next(hit for hit in hits if hit.key == "0.png").image is None


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "parquet"])
def test_pictures_in_archives_are_shown(
    rooms: Path, room_run: Path, tmp_path: Path, kind: str
) -> None:
    hits = search(room_run, "night sky", 4, device="cpu")
    expected = draw_sheet(RunFolder(room_run), hits, "").tobytes()
    (tmp_path / "d").mkdir()
    archive = tmp_path / "d" / f"photos.{kind}"
    names = [f"{i}.png" for i in range(N_ROOMS)]
    if kind == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        data = [(rooms / "images" / name).read_bytes() for name in names]
        pq.write_table(pa.table({"image": data}), archive)
    else:
        with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as tar:
            for name in names:
                tar.add(rooms / "images" / name, f"a/{name}")
    # The results as a run over the archive has them.
    inner = {name: f"a/{name}" for name in names}
    if kind == "parquet":
        inner = {name: f"{i:06d}.png" for i, name in enumerate(names)}
    for name in names:
        path = result_path(room_run, f"d/{archive.name}/{inner[name]}")
        path.parent.mkdir(parents=True, exist_ok=True)
        result_path(room_run, name).rename(path)
    Manifest(TINY, [str(tmp_path)]).write(room_run)
    found = search(room_run, "night sky", 4, device="cpu")
    assert keys_and_ids(found) == [
        (f"d/{archive.name}/{inner[key]}", id) for key, id in keys_and_ids(hits)
    ]
    notes: list[str] = []
    sheet = np.asarray(draw_sheet(RunFolder(room_run), found, "", note=notes.append))
    assert not notes
    # All but the names below the pictures.
    before = np.frombuffer(expected, np.uint8).reshape(sheet.shape)
    top = np.flatnonzero((before[:, 30] != 255).any(axis=1))[0]
    np.testing.assert_array_equal(sheet[top : top + HEIGHT], before[top : top + HEIGHT])


def test_a_sheet_is_not_longer_than_one_looks(small_run: Path) -> None:
    add(small_run, "many.png", random_rows(MOST_TILES + 50, 0))
    hits = Searcher(small_run, device="cpu").find("grass", 1000)
    assert len(hits) == MOST_TILES + 59
    notes: list[str] = []
    more = draw_sheet(RunFolder(small_run), hits, "grass", note=notes.append)
    assert more.size == draw_sheet(RunFolder(small_run), hits[:MOST_TILES], "grass").size
    assert len(notes) == 1  # however many tiles


def test_results_of_a_cluster(rooms: Path, room_run: Path) -> None:
    pytest.importorskip("pyarrow")
    from zeroguide.runs.parts import Row, write_part

    expected = search(room_run, "water", 10, device="cpu")
    whole = draw_sheet(RunFolder(room_run), expected, "water").tobytes()
    rows = []
    for entry in list(RunFolder(room_run)):
        path = result_path(room_run, entry.key)
        rows.append(Row(entry.key, entry.labeling.sha256, path.read_text()))
        path.unlink()
    (room_run / FILE).unlink()
    write_part(room_run / PARTS, rows[:4], 0)
    part = write_part(room_run / PARTS, rows[4:], 0)
    notes: list[str] = []
    assert search(room_run, "water", 10, device="cpu") == expected
    sheet = draw_sheet(RunFolder(room_run), expected, "water", note=notes.append)
    assert sheet.tobytes() == whole and not notes
    part.unlink()
    fewer = search(room_run, "water", 100, device="cpu")
    assert {hit.key for hit in fewer} == {row.key for row in rows[:4]}


# -- the command -----------------------------------------------------------------------------------


def test_the_command(room_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    command = ["search", str(room_run), "night", "sky", "-n", "7", "--device", "cpu"]
    assert main([*command, "-o", str(sheet), "--per-image", "2"]) == 0
    out, err = capsys.readouterr()
    expected = search(room_run, "night sky", 7, per_image=2, device="cpu")
    assert [line.split("\t") for line in out.splitlines()] == [
        [str(i), hit.key, str(hit.segment), hit.label, f"{hit.cosine:.4f}"]
        for i, hit in enumerate(expected, start=1)
    ]
    with PIL.Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 5 * WIDTH
    assert "sheet.png" in err and "doesn't understand photographs" in err
    before = sheet.read_bytes()
    assert main([*command, "-o", str(sheet)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert sheet.read_bytes() == before
    assert main([*command, "-o", str(sheet), "--overwrite", "--per-image", "0", "-q"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 7 and not err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nowhere", "grass"], 2, "is not a folder"),
        ([".", "grass"], 2, "holds no labels"),
        (["run", " "], 2, "is empty"),
        (["run", "grass", "-n", "0"], 2, "-n 0"),
        (["run", "grass", "--per-image", "-1"], 2, "--per-image -1"),
        (["run", "grass", "-o", "sheet.jpg"], 2, ".png"),
        (["run", "grass", "-o", "nowhere/sheet.png"], 2, "no folder"),
        (["run", "grass", "--device", "warp"], 2, "unknown device"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(
    arguments: list[str],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    run = tmp_path / "run"
    run.mkdir()
    Manifest(TINY).write(run)
    add(run, "x.png", random_rows(2, 0))
    monkeypatch.chdir(run if "run" in arguments else tmp_path / "empty")
    arguments = ["../run" if one == "run" else one for one in arguments]
    assert main(["search", *arguments]) == code
    out, err = capsys.readouterr()
    assert not out
    assert words in err and err.count("\n") == 1
