"""The only package that loads models: DINO, CLIP and those that write, by hub id or by folder.

Importing it imports no torch; the loaders do when they are called.
"""

from zeroguide.models.catalogue import CheckedModel, ModelInfo, check, list_models, pull
from zeroguide.models.default import default_recipe
from zeroguide.models.device import choose_device
from zeroguide.models.hub import resolve
from zeroguide.models.loading import (
    Clip,
    Dino,
    LanguageModel,
    LoadedModels,
    load_all,
    load_clip,
    load_dino,
    load_language_model,
    prepare,
    trunk_of,
)
from zeroguide.models.text_memory import TextMemory, load_text_memory
from zeroguide.models.vlm import Vlm, load_vlm

__all__ = [
    "CheckedModel",
    "Clip",
    "Dino",
    "LanguageModel",
    "LoadedModels",
    "ModelInfo",
    "TextMemory",
    "Vlm",
    "check",
    "choose_device",
    "default_recipe",
    "list_models",
    "load_all",
    "load_clip",
    "load_dino",
    "load_language_model",
    "load_text_memory",
    "load_vlm",
    "prepare",
    "pull",
    "resolve",
    "trunk_of",
]
