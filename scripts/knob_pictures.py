"""What each knob of a recipe does, as pictures for docs/knobs.md.

    python scripts/knob_pictures.py                # all of them, some minutes
    python scripts/knob_pictures.py merge-edges    # some

Each picture is one row or grid of panels; between its panels one knob differs, and above each
stands the value. They are of a photograph under `examples/` with the preset `photo`; but masks in
the attention, which `photo` has none of, and decoders that it doesn't take are shown on a rendered
scene with `tiny`, where "6 of 7 right" counts regions of the truth (of 1 % and more) that a segment
covers with an IoU of 0.5 or more under exactly the right name. One picture shows what a knob does,
not which value is better: that is measured over many, in docs/results.md.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

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

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
SIDE = 280  # of a panel, in pixels
GAP = 10
LEAST_SHARE = 0.01
QUALITY = 60  # of the WebP


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
    right = regions = 0
    for index, name in enumerate(shown.names):
        truth = shown.label_map == index
        if truth.mean() < LEAST_SHARE:
            continue
        regions += 1
        for segment in labeling.segments:
            mask = labeling.label_map == segment.id
            if segment.label == name and (mask & truth).sum() >= 0.5 * (mask | truth).sum():
                right += 1
                break
    return right, regions


def _resized(labeling: Labeling, size: tuple[int, int]) -> tuple[np.ndarray, list[Label]]:
    """Label map from 0 at another size, and the names of what is left there."""
    known = Image.fromarray(labeling.label_map.astype(np.int32))
    small = np.asarray(known.resize(size, Image.Resampling.NEAREST))
    left, label_map = np.unique(small, return_inverse=True)
    names = [labeling.segments[int(i) - 1].label for i in left]
    return label_map.reshape(small.shape), [Label(name, 0.0, 0.0, (), ()) for name in names]


# ---- the pictures


def of_scene(key: str, *shown: str, also: Sequence[str] = ()) -> list[Panel]:
    """A knob's values on the rendered scene, with `tiny`."""
    return values(key, *shown, also=also, subject="example")


def own_words() -> list[Panel]:
    """The same segments named from three lists."""
    words = Path(tempfile.mkdtemp()) / "words.txt"
    words.write_text("\n".join(WORDS), encoding="utf-8")
    method = "decoder.method=vocabulary"
    return [
        Panel("playroom (tiny)", (method,), "example"),
        Panel("everyday", (method, "decoder.vocabulary=everyday"), "example"),
        Panel(f"a file of {len(WORDS)} words", (method, f"decoder.vocabulary={words}"), "example"),
    ]


# Features that a DINO of its own would give; `photo` reads out embeddings.
TOKEN = ("features.facet=token",)
N8 = "segmenter.n_segments=8"
MASKCUT = ("segmenter.method=ncut", "segmenter.variant=maskcut")
KMEANS = ("segmenter.method=kmeans", N8)
EXACT = ("embedding.mode=exact",)
METHODS = [
    "kmeans",
    "agglomerative",
    "spectral",
    "ncut",
    "kway",
    "communities",
    "prima",
    "multilevel",
]

WORDS = ("car", "hamburger", "laptop", "shoe", "snow", "sunflower", "tree", "water")

