"""The picture on top of the README: the photographs of examples/, labelled by `photo`.

    python -m scripts.docs.demo_picture --output docs/demo.webp

Prints the labels. Given pictures, it puts those side by side instead: docs/tutorial.webp is
run/cake.jpg.png of the tutorial before and after `correct.py`.

    python -m scripts.docs.demo_picture before.png run/cake.jpg.png --output docs/tutorial.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from zeroguide.labeler import Labeler
from zeroguide.recipe import load_recipe

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = (("bus", "snow"), ("flowers", "cake"), ("giraffes", "pizza"))
WIDTH, GAP = 1200, 8
QUALITY = 80  # of the WebP


def row(pictures: list[Image.Image]) -> Image.Image:
    """Side by side at one height, `WIDTH` wide together."""
    ratio = sum(picture.width / picture.height for picture in pictures)
    height = round((WIDTH - GAP * (len(pictures) - 1)) / ratio)
    joined = Image.new("RGB", (WIDTH, height), "white")
    left = 0
    for picture in pictures:
        scaled = picture.resize((round(picture.width * height / picture.height), height))
        joined.paste(scaled, (left, 0))
        left += scaled.width + GAP
    return joined


def main() -> None:
    """Label and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="*", type=Path, help="put these in a row instead")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if args.pictures:
        pictures = [Image.open(path).convert("RGB") for path in args.pictures]
        row(pictures).save(args.output, quality=QUALITY)
        return
    labeler = Labeler(load_recipe("photo"), offline=True)
    rows = []
    for names in ROWS:
        labelings = [labeler.label(EXAMPLES / f"{name}.jpg") for name in names]
        for name, labeling in zip(names, labelings, strict=True):
            print(name, [segment.label for segment in labeling.segments])
        rows.append(row([labeling.overlay(legend="never") for labeling in labelings]))
    picture = Image.new("RGB", (WIDTH, sum(r.height + GAP for r in rows) - GAP), "white")
    top = 0
    for each in rows:
        picture.paste(each, (0, top))
        top += each.height + GAP
    picture.save(args.output, quality=QUALITY)


if __name__ == "__main__":
    main()
