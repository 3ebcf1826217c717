"""Images in Parquet files and saved data sets: the same bytes as were written, or one sentence."""

from __future__ import annotations

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from .making import failure, items, keys, made, picture, refusal

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

IMAGES = [picture(i, ["JPEG", "PNG", "WEBP"][i % 3]) for i in range(40)]
assert len(set(IMAGES)) == 40
SUFFIXES = [[".jpg", ".png", ".webp"][i % 3] for i in range(40)]
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def structs(paths: list[str | None]) -> Any:
    rows = [{"bytes": data, "path": path} for data, path in zip(IMAGES, paths, strict=False)]
    return pa.array(rows, STRUCT)


def written(path: str, group: int = 7, **columns: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=group)


@pytest.mark.parametrize("kind", ["struct", "binary", "large_binary"])
def test_bytes(kind: str):
    column = structs([None] * 40) if kind == "struct" else pa.array(IMAGES, getattr(pa, kind)())
    written("d/table.parquet", label=list(range(40)), image=column, hash=[b"\xff"] * 40)
    found = list(items("d/table.parquet"))
    expected = [f"table.parquet/{i:06d}{suffix}" for i, suffix in enumerate(SUFFIXES)]
    assert [item.key for item in found] == expected
    assert found[17].name == "d/table.parquet row 17"
    assert found[17].path is None
    for i in random.Random(0).sample(range(40), 40):
        assert pickle.loads(pickle.dumps(found[i])).read() == IMAGES[i]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda item: item.read(), found * 2)) == IMAGES * 2
    assert keys("d") == expected  # a folder of tables
    assert keys("d/table.parquet#image") == expected


def test_what_rows_are_called_gives_the_suffix():
    written("t.parquet", image=structs(["a.JPEG", "../x/b.png", *["c.tif"] * 38]))
    assert keys("t.parquet")[:3] == [
        "t.parquet/000000.JPEG",
        "t.parquet/000001.png",
        "t.parquet/000002.tif",
    ]
    written("u.parquet", image=structs(["a.JPEG", None, "data", *["c.tif"] * 37]))
    assert keys("u.parquet")[:4] == [
        "u.parquet/000000.JPEG",
        "u.parquet/000001.png",
        "u.parquet/000002.webp",
        "u.parquet/000003.tif",
    ]


def test_paths(tmp_path: Path):
    made(Path(), "d/p/x.jpg", "d/y.png")
    written("d/t.parquet", file=["p/x.jpg", str(tmp_path / "d/y.png"), "gone.jpg", None])
    found = list(items("d/t.parquet"))
    assert [item.key for item in found] == [
        "t.parquet/000000.jpg",
        "t.parquet/000001.png",
        "t.parquet/000002.jpg",
        "t.parquet/000003",
    ]
    assert [item.path for item in found] == [
        tmp_path / "d/p/x.jpg",
        tmp_path / "d/y.png",
        tmp_path / "d/gone.jpg",
        None,
    ]
    assert [item.read() for item in found[:2]] == [b"d/p/x.jpg", b"d/y.png"]
    assert failure(found[2]) == "d/t.parquet row 2, gone.jpg: no such file; check the path."
    assert failure(found[3]) == "d/t.parquet row 3: has no image; fill or drop the row."


def test_rows_without_an_image():
    rows = [None, {"bytes": None, "path": None}, {"bytes": b"", "path": "x.jpg"}]
    rows.append({"bytes": IMAGES[0], "path": None})
    written("t.parquet", image=pa.array(rows, STRUCT))
    found = list(items("t.parquet"))
    assert [item.key.partition("/")[2] for item in found] == [
        "000000",
        "000001",
        "000002.jpg",
        "000003.jpg",
    ]
    assert failure(found[0]) == "t.parquet row 0: has no image; fill or drop the row."
    assert failure(found[2]) == "t.parquet row 2: is empty (0 bytes); fill or drop the row."
    assert found[3].read() == IMAGES[0]


def test_which_column():
    one = pa.array(IMAGES)
    written("t.parquet", image=one, mask=one)
    assert len(keys("t.parquet")) == 40
    written("t.parquet", left=one, right=one, caption=["x"] * 40)
    assert refusal("t.parquet") == (
        "t.parquet: has images in the columns left, right; choose one with t.parquet#COLUMN"
    )
    assert keys("t.parquet#right") == keys("t.parquet#left")
    # other columns are other images
    with pytest.raises(Exception, match="would both be"):
        list(items("t.parquet#right", "t.parquet#left"))
    written("t.parquet", sound=[b"RIFF1234WAVE"] * 3, caption=["a cat.", "b", "c"])
    assert refusal("t.parquet") == (
        "t.parquet: has no column that looks like images; name one with t.parquet#COLUMN, the "
        "columns are sound, caption"
    )
    assert "'sond' isn't a column; the columns are sound, caption" in refusal("t.parquet#sond")
    written("t.parquet", number=[1, 2])
    assert "'number' is no column of images" in refusal("t.parquet#number")


