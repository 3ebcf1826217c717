"""The lists of a recipe: those that labels come from, and those that they are compared with."""

from __future__ import annotations

from zeroguide.clip import TextEncoder
from zeroguide.clip.confidence import Confidence
from zeroguide.models import choose_device, load_clip
from zeroguide.name.beam import name_is_next
from zeroguide.name.phrase_files import read_prompts
from zeroguide.recipe import Recipe


def embed_lists(recipe: Recipe, *, device: str = "auto", offline: bool = False) -> int:
    """Embed the list a recipe's labels come from or are compared with, so that no run need wait.

    The embeddings are kept on disk; see `phrase_cache`. Returns how many phrases the list has.
    Raises UsageError and WeightsError as `Labeler` does.
    """
    knobs = recipe.decoder
    clip = load_clip(recipe.models.clip, device=choose_device(device), offline=offline)
    texts = TextEncoder(clip)
    make_confidence(recipe, texts)
    phrases = read_prompts(knobs.vocabulary)
    if knobs.method in ("phrases", "vocabulary") or (
        knobs.method == "beam" and name_is_next(knobs.prompt)
    ):
        texts.embed_phrases(phrases, read_prompts(knobs.templates))
    return len(phrases)


def make_confidence(recipe: Recipe, texts: TextEncoder) -> Confidence:
    """What tells how far a label stands out from the recipe's label set."""
    return Confidence(
        texts,
        read_prompts(recipe.confidence.vocabulary),
        prompt=recipe.decoder.prompt,
        midpoint=recipe.confidence.midpoint,
        slope=recipe.confidence.slope,
    )