Kind = Callable[[Panel], tuple[Image.Image, str]]
PICTURES: dict[str, tuple[Kind, Callable[[], list[Panel]]]] = {
    "seed": (cut, lambda: values("seed", "0", "1", "2", also=KMEANS)),
    "features-shorter_side": (
        features,
        lambda: values("features.shorter_side", "224", "336", "448", also=(N8,)),
    ),
    "features-stride": (
        features,
        lambda: values("features.stride", "none", "7", also=(N8, *TOKEN)),
    ),
    "features-layer": (
        features,
        lambda: values("features.layer", "-1", "-3", "-6", also=(N8, *TOKEN)),
    ),
    "features-facet": (
        features,
        lambda: values("features.facet", "embedding", "token", "key", "query", also=(N8,)),
    ),
    "features-median_blur": (
        features,
        lambda: values("features.median_blur", "1", "5", "15", also=(N8, *TOKEN)),
    ),
    "segmenter-method": (
        cut,
        lambda: [
            *values("segmenter.method", *METHODS, also=(N8,)),
            Panel("saliency", ("segmenter.method=saliency", N8, *TOKEN)),
        ],
    ),
    "segmenter-n_segments": (cut, lambda: values("segmenter.n_segments", "4", "40", "auto")),
    "segmenter-granularity": (
        cut,
        lambda: values("segmenter.granularity", "0.0", "0.5", "0.85", "1.0"),
    ),
    "segmenter-min_share": (
        cut,
        lambda: values("segmenter.min_share", "0.0", "0.004", "0.05"),
    ),
    "segmenter-pca": (cut, lambda: values("segmenter.pca", "none", "3", "1", also=KMEANS)),
    "segmenter-umap": (cut, lambda: values("segmenter.umap", "none", "3", also=KMEANS)),
    "segmenter-spatial_weight": (
        cut,
        lambda: values("segmenter.spatial_weight", "0.0", "1.0", "4.0", also=KMEANS),
    ),
    "segmenter-connected": (
        cut,
        lambda: values(
            "segmenter.connected", "true", "false", also=("segmenter.method=agglomerative", N8)
        ),
    ),
    "segmenter-n_vectors": (
        cut,
        lambda: values(
            "segmenter.n_vectors", "2", "5", "12", also=("segmenter.method=spectral", N8)
        ),
    ),
    "segmenter-power": (
        cut,
        lambda: values("segmenter.power", "1", "10", "40", also=("segmenter.method=kway", N8)),
    ),
    "segmenter-n_neighbours": (
        cut,
        lambda: values(
            "segmenter.n_neighbours", "3", "10", "40", also=("segmenter.method=communities",)
        ),
    ),
    "segmenter-center": (
        cut,
        lambda: values("segmenter.center", "true", "false", also=(*MASKCUT, N8)),
    ),
    "segmenter-variant": (
        cut,
        lambda: values(
            "segmenter.variant",
            "maskcut",
            "bipartition",
            "recursive",
            also=(*MASKCUT, N8),
        ),
    ),
    "segmenter-tau": (
        cut,
        lambda: values("segmenter.tau", "0.0", "0.15", "0.5", also=(*MASKCUT, N8)),
    ),
    "segmenter-threshold": (
        cut,
        lambda: values(
            "segmenter.threshold", "0.2", "0.4", "0.8", also=("segmenter.method=prima", N8)
        ),
    ),
    "segmenter-resolution": (
        cut,
        lambda: values(
            "segmenter.resolution",
            "0.5",
            "1.0",
            "3.0",
            also=("segmenter.method=communities", "segmenter.n_segments=30"),
        ),
    ),
    "refine-method": (borders, lambda: values("refine.method", "none", "bilinear", "pamr")),
    "refine-iterations": (borders, lambda: values("refine.iterations", "0", "10", "60")),
    "refine-dilations": (
        borders,
        lambda: values("refine.dilations", "[1]", "[2, 8]", "[8, 16]"),
    ),
    "refine-max_side": (borders, lambda: values("refine.max_side", "64", "200", "480")),
    "refine-temperature": (borders, lambda: values("refine.temperature", "none", "0.04", "0.2")),
    "embedding-mode": (
        named,
        lambda: of_scene(
            "embedding.mode",
            "exact",
            "packed",
            "packed+global",
            "pooled",
            "crop",
        ),
    ),
    "embedding-masked_blocks": (
        named,
        lambda: of_scene("embedding.masked_blocks", "1", "3", "5"),
    ),
    "embedding-subtraction_sd": (
        named,
        lambda: of_scene("embedding.subtraction_sd", "none", "5.0", "50.0", also=EXACT),
    ),
    "embedding-softness": (
        named,
        lambda: values("embedding.softness", "1.0", "0.0", subject="crowded"),
    ),
    "embedding-fit": (
        named,
        lambda: values("embedding.fit", "squash", "letterbox", "native", subject="wide"),
    ),
    "embedding-image_size": (
        named,
        lambda: values("embedding.image_size", "56", "none", "168", subject="crowded"),
    ),
    "decoder-method": (
        named,
        lambda: of_scene("decoder.method", "beam", "vocabulary", "text-memory", "zerocap"),
    ),
    "decoder-prompt": (
        named,
        lambda: of_scene("decoder.prompt", "a photo of", "a photo of a", "two"),
    ),
    "decoder-beam_size": (named, lambda: of_scene("decoder.beam_size", "1", "3", "12")),
    "decoder-n_candidates": (named, lambda: of_scene("decoder.n_candidates", "4", "16", "128")),
    "decoder-max_tokens": (named, lambda: of_scene("decoder.max_tokens", "1", "2", "4")),
    "decoder-lm_weight": (named, lambda: of_scene("decoder.lm_weight", "0.0", "0.5", "20.0")),
    "decoder-iterations": (
        named,
        lambda: of_scene("decoder.iterations", "1", "5", "15", also=("decoder.method=zerocap",)),
    ),
    "decoder-vocabulary": (named, own_words),
    "decoder-templates": (
        named,
        lambda: of_scene(
            "decoder.templates",
            "templates_playroom",
            "templates_photo",
            also=("decoder.method=vocabulary",),
        ),
    ),
    "confidence-midpoint": (
        with_confidence,
        lambda: of_scene("confidence.midpoint", "2.0", "3.02", "4.0"),
    ),
    "confidence-slope": (
        with_confidence,
        lambda: of_scene("confidence.slope", "0.5", "2.46", "10.0"),
    ),
    "merge-threshold": (named, lambda: values("merge.threshold", "0.5", "0.8", "2.0")),
    "merge-embedding_weight": (
        named,
        lambda: values("merge.embedding_weight", "0.0", "0.5", "1.0"),
    ),
    "merge-edges": (named, lambda: values("merge.edges", "adjacent", "all", "siblings")),
}


def compose(panels: Sequence[tuple[Image.Image, str]]) -> Image.Image:
    """Panels in rows of three (four if there are four, one if they are wide), captions above."""
    sizes = [picture.size for picture, _ in panels]
    width, height = max(w for w, _ in sizes), max(h for _, h in sizes)
    columns = 1 if width > 1.5 * SIDE else 4 if len(panels) == 4 else 3
    head = 26
    rows = math.ceil(len(panels) / columns)
    columns = min(columns, len(panels))
    size = (columns * (width + GAP) - GAP, rows * (head + height + GAP) - GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for i, (picture, caption) in enumerate(panels):
        x, y = i % columns * (width + GAP), i // columns * (head + height + GAP)
        draw.text((x + 2, y + 3), caption, fill="black", font=load_font(16))
        canvas.paste(picture, (x, y + head))
    return canvas


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="which; default: all")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "knobs")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or PICTURES:
        kind, panels = PICTURES[name]
        done = []
        for panel in panels():
            picture, said = kind(panel)
            if kind in (cut, borders):
                picture = picture.resize(panel_size(picture), Image.Resampling.LANCZOS)
            done.append((picture, f"{panel.caption}: {said}" if said else panel.caption))
        path = arguments.folder / f"{name}.webp"
        compose(done).save(path, quality=QUALITY, method=6)
        print(f"{path} {path.stat().st_size / 1000:.0f} KB  {'; '.join(c for _, c in done)}")


if __name__ == "__main__":
    main()
