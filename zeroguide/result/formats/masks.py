"""Label maps: for `x.jpg` a picture `x.png` with a segment's id in each pixel and `x.txt`.

Line i + 1 of the text file is the name of the segment i; the first line is for 0, which only pixels
of segments that weren't chosen have. The PNG has a palette up to the number 255 and 16 bits above.
`zeroguide eval --predictions` reads such a folder.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from zeroguide.errors import ZeroguideError
from zeroguide.result.formats.base import Run, class_colour, one_line

NO_LABEL = "(no label)"
MOST = 65534  # 65535 stands for "no segment" in 16-bit label maps


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    palette = [channel for number in range(256) for channel in class_colour(number)]
    for entry in run:
        path = folder / (run.stem(entry.key) + ".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        labeling = entry.labeling
        n = labeling.last_id
        if n > MOST:
            raise ZeroguideError(
                f"{entry.key}: has {n} segments, a label map holds {MOST}; choose another format"
            )
        if n < 256:
            image = PIL.Image.fromarray(labeling.label_map.astype(np.uint8), "P")
            image.putpalette(palette)
        else:
            image = PIL.Image.fromarray(labeling.label_map.astype(np.uint16))
        image.save(path)
        names = [NO_LABEL] * (n + 1)
        for segment in labeling.segments:
            names[segment.id] = one_line(segment.label)
        text = "\n".join(names) + "\n"
        path.with_name(path.name[: -len(".png")] + ".txt").write_text(text, encoding="utf-8")
