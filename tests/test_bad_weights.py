"""Weights that are missing, damaged or another model's: one sentence with file and remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import hub_folders
import pytest
import torch
import writing_folders
from safetensors.torch import load_file, save_file

from zeroguide.errors import WeightsError
from zeroguide.models import (
    load_clip,
    load_dino,
    load_language_model,
    load_text_memory,
    load_vlm,
    resolve,
)
from zeroguide.models.reading import _LOADING

LOADERS = {
    "dino": load_dino,
    "clip": load_clip,
    "lm": load_language_model,
    "memory": load_text_memory,
    "captioner": load_vlm,
}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of a tiny random model for each loader, to damage."""
    hub_folders.dino_folder(tmp_path / "dino")
    hub_folders.clip_folder(tmp_path / "clip")
    hub_folders.language_model_folder(tmp_path / "lm")
    writing_folders.text_memory_folder(tmp_path / "memory", torch.eye(4, 8), "a dog")
    writing_folders.captioner_folder(tmp_path / "captioner")
    return tmp_path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def garble(path: Path) -> None:
    path.write_bytes(b"<!DOCTYPE html>" + path.read_bytes()[15:])


def pickle_only(path: Path) -> None:
    path.rename(path.with_name("pytorch_model.bin"))


def drop_a_tensor(path: Path) -> None:
    state = load_file(path)
    key = next(k for k in sorted(state) if "layer" in k or ".h." in k or "resblocks" in k)
    del state[key]
    save_file(state, path, {"format": "pt"})


def add_a_tensor(path: Path) -> None:
    save_file(load_file(path) | {"adapter.weight": torch.ones(2)}, path, {"format": "pt"})


def widen_a_tensor(path: Path) -> None:
    state = load_file(path)
    key = next(k for k in sorted(state) if "ln_f.weight" in k or "layernorm.weight" in k
               or "ln_final.weight" in k)  # fmt: skip
    save_file(state | {key: torch.ones(33)}, path, {"format": "pt"})


FLAWS = {
    cut: r"{file} is damaged \(.*\): delete it and copy or download the weights again",
    garble: r"{file} is damaged \(.*\): delete it",
    Path.unlink: r"has no {name}",
    pickle_only: r"as pickle only \(pytorch_model\.bin\).*never loaded: convert them to {name}",
    drop_a_tensor: r"(has no weights for|can't be loaded \(Error.*Missing key).*again",
    add_a_tensor: r"adapter\.weight.*again",
    widen_a_tensor: r"(of another size than its config\.json says \(|size mismatch for ).*again",
}


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("role", LOADERS)
def test_flawed_weights(flaw, role: str, own: Path) -> None:
    name = "open_clip_model.safetensors" if role == "clip" else "model.safetensors"
    file = own / role / name
    flaw(file)
    pattern = FLAWS[flaw].format(file=re.escape(str(file)), name=re.escape(name))
    with pytest.raises(WeightsError, match=pattern) as caught:
        LOADERS[role](str(own / role), device="cpu")
    assert str(own / role) in str(caught.value) and "\n" not in str(caught.value)
    assert not _LOADING.locked()


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("dino", "config.json"),
        ("dino", "preprocessor_config.json"),
        ("clip", "open_clip_config.json"),
        ("lm", "config.json"),
        ("lm", "tokenizer.json"),
        ("memory", "tokenizer.json"),
        ("captioner", "config.json"),
        ("captioner", "tokenizer.json"),
    ],
)
def test_missing_and_garbled_configurations(role: str, name: str, own: Path) -> None:
    for content in ("{", "[]", "{}"):
        (own / role / name).write_text(content)
        with pytest.raises(WeightsError, match=re.escape(str(own / role))):
            LOADERS[role](str(own / role), device="cpu")
    (own / role / name).unlink()
    with pytest.raises(WeightsError, match=rf"{re.escape(str(own / role))} has no {name}"):
        LOADERS[role](str(own / role), device="cpu")


def test_models_of_another_kind(own: Path) -> None:
    path = own / "dino" / "config.json"
    path.write_text(path.read_text().replace('"vit"', '"resnet"'))
    with pytest.raises(
        WeightsError, match=r"type 'resnet', which isn't a DINO: choose.*dinov3_vit"
    ):
        load_dino(str(own / "dino"), device="cpu")
    with pytest.raises(WeightsError, match=r"can't be loaded \(.*again"):
        (own / "lm" / "processor_config.json").write_text("{}")
        load_vlm(str(own / "lm"), device="cpu")
    with pytest.raises(WeightsError, match=r"has no open_clip_config\.json"):
        load_clip(str(own / "dino"), device="cpu")
    hub_folders.language_model_folder(own / "small", vocab_size=100)
    with pytest.raises(WeightsError, match="tokenizer with 257 tokens for a model that knows 100"):
        load_language_model(str(own / "small"), device="cpu")


def test_what_only_the_new_kinds_can_lack(own: Path) -> None:
    memory = own / "memory" / "text_memory.safetensors"
    cut(memory)
    with pytest.raises(WeightsError, match=rf"{re.escape(str(memory))} is damaged \("):
        load_text_memory(str(own / "memory"), device="cpu")
    memory.unlink()
    with pytest.raises(WeightsError, match=r"has no text_memory\.safetensors, so it isn't a comp"):
        load_text_memory(str(own / "memory"), device="cpu")
    memory.touch()
    path = own / "memory" / "config.json"
    path.write_text(path.read_text().replace('"gpt2"', '"opt"'))
    with pytest.raises(WeightsError, match="'opt', which isn't a GPT-2: copy it again or train"):
        load_text_memory(str(own / "memory"), device="cpu")
    (own / "captioner" / "processor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no preprocessor_config\.json, so it isn't a comp"):
        load_vlm(str(own / "captioner"), device="cpu")


def test_code_in_a_folder_is_never_run(own: Path) -> None:
    path = own / "captioner" / "config.json"
    config = json.loads(path.read_text())
    config |= {"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.Config"}}
    path.write_text(json.dumps(config))
    ran = own / "ran"
    (own / "captioner" / "code.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\n")
    with pytest.raises(WeightsError, match="can't be loaded"):
        load_vlm(str(own / "captioner"), device="cpu")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("shipped:tiny/nothing", "missing from this installation: reinstall zeroguide"),
        ("./nothing", r"there is no folder \./nothing"),
        ("/nothing/at/all", "there is no folder /nothing/at/all"),
        ("a/b/c", "there is no folder a/b/c, and it isn't a hub id"),
    ],
)
def test_checkpoints_that_are_nowhere(checkpoint: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        resolve(checkpoint, "dino")


def test_a_file_for_a_folder(own: Path) -> None:
    path = own / "dino" / "model.safetensors"
    with pytest.raises(WeightsError, match="is a file: give the folder"):
        resolve(str(path), "dino")
