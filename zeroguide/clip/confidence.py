"""How sure a label is: its cosine against the cosines of a whole set of labels.

CLIP's cosines can't be compared between images, let alone between models: all of them lie close
together, at a level that depends on the region. What tells a right label from a wrong one is how
far it stands out among other labels for the same region. That distance, in standard deviations
(a z-score), is turned into a probability by a logistic curve (Platt, "Probabilistic outputs for
support vector machines", 1999), whose two numbers belong to the models and the label set:
scripts/evaluate/confidence.py fits them where there is ground truth. A decoder that tells itself
how probable its label is goes through such a curve, too: `calibrated`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from zeroguide.clip.texts import TextEncoder
from zeroguide.errors import UsageError
from zeroguide.system.memo import Memo


class Confidence:
    """Estimates the probability that a region's label is right.

    Args:
        texts: the encoder of the CLIP that made the regions' embeddings.
        phrases: the label set that labels must stand out from, at least two.
        prompt: put before every phrase and label, so that CLIP reads them alike.
        midpoint: the z-score of an even chance.
        slope: growth of the log-odds per standard deviation.

    Raises:
        UsageError: there is only one phrase.
    """

    def __init__(
        self,
        texts: TextEncoder,
        phrases: Sequence[str],
        *,
        prompt: str,
        midpoint: float,
        slope: float,
    ) -> None:
        if len(phrases) < 2:
            raise UsageError(
                f"confidence.vocabulary holds only {phrases[0]!r}: confidence compares a label "
                "with others, so list at least two phrases"
            )
        self.texts = texts
        self.template = f"{prompt} {{}}".strip()
        self.midpoint, self.slope = midpoint, slope
        self.label_set = texts.embed_phrases(phrases, [self.template])  # (p, e), unit

    def __call__(
        self, embeddings: torch.Tensor, labels: Sequence[str], memo: Memo | None = None
    ) -> list[float]:
        """The confidence in each of n labels for the region of its embedding, 0 to 1.

        Args:
            embeddings: (n, e), normalised or not.
            labels: n texts.
            memo: of the call, where there are texts that it has read.
        """
        z = self.z_scores(embeddings, labels, memo)
        return platt(z, self.midpoint, self.slope).tolist()

    def z_scores(
        self, embeddings: torch.Tensor, labels: Sequence[str], memo: Memo | None = None
    ) -> torch.Tensor:
        """How far each label's cosine stands above those of the label set: (n,) float32."""
        unit = F.normalize(embeddings.float(), dim=-1)
        texts = self.texts.embed([self.template.replace("{}", label) for label in labels], memo)
        return z_scores((unit * texts.to(unit)).sum(-1), unit @ self.label_set.T)


def z_scores(cosines: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How far cosines (n,) stand above those of the label set, (n, p), in standard deviations."""
    return (cosines - others.mean(1)) / others.std(1).clamp_min(1e-6)


def platt(z: torch.Tensor, midpoint: float, slope: float) -> torch.Tensor:
    """Platt's curve: z-scores -> probabilities."""
    return (slope * (z - midpoint)).sigmoid()


def calibrated(posterior: float, *, slope: float, offset: float) -> float:
    """What a decoder's probability of a label, 0 to 1, is worth: 0 to 1.

    Platt's curve again, over log-odds: 1 and 0 as slope and offset leave it as it is.
    """
    yes, no = posterior**slope * math.exp(offset), (1 - posterior) ** slope
    return yes / (yes + no)
