"""Fitted models: what every method must do, their files, and the store of features."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zeroguide.errors import UsageError, WeightsError, ZeroguideError
from zeroguide.recipe import load_recipe
from zeroguide.segment.fitted import (
    METHODS,
    FeatureStore,
    check_model,
    count_classes,
    fit,
    load_fitted,
)
from zeroguide.segment.fitted.multilevel import Levels
from zeroguide.segment.fitted.sphere import Projection, unit
from zeroguide.segment.segmenters.saliency import saliency, salient_object

FEATURES = {"shorter_side": 112, "stride": 8, "layer": -1, "facet": "token"}
D = 16
DIRECTIONS = np.linalg.qr(np.random.default_rng(7).normal(size=(D, D)))[0]
FAST = {"stego": {"steps": 3}}


def scene(number: int, h: int = 12, w: int = 14) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, attention and truth: a ground (0 or 1) and one thing (2, 3 or 4) inside it."""
    rng = np.random.default_rng(100 + number)
    truth = np.full((h, w), number % 2)
    y, x = rng.integers(1, h - 6), rng.integers(1, w - 6)
    truth[y : y + 5, x : x + 5] = 2 + number % 3
    kind = DIRECTIONS[np.where(truth > 1, 8, 9)]  # what things share, and what grounds share
    features = 4 * DIRECTIONS[truth] + 5 * kind + 3 * DIRECTIONS[10]
    features = features + 0.2 * rng.normal(size=(h, w, D))
    attention = np.where(truth > 1, 3.0, 1.0) + 0.1 * rng.random((h, w))
    return features.astype(np.float32), attention.astype(np.float32) / 1000, truth


def filled(n: int = 12, with_attention: bool = True) -> FeatureStore:
    store = FeatureStore("some/dino", FEATURES)
    for i in range(n):
        features, attention, _ = scene(i, h=12 + i % 2)
        store.add(f"{i}.png", features, attention if with_attention else None)
    return store


@pytest.fixture(scope="module")
def store() -> Iterator[FeatureStore]:
    with filled() as store:
        yield store


def purity(model, numbers=range(12)) -> float:
    """Share of the cells whose class is the majority's of their truth's, over all images."""
    table = np.zeros((5, model.n_classes))
    for i in numbers:
        features, _, truth = scene(i, h=12 + i % 2)
        np.add.at(table, (truth, model.classify(features)), 1)
    assert len(set(table.argmax(axis=1))) == 5, "two contents share their class"
    return table.max(axis=1).sum() / table.sum()


# every method -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "n_classes", "params"),
    [
        ("prototypes", 5, {}),
        ("prototypes", 5, {"n_components": 0.99}),
        ("prototypes", 5, {"over": "segments"}),
        ("stego", 5, {"steps": 60}),
        ("multilevel", 5, {}),
    ],
)
def test_planted_contents_get_one_class_each_in_all_images(store, method, n_classes, params):
    model = fit(store, method=method, n_classes=n_classes, **params)
    assert model.n_classes == n_classes
    assert purity(model) >= 0.99
    unseen = range(40, 46)
    assert purity(model, unseen) >= 0.99


