"""English captions that name all, or some, of what a scene shows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zeroguide.playroom.names import ARTICLES, STUFF

_OPENINGS = (
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a close-up of {}",
    "there is {}",
    "{}",
)
_PLACES = ("{} on {}", "{} in front of {}", "{} and {}", "{} with {}", "{} next to {}")


def phrase(name: str) -> str:
    """The name with its article: ``"a dog"``, ``"grapes"``, ``"the sky"``."""
    return f"{ARTICLES[name]} {name}".lstrip()


def _enumerate(names: Sequence[str]) -> str:
    phrases = [phrase(name) for name in names]
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def caption(names: Sequence[str], rng: np.random.Generator) -> str:
    """A caption naming exactly ``names`` (at least one), in random order and wording."""
    shuffled = [names[i] for i in rng.permutation(len(names))]
    things = [name for name in shuffled if name not in STUFF]
    stuff = [name for name in shuffled if name in STUFF]
    if things and stuff and rng.random() < 0.5:
        place = _PLACES[rng.integers(len(_PLACES))]
        content = place.format(_enumerate(things), _enumerate(stuff))
    else:
        content = _enumerate(shuffled)
    text = _OPENINGS[rng.integers(len(_OPENINGS))].format(content)
    return text + "." if rng.random() < 0.5 else text
