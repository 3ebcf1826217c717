"""CVAT for images 1.1: `annotations.xml` with a mask per segment.

CVAT's masks hold any shape exactly: runs along the rows of the segment's box, beginning with those
outside. Image names are the keys; they must be those of the images in the CVAT task. A label must
exist in the task, too: the file's <meta> lists them with their attributes score and confidence.
Characters that XML can't hold are left out of labels.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from zeroguide.result.chosen import Chosen
from zeroguide.result.formats.base import Run, row_runs
from zeroguide.result.segment import Segment

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(run: Run, folder: Path) -> None:
    """Fill a folder (see `zeroguide.result.formats.registry`)."""
    with open(folder / "annotations.xml", "w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("<version>1.1</version>\n<meta><task><labels>\n")
        for label in run.labels:
            colour = "#{:02x}{:02x}{:02x}".format(*run.colour(label))
            file.write(
                f"<label><name>{escape(_xml(label))}</name><color>{colour}</color>"
                f"<attributes>{_attribute('score')}{_attribute('confidence')}</attributes></label>\n"
            )
        file.write("</labels></task></meta>\n")
        for image_id, entry in enumerate(run):
            labeling = entry.labeling
            file.write(
                f'<image id="{image_id}" name={quoteattr(_xml(entry.key))} '
                f'width="{labeling.width}" height="{labeling.height}">\n'
            )
            for segment in labeling.segments:
                file.write(_mask(labeling, segment))
            file.write("</image>\n")
        file.write("</annotations>\n")


def _attribute(name: str) -> str:
    return (
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
    )


def _mask(labeling: Chosen, segment: Segment) -> str:
    x, y, width, height = segment.bbox
    runs = ", ".join(map(str, row_runs(labeling.crop(segment))))
    return (
        f'<mask label={quoteattr(_xml(segment.label))} source="auto" occluded="0" rle="{runs}" '
        f'left="{x}" top="{y}" width="{width}" height="{height}" z_order="0">'
        f'<attribute name="score">{segment.score}</attribute>'
        f'<attribute name="confidence">{segment.confidence}</attribute></mask>\n'
    )


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
