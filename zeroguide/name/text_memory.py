"""Labels by a small language model that reads the CLIP embedding, without a search.

DeCap (Li et al., "DeCap: decoding CLIP latents for zero-shot captioning via text-only training",
ICLR 2023): a language model learns to write a text from the text's own CLIP embedding. Pictures
lie elsewhere in CLIP's space than texts, so a segment's embedding is first moved among the texts:
the mean of a memory of text embeddings, weighted by their likeness to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from zeroguide.clip import Region, TextEncoder
from zeroguide.errors import WeightsError
from zeroguide.models import TextMemory
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.name.name import UNNAMED
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.system.memo import Memo

# The paper's temperature; CLIP's own, as trained.
_TEMPERATURE = 0.01
# The same text embedded by the same CLIP, but for the half precision of the file, gives 1.
_SAME = 0.99
# Texts less likely than this are what beams are filled up with, not alternatives.
_LOG_LEAST = math.log(1e-3)
# Regions per pass of the language model, each with its beams.
_BATCH = 64


class TextMemoryDecoder(Decoder):
    """Writes a text for every embedding, by beam search over a language model alone.

    Args:
        texts: the encoder of the CLIP that made the segments' embeddings.
        text_memory: trained for this CLIP.
        beam_size: texts kept per segment and step.
        max_tokens: longest text.
        n_alternatives: labels returned beside the best.

    Raises:
        WeightsError: the text memory was trained for another CLIP.
    """

    def __init__(
        self,
        texts: TextEncoder,
        text_memory: TextMemory,
        *,
        beam_size: int,
        max_tokens: int,
        n_alternatives: int,
    ) -> None:
        self.texts = texts
        self.model = text_memory
        self.n_labels = 1 + n_alternatives
        # Never one beam alone: transformers gives no scores then.
        self.beam_size = max(2, beam_size, self.n_labels)
        self.max_tokens = max_tokens
        known, own = text_memory.memory[0], texts.embed([text_memory.first])[0]
        if known.shape != own.shape or known @ own.to(known.device) < _SAME:
            raise WeightsError(
                "the text memory was trained for another CLIP than the recipe's: train it again "
                "with scripts/train/text_memory.py"
            )

    def rank(self, unit: torch.Tensor, _regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) -> for each segment its labels and cosines, the likeliest text first."""
        written = [
            texts
            for start in range(0, len(unit), _BATCH)
            for texts in self._write(self.project(unit[start : start + _BATCH]))
        ]
        return [self._ranked(row, texts, memo) for row, texts in zip(unit, written, strict=True)]

    def project(self, unit: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of pictures (n, e) -> unit embeddings among those of texts (n, e)."""
        memory = self.model.memory  # (m, e)
        weights = (unit.to(memory.device) @ memory.T / _TEMPERATURE).softmax(-1)  # (n, m)
        return F.normalize(weights @ memory, dim=-1)

    def _write(self, projected: torch.Tensor) -> list[list[str]]:
        """For each embedding (n, e) its likely texts, the likeliest first, at least one."""
        prefix = self.model.prefix(projected.to(self.model.projection.weight.dtype))  # (n, 1, d)
        end = self.model.tokenizer.eos_token_id
        beams = self.model.network.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            max_new_tokens=self.max_tokens + 1,  # and the end
            num_beams=self.beam_size,
            num_return_sequences=self.beam_size,
            length_penalty=0.0,  # a beam's score is its text's log-probability
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
            return_dict_in_generate=True,
            output_scores=True,
        )
        texts = self.model.tokenizer.batch_decode(beams.sequences, skip_special_tokens=True)
        rows: list[list[str]] = [[] for _ in projected]
        for i, (text, score) in enumerate(zip(texts, beams.sequences_scores.tolist(), strict=True)):
            row = rows[i // self.beam_size]
            if not row or score > _LOG_LEAST:
                row.append(text)
        return rows

    def _ranked(self, unit: torch.Tensor, texts: list[str], memo: Memo) -> list[tuple[str, float]]:
        """The texts' labels, each once, with the cosines of the texts in the training's wording."""
        labels: dict[str, str] = {}
        for text in texts:
            if label := clean_phrase(text):
                labels.setdefault(label, self.model.template.replace("{}", text.strip()))
        if not labels:
            return [(UNNAMED, 0.0)]  # only punctuation
        best = list(labels)[: self.n_labels]
        embedded = self.texts.embed([labels[label] for label in best], memo)
        cosines = embedded.to(unit.device) @ unit
        return list(zip(best, cosines.tolist(), strict=True))
