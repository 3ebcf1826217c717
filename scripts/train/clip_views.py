"""The views that the tiny CLIP learns from: close-ups and whole scenes, with a caption of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from scripts.train.loop import SceneDataset
from zeroguide.playroom import NAMES, STUFF, THINGS, Scene, caption

GRID = 14
PATCH = 8
# Scenes are rendered larger than the tower sees them, so that close-ups are sharp.
ZOOM = 2

# Rectangles of a scene's own tokens by number of tokens kept; larger ones lose random tokens.
RECTANGLES = {16: [(4, 4), (5, 5), (3, 6), (6, 3)], 36: [(6, 6), (7, 7), (5, 8), (8, 5), (9, 9)]}
# Views per scene. Whole scenes are every third scene's.
RECTANGLES_PER_SCENE = ((36, 2), (16, 3))
CLOSE_UPS_PER_SCENE = 4
CLOSE_UP_SIDE, CLOSE_UP_TOKENS = 8, 40
WHOLE_TOKENS = 98
SIZE = GRID * PATCH * ZOOM

Box = tuple[int, int, int, int]


@dataclass
class Views:
    """Views with equally many tokens.

    images: (B, 3, H, W) uint8; index: (V,), which image; patches: (V, count) ids into the image's
    own patches; positions: (V, count) ids into the tower's 196 positions.
    """

    images: torch.Tensor
    index: torch.Tensor
    patches: torch.Tensor
    positions: torch.Tensor


@dataclass
class Batch:
    """Views in groups, and over all V views in order: what they show and a caption of each.

    shown, doubtful: (V, 104) bool; texts: V captions; named: (V, 104) bool, what they name.
    """

    views: list[Views]
    shown: torch.Tensor
    doubtful: torch.Tensor
    texts: list[str]
    named: torch.Tensor


def some_region(scene: Scene, rng: np.random.Generator) -> int:
    """A region to look at, mostly a thing."""
    things = [i for i, name in enumerate(scene.names) if name not in STUFF]
    return (
        int(rng.choice(things))
        if things and rng.random() < 0.75
        else int(rng.integers(len(scene.names)))
    )


def rectangle(scene: Scene, count: int, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """A rectangle of tokens about a random region: token ids (count,), and its box in pixels."""
    height, width = RECTANGLES[count][rng.integers(len(RECTANGLES[count]))]
    region = some_region(scene, rng)
    rows, columns = np.nonzero(scene.label_map == region)
    cell = PATCH * ZOOM
    if scene.names[region] in STUFF:  # anywhere in it
        pick = rng.integers(len(rows))
        y, x = rows[pick] / cell, columns[pick] / cell
    else:  # about its middle
        y, x = rows.mean() / cell + rng.normal(0, 0.6), columns.mean() / cell + rng.normal(0, 0.6)
    top = int(np.clip(round(y - height / 2), 0, GRID - height))
    left = int(np.clip(round(x - width / 2), 0, GRID - width))
    ids = (np.arange(top, top + height)[:, None] * GRID + np.arange(left, left + width)).ravel()
    if len(ids) > count:
        ids = rng.choice(ids, count, replace=False)
    return ids, (top * cell, left * cell, (top + height) * cell, (left + width) * cell)


def close_up(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, Box]:
    """A region brought near: (64, 64, 3) uint8, and the box in the scene's pixels it shows."""
    size = scene.label_map.shape[0]
    region = some_region(scene, rng)
    rows, columns = np.nonzero(scene.label_map == region)
    if scene.names[region] in STUFF:
        pick = rng.integers(len(rows))
        y, x, side = rows[pick], columns[pick], size * rng.uniform(0.15, 0.6)
    else:
        y, x = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
        extent = max(np.ptp(rows), np.ptp(columns)) + 1
        side = extent * np.exp(rng.uniform(np.log(0.8), np.log(2.0)))
        y, x = y + rng.normal(0, 0.08) * side, x + rng.normal(0, 0.08) * side
    side = int(np.clip(side, 24, size))
    top = int(np.clip(y - side / 2, 0, size - side))
    left = int(np.clip(x - side / 2, 0, size - side))
    pixels = CLOSE_UP_SIDE * PATCH
    picture = Image.fromarray(scene.pixels).resize(
        (pixels, pixels), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    return np.asarray(picture), (top, left, top + side, left + side)


def visible(scene: Scene, box: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which names a box clearly shows, and which doubtfully: two (104,) bool."""
    y0, x0, y1, x1 = box
    inside = np.bincount(scene.label_map[y0:y1, x0:x1].ravel(), minlength=len(scene.names))
    whole = np.bincount(scene.label_map.ravel(), minlength=len(scene.names))
    cover, share = inside / max(1, inside.sum()), inside / whole
    shown, doubtful = np.zeros(len(NAMES), bool), np.zeros(len(NAMES), bool)
    for name, c, s in zip(scene.names, cover, share, strict=True):
        thing = name not in STUFF
        clear = (c >= 0.1 and s >= 0.5) or c >= 0.6 if thing else c >= 0.2
        clear = clear or (thing and s >= 0.8 and c > 0.01)
        shown[NAMES.index(name)] = clear
        doubtful[NAMES.index(name)] = not clear and c > 0
    return shown, doubtful


def make_batch(items: list[tuple[int, Scene]]) -> Batch:
    """Draw views and captions for scenes; random by the first scene's index alone."""
    rng = np.random.default_rng((7, items[0][0]))
    scenes = [scene for _, scene in items]
    side = GRID * PATCH
    small = [
        Image.fromarray(s.pixels).resize((side, side), Image.Resampling.BICUBIC) for s in scenes
    ]
    pictures = as_images([np.asarray(picture) for picture in small])
    whole = (0, 0, side * ZOOM, side * ZOOM)
    groups: list[tuple[Views, list[tuple[int, Box]]]] = []

    def add(images: torch.Tensor, rows: list[tuple[int, np.ndarray, np.ndarray, int, Box]]) -> None:
        index, patches, positions = (
            torch.from_numpy(np.stack([r[k] for r in rows])) for k in range(3)
        )
        groups.append((Views(images, index, patches, positions), [(r[3], r[4]) for r in rows]))

    rows = []
    for i in range(0, len(scenes), 3):
        ids = rng.choice(GRID * GRID, WHOLE_TOKENS, replace=False)
        rows.append((i, ids, ids, i, whole))
    add(pictures, rows)
    for count, repeats in RECTANGLES_PER_SCENE:
        drawn = [
            (i, *rectangle(s, count, rng)) for i, s in enumerate(scenes) for _ in range(repeats)
        ]
        add(pictures, [(i, ids, ids, i, box) for i, ids, box in drawn])
    near = [
        (i, *close_up(s, rng)) for i, s in enumerate(scenes) for _ in range(CLOSE_UPS_PER_SCENE)
    ]
    rows = []
    for k, (i, _, box) in enumerate(near):
        patches = rng.choice(CLOSE_UP_SIDE**2, CLOSE_UP_TOKENS, replace=False)
        # Anywhere in the tower's field: a name must not depend on the place.
        top, left = rng.integers(0, GRID - CLOSE_UP_SIDE + 1, 2)
        positions = (top + patches // CLOSE_UP_SIDE) * GRID + left + patches % CLOSE_UP_SIDE
        rows.append((k, patches, positions, i, box))
    add(as_images([picture for _, picture, _ in near]), rows)

    shown, doubtful, texts, named = [], [], [], []
    for i, box in [row for _, group in groups for row in group]:
        clear, doubt = visible(scenes[i], box)
        if not clear.any():  # nothing is clear: name the doubtful
            clear, doubt = doubt, clear
        names = np.flatnonzero(clear)
        if rng.random() < 0.6:  # name one only, a thing if there is one, mostly
            things = names[names < len(THINGS)]
            names = rng.choice(things if len(things) and rng.random() < 0.75 else names, 1)
        names_mask = np.zeros(len(NAMES), bool)
        names_mask[names] = True
        shown.append(clear)
        doubtful.append(doubt)
        named.append(names_mask)
        texts.append(caption([NAMES[n] for n in names], rng))
    shown_t, doubtful_t, named_t = (torch.from_numpy(np.stack(r)) for r in (shown, doubtful, named))
    return Batch([views for views, _ in groups], shown_t, doubtful_t, texts, named_t)


def as_images(pictures: list[np.ndarray]) -> torch.Tensor:
    """Pictures (H, W, 3) of one size as (B, 3, H, W) uint8."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


class RepeatedScenes(SceneDataset):
    """Scenes in batches, each batch twice in a row: rendering costs as much as half a step.

    An item is its index, which seeds the views drawn, and its scene.
    """

    def __init__(self, seed: int, count: int, batch_size: int) -> None:
        super().__init__(seed, count, size=SIZE)
        self.batch_size = batch_size
        self.render = lru_cache(maxsize=2 * batch_size)(super().__getitem__)

    def __getitem__(self, index: int) -> tuple[int, Scene]:  # type: ignore[override]
        batch, place = divmod(index, self.batch_size)
        return index, self.render(batch // 2 * self.batch_size + place)
