"""Real networks that naming is measured with, where no CLIP with real weights is at hand.

MiniLM stands in for CLIP's text tower: a name's sentence embedding, moved and blurred, takes the
place of what CLIP sees in a segment. `make real-weights` brings the folders.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from scripts.real_weights import FOLDER
from zeroguide.models import Clip

MINILM = FOLDER / "all-minilm-l6-v2"
SMOLLM2 = FOLDER / "smollm2-135m-instruct"


class _Tower(nn.Module):
    """A sentence encoder with mean pooling, behind the methods of an open_clip text tower."""

    def __init__(self, folder: Path, scale: float) -> None:
        super().__init__()
        from transformers import AutoModel

        self.encoder = AutoModel.from_pretrained(folder, local_files_only=True)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, length) token ids, 0 behind the end -> (n, 384), not normalised."""
        # Texts of like length together: nothing is computed for padding.
        lengths = (tokens != 0).sum(1)
        out = torch.empty(len(tokens), self.encoder.config.hidden_size)
        for part in lengths.argsort().split(128):
            ids = tokens[part, : int(lengths[part].max())]
            mask = (ids != 0).long()
            states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask[..., None].float()
            out[part] = (states * weights).sum(1) / weights.sum(1)
        return out


def text_side(scale: float = 100.0, folder: Path = MINILM) -> Clip:
    """MiniLM as the text side of a CLIP with this logit scale; its image side is missing."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def tokenize(texts: list[str]) -> torch.Tensor:
        ids: torch.Tensor = tokenizer(
            texts, padding=True, truncation=True, max_length=64, return_tensors="pt"
        )["input_ids"]
        return ids

    network = _Tower(folder, scale).eval().requires_grad_(False)
    return Clip(network, tokenize, image_size=1, mean=(0, 0, 0), std=(1, 1, 1))


class Gap:
    """Texts' embeddings -> queries like those that CLIP's image tower would give.

    A constant offset is the gap between pictures and texts (Liang et al., "Mind the gap", 2022),
    Gaussian noise what pictures have beside their names.

    Args:
        size: of the embeddings.
        offset: length of the offset, in lengths of an embedding.
        seed: of offset and noise.
    """

    def __init__(self, size: int, *, offset: float = 0.8, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(size, generator=self._generator)
        self._offset = offset * F.normalize(direction, dim=0)

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Noise for unit embeddings (n, e), of length 1 on average."""
        return torch.randn(like.shape, generator=self._generator) / math.sqrt(like.shape[1])

    def queries(self, unit: torch.Tensor, noise: torch.Tensor, level: float) -> torch.Tensor:
        """(n, e) unit; level: length of the noise, in lengths of an embedding."""
        return F.normalize(unit + self._offset + level * noise, dim=-1)


def read_names(path: Path) -> list[list[str]]:
    """A line per name, synonyms after commas; a number and a colon before it are left out.

    So is what stands in brackets: "fish (food)" is "fish".
    """
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        number, colon, rest = line.partition(":")
        names = (rest if colon and number.isdigit() else line).split(",")
        plain = [name.partition("(")[0].strip() for name in names]
        row = list(dict.fromkeys(name for name in plain if name))
        if row and row[0] not in ("invalid_class_id", "background"):
            rows.append(row)
    return rows


def level_for(share: float, right: Any, *, highest: float = 8.0, steps: int = 12) -> float:
    """The noise at which `right(level)`, a share that falls with it, is `share`; by bisection."""
    low, high = 0.0, highest
    for _ in range(steps):
        middle = (low + high) / 2
        if right(middle) > share:
            low = middle
        else:
            high = middle
    return low
