"""Texts -> unit CLIP embeddings, each text of a call encoded once."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock

from zeroguide.errors import UsageError, ZeroguideError
from zeroguide.files import write_atomically
from zeroguide.memo import Memo
from zeroguide.models import Clip, forks
from zeroguide.text_trie import encode_causal

# Texts kept in a memo. 50,000 of 768 numbers are 150 MB.
_KEPT = 50_000
# Texts tokenised and encoded at a time: so many that the tokens they begin with hardly count.
_BATCH = 1024
# The same for towers that read every text at its full length.
_WHOLE_BATCH = 256


def encode_tokens(network: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Text embeddings of an open_clip model, not normalised: (n, e).

    Equal to ``network.encode_text(tokens)`` up to rounding, and differentiable like it. Where the
    tower is causal and reads out at the end token, padding isn't computed, and what texts begin
    with in common only once; other towers, such as SigLIP's or those of transformers, do as usual.

    Args:
        network: an open_clip ``CLIP``, or a ``CustomTextCLIP`` of whatever towers.
        tokens: (n, context) int64, n at least 1, from the network's tokenizer.
    """
    tower = getattr(network, "text", network)
    # CLIP has its text tower's members, two of them by another name.
    pool = getattr(tower, "text_pool_type", None) or getattr(tower, "pool_type", None)
    if pool not in ("argmax", "eos") or not _is_plain_causal(tower):
        return torch.cat([network.encode_text(part) for part in tokens.split(_WHOLE_BATCH)])
    if pool == "eos":
        end = tower.text_eos_id if hasattr(tower, "text_eos_id") else tower.eos_id
        return encode_causal(tower, tokens, (tokens == end).int().argmax(dim=1))
    return encode_causal(tower, tokens, tokens.argmax(dim=1))  # the end token has the largest id


def _is_plain_causal(tower: Any) -> bool:
    """Whether tokens see exactly those before them, in blocks that `encode_causal` knows."""
    if getattr(tower, "attn_mask", None) is None or getattr(tower, "cls_emb", None) is not None:
        return False
    return all(type(block) is ResidualAttentionBlock for block in tower.transformer.resblocks)


