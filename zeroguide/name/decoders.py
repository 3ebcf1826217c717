"""The decoder that a recipe names. One file per method; `decoder` says what all of them are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zeroguide.clip import TextEncoder
from zeroguide.errors import UsageError
from zeroguide.name.beam import BeamDecoder
from zeroguide.name.decoder import Decoder
from zeroguide.name.examples import Examples
from zeroguide.name.phrase_files import list_names, read_prompts
from zeroguide.name.proposals import start_ids
from zeroguide.name.vocabulary import VocabularyDecoder
from zeroguide.recipe import Recipe

if TYPE_CHECKING:
    from zeroguide.models import LanguageModel, LoadedModels
    from zeroguide.name.classes import Classifier
    from zeroguide.name.phrases import PhraseList

LABELS = "labels"
"""The list in prompts/ whose order tells how often a phrase is said."""


def make_decoder(
    recipe: Recipe, texts: TextEncoder, models: LoadedModels, examples: Examples | None = None
) -> Decoder:
    """The decoder a recipe names; `models` holds what `Recipe.checkpoints` lists.

    examples: of a user's own names, for the method "phrases".

    Raises UsageError if prompt and label could be longer than the language model takes.
    """
    knobs = recipe.decoder
    if models.language_model is not None:
        _check_length(models.language_model, knobs.prompt, knobs.max_tokens)
    search: dict[str, Any] = {
        "beam_size": knobs.beam_size,
        "max_tokens": knobs.max_tokens,
        "n_alternatives": knobs.n_alternatives,
    }
    match knobs.method:
        case "phrases":
            return _phrases_decoder(recipe, texts, models.language_model, examples)
        case "vocabulary":
            return VocabularyDecoder(
                texts,
                phrases=read_prompts(knobs.vocabulary),
                templates=read_prompts(knobs.templates),
                n_alternatives=knobs.n_alternatives,
            )
        case "beam":
            assert models.language_model is not None
            return BeamDecoder(
                texts,
                models.language_model,
                phrases=read_prompts(knobs.vocabulary),
                templates=read_prompts(knobs.templates),
                prompt=knobs.prompt,
                n_candidates=knobs.n_candidates,
                lm_weight=knobs.lm_weight,
                **search,
            )
        case "zerocap":
            from zeroguide.name.zerocap import ZeroCapDecoder

            assert models.language_model is not None
            return ZeroCapDecoder(
                texts,
                models.language_model,
                prompt=knobs.prompt,
                n_candidates=knobs.n_candidates,
                iterations=knobs.iterations,
                **search,
            )
        case "text-memory":
            from zeroguide.name.text_memory import TextMemoryDecoder

            assert models.text_memory is not None
            return TextMemoryDecoder(texts, models.text_memory, **search)
        case "vlm":
            from zeroguide.name.vlm import VlmDecoder

            assert models.vlm is not None
            return VlmDecoder(texts, models.vlm, prompt=knobs.prompt, **search)


def _phrases_decoder(
    recipe: Recipe,
    texts: TextEncoder,
    language_model: LanguageModel | None,
    examples: Examples | None,
) -> Decoder:
    from zeroguide.name.phrases import Modifiers, PhrasesDecoder

    knobs = recipe.decoder
    modifiers = None
    if language_model is not None:
        modifiers = Modifiers(
            texts,
            language_model,
            read_prompts("modifiers"),
            prompt=knobs.prompt,
            lm_weight=knobs.lm_weight,
        )
    return PhrasesDecoder(
        phrase_list(recipe, texts, examples),
        certainty=knobs.certainty,
        modifiers=modifiers,
        n_alternatives=knobs.n_alternatives,
    )


def phrase_list(recipe: Recipe, texts: TextEncoder, examples: Examples | None = None) -> PhraseList:
    """The recipe's vocabulary with a prior, and with names that have examples or are classes."""
    from zeroguide.name.phrases import OwnNames, PhraseList

    knobs = recipe.decoder
    phrases = read_prompts(knobs.vocabulary)
    # Of the package's list the order tells how often a phrase is said. Whoever brings a list wants
    # to see its phrases: they count as if nothing were said more often.
    common = read_prompts(LABELS) if LABELS in list_names(knobs.vocabulary) else []
    rank = {phrase: i for i, phrase in enumerate(common)}
    templates = read_prompts(knobs.templates)
    found = PhraseList(
        texts,
        phrases,
        templates,
        ranks=[rank.get(phrase, 0) for phrase in phrases],
        frequency_weight=knobs.frequency_weight,
    )
    own = [name for _, name in recipe.classes.names]
    own += examples.names if examples is not None else ()
    own = list(dict.fromkeys(own))
    if own:
        found = found.with_names(own, texts.embed_phrases(own, templates))
    return found if examples is None else OwnNames(found, examples)


def make_classifier(recipe: Recipe, texts: TextEncoder, decoder: Decoder) -> Classifier | None:
    """What says which of the recipe's classes a segment is of; None if it has no classes.

    decoder: of the recipe, whose list is used where it has one.
    """
    from zeroguide.name.classes import Classifier
    from zeroguide.name.phrases import PhrasesDecoder

    knobs = recipe.classes
    if not knobs.names:
        return None
    known = decoder.list if isinstance(decoder, PhrasesDecoder) else None
    phrases = known or phrase_list(recipe, texts)
    return Classifier(phrases, dict(knobs.names), least=knobs.least)


def _check_length(model: LanguageModel, prompt: str, max_tokens: int) -> None:
    """UsageError where the language model has no positions for the longest text."""
    most = getattr(model.network.config.get_text_config(), "max_position_embeddings", None)
    needed = len(start_ids(model, prompt)) + max_tokens + 1
    if most is not None and needed > most:
        raise UsageError(
            f"decoder.max_tokens={max_tokens} and the prompt need {needed} positions where the "
            f"language model has {most}: choose a smaller decoder.max_tokens"
        )
