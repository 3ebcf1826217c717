"""What was found in a picture: a label map and its named segments, as data, pictures and files.

`segment` and `named_map` are the data, `labeling` what can be done with them. `overlay/` draws
them, `formats/` writes them for other tools, `display` shows them in a notebook, `names` are those
of masks that overlap; `rle` codes masks, `pixels` finds the picture again, `provenance` says how a
result was made. No torch here.
"""

from zeroguide.result.formats.json_ import SCHEMA
from zeroguide.result.labeling import Labeling
from zeroguide.result.segment import Category, Label, Segment

__all__ = ["SCHEMA", "Category", "Label", "Labeling", "Segment"]