class TextEncoder:
    """Embeds texts with CLIP's text tower. It has no state: any number of threads may share it."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        # A tokenizer of the hub's changes itself when its options do, as at its first call.
        self._tokenizing = threading.Lock()

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], memo: Memo | None = None) -> torch.Tensor:
        """Unit embeddings of texts: (n, e) float32, on the model's device.

        A text that is named several times is encoded once, and not at all if it was read with the
        same `memo` before.
        """
        if not texts:
            return self.embed([""])[:0]
        known = (Memo() if memo is None else memo).part(self, _Known)
        asked = dict.fromkeys(texts)
        new = sorted(text for text in asked if text not in known.place)
        known.make_room(len(new), asked)
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            known.add(part, self._encode(part))
        return known.rows_of(texts)

    @torch.inference_mode()
    def embed_phrases(self, phrases: Sequence[str], templates: Sequence[str]) -> torch.Tensor:
        """Unit mean embeddings of phrases over prompt templates: (n, e) float32.

        The ensemble of Radford et al., "Learning transferable visual models" (2021): embeddings
        are normalised, averaged over the templates and normalised again. Kept on disk, because a
        long list takes minutes; the file's name is a hash of model, phrases and templates. On a
        terminal a bar on stderr tells how far a long list is.

        Args:
            phrases: n texts.
            templates: texts in which ``{}`` stands for a phrase.

        Raises:
            UsageError: a template has no place for the phrase.
        """
        for template in templates:
            if "{}" not in template:
                raise UsageError(
                    f"the template {template!r} of decoder.templates has no {{}}: write {{}} where "
                    "the phrase goes"
                )
        path = self._cache_file(phrases, templates)
        known = _read_cache(path)
        if known is not None:
            return known.to(self._device)
        # In order, texts that begin alike are encoded together.
        order = sorted(range(len(phrases)), key=phrases.__getitem__)
        parts = [
            (template, order[start : start + _BATCH])
            for template in templates
            for start in range(0, len(order), _BATCH)
        ]
        total: torch.Tensor | None = None
        for template, part in _telling(parts):
            rows = self._encode([template.replace("{}", phrases[i]) for i in part])
            if total is None:
                total = rows.new_zeros(len(phrases), rows.shape[1])
            total[part] += rows
        assert total is not None, "neither phrases nor templates may be empty"
        embeddings = F.normalize(total, dim=-1)
        _write_cache(path, embeddings)
        return embeddings

    @property
    def _device(self) -> torch.device:
        return next(self.clip.network.parameters()).device

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        forks.computing()
        with self._tokenizing:
            tokens = self.clip.tokenize(list(texts))
        tokens = tokens.to(self._device)
        return F.normalize(encode_tokens(self.clip.network, tokens).float(), dim=-1)

    def _cache_file(self, phrases: Sequence[str], templates: Sequence[str]) -> Path:
        # A model is known by some numbers of each of its text tower's tensors.
        digest = hashlib.sha256()
        for name, parameter in self.clip.network.named_parameters():
            if not name.startswith("visual."):
                some = parameter.detach().flatten()[:64].float().cpu().numpy()
                digest.update(name.encode() + some.tobytes())
        digest.update("\n".join([*phrases, "", *templates]).encode())
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return base / "zeroguide" / "texts" / f"{digest.hexdigest()[:32]}.safetensors"


class _Known:
    """The embeddings of the texts that were read with a memo."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}
        # (room, e) float32; a text's embedding lies at its place, and behind the last one is room.
        self._rows = torch.empty(0, 0)

    def make_room(self, n: int, asked: dict[str, None]) -> None:
        """Forget what isn't asked for, if n more texts are too many."""
        if len(self.place) + n > _KEPT:
            kept = [text for text in self.place if text in asked]
            self._rows = self.rows_of(kept)
            self.place = {text: i for i, text in enumerate(kept)}

    def add(self, texts: Sequence[str], rows: torch.Tensor) -> None:
        """Keep the embeddings (n, e) of n texts."""
        first, last = len(self.place), len(self.place) + len(texts)
        if last > len(self._rows):
            # Twice the size, so that all copies together cost no more than one of the end.
            larger = rows.new_empty(2 * last, rows.shape[1])
            if first:
                larger[:first] = self._rows[:first]
            self._rows = larger
        self._rows[first:last] = rows
        self.place.update(zip(texts, range(first, last), strict=True))

    def rows_of(self, texts: Sequence[str]) -> torch.Tensor:
        """The embeddings of texts that were added: (n, e)."""
        # Not a list as the index: torch reads those slowly.
        places = torch.tensor([self.place[text] for text in texts], dtype=torch.long)
        return self._rows[places.to(self._rows.device)]


def _telling(parts: Sequence[tuple[str, list[int]]]) -> Iterator[tuple[str, list[int]]]:
    """The parts of a list, one after another, with a bar on stderr if it is a terminal."""
    from rich.console import Console
    from rich.progress import track

    yield from track(
        parts,
        "reading the vocabulary (once)",
        console=Console(stderr=True),
        transient=True,
        disable=len(parts) < 4 or not sys.stderr.isatty(),
    )


def _read_cache(path: Path) -> torch.Tensor | None:
    """The embeddings in a file, memory-mapped; None if there is none, or a broken one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)["embeddings"]
    except (OSError, SafetensorError):
        return None


def _write_cache(path: Path, embeddings: torch.Tensor) -> None:
    from safetensors.torch import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save({"embeddings": embeddings.cpu().contiguous()}))
    except (OSError, ZeroguideError):
        return  # a read-only home costs time at the next start, nothing else
