"""No pickle is ever opened, wherever it lies; opening one here would leave a file behind."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_folders
import pickles
import pytest
import torch
import writing_folders
from conftest import TINY

from zeroguide.clip import TextEncoder
from zeroguide.errors import UsageError, WeightsError
from zeroguide.evaluate.scoring.sentences import check_modules
from zeroguide.models import (
    load_clip,
    load_dino,
    load_language_model,
    load_text_memory,
    load_vlm,
)
from zeroguide.segment.fitted import load_fitted
from zeroguide.segment.fitted.config import Backbone, Config
from zeroguide.segment.fitted.stego_checkpoint import check_file

LOADERS: dict[str, Any] = {
    "dino": load_dino,
    "clip": load_clip,
    "lm": load_language_model,
    "memory": load_text_memory,
    "captioner": load_vlm,
}
KINDS = (pickles.plain, pickles.torch_file)


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file that an opened pickle makes; torch.load may not be called at all."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("torch.load was called")

    path = tmp_path / "opened"
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", refuse)
        yield path
    assert not path.exists()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    hub_folders.dino_folder(tmp_path / "dino")
    hub_folders.clip_folder(tmp_path / "clip")
    hub_folders.language_model_folder(tmp_path / "lm")
    writing_folders.text_memory_folder(tmp_path / "memory", torch.eye(4, 8), "a dog")
    writing_folders.captioner_folder(tmp_path / "captioner")
    return tmp_path


def test_the_traps_work(tmp_path: Path) -> None:
    for i, kind in enumerate(KINDS):
        trace = tmp_path / str(i)
        (tmp_path / "file").write_bytes(kind(trace))
        if i:
            torch.load(tmp_path / "file", weights_only=False)
        else:
            pickle.loads((tmp_path / "file").read_bytes())
        assert trace.exists()


@pytest.mark.parametrize("role", LOADERS)
def test_beside_the_weights(role: str, models: Path, trace: Path) -> None:
    pickles.plant(models / role, trace)
    LOADERS[role](str(models / role), device="cpu")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", LOADERS)
def test_in_place_of_the_weights(role: str, kind: Any, models: Path, trace: Path) -> None:
    """As the only weights there are, then under the name of the sound ones."""
    files = list((models / role).glob("*.safetensors"))
    for path in files:
        path.unlink()
    pickles.plant(models / role, trace)
    with pytest.raises(WeightsError):
        LOADERS[role](str(models / role), device="cpu")
    for path in files:
        path.write_bytes(kind(trace))
    with pytest.raises(WeightsError, match="is damaged"):
        LOADERS[role](str(models / role), device="cpu")


@pytest.mark.parametrize("role", ["dino", "lm", "memory", "captioner"])
def test_an_index_that_names_a_pickle(role: str, models: Path, trace: Path) -> None:
    (models / role / "model.safetensors").unlink()
    pickles.plant(models / role, trace)
    index = {"metadata": {}, "weight_map": {"a.weight": "pytorch_model.bin"}}
    (models / role / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin is damaged"):
        LOADERS[role](str(models / role), device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_encoder_of_several_modules(kind: Any, tmp_path: Path, trace: Path) -> None:
    modules = [{"path": "", "type": "a"}, {"path": "2_Dense", "type": "b"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(kind(trace))
    with pytest.raises(WeightsError, match="as pickle only"):
        check_modules(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_model(kind: Any, tmp_path: Path, trace: Path) -> None:
    """Its digest is right, so that nothing but its kind can be wrong."""
    (tmp_path / "model.safetensors").write_bytes(kind(trace))
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    backbone = Backbone("shipped:tiny/dino", {}, 192)
    config = Config("prototypes", 3, backbone, {}, digest)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    pickles.plant(tmp_path, trace)
    with pytest.raises(WeightsError, match="damaged"):
        load_fitted(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stego_checkpoint(kind: Any, tmp_path: Path, trace: Path) -> None:
    for name in ("stego.ckpt", "stego.safetensors"):
        (tmp_path / name).write_bytes(kind(trace))
        with pytest.raises(UsageError, match="is a pickle, which can run code"):
            check_file(tmp_path / name)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_text_embeddings(
    kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: Path
) -> None:
    """What isn't a plain array is encoded again, and the file replaced."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder = TextEncoder(load_clip(str(TINY / "clip"), device="cpu"))
    first = encoder.embed_phrases(["dog"], ["a {}"])
    (file,) = (tmp_path / "cache").rglob("*.npy")
    file.write_bytes(kind(trace))
    pickles.plant(file.parent, trace)
    assert torch.equal(encoder.embed_phrases(["dog"], ["a {}"]), first)
    assert file.read_bytes() != kind(trace)
