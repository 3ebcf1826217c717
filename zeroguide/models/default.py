"""Which preset speaks where none is named.

The default needs models of the hub. Where they are neither on this machine nor to be fetched, the
photo model of this package stands in, and its recipe and results say so. A preset that was named is
never replaced.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from zeroguide.models.hub import find
from zeroguide.recipe import DEFAULT, Recipe, load_recipe

STAND_IN = "photo"
PATIENCE = 3.0
"""Seconds that the hub has to answer."""
ASK_AGAIN = 60.0
"""Seconds after which a hub that didn't answer is asked again."""
OWN = ("models.", "embedding.", "segmenter.model")
"""What is set for one network isn't meant for another."""


def default_recipe(
    overrides: Sequence[str] = (),
    *,
    offline: bool = False,
    labels: bool = True,
    began_with: str | None = None,
) -> Recipe:
    """The default preset's recipe, or the stand-in's; then `Recipe.stands_in` says why.

    Args:
        overrides: as of `load_recipe`; with some for a network of one's own nothing stands in.
        offline: never ask the hub.
        labels: whether anything is to be named; over-segments need less.
        began_with: the preset of a run that is to go on; it is taken if it is one of the two.

    Raises UsageError as `load_recipe` does.
    """
    from huggingface_hub import constants

    recipe = load_recipe(DEFAULT, overrides)
    if began_with == DEFAULT or any(override.startswith(OWN) for override in overrides):
        return recipe
    if began_with == STAND_IN:
        return _stand_in(overrides, "with which this run began")
    needed = recipe.checkpoints(labels=labels)
    if all(find(name, role) is not None for role, name in needed.items()):  # type: ignore[arg-type]
        return recipe
    offline = offline or constants.HF_HUB_OFFLINE
    if not offline and hub_answers():
        return recipe
    why = "(offline)" if offline else "and the hub doesn't answer"
    return _stand_in(overrides, f"because the weights of {DEFAULT} aren't on this machine {why}")


def _stand_in(overrides: Sequence[str], why: str) -> Recipe:
    return load_recipe(STAND_IN, overrides).model_copy(update={"stands_in": why})


def hub_answers(seconds: float = PATIENCE) -> bool:
    """Whether the hub answers in time; one that does is asked once a process."""
    from huggingface_hub import constants

    with _asking:
        answered, asked = _answers.get(constants.ENDPOINT, (False, -ASK_AGAIN))
        if not answered and time.monotonic() - asked >= ASK_AGAIN:
            answered = _ask(constants.ENDPOINT, seconds)
            _answers[constants.ENDPOINT] = answered, time.monotonic()
        return answered


_asking = threading.Lock()
_answers: dict[str, tuple[bool, float]] = {}


def _ask(url: str, seconds: float) -> bool:
    from huggingface_hub.utils import get_session

    answered = threading.Event()

    def ask() -> None:
        # With the client that would download: its proxies and certificates are those that count.
        try:
            if get_session().head(url, timeout=seconds).status_code < 500:
                answered.set()
        except Exception:  # whatever it is, it is no answer
            pass

    # A thread, because looking up a name can't be given a time.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()