@pytest.mark.parametrize("with_attention", [True, False])
def test_maskdistill_tells_the_things_apart_and_calls_the_rest_background(with_attention):
    with filled(with_attention=with_attention) as store:
        model = fit(store, method="maskdistill", n_classes=4)
    assert model.n_classes == 4
    found = {}
    for i in range(30, 36):
        features, _, truth = scene(i)
        classes = model.classify(features)
        assert (classes[truth < 2] == 0).mean() > 0.98
        thing = np.bincount(classes[truth >= 2]).argmax()
        assert (classes[truth >= 2] == thing).mean() > 0.98
        assert found.setdefault(2 + i % 3, thing) == thing
    assert sorted(found.values()) == [1, 2, 3]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_model_and_files_give_it_back(method, store, tmp_path):
    params = FAST.get(method, {})
    model, again = (fit(store, method=method, n_classes=4, seed=5, **params) for _ in range(2))
    assert model.digest is None
    model.save(tmp_path / "a")
    again.save(tmp_path / "b")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    loaded = load_fitted(tmp_path / "a")
    assert (loaded.method, loaded.n_classes) == (method, model.n_classes)
    assert loaded.backbone == model.backbone == store.backbone
    digest = hashlib.sha256((tmp_path / "a" / "model.safetensors").read_bytes()).hexdigest()
    assert loaded.digest == model.digest == digest
    loaded.save(tmp_path / "c")
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()
    features = scene(3)[0]
    expected = model.classify(features)
    assert np.array_equal(loaded.classify(features), expected)
    assert expected.dtype == np.int32
    assert np.array_equal(model.classify(torch.from_numpy(features)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_segment_is_the_classes_renumbered(method, store):
    model = fit(store, method=method, n_classes=5, **FAST.get(method, {}))
    features = scene(1)[0]
    classes = model.classify(features)
    result = model.segment(features)
    assert result.tree is None
    ids = result.label_map
    assert list(dict.fromkeys(ids.ravel())) == list(range(ids.max() + 1))
    pairs = set(zip(ids.ravel(), classes.ravel(), strict=True))
    assert len(pairs) == len(np.unique(classes)) == ids.max() + 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (2, 2)])
def test_odd_grids(method, shape):
    """A few tokens only, fewer than classes: fewer classes, never a crash."""
    rng = np.random.default_rng(0)
    with FeatureStore("some/dino", FEATURES) as store:
        for i in range(3):
            store.add(f"{i}.png", rng.normal(size=(*shape, D)))
        try:
            model = fit(store, method=method, n_classes=30, **FAST.get(method, {}))
        except ZeroguideError as error:
            assert shape == (1, 1) and "no image has a salient object" in str(error)
            return
        assert model.n_classes <= 30
        classes = model.classify(store.features(0))
        assert classes.shape == shape and 0 <= classes.min() <= classes.max() < model.n_classes


@pytest.mark.parametrize("method", [name for name in METHODS if name != "maskdistill"])
def test_constant_images_are_one_class(method):
    feature = np.random.default_rng(0).normal(size=D).astype(np.float32)
    with FeatureStore("some/dino", FEATURES) as store:
        for i in range(2):
            store.add(f"{i}.png", np.tile(feature, (4, 5, 1)))
        model = fit(store, method=method, n_classes=6, **FAST.get(method, {}))
    classes = model.classify(np.tile(feature, (3, 3, 1)))
    assert len(np.unique(classes)) == 1


def test_constant_images_have_no_object():
    with FeatureStore("some/dino", FEATURES) as store:
        store.add("a.png", np.ones((4, 5, D)))
        with pytest.raises(ZeroguideError, match="no image has a salient object"):
            fit(store, method="maskdistill", n_classes=3)


@pytest.mark.parametrize("method", ["prototypes", "maskdistill", "multilevel"])
def test_one_image_is_enough(method):
    with filled(1) as store:
        model = fit(store, method=method, n_classes=2)
    features, _, truth = scene(0)
    classes = model.classify(features)
    assert ((classes == classes[truth > 1][0]) == (truth > 1)).mean() > 0.98


def test_count_classes_counts_tokens_and_images(store):
    model = fit(store, method="prototypes", n_classes=5)
    tokens, images = count_classes(store, model)
    assert tokens.sum() == store.n_tokens
    assert sorted(images) == [4, 4, 4, 6, 6]
    assert sorted(tokens)[:3] == [100, 100, 100]  # 4 images with a thing of 25 cells each


# what is refused ----------------------------------------------------------------------------------


