"""A list of phrases and a user's own names, each shown by examples.

An example says what its name looks like in the only words there are, those of the list: the
likelihood of a segment u under the name is a mixture of the phrases' likelihoods, p(u | name) =
sum over j of p(j | example) p(u | j). So the name may be "Rex", of which CLIP knows nothing. How
near the two embeddings are says the rest. Where CLIP knows the word, its text counts instead: own
names are phrases of the list as well.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from zeroguide.name.examples import Examples
from zeroguide.name.phrases.retrieval import PhraseList

# Chosen by hand among a dozen pairs on the first 60 photographs of COCO panoptic
# (scripts/evaluate/examples.py --limit 60).
_PRIOR = 2e-2  # of a name, by its examples
_NEARNESS, _NEAR = 20.0, 0.5  # growth of the log-likelihood with the cosine, and where it is 0


class OwnNames(PhraseList):
    """A `PhraseList` some of whose phrases are also known by examples.

    Args:
        phrases: the list, which holds all names of the examples.
        examples: what CLIP sees in them.

    Attributes:
        columns: (k,) int64, the places of the names that have examples.
    """

    def __init__(self, phrases: PhraseList, examples: Examples) -> None:
        vars(self).update(vars(phrases))  # the same list; only its posterior is another
        place = {phrase: i for i, phrase in enumerate(self.phrases)}
        device = self.embeddings.device
        shown = [rows.to(device) for rows in examples.embeddings]
        self.columns = torch.tensor([place[name] for name in examples.names], device=device)
        # (k, e) and (k, p): each name's mean example, and what its examples are in the list's words
        self._prototypes = F.normalize(torch.stack([rows.mean(0) for rows in shown]), dim=-1)
        self._words = torch.stack([phrases.posterior(rows).mean(0) for rows in shown])
        # (k,) examples count as far as the name's own text doesn't say what they show
        own = self._words.gather(1, self.columns[:, None])[:, 0]
        self._prior = _PRIOR * (1 - own)

    def in_words(self, unit: torch.Tensor) -> torch.Tensor:
        """As `posterior`, but by texts alone, as if there were no examples."""
        return super().posterior(unit)

    def posterior(self, unit: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of segments (n, e) -> the phrases' probabilities (n, p) float32."""
        by_text = self.in_words(unit)
        likelihood = by_text / self.log_prior.exp()  # (n, p), of u, by each phrase; relative
        nearness = _NEARNESS * (unit @ self._prototypes.T - _NEAR)
        by_example = self._prior * (likelihood @ self._words.T) * nearness.exp()  # (n, k)
        together = by_text.index_add(1, self.columns, by_example)
        return together / together.sum(dim=1, keepdim=True)
