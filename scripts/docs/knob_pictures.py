"""What each knob of a recipe does, as pictures for docs/knobs.md.

    python -m scripts.docs.knob_pictures                # all of them, some minutes
    python -m scripts.docs.knob_pictures merge-edges    # some

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
from pathlib import Path

from PIL import Image, ImageDraw

from scripts.docs.knob_panels import (
    GAP,
    SIDE,
    Panel,
    borders,
    cut,
    features,
    named,
    panel_size,
    values,
    with_confidence,
)
from zeroguide.result.overlay.text import load_font

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "knobs"
QUALITY = 60  # of the WebP


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
    parser.add_argument("--folder", type=Path, default=FOLDER)
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
