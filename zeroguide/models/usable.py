"""What a configuration tells of a model that is of no use here, before its weights are fetched.

- A CLIP whose text tower is a model of transformers, such as XLM-RoBERTa: open_clip's configuration
  only names that model, and open_clip asks the hub for the rest: another repository, which may not
  be on this machine. So the folder must hold the tower's own config.json and tokenizer beside the
  weights; nothing else is ever asked for.
- A vision-language model that was trained on a fixed list of tasks can't be asked a question.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeroguide.errors import WeightsError

CONFIG = "config.json"
_CLIP_CONFIG = "open_clip_config.json"
CONFIGS = {"clip": (_CLIP_CONFIG, CONFIG), "vlm": (CONFIG,)}
"""Role -> the files that `check_usable` reads."""
# What open_clip has a place for. Repositories of a CLIP may hold transformers' config.json of the
# whole model, which is of another type.
_TEXT_TOWERS = ("bert", "m2m_100", "mt5", "roberta", "xlm-roberta")
# Models of transformers that know tasks such as "<CAPTION>" or "caption en".
_TASK_MODELS = ("florence2", "paligemma")


def check_usable(folder: Path, role: str, checkpoint: str | None = None) -> None:
    """WeightsError if a configuration says that a model can't be used.

    A configuration that can't be read is no reason: who loads it says so. checkpoint: the hub id
    whose configuration this is; its weights needn't be there yet.
    """
    name = f"{checkpoint or folder} ({role})"
    if role == "vlm" and (kind := _read(folder / CONFIG).get("model_type")) in _TASK_MODELS:
        raise WeightsError(
            f"{name} is a {kind}, which knows a list of tasks and can't be asked what an outline "
            "shows: choose a model with a chat template, such as SmolVLM or Qwen3-VL"
        )
    if role != "clip" or (tower := text_tower(folder)) is None:
        return
    if _read(folder / CONFIG).get("model_type") in _TEXT_TOWERS:
        return
    get = f"`hf download {tower} {CONFIG} --local-dir {'DIR' if checkpoint else folder}`"
    if checkpoint:
        get = f"`hf download {checkpoint} --local-dir DIR` and {get}, then name DIR"
    raise WeightsError(
        f"{name} has {tower} as its text tower, but not that model's {CONFIG}: run {get}"
    )


def text_tower(folder: Path) -> str | None:
    """The model of transformers that a CLIP's configuration names; None: the tower is open_clip's.

    None, too, if it can't be read.
    """
    found: Any = _read(folder / _CLIP_CONFIG)
    for key in ("model_cfg", "text_cfg", "hf_model_name"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) and found else None


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
