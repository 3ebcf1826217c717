"""Weights that are missing, damaged or another model's: one sentence with file and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import hub_folders
import pytest
import torch
from safetensors.torch import load_file, save_file

from zeroguide.errors import WeightsError
from zeroguide.models import load_clip, load_dino, load_language_model, resolve
from zeroguide.models.reading import _LOADING

LOADERS = {"dino": load_dino, "clip": load_clip, "lm": load_language_model}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """dino, clip and lm: folders of tiny random models to damage."""
    hub_folders.dino_folder(tmp_path / "dino")
    hub_folders.clip_folder(tmp_path / "clip")
    hub_folders.language_model_folder(tmp_path / "lm")
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
@pytest.mark.parametrize("role", ["dino", "clip", "lm"])
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
    with pytest.raises(WeightsError, match=r"has no open_clip_config\.json"):
        load_clip(str(own / "dino"), device="cpu")
    hub_folders.language_model_folder(own / "small", vocab_size=100)
    with pytest.raises(WeightsError, match="tokenizer with 257 tokens for a model that knows 100"):
        load_language_model(str(own / "small"), device="cpu")


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