def test_features_of_another_backbone_are_refused(store):
    model = fit(store, method="prototypes", n_classes=3)
    with pytest.raises(UsageError, match=r"width 16, not 8.*some/dino"):
        model.classify(np.ones((3, 3, 8)))
    model.check_backbone("some/dino", {**FEATURES, "stride": 4, "shorter_side": 448})
    with pytest.raises(
        UsageError, match=r"models.dino=some/dino, but the recipe has other: add --set models.dino="
    ):
        model.check_backbone("other", FEATURES)
    with pytest.raises(UsageError, match=r"features.facet=token, but the recipe has key"):
        model.check_backbone("some/dino", {**FEATURES, "facet": "key"})
    model.check_backbone("some/dino", {**FEATURES, "median_blur": 1})
    both = r"add --set features.facet=token --set features.median_blur=1 or"
    with pytest.raises(UsageError, match=both):
        model.check_backbone("some/dino", {**FEATURES, "facet": "key", "median_blur": 5})


def test_a_folder_is_the_same_checkpoint_by_any_path(tmp_path, monkeypatch):
    (tmp_path / "dino").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with FeatureStore("dino", FEATURES) as store:
        store.add("a.png", scene(0)[0])
        model = fit(store, method="prototypes", n_classes=2)
    for path in ("./dino", "elsewhere/../dino", str(tmp_path / "dino")):
        model.check_backbone(path, FEATURES)
    monkeypatch.chdir(tmp_path / "elsewhere")  # where "dino" alone is no folder
    model.check_backbone("../dino", FEATURES)
    with pytest.raises(UsageError, match="but the recipe has dino:"):
        model.check_backbone("dino", FEATURES)


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [([], "add --preset tiny or"), (["features.median_blur=3"], "--set features.median_blur=3")],
)
def test_check_model_says_which_preset_fits(tmp_path, overrides, remedy):
    """The preset by its name, unless it was changed for the fit."""
    recipe = load_recipe("tiny", overrides)
    with FeatureStore(recipe.models.dino, recipe.features.model_dump(), recipe.name) as store:
        store.add("a.png", scene(0)[0])
        fit(store, method="prototypes", n_classes=2).save(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"not read")
    check_model(tmp_path, recipe)
    with pytest.raises(UsageError, match=remedy):
        check_model(tmp_path, load_recipe("fast"))


def test_check_model_imports_no_torch(folder):
    code = (
        "import sys; from zeroguide.segment.fitted import check_model;"
        "from zeroguide.recipe import load_recipe;"
        f"check_model({str(folder)!r}, load_recipe('tiny', ['models.dino=some/dino']))"
        ";sys.exit(bool({'torch', 'scipy', 'sklearn', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "prototype"}, "did you mean 'prototypes'"),
        ({"method": "stego", "over": "tokens"}, "no parameter 'over'"),
        ({"method": "prototypes", "n_classes": 0}, "too few"),
        ({"method": "prototypes", "over": "pixels"}, "tokens or segments"),
        ({"method": "prototypes", "segmenter": {"method": "kmeans"}}, "over=segments"),
        ({"over": "segments", "segmenter": {"method": "fitted"}}, "unknown segmenter 'fitted'"),
        ({"over": "segments", "segmenter": {"power": 3}}, "no parameter 'power'"),
        ({"over": "segments", "segmenter": {"n_segments": 0}}, "greater than or equal to 1"),
        ({"method": "maskdistill", "n_classes": 1}, "two classes"),
        ({"method": "multilevel", "n_classes": 1}, "two classes"),
        ({"method": "multilevel", "n_categories": 0}, "n_categories=0"),
        ({"method": "stego", "steps": 0}, "steps=0"),
    ],
)
def test_wrong_arguments(store, arguments, message):
    with pytest.raises(UsageError, match=message):
        fit(store, **{"method": "prototypes", "n_classes": 4, **arguments})


def test_too_few_images():
    with FeatureStore("some/dino", FEATURES) as empty, pytest.raises(UsageError, match="no image"):
        fit(empty, method="prototypes", n_classes=2)
    with filled(1) as store, pytest.raises(UsageError, match="at least two"):
        fit(store, method="stego", n_classes=2)


@pytest.fixture
def folder(store, tmp_path) -> Path:
    fit(store, method="prototypes", n_classes=3).save(tmp_path / "model")
    return tmp_path / "model"


