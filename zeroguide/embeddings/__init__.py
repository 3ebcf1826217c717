"""Segment embeddings: CLIP's image tower with its attention masked to each segment.

`embedder.py` holds the stage itself. Beside it: one file per mode (`exact.py`, `packed.py`,
`packed_global.py`, `pooled.py`, `crop.py`), each of functions of tokens and masks alone, and what
they share: how a picture meets the tower (`frame.py`), the towers' own parts (`towers.py`), pieces
of attention (`attention.py`), windows for small segments (`windows.py`).
"""

from zeroguide.embeddings.embedder import Encoded, Prepared, SegmentEmbedder

__all__ = ["Encoded", "Prepared", "SegmentEmbedder"]
