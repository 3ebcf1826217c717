"""Texts -> unit CLIP embeddings, each text of a call encoded once."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock

from zeroguide.clip.phrase_cache import cache_folder, embed_in_parts
from zeroguide.clip.text_trie import encode_causal
from zeroguide.errors import UsageError
from zeroguide.models import Clip
from zeroguide.system import forks
from zeroguide.system.memo import Memo

if TYPE_CHECKING:
    from rich.progress import TaskID

# Texts kept in a memo. 50,000 of 768 numbers are 150 MB.
_KEPT = 50_000
# Texts tokenised and encoded at a time: so many that the tokens they begin with hardly count.
_BATCH = 1024
# The same for towers that read every text at its full length.
_WHOLE_BATCH = 256
# Batches from which on a list is long enough for a bar.
_LONG = 4


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
        long list takes minutes; see `phrase_cache`. On a terminal a bar on stderr tells how far a
        long list is.

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
        # In order, texts that begin alike are encoded together.
        order = sorted(range(len(phrases)), key=phrases.__getitem__)
        parts = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        with _Bar() as bar:

            def make(number: int) -> np.ndarray:
                total: torch.Tensor | None = None
                for template in templates:
                    texts = [template.replace("{}", phrases[i]) for i in parts[number]]
                    rows = self._encode(texts)
                    total = rows if total is None else total + rows
                    bar.advance()
                assert total is not None, "templates may not be empty"
                return F.normalize(total, dim=-1).cpu().numpy()

            made = embed_in_parts(
                cache_folder(self._digest(phrases, templates)),
                [len(part) for part in parts],
                make,
                # A short list costs no room, and its cosines stay what they are.
                dtype=np.float16 if len(parts) > 1 else np.float32,
                about_to_make=lambda n: bar.begin(n * len(templates)),
            )
        embeddings = np.empty((len(phrases), made[0].shape[1]), np.float32)
        for part, rows in zip(parts, made, strict=True):
            embeddings[part] = rows
        return torch.from_numpy(embeddings).to(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.clip.network.parameters()).device

    def _encode(self, texts: Sequence[str]) -> torch.Tensor:
        forks.computing()
        with self._tokenizing:
            tokens = self.clip.tokenize(list(texts))
        tokens = tokens.to(self._device)
        return F.normalize(encode_tokens(self.clip.network, tokens).float(), dim=-1)

    def _digest(self, phrases: Sequence[str], templates: Sequence[str]) -> str:
        """Names the embeddings of a list: a hash of model, phrases and templates."""
        # A model is known by some numbers of each of its text tower's tensors.
        digest = hashlib.sha256()
        for name, parameter in self.clip.network.named_parameters():
            if not name.startswith("visual."):
                some = parameter.detach().flatten()[:64].float().cpu().numpy()
                digest.update(name.encode() + some.tobytes())
        digest.update("\n".join([*phrases, "", *templates]).encode())
        return digest.hexdigest()[:32]


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


class _Bar:
    """Tells on a terminal how far a long list is, on stderr; nothing of a short one."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._progress = Progress(console=Console(stderr=True), transient=True)
        self._task: TaskID | None = None

    def begin(self, n_steps: int) -> None:
        if n_steps >= _LONG and sys.stderr.isatty():
            self._task = self._progress.add_task("reading the vocabulary (once)", total=n_steps)
            self._progress.start()

    def advance(self) -> None:
        if self._task is not None:
            self._progress.advance(self._task)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._progress.stop()
