"""CLIP: embeddings of segments, its attention masked to each, and of texts.

`embedder` is the stage, one file a mode beside it (`exact`, `packed`, `packed_global`, `pooled`,
`crop`) and what they share: `frame`, `views`, `towers`, `attention`, `windows`. `texts` are encoded
through `text_trie`; `confidence` says how far a label stands out; `region` is what is asked about,
`atoms` make regions of masks that overlap.
"""

from zeroguide.clip.embedder import SegmentEmbedder
from zeroguide.clip.region import Region, SegmentedImage
from zeroguide.clip.texts import TextEncoder
from zeroguide.clip.views import Encoded, Prepared, TokenWeights

__all__ = [
    "Encoded", "Prepared", "Region", "SegmentEmbedder", "SegmentedImage", "TextEncoder",
    "TokenWeights",
]  # fmt: skip
