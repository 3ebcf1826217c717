"""What was found in a picture: a label map and its named segments, as data, pictures and files.

`labeling` and `segment` are the data. `overlay/` draws them, `formats/` writes them for other
tools, `display` shows them in a notebook; `rle` codes masks, `pixels` finds the picture again,
`provenance` says how a result was made, `names` writes names of masks that overlap. No torch here.
"""

from zeroguide.result.formats.json_ import SCHEMA
from zeroguide.result.labeling import Labeling
from zeroguide.result.segment import Label, Segment

__all__ = ["SCHEMA", "Label", "Labeling", "Segment"]
