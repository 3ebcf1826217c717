"""The vision-language decoder: what the model is shown and asked, and what becomes of answers."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import hub_folders
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
import vlm_folders
import writing_folders
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.clip import Region, SegmentedImage, TextEncoder
from zeroguide.errors import WeightsError
from zeroguide.models import LoadedModels, Vlm, load_clip, load_vlm
from zeroguide.models.hub import LAYOUTS
from zeroguide.name.decoders import make_decoder
from zeroguide.name.vlm import OUTLINE, QUESTION, VlmDecoder, outlined_crop
from zeroguide.recipe import load_recipe

KINDS = {"captioner": writing_folders.captioner_folder, "chat": writing_folders.chat_model_folder}
KINDS |= vlm_folders.KINDS
PROMPT = "image of a"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vlm")
    for name, write in KINDS.items():
        write(root / name)
    hub_folders.clip_folder(root / "clip")
    return root


@pytest.fixture(scope="module")
def texts(folders: Path) -> TextEncoder:
    return TextEncoder(load_clip(f"{folders}/clip", device="cpu"))


@pytest.fixture(params=KINDS)
def vlm(request: pytest.FixtureRequest, folders: Path) -> Vlm:
    return load_vlm(f"{folders}/{request.param}", device="cpu", offline=True)


def regions() -> list[Region]:
    """Of two pictures, of very different shapes, more than one batch."""
    rng = np.random.default_rng(0)
    found = []
    for height, width in ((80, 60), (30, 90)):
        label_map = np.zeros((height, width), np.int32)
        label_map[10:20, 5:55] = 1
        label_map[22:28, 30:34] = 2
        label_map[0, 0] = 3
        label_map[-3:, -20:] = 4
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = SegmentedImage(pixels, label_map)
        found += [Region(picture, (part,)) for part in range(5)]
    return [*found, Region(found[0].image, (1, 2))]


def embeddings(n: int) -> torch.Tensor:
    return torch.randn(n, 32, generator=torch.Generator().manual_seed(0))


def test_the_outline_lies_around_the_region() -> None:
    label_map = np.zeros((100, 200), np.int32)
    label_map[40:60, 80:120] = 1
    pixels = np.full((100, 200, 3), 90, np.uint8)
    crop = outlined_crop(Region(SegmentedImage(pixels, label_map), (1,)))
    assert crop.shape == (40, 60, 3)  # a quarter of 40 on each side
    assert (crop[10:30, 10:50] == 90).all()
    for row, column in ((9, 30), (30, 30), (20, 9), (20, 50)):
        assert tuple(crop[row, column]) == OUTLINE
    assert (crop[8] == 90).all() and (crop[:, 8] == 90).all()
    assert (pixels == 90).all()  # the picture itself stays as it is


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_every_region_has_a_crop(height: int, width: int, data: st.DataObject) -> None:
    label_map = np.zeros((height, width), np.int32)
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    label_map[row:, column : data.draw(st.integers(column + 1, width))] = 1
    pixels = np.full((height, width, 3), 90, np.uint8)
    mask = label_map == 1
    crop = outlined_crop(Region(SegmentedImage(pixels, label_map), (1,)))
    assert 1 <= crop.shape[0] <= height and 1 <= crop.shape[1] <= width
    assert (crop == 90).all(2).sum() >= mask.sum()
    if mask.all():
        assert (crop == pixels).all()
    else:
        assert (crop == OUTLINE).all(2).any()


def test_regions_do_not_depend_on_their_batch(vlm: Vlm, texts: TextEncoder) -> None:
    decode = VlmDecoder(texts, vlm, prompt=PROMPT, beam_size=3, max_tokens=3, n_alternatives=2)
    asked = embeddings(11)
    together = decode(asked, regions())
    assert len(together) == 11 and len({row[0][0] for row in together}) > 1
    for i in (0, 1, 7, 10):
        (alone,) = decode(asked[i : i + 1], regions()[i : i + 1])
        assert [label for label, _ in alone] == [label for label, _ in together[i]]
    assert decode(asked[:0], []) == []


def test_labels_are_answers_without_the_question(vlm: Vlm, texts: TextEncoder) -> None:
    decode = VlmDecoder(texts, vlm, prompt=PROMPT, beam_size=3, max_tokens=3, n_alternatives=2)
    asked = embeddings(5)
    ranked = decode(asked, regions()[:5])
    for row, labels in zip(F.normalize(asked, dim=-1), ranked, strict=True):
        assert 1 <= len(labels) <= 3 and len({label for label, _ in labels}) == len(labels)
        for label, score in labels:
            assert not label.startswith(PROMPT)
            assert len(label.split()) <= 3
            if label != "unnamed":
                text = texts.embed([f"{PROMPT} {label}"])[0]
                assert score == pytest.approx(float(row @ text), abs=1e-5)


class Spy:
    """Records what a processor is asked."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.asked = processor, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **inputs: Any) -> Any:
        self.asked.append(inputs)
        return self.processor(**inputs)