def test_a_folder_with_a_table_that_has_no_images():
    written("d/0.parquet", image=pa.array(IMAGES[:2]))
    written("d/1.parquet", number=[1, 2])
    written("d/s/2.parquet", image=pa.array(IMAGES[:1]))
    found = list(items("d"))
    assert [item.key for item in found] == [
        "0.parquet/000000.jpg",
        "0.parquet/000001.png",
        "1.parquet",
        "s/2.parquet/000000.jpg",
    ]
    assert "d/1.parquet: has no column that looks like images" in failure(found[2])
    assert len(keys("d/*.parquet")) == 3


def test_what_is_no_table():
    Path("t.parquet").write_bytes(b"nothing at all")
    assert "t.parquet: is no readable table (" in refusal("t.parquet")
    assert refusal("gone.parquet") == "gone.parquet: no such file or folder; check the path"
    written("t.parquet", image=pa.array([], pa.binary()))
    assert "t.parquet: has no column that looks like images" in refusal("t.parquet")
    assert "t.parquet: has no image in it" in refusal("t.parquet#image")


def test_damage_in_a_row_group_costs_that_group():
    images = [b"\xff\xd8\xff" + random.Random(i).randbytes(2000) for i in range(40)]
    pq.write_table(pa.table({"image": images}), "t.parquet", row_group_size=10, compression="zstd")
    metadata = pq.ParquetFile("t.parquet").metadata.row_group(1).column(0)
    data = bytearray(Path("t.parquet").read_bytes())
    start = metadata.dictionary_page_offset or metadata.data_page_offset
    data[start : start + 60] = b"\xee" * 60
    Path("t.parquet").write_bytes(data)
    found = {item.key: item for item in items("t.parquet")}
    good = [i for i in range(40) if not 10 <= i < 20]
    assert list(found) == [f"t.parquet/{i:06d}.jpg" for i in good[:10]] + [
        "t.parquet/000010-000019"
    ] + [f"t.parquet/{i:06d}.jpg" for i in good[10:]]
    for i in good:
        assert found[f"t.parquet/{i:06d}.jpg"].read() == images[i]
    text = failure(found["t.parquet/000010-000019"])
    assert text.startswith("t.parquet: rows 10 to 19 can't be read (")


def test_a_table_that_vanishes_or_changes():
    written("t.parquet", image=pa.array(IMAGES))
    found = list(items("t.parquet"))
    assert found[0].read() == IMAGES[0]
    written("t.parquet", image=pa.array(IMAGES[:3]))
    assert failure(found[39]) == "t.parquet row 39: the table has changed; start again."
    Path("t.parquet").unlink()
    assert failure(found[0]).startswith("t.parquet row 0: can't be read (No such file")


def test_arrow_files():
    table = pa.table({"image": IMAGES})
    for name, new in (("a.arrow", pa.ipc.new_stream), ("b.arrow", pa.ipc.new_file)):
        with new(name, table.schema) as writer:
            writer.write_table(table, max_chunksize=9)
        found = list(items(name))
        assert [item.key for item in found] == [
            f"{name}/{i:06d}{suffix}" for i, suffix in enumerate(SUFFIXES)
        ]
        for i in random.Random(0).sample(range(40), 40):
            assert found[i].read() == IMAGES[i]
    Path("a.arrow").write_bytes(Path("a.arrow").read_bytes()[:1000])
    assert "a.arrow: is no readable table" in refusal("a.arrow")


def test_a_saved_data_set(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": d, "path": None} for d in IMAGES], "label": list(range(40))}
    data = datasets.Dataset.from_dict(rows, features=features)
    data.save_to_disk("saved", num_shards=2)
    found = list(items("saved"))
    assert [item.key for item in found] == [
        f"data-{i // 20:05d}-of-00002.arrow/{i % 20:06d}{SUFFIXES[i]}" for i in range(40)
    ]
    assert [item.read() for item in found] == IMAGES
    assert found[20].name == "saved/data-00001-of-00002.arrow row 0"
    datasets.DatasetDict({"train": data, "test": data.select([3])}).save_to_disk("both")
    found = list(items("both"))
    assert len(found) == 41
    assert found[-1].key == "test/data-00000-of-00001.arrow/000000.jpg"
    data.to_parquet("hf.parquet")
    assert [item.read() for item in items("hf.parquet")] == IMAGES


def test_a_saved_data_set_without_its_library():
    Path("d").mkdir()
    table = pa.table({"image": structs([None] * 40)})
    with pa.ipc.new_stream("d/data-00000-of-00001.arrow", table.schema) as writer:
        writer.write_table(table)
    Path("d/dataset_info.json").write_text("{}")
    Path("d/state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    assert [item.read() for item in items("d")] == IMAGES
    Path("d/state.json").write_text('{"_data_files": [{"filename": "../x.arrow"}]}')
    assert refusal("d").startswith("d: is a damaged data set (")
    Path("d/state.json").write_text('{"_data_files": [{"filename": "gone.arrow"}]}')
    assert refusal("d") == "d/gone.arrow: no such file or folder; check the path"


def test_without_pyarrow(monkeypatch: pytest.MonkeyPatch):
    written("t.parquet", image=pa.array(IMAGES))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    assert refusal("t.parquet") == (
        "t.parquet: tables need pyarrow; run `pip install 'zeroguide[parquet]'`"
    )
