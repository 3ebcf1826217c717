"""What goes wrong between this machine and the hub, each in one sentence with its remedy."""

from __future__ import annotations

import errno

from zeroguide.errors import WeightsError
from zeroguide.recipe import list_recipes, load_recipe, method_with

_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT)


def refusal(error: Exception, checkpoint: str, role: str) -> WeightsError:
    """What a failed download means to the user, in one sentence."""
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    model = f"{checkpoint} ({role})"
    if isinstance(error, GatedRepoError):
        return WeightsError(
            f"{model} is gated: accept its licence on its page on the hub, then run `hf auth login`"
        )
    if isinstance(error, RepositoryNotFoundError):
        return WeightsError(
            f"{model} is neither a folder nor a public model on the hub: check the spelling, or "
            "run `hf auth login` if it is private"
        )
    # The client hides the hub's answer behind "not in the cache".
    hidden = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
    status = getattr(getattr(hidden, "response", None), "status_code", None)
    if status in (401, 403):
        return WeightsError(
            f"the hub denies access to {model} (HTTP {status}): check its name, ask for access on "
            "its page, then run `hf auth login` with a token that may read it"
        )
    if status == 429:
        return WeightsError(
            f"the hub takes no more requests for now, {model} isn't complete (HTTP 429): run it "
            "again in some minutes, or after `hf auth login`, finished files are kept"
        )
    if isinstance(error, LocalEntryNotFoundError):
        why = f" (HTTP {status})" if status else ""
        return WeightsError(
            f"the hub can't be reached{why} and the weights of {model} aren't on this machine: "
            f"{remedy(checkpoint)}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WeightsError(
            f"there is no space left for {model} in the hub's cache {_cache()}: make room, or set "
            "HF_HOME to a folder on another disk"
        )
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return WeightsError(
            f"the hub's cache {_cache()} can't be written ({error.strerror}): make it writable, or "
            "set HF_HOME to a folder that is"
        )
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return WeightsError(
        f"the download of {model} failed ({reason}): run it again, finished files are kept"
    )


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def pull_command(checkpoint: str) -> str:
    """The command that downloads a hub model."""
    preset = _preset_of(checkpoint)
    return f"zeroguide models pull --preset {preset}" if preset else f"hf download {checkpoint}"


def _preset_of(checkpoint: str) -> str | None:
    """The preset that uses a checkpoint, or one that names it with the decoder that would."""
    recipes = [(name, load_recipe(name)) for name in list_recipes()]
    for name, recipe in recipes:
        if checkpoint in recipe.checkpoints().values():
            return name
    for name, recipe in recipes:
        for role, named in recipe.models.model_dump().items():
            if named == checkpoint:
                return f"{name} --set decoder.method={method_with(role)}"
    return None


def remedy(checkpoint: str) -> str:
    """How to come by a hub model's weights."""
    command = pull_command(checkpoint)
    if _preset_of(checkpoint) is None:
        return f"if it is to be a folder, check its path, else run `{command}` with network access"
    return (
        f"run `{command}` once with network access, or use the preset photo, whose small model is "
        "included"
    )
