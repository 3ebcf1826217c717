"""A Hugging Face dataset: `data/train-*.parquet`, a row per image, for `load_dataset(FOLDER)`.

Columns: image (the photo's file as it is, null where it is gone), key, width, height, label_map (a
PNG whose pixels are the segments' ids) and segments (a list of id, label, score, confidence, bbox
as x, y, width, height, and area). The features stand in the files' metadata, so that images arrive
decoded. The library turns photos upright by their EXIF data, as we do before labelling.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from zeroguide.result.chosen import Chosen
from zeroguide.result.entry import Entry
from zeroguide.result.formats.base import Run

ROWS, ROWS_BYTES = 100, 50_000_000  # of a row group at most: what is held in memory
SHARD_BYTES = 500_000_000  # of a file, as the library's own

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
SEGMENT = {
    "id": pa.int32(),
    "label": pa.string(),
    "score": pa.float64(),
    "confidence": pa.float64(),
    "bbox": pa.list_(pa.int32(), 4),
    "area": pa.int64(),
}
FEATURES = {
    "image": {"_type": "Image"},
    "key": {"_type": "Value", "dtype": "string"},
    "width": {"_type": "Value", "dtype": "int32"},
    "height": {"_type": "Value", "dtype": "int32"},
    "label_map": {"_type": "Image"},
    "segments": [
        {
            "id": {"_type": "Value", "dtype": "int32"},
            "label": {"_type": "Value", "dtype": "string"},
            "score": {"_type": "Value", "dtype": "float64"},
            "confidence": {"_type": "Value", "dtype": "float64"},
            "bbox": {
                "_type": "Sequence",
                "feature": {"_type": "Value", "dtype": "int32"},
                "length": 4,
            },
            "area": {"_type": "Value", "dtype": "int64"},
        }
    ],
}
SCHEMA = pa.schema(
    {
        "image": IMAGE,
        "key": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "label_map": IMAGE,
        "segments": pa.list_(pa.struct(SEGMENT)),
    },
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def write(run: Run, folder: Path) -> str | None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    data = folder / "data"
    data.mkdir()
    unknown = shards = 0
    rows: list[dict[str, Any]] = []
    size = pending = 0  # bytes of pictures in the file, and of those in rows
    file: pq.ParquetWriter | None = None
    try:
        for entry in run:
            row = _row(entry)
            unknown += row["image"] is None
            rows.append(row)
            pending += len(row["label_map"]["bytes"])
            pending += 0 if row["image"] is None else len(row["image"]["bytes"])
            if file is None:
                file = pq.ParquetWriter(data / f"{shards}.part", SCHEMA, compression="zstd")
                shards += 1
            full = size + pending >= SHARD_BYTES
            if full or len(rows) >= ROWS or pending >= ROWS_BYTES:
                file.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows, size, pending = [], size + pending, 0
            if full:
                file.close()
                file, size = None, 0
        if file is not None and rows:
            file.write_table(pa.Table.from_pylist(rows, SCHEMA))
    finally:
        if file is not None:
            file.close()
    for i in range(shards):  # their number is part of the names
        (data / f"{i}.part").rename(data / f"train-{i:05d}-of-{shards:05d}.parquet")
    if not unknown:
        return None
    return f"photos that aren't known or have gone: {unknown}; their image is empty"


def _row(entry: Entry[Chosen]) -> dict[str, Any]:
    """One image; a photo that has gone is null."""
    labeling = entry.labeling
    kind = np.uint8 if labeling.last_id < 256 else np.uint16
    png = io.BytesIO()
    PIL.Image.fromarray(labeling.label_map.astype(kind)).save(png, "PNG")
    photo = None
    if entry.image is not None:
        with contextlib.suppress(OSError):  # gone since the run was read
            photo = {"bytes": entry.image.read_bytes(), "path": entry.key.rpartition("/")[2]}
    return {
        "image": photo,
        "key": entry.key,
        "width": labeling.width,
        "height": labeling.height,
        "label_map": {"bytes": png.getvalue(), "path": None},
        "segments": [
            {name: getattr(segment, name) for name in SEGMENT} for segment in labeling.segments
        ],
    }
