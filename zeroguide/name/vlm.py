"""Labels by a vision-language model that is shown each region with its outline drawn.

A visual prompt instead of an embedding: what is inside a red outline is what such models describe
(Shtedritski et al., "What does CLIP know about a red circle?", ICCV 2023). The embedding only
scores what was written.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage

from zeroguide.clip import Region, TextEncoder
from zeroguide.models import Vlm
from zeroguide.name.decoder import Decoder, Ranked
from zeroguide.name.name import UNNAMED
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.system.memo import Memo

QUESTION = "What does the red outline show? Answer with its name only, a short noun phrase."
OUTLINE = (255, 0, 0)
# Around the bounding box, of its longer side: enough to see where the region is.
_CONTEXT = 0.25
# The outline's width, of the crop's longer side: a few pixels after a model's resizing.
_WIDTH = 0.01
# Regions per pass: images are many tokens.
_BATCH = 8


class VlmDecoder(Decoder):
    """Asks a vision-language model what it sees in each region.

    Args:
        texts: the encoder of the CLIP that made the regions' embeddings.
        vlm: any transformers image-text-to-text model.
        prompt: the beginning of the answer, such as ``"Image of a"``; not part of a label.
        beam_size: texts kept per region and step; at least as many as labels are wanted.
        max_tokens: longest answer.
        n_alternatives: labels returned beside the best.
    """

    def __init__(
        self,
        texts: TextEncoder,
        vlm: Vlm,
        *,
        prompt: str,
        beam_size: int,
        max_tokens: int,
        n_alternatives: int,
    ) -> None:
        self.texts = texts
        self.vlm = vlm
        self.prompt = prompt
        self.max_tokens = max_tokens
        self.n_labels = 1 + n_alternatives
        self.beam_size = max(beam_size, self.n_labels)
        # Models note on themselves where a call's images lie (Qwen-VL's rope_deltas), and
        # processors change their tokenizers.
        self._one_at_a_time = threading.Lock()

    def rank(self, unit: torch.Tensor, regions: Sequence[Region], memo: Memo) -> Sequence[Ranked]:
        """(n, e) and n regions -> for each its labels and cosines, in the model's own order."""
        answers: list[list[str]] = []
        for start in range(0, len(regions), _BATCH):
            crops = [outlined_crop(region) for region in regions[start : start + _BATCH]]
            with self._one_at_a_time:
                answers += self._ask(crops)
        return [self._ranked(row, texts, memo) for row, texts in zip(unit, answers, strict=True)]

    def _ask(self, crops: list[np.ndarray]) -> list[list[str]]:
        """For each crop the model's likeliest answers, best first."""
        inputs = self.vlm.encode(crops, QUESTION, self.prompt)
        tokens = self.vlm.network.generate(
            **inputs,
            max_new_tokens=self.max_tokens,
            num_beams=self.beam_size,
            num_return_sequences=self.n_labels,
            do_sample=False,
        )  # (n * labels, length)
        # Models without an encoder repeat the question before they answer.
        asked = inputs["input_ids"].repeat_interleave(self.n_labels, dim=0)
        length = asked.shape[1]
        if tokens.shape[1] >= length and torch.equal(tokens[:, :length], asked):
            tokens = tokens[:, length:]
        texts = self.vlm.processor.batch_decode(tokens, skip_special_tokens=True)
        return [texts[i : i + self.n_labels] for i in range(0, len(texts), self.n_labels)]

    def _ranked(
        self, unit: torch.Tensor, answers: list[str], memo: Memo
    ) -> list[tuple[str, float]]:
        """The answers' labels, each once, with the cosines of prompt and label."""
        phrases = (clean_phrase(answer, self.prompt) for answer in answers)
        labels = [label for label in dict.fromkeys(phrases) if label]
        if not labels:
            return [(UNNAMED, 0.0)]  # the model had nothing to say
        texts = [f"{self.prompt} {label}".strip() for label in labels]
        cosines = self.texts.embed(texts, memo).to(unit.device) @ unit
        return list(zip(labels, cosines.tolist(), strict=True))


def outlined_crop(region: Region) -> np.ndarray:
    """The region's bounding box with some context, its outline drawn: (h, w, 3) uint8 RGB.

    The line lies outside of the region, so that small ones aren't painted over; where the region
    meets the image's border there is none.
    """
    mask = region.mask
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [(int(side[0]), int(side[-1]) + 1) for side in (rows, columns)]
    longer = max(end - start for start, end in box)
    margin = max(1, round(_CONTEXT * longer))
    crop = tuple(slice(max(0, start - margin), end + margin) for start, end in box)
    pixels, inside = region.image.pixels[crop].copy(), mask[crop]
    width = max(1, round(_WIDTH * max(inside.shape)))
    pixels[ndimage.binary_dilation(inside, iterations=width) & ~inside] = OUTLINE
    return pixels
