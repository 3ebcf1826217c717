"""Cosines of segments with candidate texts: a context and one more token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zeroguide.clip import TextEncoder
from zeroguide.name.zerocap.tokens import Tokens
from zeroguide.system.memo import Memo


class Candidates:
    """The texts that continue some contexts by one token, each encoded once.

    Whichever segment, beam or iteration asks for a text first, all others find it here.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        contexts: the contexts' texts, without duplicates.
        memo: of the call, where there are texts that it has read.
    """

    def __init__(
        self, texts: TextEncoder, tokens: Tokens, contexts: Sequence[str], memo: Memo
    ) -> None:
        self._texts, self._tokens, self._contexts = texts, tokens, contexts
        self._memo = memo
        device = next(texts.clip.network.parameters()).device
        # Which row of the embeddings belongs to a context and a token; -1: not yet encoded.
        shape = (len(contexts), tokens.size)
        self._row = torch.full(shape, -1, dtype=torch.int32, device=device)
        self._embeddings = torch.empty(0, device=device)  # (texts, e)

    def cosines(
        self, unit: torch.Tensor, context: torch.Tensor, tokens: torch.Tensor
    ) -> torch.Tensor:
        """Cosines of unit embeddings with the texts of their own contexts and tokens.

        Args:
            unit: (n, e).
            context: (n,) int64, indices of `contexts`.
            tokens: (n, k) int64.

        Returns: (n, k), of the dtype of `unit`.
        """
        where = context[:, None].expand_as(tokens), tokens
        self._encode(*where)
        rows = self._row[where]  # (n, k)
        found = self._embeddings[rows]  # (n, k, e)
        return (found.to(unit.dtype) @ unit[:, :, None]).squeeze(-1)

    def _encode(self, context: torch.Tensor, tokens: torch.Tensor) -> None:
        wanted = torch.zeros_like(self._row, dtype=torch.bool)
        wanted[context, tokens] = True
        new = (wanted & (self._row < 0)).nonzero()  # (texts, 2)
        if not len(new):
            return
        embedded = self._texts.embed(
            [self._contexts[c] + self._tokens.piece(t) for c, t in new.tolist()],
            self._memo,
        )
        n = len(self._embeddings)
        self._row[tuple(new.T)] = torch.arange(
            n, n + len(new), dtype=torch.int32, device=self._row.device
        )
        self._embeddings = torch.cat([self._embeddings, embedded]) if n else embedded
