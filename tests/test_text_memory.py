"""The text memory: loading, the projection onto texts, what it writes, its training script."""

from __future__ import annotations

import sys
from pathlib import Path

import hub_folders
import pytest
import torch
import torch.nn.functional as F
import writing_folders
from safetensors.torch import load_file, save_file

from scripts.train import text_memory
from zeroguide.clip import TextEncoder
from zeroguide.errors import WeightsError
from zeroguide.models import LoadedModels, load_clip, load_text_memory
from zeroguide.name.decoders import make_decoder
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.name.text_memory import TextMemoryDecoder
from zeroguide.playroom import NAMES, phrase
from zeroguide.recipe import load_recipe

SHIPPED = "shipped:tiny/text_memory"


@pytest.fixture(scope="module")
def texts() -> TextEncoder:
    return TextEncoder(load_clip("shipped:tiny/clip", device="cpu"))


@pytest.fixture(scope="module")
def decoder(texts: TextEncoder) -> TextMemoryDecoder:
    model = load_text_memory(SHIPPED, device="cpu", offline=True)
    return TextMemoryDecoder(texts, model, beam_size=4, max_tokens=4, n_alternatives=3)


def embeddings(n: int = 6, seed: int = 0) -> torch.Tensor:
    """What no text has: the decoder is uncertain about it."""
    return torch.randn(n, 128, generator=torch.Generator().manual_seed(seed))


def test_loading_equals_what_was_written(tmp_path: Path) -> None:
    memory = F.normalize(torch.randn(5, 24), dim=-1)
    written = writing_folders.text_memory_folder(tmp_path, memory, "a photo of a dog")
    loaded = load_text_memory(str(tmp_path), device="cpu")
    torch.testing.assert_close(loaded.memory, memory)
    assert (loaded.template, loaded.first) == ("a photo of {}", "a photo of a dog")
    tensors = load_file(tmp_path / "text_memory.safetensors")
    prefix = memory[:2] @ tensors["projection.weight"].T + tensors["projection.bias"]
    torch.testing.assert_close(loaded.prefix(memory[:2]), prefix[:, None])
    logits = written(inputs_embeds=prefix[:, None]).logits
    torch.testing.assert_close(
        loaded.network(inputs_embeds=loaded.prefix(memory[:2])).logits, logits
    )
    assert not any(p.requires_grad for p in loaded.projection.parameters())


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ({"memory": torch.ones(5)}, "no memory and projection to width 32"),
        ({"memory": torch.ones(0, 24)}, "no memory and projection to width 32"),
        ({"memory": torch.ones(5, 23)}, "no memory and projection to width 32"),
        ({"projection.bias": torch.ones(31)}, "no memory and projection to width 32"),
        ({"other": torch.ones(1)}, "no memory and projection to width 32"),
        ({}, "no memory and projection"),  # without the metadata
    ],
)
def test_a_memory_that_does_not_fit(flaw, message: str, tmp_path: Path) -> None:
    writing_folders.text_memory_folder(tmp_path, torch.eye(5, 24), "a dog")
    path = tmp_path / "text_memory.safetensors"
    about = {"template": "{}", "first": "a dog"} if flaw else None
    save_file(load_file(path) | flaw, path, about)
    with pytest.raises(WeightsError, match=rf"{message}.*train/text_memory\.py") as caught:
        load_text_memory(str(tmp_path), device="cpu")
    assert str(path) in str(caught.value)


def test_another_clip_is_noticed(texts: TextEncoder, tmp_path: Path) -> None:
    knobs = {"beam_size": 1, "max_tokens": 2, "n_alternatives": 0}
    model = load_text_memory(SHIPPED, device="cpu")
    hub_folders.clip_folder(tmp_path / "narrow")
    other = hub_folders.TINY_CLIP | {"embed_dim": 128}
    hub_folders.clip_folder(tmp_path / "other", other)
    for name in ("narrow", "other"):
        wrong = TextEncoder(load_clip(str(tmp_path / name), device="cpu"))
        with pytest.raises(WeightsError, match="trained for another CLIP"):
            TextMemoryDecoder(wrong, model, **knobs)
    TextMemoryDecoder(texts, model, **knobs)


