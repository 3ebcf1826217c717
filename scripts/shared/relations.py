"""How a label is related to the names of what it is said of, by spelling and by WordNet."""

from __future__ import annotations

from zeroguide.evaluate.metrics.lac import Level
from zeroguide.evaluate.metrics.wordnet import WordNet
from zeroguide.name.noun_forms import base_forms, squeezed


def judge(label: str, names: list[str], wordnet: WordNet) -> tuple[str, int]:
    """How a label is related to its name: "right", "hypernym" with its steps, "finer" or ""."""
    spellings = {squeezed(form) for name in names for form in base_forms(name)}
    if any(squeezed(form) in spellings for form in base_forms(label)):
        return "right", 0
    levels = [wordnet.relation(label, name) for name in names]
    if min(levels) <= Level.SYNONYM:
        return "right", 0
    steps = [wordnet.steps_up(name, label) for name in names]
    up = [step for step in steps if step is not None]
    if up:
        return "hypernym", min(up)
    return ("finer", 0) if min(levels) == Level.HYPONYM else ("", 0)
