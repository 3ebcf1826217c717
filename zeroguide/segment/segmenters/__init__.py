"""Over-segmenters: one picture's patch features in, label map out. One file a method.

`registry` has them by name; `automatic` and `choose` say how many segments there are. What methods
share: `common`, the cosine graph of `affinity` and its `eigen`vectors, `ward`'s tree, tidy
`regions`.
"""

from zeroguide.segment.segmenters.common import SegmenterResult
from zeroguide.segment.segmenters.registry import SEGMENTERS, arguments, parameters, segment

__all__ = ["SEGMENTERS", "SegmenterResult", "arguments", "parameters", "segment"]
