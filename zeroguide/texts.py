"""Texts -> unit CLIP embeddings, each text encoded once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from zeroguide.models import Clip

# Texts kept in memory; beyond that the oldest go. 50,000 of 768 numbers are 150 MB.
_KEPT = 50_000
_BATCH = 256


def encode_tokens(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Text embeddings of an open_clip CLIP, not normalised: (n, e).

    Equal to ``network.encode_text(tokens)``, but the padding that all texts share is cut off
    first. That changes nothing, because the tower is causal and reads out at the end token, and
    for short texts it saves nine tenths of the work.

    Args:
        network: an open_clip ``CLIP`` whose text tower is causal and pools at the largest id.
        tokens: (n, context) int64, each row with its end token, the largest id of the row.
    """
    ends = tokens.argmax(dim=1)  # (n,)
    length = int(ends.max()) + 1
    tokens = tokens[:, :length]
    x = network.token_embedding(tokens) + network.positional_embedding[:length]
    x = network.transformer(x, attn_mask=network.attn_mask[:length, :length].to(x.dtype))
    x = network.ln_final(x)[torch.arange(len(x), device=x.device), ends]
    projection = network.text_projection
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection


class TextEncoder:
    """Embeds texts with CLIP's text tower and remembers them."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self._known: dict[str, torch.Tensor] = {}

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit embeddings of texts: (n, e) float32, on the model's device."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        # Texts of like length share a batch, so that little padding is computed.
        new.sort(key=len)
        found = dict(self._known)
        for start in range(0, len(new), _BATCH):
            batch = new[start : start + _BATCH]
            found.update(zip(batch, self._encode(batch), strict=True))
        for text in [*dict.fromkeys(texts)]:
            self._known.pop(text, None)  # to the end: the newest
            self._known[text] = found[text]
        while len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)))
        return torch.stack([found[text] for text in texts])

    @torch.inference_mode()
    def embed_phrases(self, phrases: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """Unit mean embeddings of phrases over prompt templates: (n, e) float32.

        The ensemble of Radford et al., "Learning transferable visual models" (2021): embeddings
        are normalised, averaged over the templates and normalised again. Kept on disk, because a
        long list takes minutes; the file's name is a hash of model, phrases and templates.

        Args:
            phrases: n texts.
            templates: texts in which ``{}`` stands for a phrase.
        """
        path = self._cache_file(phrases, templates)
        device = next(self.clip.network.parameters()).device
        if path.is_file():
            from safetensors.torch import load_file

            return load_file(path)["embeddings"].to(device)
        texts = sorted(
            (template.replace("{}", phrase) for phrase in phrases for template in templates),
            key=len,
        )
        unique = list(dict.fromkeys(texts))
        rows = [
            row
            for start in range(0, len(unique), _BATCH)
            for row in self._encode(unique[start : start + _BATCH])
        ]
        by_text = dict(zip(unique, rows, strict=True))
        means = torch.stack(
            [
                torch.stack([by_text[t.replace("{}", phrase)] for t in templates]).mean(0)
                for phrase in phrases
            ]
        )
        embeddings = F.normalize(means, dim=-1)
        self._write_cache(path, embeddings)
        return embeddings

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        network = self.clip.network
        tokens = self.clip.tokenize(list(texts)).to(next(network.parameters()).device)
        return F.normalize(encode_tokens(network, tokens).float(), dim=-1)

    def _cache_file(self, phrases: Sequence[str], templates: Sequence[str]) -> Path:
        # A model is known by what it does: the embedding of one sentence, rounded, so that another
        # number of threads doesn't make it another model.
        probe = self._encode(["the quick brown fox jumps over the lazy dog"])[0].cpu()
        digest = hashlib.sha256(repr([f"{x:.3f}" for x in probe.tolist()]).encode())
        digest.update("\n".join([*phrases, "", *templates]).encode())
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "zeroguide" / "texts" / f"{digest.hexdigest()[:32]}.safetensors"

    @staticmethod
    def _write_cache(path: Path, embeddings: torch.Tensor) -> None:
        from safetensors.torch import save_file

        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({"embeddings": embeddings.cpu().contiguous()}, partial)
            partial.replace(path)
        except OSError:
            return  # a read-only home costs time at the next start, nothing else