def test_the_projection_is_the_weighted_mean(decoder: TextMemoryDecoder) -> None:
    memory = decoder.model.memory.double()
    asked = F.normalize(embeddings().double(), dim=-1)
    for row, ours in zip(asked, decoder.project(asked.float()), strict=True):
        weights = torch.stack([torch.exp((row @ text) / 0.01) for text in memory])
        mean = sum(w * text for w, text in zip(weights, memory, strict=True)) / weights.sum()
        torch.testing.assert_close(ours.double(), mean / mean.norm(), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_names_are_written_from_their_texts(decoder: TextMemoryDecoder) -> None:
    asked = decoder.texts.embed([f"a picture of {phrase(name)}" for name in NAMES])
    labels = decoder(3 * asked)  # of any length
    hits = [row[0][0] == name for row, name in zip(labels, NAMES, strict=True)]
    assert sum(hits) >= 0.95 * len(NAMES)
    dog = dict(labels[NAMES.index("dog")])
    same = decoder.texts.embed(["a photo of a dog", "a picture of a dog"])
    assert dog["dog"] == pytest.approx(float(same[0] @ same[1]), abs=1e-4)


@pytest.mark.slow
def test_the_best_text_is_at_least_as_likely_as_the_greedy_one(decoder: TextMemoryDecoder) -> None:
    model = decoder.model
    projected = decoder.project(F.normalize(embeddings(12), dim=-1))

    def score(tokens: list[int], i: int) -> float:
        words = model.network.get_input_embeddings()(torch.tensor([tokens[:-1]], dtype=torch.long))
        inputs = torch.cat([model.prefix(projected[i : i + 1]), words], dim=1)
        chances = model.network(inputs_embeds=inputs).logits[0].log_softmax(-1)
        return float(chances[range(len(tokens)), tokens].sum())

    def greedy(i: int) -> list[int]:
        tokens: list[int] = []
        while len(tokens) < 5 and tokens[-1:] != [model.tokenizer.eos_token_id]:
            words = model.network.get_input_embeddings()(torch.tensor([tokens], dtype=torch.long))
            inputs = torch.cat([model.prefix(projected[i : i + 1]), words], dim=1)
            tokens.append(int(model.network(inputs_embeds=inputs).logits[0, -1].argmax()))
        return tokens

    for i, texts in enumerate(decoder._write(projected)):
        best = [*model.tokenizer(texts[0])["input_ids"], model.tokenizer.eos_token_id]
        assert score(best[:5], i) >= score(greedy(i), i) - 1e-4


def test_regions_do_not_depend_on_each_other(decoder: TextMemoryDecoder) -> None:
    asked = embeddings(70)  # more than a batch
    together = decoder(asked)
    assert together == decoder(asked)
    for i in (0, 33, 69):
        (alone,) = decoder(asked[i : i + 1])
        assert [label for label, _ in alone] == [label for label, _ in together[i]]
    assert decoder(asked[:0]) == []


def test_labels_are_clean_few_and_scored(decoder: TextMemoryDecoder) -> None:
    asked = embeddings(20)
    for row, ranked in zip(F.normalize(asked, dim=-1), decoder(asked), strict=True):
        labels = [label for label, _ in ranked]
        assert 1 <= len(labels) <= 4 and len(set(labels)) == len(labels)
        assert all(label == clean_phrase(label) for label in labels)
        assert all(-1 <= score <= 1 for _, score in ranked)
        worded = decoder.texts.embed([f"a photo of {w} {labels[0]}".replace("  ", " ")
                                      for w in ("a", "an", "the", "")])  # fmt: skip
        assert any(abs(float(text @ row) - ranked[0][1]) < 1e-4 for text in worded)


def test_a_recipe_makes_the_decoder(texts: TextEncoder) -> None:
    recipe = load_recipe("tiny", ["decoder.method=text-memory", f"models.text_memory={SHIPPED}"])
    assert set(recipe.checkpoints()) == {"dino", "clip", "text_memory"}
    model = load_text_memory(SHIPPED, device="cpu")
    decode = make_decoder(recipe, texts, LoadedModels(None, texts.clip, text_memory=model))
    assert decode(texts.embed(["a photo of grapes"]), [])[0][0][0] == "grapes"


def test_training_writes_a_folder_that_fits(
    texts: TextEncoder, tmp_path: Path, monkeypatch, capsys
) -> None:
    hub_folders.language_model_folder(tmp_path / "lm")
    (tmp_path / "texts.txt").write_text("a dog\na cat\nthe night sky\n")
    options = {
        "--clip": "shipped:tiny/clip",
        "--language-model": tmp_path / "lm",
        "--texts": tmp_path / "texts.txt",
        "--templates": "templates_playroom",
        "--output": tmp_path / "out",
        "--memory": 12,
        "--steps": 120,
        "--batch-size": 16,
        "--peak-lr": 0.01,
    }
    argv = [str(part) for option in options.items() for part in option]
    monkeypatch.setattr(sys, "argv", ["text_memory.py", *argv])
    text_memory.main()
    assert "100.0% of the phrases are written back" in capsys.readouterr().out
    model = load_text_memory(str(tmp_path / "out"), device="cpu")
    assert model.memory.shape == (12, 128)  # of 18
    first = texts.embed([model.first])[0]
    torch.testing.assert_close(model.memory[0], first, rtol=0, atol=1e-3)
    decoder = TextMemoryDecoder(texts, model, beam_size=2, max_tokens=14, n_alternatives=0)
    asked = texts.embed(["an image of the night sky", "a close-up of a dog"])
    assert [row[0][0] for row in decoder(asked)] == ["night sky", "dog"]
