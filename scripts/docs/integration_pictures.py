"""Draws two pictures of docs/integrations.md: by supervision itself, and of what CVAT gets.

    python -m scripts.docs.integration_pictures --output docs/integrations

The others are screenshots of the tools' own windows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from zeroguide.image import open_image
from zeroguide.integrations import cvat
from zeroguide.labeler import Labeler

EXAMPLES = Path(__file__).parents[2] / "examples"
WIDTH = 900  # of the pictures, in pixels


def draw_supervision(labeler: Labeler) -> PIL.Image.Image:
    """A labeling by supervision's own annotators, as its documentation uses them."""
    import supervision as sv

    photo = EXAMPLES / "bus.jpg"
    found = labeler.label(photo).to_supervision()
    scene = open_image(photo).pixels.copy()
    captions = [
        f"{name} {confidence:.2f}"
        for name, confidence in zip(found.data["class_name"], found.confidence, strict=True)
    ]
    scene = sv.MaskAnnotator(opacity=0.45).annotate(scene, found)
    scene = sv.PolygonAnnotator(thickness=2).annotate(scene, found)
    where = sv.Position.CENTER_OF_MASS
    captioned = sv.LabelAnnotator(text_scale=0.7, text_position=where).annotate(
        scene, found, captions
    )
    return PIL.Image.fromarray(captioned)


def draw_cvat(labeler: Labeler) -> PIL.Image.Image:
    """The shapes that CVAT gets for a picture, decoded by its SDK, with their attribute "name"."""
    from cvat_sdk.masks import decode_mask

    with PIL.Image.open(EXAMPLES / "giraffes.jpg") as opened:
        image = opened.convert("RGB")
    context = SimpleNamespace(conf_threshold=None, conv_mask_to_poly=False)
    shapes = cvat.Function(labeler, None).detect(context, image)
    scene = np.asarray(image).astype(float)
    colours = [(51, 130, 255), (255, 170, 40), (60, 200, 110), (220, 70, 180), (120, 90, 230)]
    captions = []
    for number, shape in enumerate(shapes):
        mask = decode_mask(shape.points, image_width=image.width, image_height=image.height)
        colour = colours[number % len(colours)]
        scene[mask] = 0.5 * scene[mask] + 0.5 * np.array(colour)
        rows, columns = np.nonzero(mask)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        name, confidence = (shape.attributes[i].value for i in (cvat.NAME, cvat.CONFIDENCE))
        captions.append(((int(columns[nearest]), int(rows[nearest])), f"{name} {confidence}"))
    drawn = PIL.Image.fromarray(scene.astype(np.uint8))
    pen = PIL.ImageDraw.Draw(drawn)
    font = PIL.ImageFont.load_default(22)
    for place, caption in captions:
        pen.text(place, caption, "white", font, anchor="mm", stroke_width=2, stroke_fill="black")
    return drawn


def main() -> None:
    """Draw both with the preset `photo`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the pictures")
    output = parser.parse_args().output
    from zeroguide.recipe import load_recipe

    labeler = Labeler(load_recipe("photo"), device="cpu", offline=True)
    output.mkdir(parents=True, exist_ok=True)
    for name, draw in (("supervision", draw_supervision), ("cvat", draw_cvat)):
        picture = draw(labeler)
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(output / f"{name}.webp", quality=80)


if __name__ == "__main__":
    main()
