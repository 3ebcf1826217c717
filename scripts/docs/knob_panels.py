"""Panels of the knobs' pictures: what a recipe makes of a photograph or a rendered scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scripts.shared.playroom import counted, match_names
from zeroguide.image import from_array
from zeroguide.labeler import Labeler
from zeroguide.playroom import Scene, render
from zeroguide.recipe import load_recipe
from zeroguide.result import Label, Labeling
from zeroguide.result.overlay import drawing
from zeroguide.result.overlay.colours import choose_colours
from zeroguide.result.overlay.text import load_font
from zeroguide.segment.features import extract_features
from zeroguide.segmenter import Segmenter

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SIDE = 280  # of a panel, in pixels
GAP = 10


@dataclass(frozen=True)
class Panel:
    """One panel: its caption, the overrides that make it, and what of.

    subject: a photograph's name, for `photo`, or a rendered scene's, for `tiny`.
    """

    caption: str
    overrides: tuple[str, ...] = ()
    subject: str = "bus"

    @property
    def preset(self) -> str:
        """The preset that fits the subject."""
        return "tiny" if self.subject in SCENES else "photo"


def values(key: str, *shown: str, also: Sequence[str] = (), subject: str = "bus") -> list[Panel]:
    """A panel for each value of one knob; ``also`` are overrides that all of them share.

    The value that the preset has is marked.
    """
    panels = []
    for value in shown:
        panel = Panel(value, (*also, f"{key}={value}"), subject)
        recipe: Any = load_recipe(panel.preset)
        for part in key.split("."):
            recipe = getattr(recipe, part)
        own = str(list(recipe) if isinstance(recipe, tuple) else recipe).lower()
        mark = f" ({panel.preset})" if value.lower() == own else ""
        panels.append(replace(panel, caption=f"{value}{mark}"))
    return panels


# ---- what is shown

# Index and size of scenes of the test world; "example" comes with the project.
Size = int | tuple[int, int]
SCENES: dict[str, tuple[int, Size]] = dict(example=(0, 0), crowded=(17, 336), wide=(1, (224, 448)))


@lru_cache
def scene(name: str) -> Scene:
    """A rendered scene with its truth."""
    if name == "example":
        regions = np.asarray(Image.open(EXAMPLES / "playroom.regions.png"))
        names = (EXAMPLES / "playroom.names.txt").read_text(encoding="utf-8").splitlines()
        return Scene(pixels_of("playroom.png"), regions, tuple(names))
    index, size = SCENES[name]
    return render(3, index, size=size, n_things=(3, 5), n_stuff=(2, 3))


@lru_cache
def pixels_of(name: str) -> np.ndarray:
    """(H, W, 3) uint8 of a file under examples/."""
    return np.asarray(Image.open(EXAMPLES / name).convert("RGB"))


def pixels(panel: Panel) -> np.ndarray:
    """(H, W, 3) uint8 of a panel's subject."""
    if panel.subject in SCENES:
        return scene(panel.subject).pixels
    return pixels_of(f"{panel.subject}.jpg")


# ---- kinds of panels: an image of the panel, and what is said about it


def cut(panel: Panel) -> tuple[Image.Image, str]:
    """The over-segments, without names."""
    label_map = over_segments(panel)
    n = int(label_map.max()) + 1
    return paint(pixels(panel), label_map), f"{n} segment{'s' * (n != 1)}"


def features(panel: Panel) -> tuple[Image.Image, str]:
    """The features' first three principal components as red, green, blue; below, the segments."""
    cutter = Segmenter(load_recipe(panel.preset, panel.overrides), device="cpu")
    options = cutter.recipe.features
    if cutter.embedder is not None:
        (encoded,) = cutter.embedder.encode([pixels(panel)])
        found = cutter.embedder.features(encoded, options.facet)
    else:
        assert cutter.dino is not None
        found = extract_features(cutter.dino, pixels(panel), **options.model_dump())
    rows = found.reshape(-1, found.shape[-1]).numpy().astype(np.float64)
    rows -= rows.mean(0)
    parts = rows @ np.linalg.svd(rows, full_matrices=False)[2][:3].T
    low, high = np.quantile(parts, [0.01, 0.99], axis=0)
    rgb = ((parts - low) / (high - low)).clip(0, 1).reshape(*found.shape[:2], 3)
    colours = Image.fromarray((255 * rgb).astype(np.uint8))
    below, _ = cut(panel)
    width, height = panel_size(below)
    stacked = Image.new("RGB", (width, 2 * height + GAP), "white")
    stacked.paste(colours.resize((width, height), Image.Resampling.NEAREST), (0, 0))
    stacked.paste(below.resize((width, height), Image.Resampling.LANCZOS), (0, height + GAP))
    return stacked, f"{found.shape[0]} x {found.shape[1]} cells"