def edit(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(UsageError, match="no folder of a fitted model"):
        load_fitted(tmp_path)


def test_another_models_config(folder):
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(UsageError, match="doesn't belong to a fitted model"):
        load_fitted(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"method": "magic"}, "'magic'"),
        ({"n_classes": 4}, "doesn't hold what"),
        ({"n_classes": 0}, "incomplete"),
        ({"n_classes": float("inf")}, "incomplete"),
        ({"width": 17}, "doesn't hold what"),
        ({"method": "stego"}, "doesn't hold what"),
        ({"features": None}, "incomplete"),
        ({"weights_sha256": "0"}, "isn't the file"),
        ({"settings": {}}, "incomplete"),
        ({"settings": {"segmenter": "foo"}}, "incomplete"),
        ({"settings": {"segmenter": {"method": "kmaens"}}}, "incomplete"),
        ({"settings": {"segmenter": {"method": "kmeans", "resolution": 1.0}}}, "incomplete"),
        ({"settings": {"segmenter": {"method": "kmeans", "n_segments": "many"}}}, "incomplete"),
    ],
)
def test_a_config_that_does_not_fit(folder, changes, message):
    edit(folder, **changes)
    with pytest.raises(WeightsError, match=message):
        load_fitted(folder)


def test_damaged_and_missing_files(folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    data = weights.read_bytes()
    weights.write_bytes(data[:-5])
    with pytest.raises(WeightsError, match="is damaged"):
        load_fitted(folder)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # one bit, and still a tensor file
    with pytest.raises(WeightsError, match="isn't the file"):
        load_fitted(folder)
    weights.unlink()
    with pytest.raises(WeightsError, match=r"has no model\.safetensors"):
        load_fitted(folder)
    config.write_text("{")
    with pytest.raises(WeightsError, match="is damaged"):
        load_fitted(folder)


def test_a_place_that_cannot_be_written(store, tmp_path):
    (tmp_path / "file").write_text("")
    model = fit(store, method="prototypes", n_classes=3)
    with pytest.raises(ZeroguideError, match="can't be made a folder"):
        model.save(tmp_path / "file" / "model")


# parts of methods ---------------------------------------------------------------------------------


def test_salient_object_is_the_thing():
    features, attention, truth = scene(2)
    assert np.array_equal(salient_object(features, attention), truth > 1)
    assert np.array_equal(salient_object(features), truth > 1)
    assert not salient_object(np.ones((3, 4, D), np.float32)).any()
    one_cell = np.where(np.arange(12).reshape(3, 4) == 7, 1, 0.0)  # attention on one cell of many
    mask = salient_object(features[:3, :4], one_cell)
    found = saliency(features[:3, :4], n_segments=2, attention=one_cell).label_map
    assert mask.flat[7] and np.array_equal(mask, found == found.flat[7])


def test_pseudo_masks_are_written_at_the_pictures_size(tmp_path):
    with FeatureStore("some/dino", FEATURES) as store:
        for i in range(6):
            features, attention, _ = scene(i)
            store.add(f"{i}.png", features, attention, size=(24, 28))
        fit(store, method="maskdistill", n_classes=4, masks=tmp_path / "masks")
    lines = (tmp_path / "masks" / "masks.tsv").read_text().splitlines()
    assert [line.split("\t")[1] for line in lines] == [f"{i}.png" for i in range(6)]
    classes = []
    for i, line in enumerate(lines):
        with Image.open(tmp_path / "masks" / line.split("\t")[0]) as picture:
            assert picture.mode == "I;16"
            mask = np.asarray(picture)
        truth = scene(i)[2].repeat(2, axis=0).repeat(2, axis=1)
        assert np.array_equal(mask > 0, truth > 1)
        classes.append(int(mask.max()))
    assert classes[:3] == classes[3:] and sorted(classes[:3]) == [1, 2, 3]


def test_multilevel_finds_the_foreground_and_puts_its_classes_last(store):
    model = fit(store, method="multilevel", n_classes=5)
    assert (len(model.background), len(model.foreground)) == (2, 3)
    for i in range(12):
        features, _, truth = scene(i, h=12 + i % 2)
        assert ((model.classify(features) >= 2) == (truth > 1)).mean() > 0.99


def test_multilevel_keeps_what_two_of_three_levels_say():
    """The image's own two clusters put the cells in question, C, with the background A, not B."""
    kinds = {"A": [1.0, 0, 0], "B": [0, 1.0, 0], "C": [0.8, 0.6, 0]}
    rows = np.array([kinds[kind] for kind in "AAAAAACBBBBBBAAAAC"], dtype=np.float32)
    plain = Projection(np.zeros(3, np.float32), np.eye(3, dtype=np.float32))
    without_c = np.eye(3, dtype=np.float32)[:2]
    with_c = unit(np.array([[1, 0, 0], [0.9, 0.5, 0]], dtype=np.float32))
    nothing = np.stack([without_c[0]] * 2)

    def foreground(dataset: np.ndarray, category: np.ndarray) -> str:
        levels = Levels(plain, dataset, np.ones((1, 3), np.float32), category[None])
        return "".join(".x"[int(cell)] for cell in levels.foreground(rows, 2, 9, 0))

    assert foreground(without_c, with_c) == ".......xxxxxx....."
    assert foreground(with_c, without_c) == ".......xxxxxx....."
    assert foreground(with_c, with_c) == "......xxxxxxx....x"
    assert foreground(nothing, with_c) == ".......xxxxxx....."
    assert foreground(nothing, nothing) == ".................."


# the store ----------------------------------------------------------------------------------------


def test_store_gives_back_what_was_added(store):
    for i in (11, 0, 5):
        features, attention, _ = scene(i, h=12 + i % 2)
        assert store.features(i) == pytest.approx(features, rel=1e-3, abs=1e-3)
        assert np.array_equal(store.attention(i), attention)
    h, w = store.entries[4].grid
    cells = np.array([3, h * w - 1])
    assert np.array_equal(store.cells(4, cells), store.features(4).reshape(-1, D)[cells])


def test_store_samples_tokens_of_all_images_by_seed(store):
    numbers = store.sample(500, seed=1)
    assert len(np.unique(numbers)) == 500 and (np.diff(numbers) > 0).all()
    assert np.array_equal(numbers, store.sample(500, seed=1))
    assert not np.array_equal(numbers, store.sample(500, seed=2))
    assert np.array_equal(store.sample(10**9, 0), np.arange(store.n_tokens))
    seen = []
    for i, part, cells in store.by_image(numbers):
        assert np.array_equal(store.tokens(numbers[part]), store.cells(i, cells))
        seen.extend(numbers[part])
        assert len(cells) > 10
    assert np.array_equal(seen, numbers)


def test_store_says_at_once_that_the_disk_will_be_too_small(monkeypatch):
    with FeatureStore("some/dino", FEATURES) as store:
        store.add("a.png", np.ones((10, 10, 48)))  # 100 cells of 2 * 48 + 4 bytes
        usage = shutil.disk_usage("/")
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=990_000))
        store.check_room(100)
        with pytest.raises(ZeroguideError, match=r"101 images .* 0\.00101 GB.*TMPDIR"):
            store.check_room(101)


def test_store_refuses_what_it_cannot_keep(tmp_path):
    with FeatureStore("some/dino", FEATURES) as store:
        with pytest.raises(ZeroguideError, match="not finite"):
            store.add("a", np.full((2, 2, 3), np.nan))
        with pytest.raises(ZeroguideError, match="can't be stored"):
            store.add("a", np.full((2, 2, 3), 1e5))
        assert len(store) == 0
        store.add("b", np.ones((2, 2, 3)))
        with pytest.raises(ValueError, match="width"):
            store.add("c", np.ones((2, 2, 4)))
        with pytest.raises(ValueError, match="attention"):
            store.add("c", np.ones((2, 2, 3)), np.ones((2, 3)))
        assert len(store) == 1 and store.n_tokens == 4
        assert store.has_attention is False
        place = store._folder.name
    assert not Path(place).exists()
