"""What every decoder is: segment embeddings -> ranked noun phrases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from zeroguide.clip import Region
from zeroguide.name.name import Name
from zeroguide.system.memo import Memo

Ranked = Sequence[Name | tuple[str, float]]
"""A region's labels with their scores, best first, at least one; a `Name` says more.

A score is the cosine of the region's embedding and the label's text.
"""


class Decoder(ABC):
    """Names regions of one image or of many.

    It has no state of its own, so that threads may share it, and that labels depend on nothing
    labelled before. What it reads, and wants to know when it is called again for the same images,
    it keeps in the memo.
    """

    @torch.inference_mode()
    def __call__(
        self, embeddings: torch.Tensor, regions: Sequence[Region] = (), memo: Memo | None = None
    ) -> Sequence[Ranked]:
        """Embeddings (n, e), normalised or not, and their n regions -> n ranked lists of labels.

        memo: of the caller; without one, the decoder forgets at the end.
        """
        unit = F.normalize(embeddings.float(), dim=-1)
        return self.rank(unit, regions, Memo() if memo is None else memo)

    @abstractmethod
    def rank(self, unit: torch.Tensor, regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """The same for unit embeddings (n, e), float32."""
