"""What every data set promises: lookups, regions, the order of samples, the check."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from readers.writing import SHAPE, write_grey, write_image
from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.evaluate.datasets.base import (
    ClassName,
    Entry,
    Sample,
    number_regions,
    semantic_regions,
)
from zeroguide.evaluate.datasets.lookup import Lookup
from zeroguide.evaluate.datasets.masks import MaskDataset

small_maps = hnp.arrays(
    np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-1, 5)
)


def dataset(folder: Path, n: int = 3, **changes) -> MaskDataset:
    entries = [
        Entry(
            f"{i:02d}",
            write_image(folder / "images" / f"{i:02d}.png"),
            write_grey(folder / "masks" / f"{i:02d}.png", np.full(SHAPE, i % 2)),
        )
        for i in range(n)
    ]
    lookup = Lookup({0: 0, 1: 1, 255: -1})
    return MaskDataset(
        "test", [ClassName("a"), ClassName("b")], entries, "a shop", lookup=lookup, **changes
    )


def test_lookup_by_hand():
    lookup = Lookup({7: 0, 3: 1, 255: -1})
    ids = np.array([[7, 3], [255, 7]])
    assert lookup(ids, Path("m.png")).tolist() == [[0, 1], [-1, 0]]
    assert lookup(ids, Path("m.png")).dtype == np.int32


@pytest.mark.parametrize("unknown", [0, 4, 254, 256, 65535, -1, -2, -253])
def test_lookup_names_file_and_id(unknown):
    with pytest.raises(ZeroguideError, match=rf"^m\.png: holds the class id {unknown}, "):
        Lookup({7: 0, 3: 1, 255: -1})(np.array([[7, unknown]]), Path("m.png"))


def test_lookup_can_take_others_as_void():
    ids = np.array([[7, 0, 300, 65535]])
    assert Lookup({7: 0}, others_void=True)(ids, Path("m.png")).tolist() == [[0, -1, -1, -1]]


def test_lookup_refuses_what_is_no_id_even_where_others_are_void():
    lookup = Lookup({7: 0}, others_void=True)
    with pytest.raises(ZeroguideError, match=r"^m\.png: holds the class id -2, "):
        lookup(np.array([[7, -2]]), Path("m.png"))
    with pytest.raises(ZeroguideError, match=r"^m\.png: holds float64 numbers "):
        lookup(np.array([[7.0, 7.0]]), Path("m.png"))


@given(small_maps, st.integers(-1, 5))
def test_number_regions_is_unique_without_void(keys, void):
    label_map, numbered = number_regions(keys, void)
    assert numbered.tolist() == sorted(set(keys.ravel().tolist()) - {void})
    assert label_map.dtype == np.int32
    assert np.array_equal(np.append(numbered, void)[label_map], keys)


@given(small_maps, st.sampled_from([None, 0, 3]))
def test_semantic_regions_give_the_truth_back(semantic, background):
    regions = semantic_regions(semantic, background)
    back = np.append(regions.classes, -1)[regions.label_map]
    expected = semantic if background is None else np.where(semantic == background, -1, semantic)
    assert np.array_equal(back, expected)
    assert background not in regions.classes.tolist()
    assert not regions.crowd.any()


def test_official_name_is_the_name_unless_it_differs():
    assert ClassName("dog").official == "dog"
    assert ClassName("dining table", official="diningtable").official == "diningtable"


def test_sample_reads_its_files(tmp_path):
    sample = dataset(tmp_path)[1]
    assert sample.name == "01"
    assert sample.image == tmp_path / "images" / "01.png"
    assert sample.open_image().pixels.shape == (*SHAPE, 3)
    assert (sample.semantic() == 1).all()
    assert sample.regions().classes.tolist() == [1]
    assert len(sample.annotations()) == 1


def test_order_length_and_index(tmp_path):
    data = dataset(tmp_path)
    assert [sample.name for sample in data] == ["00", "01", "02"]
    assert len(data) == 3
    assert data[-1].name == "02"
    with pytest.raises(IndexError):
        data[3]


def test_limit_takes_the_first(tmp_path):
    data = dataset(tmp_path, 5)
    data.select(2, None)
    assert [sample.name for sample in data] == ["00", "01"]
    data.select(9, None)
    assert len(data) == 2


def test_limit_with_a_seed_draws_in_order(tmp_path):
    drawn = []
    for seed in (0, 0, *range(1, 9)):
        data = dataset(tmp_path, 8)
        data.select(4, seed)
        drawn.append(tuple(sample.name for sample in data))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 4
    assert all(list(names) == sorted(set(names)) and len(names) == 4 for names in drawn)


def test_survives_pickling(tmp_path):
    data = pickle.loads(pickle.dumps(dataset(tmp_path)))
    assert (data[1].semantic() == 1).all()


def test_check_passes_on_whole_data(tmp_path):
    dataset(tmp_path).check()


def test_check_names_a_missing_file(tmp_path):
    data = dataset(tmp_path)
    (tmp_path / "masks" / "01.png").unlink()
    with pytest.raises(UsageError, match=r"masks/01\.png: is missing; get it from a shop\.$"):
        data.check()
    (tmp_path / "images" / "00.png").unlink()
    with pytest.raises(UsageError, match=r"images/00\.png: is missing"):
        data.check()


def test_check_names_a_missing_folder(tmp_path):
    data = dataset(tmp_path)
    (tmp_path / "masks").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"masks/00\.png: is missing"):
        data.check()


@pytest.mark.parametrize(
    ("shape", "remedy"),
    [((8, 6), "turn it as the image's EXIF"), ((6, 7), "use masks"), ((12, 16), "use masks")],
)
def test_check_names_sizes_that_differ(tmp_path, shape, remedy):
    data = dataset(tmp_path)
    write_grey(tmp_path / "masks" / "02.png", np.zeros(shape))
    words = (
        rf"masks/02\.png: the truth is {shape[1]} x {shape[0]} .*images/02\.png is 8 x 6; {remedy}"
    )
    for call in (data.check, data[2].semantic, data[2].regions):
        with pytest.raises(ZeroguideError, match=words):
            call()


def test_check_names_an_unknown_class(tmp_path):
    data = dataset(tmp_path)
    write_grey(tmp_path / "masks" / "01.png", np.full(SHAPE, 9))
    with pytest.raises(ZeroguideError, match=r"masks/01\.png: holds the class id 9, "):
        data.check()


def test_check_compares_every_size(tmp_path, monkeypatch):
    """Also of masks that aren't decoded."""
    data = dataset(tmp_path)
    monkeypatch.setattr("zeroguide.evaluate.datasets.base.CHECKED", 1)
    write_grey(tmp_path / "masks" / "02.png", np.zeros((3, 5)))
    with pytest.raises(ZeroguideError, match=r"masks/02\.png: the truth is 5 x 3 pixels"):
        data.check()


def test_check_names_a_damaged_mask(tmp_path):
    data = dataset(tmp_path)
    path = tmp_path / "masks" / "01.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ZeroguideError, match=r"masks/01\.png: is not a readable mask"):
        data.check()


def test_check_decodes_samples_from_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr("zeroguide.evaluate.datasets.base.CHECKED", 3)
    data = dataset(tmp_path, 9)
    seen = []
    monkeypatch.setattr(Sample, "semantic", lambda sample: seen.append(sample.name), raising=True)
    data.check()
    assert seen == ["00", "03", "06"]


def test_an_empty_data_set_is_refused():
    data = MaskDataset("test", [], [], "a shop", lookup=Lookup({0: 0}))
    with pytest.raises(UsageError, match="test is empty: get it from a shop"):
        data.check()


def test_background_is_no_region(tmp_path):
    regions = dataset(tmp_path, background=0)[0].regions()
    assert len(regions.classes) == 0
    assert (regions.label_map == -1).all()
