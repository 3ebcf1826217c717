"""A Parquet table with a row per segment: `segments.parquet`.

Columns: key (of the image), sha256 (of its bytes), image_width, image_height, segment (its id),
label, score, confidence, bbox (x, y, width, height), area, rle (the counts of COCO's compressed
RLE, whose size is [image_height, image_width]) and embedding (null where the run has none). Rows
are in the order of keys and ids. The embedding is float32 because few readers know float16; the
bytes are regrouped so that it takes hardly more room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run

ROWS = 10_000  # of a row group: what is held in memory, with embeddings about 30 MB
SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("image_width", pa.int32(), nullable=False),
        pa.field("image_height", pa.int32(), nullable=False),
        pa.field("segment", pa.int32(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("confidence", pa.float64(), nullable=False),
        pa.field("bbox", pa.list_(pa.int32(), 4), nullable=False),
        pa.field("area", pa.int64(), nullable=False),
        pa.field("rle", pa.string(), nullable=False),
        pa.field("embedding", pa.list_(pa.float32())),
    ]
)


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    with pq.ParquetWriter(
        folder / "segments.parquet",
        SCHEMA,
        compression="zstd",
        use_dictionary=["key", "sha256", "image_width", "image_height", "label"],
        use_byte_stream_split=["embedding.list.element"],
    ) as file:
        rows: list[dict[str, Any]] = []
        for entry in run:
            rows += _rows(entry.key, entry.labeling)
            if len(rows) >= ROWS:
                file.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        if rows:
            file.write_table(pa.Table.from_pylist(rows, SCHEMA))


def _rows(key: str, labeling: Chosen) -> list[dict[str, Any]]:
    """An image's segments."""
    return [
        {
            "key": key,
            "sha256": labeling.sha256,
            "image_width": labeling.width,
            "image_height": labeling.height,
            "segment": segment.id,
            "label": segment.label,
            "score": segment.score,
            "confidence": segment.confidence,
            "bbox": segment.bbox,
            "area": segment.area,
            "rle": code["counts"],
            "embedding": _float32(labeling.embedding(segment)),
        }
        for segment, code in zip(labeling.segments, labeling.rles(), strict=True)
    ]


def _float32(embedding: np.ndarray | None) -> np.ndarray | None:
    return None if embedding is None else embedding.astype("f4")
