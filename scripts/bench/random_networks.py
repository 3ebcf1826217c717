"""Networks with random weights and a picture in pieces, for timing without real ones."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import hub_folders

from zeroguide.clip import Region, SegmentedImage
from zeroguide.models import Clip, LanguageModel, load_language_model
from zeroguide.playroom import render

SEGMENTS = 20
# The spread of a random GPT-2's logits is 0.55; at 3, some hundred words are likelier than 1/1000.
PEAKED = 5.5


def picture(height: int = 480, width: int = 640, segments: int = SEGMENTS) -> SegmentedImage:
    """A rendered scene under the Voronoi cells of random points."""
    rng = np.random.default_rng(0)
    scene = render(3, 0, size=max(height, width))
    points = rng.uniform(0, (height, width), (segments, 2))
    rows, columns = np.mgrid[:height, :width]
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in points]
    return SegmentedImage(scene.pixels[:height, :width].copy(), np.argmin(distances, axis=0))


def regions(of: SegmentedImage) -> list[Region]:
    """Every over-segment as a region."""
    return [Region(of, (i,)) for i in range(int(of.label_map.max()) + 1)]


def random_clip(name: str, device: torch.device) -> Clip:
    """One of open_clip's architectures with random weights."""
    torch.manual_seed(0)
    network = open_clip.model.CLIP(**open_clip.get_model_config(name))
    network = network.to(device).eval().requires_grad_(False)
    size = network.visual.image_size
    tokenize = open_clip.get_tokenizer(name)
    return Clip(network, tokenize, size[0], (0.5,) * 3, (0.25,) * 3)


def random_gpt2(bpe: Path, device: torch.device) -> LanguageModel:
    """GPT-2 small with its own tokenizer and random weights, as peaked as a trained one."""
    sizes: dict[str, Any] = {
        "n_layer": 12,
        "n_embd": 768,
        "n_head": 12,
        "n_positions": 1024,
        "vocab_size": 50257,
    }
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as folder:
        hub_folders.language_model_folder(Path(folder), bpe=bpe, **sizes)
        model = load_language_model(folder, device=device, offline=True)
        model.network.transformer.ln_f.weight.data *= PEAKED
    return model