@pytest.mark.parametrize(
    ("kind", "prompt", "text"),
    [
        ("captioner", PROMPT, PROMPT),
        ("captioner", "", ""),
        ("chat", PROMPT, f"user<image> {QUESTION}\nassistant {PROMPT}"),
        ("chat", "", f"user<image> {QUESTION}\nassistant"),
    ],
)
def test_what_is_asked(kind: str, prompt: str, text: str, folders: Path, texts) -> None:
    loaded = load_vlm(f"{folders}/{kind}", device="cpu")
    spy = Spy(loaded.processor)
    vlm = Vlm(loaded.network, spy)
    decode = VlmDecoder(texts, vlm, prompt=prompt, beam_size=1, max_tokens=2, n_alternatives=0)
    shown = regions()[1:3]
    decode(embeddings(2), shown)
    (asked,) = spy.asked
    assert asked["text"] == [text, text]
    images = [image[0] if isinstance(image, list) else image for image in asked["images"]]
    for image, region in zip(images, shown, strict=True):
        assert np.array_equal(np.asarray(image), outlined_crop(region))


def test_a_model_that_says_nothing(vlm: Vlm, texts: TextEncoder, monkeypatch) -> None:
    decode = VlmDecoder(texts, vlm, prompt=PROMPT, beam_size=2, max_tokens=2, n_alternatives=1)
    monkeypatch.setattr(decode, "_ask", lambda crops: [["", " . "] for _ in crops])
    assert decode(embeddings(1), regions()[:1]) == [[("unnamed", 0.0)]]
    answers = ["image of a golden retriever.", "a golden retriever"]
    monkeypatch.setattr(decode, "_ask", lambda crops: [answers for _ in crops])
    ((label, _),) = decode(embeddings(1), regions()[:1])[0]
    assert label == "golden retriever"


def test_a_recipe_makes_the_decoder(vlm: Vlm, texts: TextEncoder) -> None:
    recipe = load_recipe("tiny", ["decoder.method=vlm", "models.vlm=./a", "decoder.max_tokens=2"])
    decode = make_decoder(recipe, texts, LoadedModels(None, texts.clip, vlm=vlm))
    with torch.autocast("cpu", torch.bfloat16):  # as a recipe's precision can ask
        ranked = decode(embeddings(2), regions()[:2])
    assert all(row and isinstance(row[0][0], str) for row in ranked)


def test_a_model_made_for_sampling_is_quiet_and_deterministic(
    folders: Path, texts: TextEncoder, tmp_path: Path, capfd
) -> None:
    writing_folders.chat_model_folder(tmp_path)
    path = tmp_path / "generation_config.json"
    sampling = {"do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_length": 20}
    path.write_text(json.dumps(json.loads(path.read_text()) | sampling))
    vlm = load_vlm(str(tmp_path), device="cpu")
    decode = VlmDecoder(texts, vlm, prompt=PROMPT, beam_size=2, max_tokens=4, n_alternatives=1)
    results = [decode(embeddings(3), regions()[:3]) for _ in range(3)]
    assert results[0] == results[1] == results[2]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
def test_loading_equals_what_was_written(kind: str, tmp_path: Path) -> None:
    written = KINDS[kind](tmp_path, seed=3)
    loaded = load_vlm(str(tmp_path), device="cpu")
    state = loaded.network.state_dict()
    for name, tensor in written.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert not loaded.network.training
    assert not any(p.requires_grad for p in loaded.network.parameters())
    inputs = loaded.encode([np.zeros((20, 30, 3), np.uint8)], "what", "a")
    torch.testing.assert_close(loaded.network(**inputs).logits, written(**inputs).logits)


@pytest.mark.parametrize("kind", ["qwen3_vl", "smolvlm"])
def test_a_processor_in_several_files(kind: str, tmp_path: Path) -> None:
    """As repositories hold it that were written before transformers 5."""
    KINDS[kind](tmp_path)
    whole = load_vlm(str(tmp_path), device="cpu").processor
    vlm_folders.split_processor(tmp_path)
    assert (tmp_path / "video_preprocessor_config.json").is_file()
    names = {path.name for path in tmp_path.iterdir()}
    layout = LAYOUTS["vlm"]
    patterns = [*layout.required, *layout.weights[0], *layout.extra]
    assert not [name for name in names if not any(fnmatch(name, p) for p in patterns)]
    parts = load_vlm(str(tmp_path), device="cpu").processor
    assert parts.image_processor.to_dict() == whole.image_processor.to_dict()
    assert type(parts.video_processor) is type(whole.video_processor)
    assert parts.video_processor.to_dict() == whole.video_processor.to_dict()


def test_a_package_that_a_processor_needs(tmp_path: Path, monkeypatch: Any) -> None:
    vlm_folders.smolvlm_folder(tmp_path)
    monkeypatch.setattr("transformers.models.smolvlm.processing_smolvlm.num2words", None)
    with pytest.raises(WeightsError) as caught:
        load_vlm(str(tmp_path), device="cpu")
    assert str(caught.value) == (
        f"{tmp_path} needs a Python package that isn't installed: Package `num2words` is required "
        "to run SmolVLM processor. Install it with `pip install num2words`"
    )


@pytest.mark.parametrize("kind", ["florence2", "paligemma"])
def test_models_that_take_tasks_are_refused(kind: str, folders: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders / "chat", tmp_path / "own"))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(WeightsError) as caught:
        load_vlm(str(folder), device="cpu")
    assert str(caught.value) == (
        f"{folder} (vlm) is a {kind}, which knows a list of tasks and can't be asked what an "
        "outline shows: choose a model with a chat template, such as SmolVLM or Qwen3-VL"
    )
    assert kind in transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
