"""ZeroCap in batches against published numbers, and against the plain reference."""

import json
from pathlib import Path
from typing import Any

import hub_folders
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
import transformers

from parity.reference_zerocap import PlainZeroCap, Settings, Step
from zeroguide.clip import TextEncoder
from zeroguide.models import Clip, LanguageModel, load_clip
from zeroguide.name.zerocap import ZeroCapDecoder
from zeroguide.name.zerocap import decoder as decoder_module
from zeroguide.name.zerocap import shift as shift_module
from zeroguide.name.zerocap.shift import Shifted
from zeroguide.system.memo import Memo

TINY_LANGUAGE_MODELS = {
    "gpt2": transformers.GPT2Config(
        vocab_size=257,
        bos_token_id=256,
        eos_token_id=256,
        n_embd=32,
        n_layer=2,
        n_head=2,
        tie_word_embeddings=False,
    ),
    "llama": transformers.LlamaConfig(  # rotary positions, two queries to a key
        vocab_size=257,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    ),
    "opt": transformers.OPTConfig(
        vocab_size=257,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=False,
    ),
}
FULL_STOP = 9.0


class Recorded:
    """What a decoder did, step by step: rows are segments x beams."""

    def __init__(self, decoder: ZeroCapDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.contexts: list[torch.Tensor] = []
        self.log_probs: list[torch.Tensor] = []
        self.losses: list[torch.Tensor] = []
        self.gradients: list[torch.Tensor] = []
        plain_next, plain_shift = decoder._next, decoder_module.shift
        plain_normalised = shift_module._normalised

        def next_(unit: torch.Tensor, beams: Any, memory: Any, memo: Any) -> Any:
            self.contexts.append(beams.tokens)
            log_probs, memory = plain_next(unit, beams, memory, memo)
            self.log_probs.append(log_probs)
            return log_probs, memory

        def shift(*args: Any, **knobs: Any) -> Shifted:
            shifted = plain_shift(*args, **knobs)
            self.losses.append(shifted.clip_losses)
            return shifted

        def normalised(gradient: torch.Tensor) -> torch.Tensor:
            self.gradients.append(gradient)
            return plain_normalised(gradient)

        monkeypatch.setattr(decoder, "_next", next_)
        monkeypatch.setattr(decoder_module, "shift", shift)
        monkeypatch.setattr(shift_module, "_normalised", normalised)


class Published:
    """The released code's run and its models."""

    def __init__(self, shared: Path) -> None:
        folder = shared / "reference" / "zerocap"
        self.expected = json.loads((folder / "expected.json").read_text())
        self.forbidden = np.load(folder / "forbidden_tokens.npy").tolist()
        self.clip = load_clip(str(folder / "clip"), device="cpu")
        network = transformers.GPT2LMHeadModel.from_pretrained(folder / "lm").eval()
        tokenizer = hub_folders.gpt2_tokenizer(shared / "gpt2")
        tokenizer.split_special_tokens = True  # "<|endoftext|>" became plain letters there
        self.lm = LanguageModel(network, tokenizer)
        self.unit = torch.tensor(self.expected["segment_embeddings"]).flatten(0, -2)
        self.prompt = tokenizer("<|endoftext|>" + self.expected["prompt"])["input_ids"]


@pytest.fixture(scope="module")
def published(shared: Path) -> Published:
    return Published(shared)


def check_losses(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(torch.tensor(actual), torch.tensor(expected), rtol=1e-4, atol=0)


def test_decoder_reproduces_the_published_run(published, monkeypatch):
    expected = published.expected
    decode = ZeroCapDecoder(
        TextEncoder(published.clip),
        published.lm,
        prompt=expected["prompt"],
        beam_size=expected["beam_size"],
        n_candidates=expected["top_candidates"],
        max_tokens=expected["target_seq_length"],
        iterations=expected["num_iterations"],
        n_alternatives=2,
        forbidden=torch.tensor(published.forbidden),
    )
    did = Recorded(decode, monkeypatch)
    texts = decode.generate(published.unit, Memo())
    for s, segment in enumerate(expected["segments"]):
        assert texts[s] == segment["texts"]
        for i, step in enumerate(segment["steps"]):
            written = did.contexts[i][s].tolist()
            assert [published.prompt + tokens for tokens in written] == step["context"]
            top = did.log_probs[i][s].exp().topk(10)
            assert top.indices.tolist() == step["top_tokens"]
            np.testing.assert_allclose(top.values, step["top_probs"], rtol=1e-3)
            b = len(written)
            check_losses(did.losses[i][:, s * b : (s + 1) * b].tolist(), step["clip_losses"])


def test_plain_reference_reproduces_the_published_run(published):
    expected = published.expected
    settings = Settings(
        prompt=expected["prompt"],
        beam_size=expected["beam_size"],
        n_candidates=expected["top_candidates"],
        max_tokens=1,
        iterations=expected["num_iterations"],
        forbidden=tuple(published.forbidden),
    )
    clip, lm = published.clip, published.lm
    plain = PlainZeroCap(clip.network, clip.tokenize, lm.network, lm.tokenizer, settings)
    _, (step,) = plain.generate(published.unit[0])
    first = expected["segments"][0]["steps"][0]
    assert step.contexts == first["context"]
    check_losses(step.clip_losses, first["clip_losses"])
    top = step.probs.topk(10)
    assert top.indices.tolist() == first["top_tokens"]
    np.testing.assert_allclose(top.values, first["top_probs"], rtol=1e-3)


def tiny_language_model(kind: str) -> LanguageModel:
    tokenizer = hub_folders.gpt2_tokenizer()
    torch.manual_seed(0)
    network = transformers.AutoModelForCausalLM.from_config(TINY_LANGUAGE_MODELS[kind]).eval()
    network = network.double()
    # Random models are flat; this one has peaks, and a full stop likely enough to be chosen.
    network.get_output_embeddings().weight.data.normal_(std=0.6)
    favour = torch.zeros(257, dtype=torch.float64)
    favour[tokenizer.encode(".")] = FULL_STOP

    def add(_network: Any, _inputs: Any, output: Any) -> Any:
        output.logits = output.logits + favour
        return output

    network.register_forward_hook(add)
    return LanguageModel(network, tokenizer)


def tiny_clip() -> Clip:
    torch.manual_seed(1)
    network = open_clip.model.CLIP(**hub_folders.TINY_CLIP).eval().double()
    for parameter in (network.text_projection, network.token_embedding.weight):
        parameter.data *= 3
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    return Clip(network, tokenizer, 48, (0.5,) * 3, (0.25,) * 3)


def compare(
    clip: Clip,
    lm: LanguageModel,
    unit: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    tolerance: float,
    **knobs: int,
) -> list[list[str]]:
    """Fail unless texts, tokens, losses, gradients and probabilities of all steps are equal."""
    forbidden = (0, 5, 40)
    decode = ZeroCapDecoder(
        TextEncoder(clip),
        lm,
        prompt="Image of a",
        n_alternatives=2,
        forbidden=torch.tensor(forbidden),
        **knobs,
    )
    settings = Settings(prompt="Image of a", forbidden=forbidden, **knobs)
    plain = PlainZeroCap(clip.network, clip.tokenize, lm.network, lm.tokenizer, settings)
    found = []
    for segment in unit:
        did = Recorded(decode, monkeypatch)
        (texts,) = decode.generate(segment[None], Memo())
        expected, steps = plain.generate(segment)
        assert texts == expected
        assert len(did.contexts) == len(steps)
        gradients = iter(did.gradients)
        for i, step in enumerate(steps):
            prompt = len(step.contexts[0]) - i
            assert did.contexts[i][0].tolist() == [context[prompt:] for context in step.contexts]
            torch.testing.assert_close(
                did.losses[i].cpu(),
                torch.tensor(step.clip_losses, dtype=did.losses[i].dtype),
                rtol=tolerance,
                atol=0,
            )
            check_gradients(gradients, step, knobs["iterations"], tolerance)
            torch.testing.assert_close(
                did.log_probs[i][0].exp(), step.probs, rtol=tolerance, atol=tolerance
            )
        assert next(gradients, None) is None
        found.append(texts)
        monkeypatch.undo()
    return found


def check_gradients(gradients: Any, step: Step, iterations: int, tolerance: float) -> None:
    """Per iteration, then per layer, keys and values: a tensor whose rows are the beams."""
    rows = [step.gradients[b * iterations :][:iterations] for b in range(len(step.contexts))]
    for i in range(iterations):
        for layer in range(len(rows[0][i])):
            for part in range(2):
                expected = torch.cat([row[i][layer][part] for row in rows])
                off = (next(gradients) - expected).flatten(1).norm(dim=1)
                assert (off <= tolerance * expected.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("kind", TINY_LANGUAGE_MODELS)
def test_equals_the_plain_reference(kind, monkeypatch):
    unit = F.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(3)), dim=-1)
    knobs = {"beam_size": 3, "n_candidates": 40, "max_tokens": 4, "iterations": 3}
    # Text embeddings are float32 whatever computed them; a cosine is divided by 0.01.
    texts = compare(tiny_clip(), tiny_language_model(kind), unit, monkeypatch, 1e-4, **knobs)
    every = [text for own in texts for text in own]
    assert any(text.endswith(".") for text in every)
    assert len({len(text) for text in every}) > 1  # some ended before others


@pytest.mark.slow
def test_equals_the_plain_reference_on_real_architectures(shared, monkeypatch):
    torch.manual_seed(0)
    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    config["vision_cfg"] |= {"layers": 1, "width": 64}  # only its text tower is asked
    clip = Clip(
        open_clip.model.CLIP(**config).eval(),
        open_clip.get_tokenizer("ViT-B-32-quickgelu"),
        224,
        (0.5,) * 3,
        (0.25,) * 3,
    )
    network = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
    network.transformer.ln_f.weight.data *= 5  # as peaked as a trained one
    lm = LanguageModel(network, hub_folders.gpt2_tokenizer(shared / "gpt2"))
    unit = F.normalize(torch.randn(1, 512), dim=-1)
    knobs = {"beam_size": 2, "n_candidates": 4, "max_tokens": 2, "iterations": 2}
    compare(clip, lm, unit, monkeypatch, 2e-3, **knobs)