def borders(panel: Panel) -> tuple[Image.Image, str]:
    """A small part of the over-segments, four times enlarged: their borders."""
    label_map = over_segments(panel)
    here = (slice(95, 245), slice(270, 470))
    size = (4 * 200, 4 * 150)
    large = Image.fromarray(pixels(panel)[here]).resize(size, Image.Resampling.BICUBIC)
    cells = Image.fromarray(label_map[here].astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return paint(np.asarray(large), np.asarray(cells).astype(int)), ""


def named(panel: Panel) -> tuple[Image.Image, str]:
    """The result with its names; of a scene, how many regions of the truth it has."""
    labeling = labelled(panel)
    picture = Image.fromarray(pixels(panel))
    # Panels are small: captions have to be as large as on a picture of that size.
    drawing.LEAST_SIDE = SIDE
    size = panel_size(picture)
    small = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    shown = Labeling.build(from_array(small), *_resized(labeling, size), recipe={})
    n = len(labeling.segments)
    said = f"{n} segment{'s' * (n != 1)}"
    if panel.subject in SCENES:
        said = "{} of {} right".format(*score(labeling, scene(panel.subject)))
    return drawing.draw(shown, small, legend="never"), said


def labelled(panel: Panel) -> Labeling:
    """The whole way, by the panel's recipe."""
    recipe = load_recipe(panel.preset, panel.overrides)
    return Labeler(recipe, device="cpu").label(from_array(pixels(panel)))


def with_confidence(panel: Panel) -> tuple[Image.Image, str]:
    """The confidences, written on the segments in place of the scores' order."""
    labeling = labelled(panel)
    width, row = 340, 22
    lines = [(s.label, s.confidence) for s in labeling.segments]
    picture = Image.new("RGB", (width, row * len(lines) + 8), "white")
    draw = ImageDraw.Draw(picture)
    font = load_font(14)
    for i, (label, confidence) in enumerate(lines):
        y = 4 + i * row
        draw.text((0, y), label, fill="black", font=font)
        draw.rectangle((120, y + 2, 120 + 160 * confidence, y + 15), fill="#3f51b5")
        draw.text((288, y), f"{confidence:.0%}", fill="black", font=font)
    return picture, ""


def over_segments(panel: Panel) -> np.ndarray:
    """(H, W) int, 0..n-1."""
    cutter = Segmenter(load_recipe(panel.preset, panel.overrides), device="cpu")
    return cutter.segment(from_array(pixels(panel))).label_map


def panel_size(picture: Image.Image) -> tuple[int, int]:
    """Width and height of a picture in a panel."""
    if picture.width > 1.5 * picture.height:
        return SIDE * picture.width // picture.height, SIDE
    return SIDE, SIDE * picture.height // picture.width


def paint(colours: np.ndarray, label_map: np.ndarray) -> Image.Image:
    """A colour for each segment on the grey picture, white borders."""
    shades = choose_colours(label_map + 1, int(label_map.max()) + 1)[1:]
    grey = colours.mean(-1, keepdims=True)
    mixed = 0.6 * shades[label_map] + 0.4 * grey
    border = np.zeros(label_map.shape, bool)
    border[1:] |= label_map[1:] != label_map[:-1]
    border[:, 1:] |= label_map[:, 1:] != label_map[:, :-1]
    mixed[border] = 255
    return Image.fromarray(mixed.astype(np.uint8))


def score(labeling: Labeling, shown: Scene) -> tuple[int, int]:
    """Regions of the truth that are found under their names, and regions."""
    match, of_name = match_names(shown, labeling)
    right = (match & of_name)[counted(shown)].any(1)
    return int(right.sum()), len(right)


def _resized(labeling: Labeling, size: tuple[int, int]) -> tuple[np.ndarray, list[Label]]:
    """Label map from 0 at another size, and the names of what is left there."""
    known = Image.fromarray(labeling.label_map.astype(np.int32))
    small = np.asarray(known.resize(size, Image.Resampling.NEAREST))
    left, label_map = np.unique(small, return_inverse=True)
    names = [labeling.segments[int(i) - 1].label for i in left]
    return label_map.reshape(small.shape), [Label(name, 0.0, 0.0, (), ()) for name in names]
