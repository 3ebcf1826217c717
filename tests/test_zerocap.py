"""ZeroCap's decoder: what sharing and batching must not change, labels, and refusals.

That its formulas are right is tested in ``parity/``.
"""

import dataclasses

import hub_folders
import pytest
import tokenizers
import torch
import torch.nn.functional as F
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zeroguide.clip import TextEncoder
from zeroguide.errors import UsageError, WeightsError
from zeroguide.models import Clip, LanguageModel, load_clip, load_language_model
from zeroguide.name.zerocap import ZeroCapDecoder
from zeroguide.name.zerocap import decoder as decoder_module
from zeroguide.name.zerocap.candidates import Candidates
from zeroguide.name.zerocap.tokens import Tokens
from zeroguide.system.memo import Memo

KNOBS = {
    "prompt": "Image of a",
    "beam_size": 3,
    "n_candidates": 16,
    "max_tokens": 3,
    "iterations": 2,
    "n_alternatives": 2,
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return load_clip(str(folder), device="cpu")


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("lm")
    hub_folders.language_model_folder(folder)
    loaded = load_language_model(str(folder), device="cpu")
    loaded.network.transformer.ln_f.weight.data *= 30  # as peaked as a trained one
    return loaded


@pytest.fixture(scope="module")
def unit() -> torch.Tensor:
    return F.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(0)), dim=-1)


@pytest.fixture(scope="module")
def expected(clip, lm, unit) -> list[list[str]]:
    """Every segment decoded alone, by a decoder that has seen nothing before."""
    return [
        ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS).generate(row[None], Memo())[0]
        for row in unit
    ]


def test_segments_differ(expected):
    assert len({tuple(texts) for texts in expected}) > 1


@given(order=st.lists(st.integers(0, 4), max_size=6))
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_segments_in_any_order(clip, lm, unit, expected, order):
    decode = ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS)
    assert decode.generate(unit[order], Memo()) == [expected[i] for i in order]


@pytest.mark.parametrize(("segments", "rows"), [(2, 64), (32, 2), (2, 3)])
def test_parts_change_nothing(clip, lm, unit, expected, monkeypatch, segments, rows):
    monkeypatch.setattr(decoder_module, "_SEGMENTS", segments)
    monkeypatch.setattr(decoder_module, "_ROWS", rows)
    assert ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS).generate(unit, Memo()) == expected


def test_scale_of_embeddings_and_callers_mode_do_not_matter(clip, lm, unit, expected):
    decode = ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS)
    with torch.inference_mode():
        assert decode.generate(unit.clone(), Memo()) == expected
        scaled = decode(7 * unit)
    names = [[[label for label, _ in ranked] for ranked in own] for own in (scaled, decode(unit))]
    assert names[0] == names[1]
    assert decode.generate(unit, Memo()) == expected  # nor does what it did before


def test_weights_are_left_alone(clip, lm, unit):
    before = {name: x.clone() for name, x in lm.network.state_dict().items()}
    ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS).generate(unit[:1], Memo())
    for name, parameter in lm.network.named_parameters():
        assert parameter.grad is None and torch.equal(parameter, before[name])


def test_no_text_is_encoded_twice(clip, lm, unit):
    encoded: list[str] = []

    def tokenize(texts):
        encoded.extend(texts)
        return clip.tokenize(texts)

    texts = TextEncoder(dataclasses.replace(clip, tokenize=tokenize))
    decode = ZeroCapDecoder(texts, lm, **KNOBS | {"max_tokens": 1})
    memo = Memo()
    decode.generate(unit, memo)
    assert 10 < len(encoded) == len(set(encoded))
    first = list(encoded)
    decode.generate(unit.flip(0), memo)
    assert encoded == first


def test_labels_are_ranked_by_cosine(clip, lm, unit):
    texts = TextEncoder(clip)
    decode = ZeroCapDecoder(texts, lm, **KNOBS | {"n_alternatives": 1})
    ranked = decode(3 * unit, ())
    assert ranked == decode(3 * unit, ())
    for row, labels in zip(unit, ranked, strict=True):
        assert 1 <= len(labels) <= 2
        for label, score in labels:
            (text,) = texts.embed([f"Image of a {label}"])
            assert score == pytest.approx(float(text @ row), abs=1e-5)
        assert labels == sorted(labels, key=lambda pair: -pair[1])


def test_labels_are_cleaned(clip, lm, unit):
    decode = ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS)
    decode.generate = lambda _embeddings, _memo: [
        [" red  dog.", "n apple", " image of a red dog and"]
    ]
    assert {label for label, _ in decode(unit[:1])[0]} == {"red dog", "apple"}


def test_nothing_but_punctuation_is_unnamed(clip, lm, unit):
    decode = ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS)
    decode.generate = lambda embeddings, _memo: [[".", " ..."]] * len(embeddings)
    assert decode(unit[:2]) == [[("unnamed", 0.0)]] * 2


def test_no_segments(clip, lm):
    assert ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS)(torch.empty(0, 32)) == []


def test_half_precision_language_model(clip, tmp_path, unit):
    hub_folders.language_model_folder(tmp_path)
    half = load_language_model(str(tmp_path), device="cpu", dtype=torch.bfloat16)
    ranked = ZeroCapDecoder(TextEncoder(clip), half, **KNOBS)(unit[:2])
    assert all(labels for labels in ranked)


def test_candidates_are_cosines_with_whole_texts(clip, lm, unit):
    texts, tokens = TextEncoder(clip), Tokens(lm, "Image of a")
    contexts = ["Image of a", "Image of a c"]
    candidates = Candidates(texts, tokens, contexts, Memo())
    context = torch.tensor([0, 1, 0, 1, 1])
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        ids = torch.randint(0, 256, (5, 7), generator=generator)
        cosines = candidates.cosines(unit, context, ids)
        for i, c in enumerate(context.tolist()):
            whole = [contexts[c] + lm.tokenizer.decode([t]) for t in ids[i].tolist()]
            torch.testing.assert_close(cosines[i], texts.embed(whole) @ unit[i])


def test_a_language_model_with_a_nested_configuration(clip, lm, unit):
    torch.manual_seed(0)
    config = hub_folders.gemma3_config(lm.tokenizer)
    network = transformers.AutoModelForCausalLM.from_config(config).eval()
    ranked = ZeroCapDecoder(TextEncoder(clip), LanguageModel(network, lm.tokenizer), **KNOBS)(unit)
    assert all(labels for labels in ranked)


def test_forbidden_tokens(lm):
    tokens = Tokens(lm, "Image of a")
    tokenizer = lm.tokenizer
    forbidden = set(tokens.forbidden().tolist())
    assert {tokenizer.encode(c)[0] for c in "0,!\n\t("} <= forbidden
    assert tokenizer.eos_token_id in forbidden
    assert not {tokenizer.encode(c)[0] for c in ".aZ"} & forbidden


def test_forbidden_words_of_a_real_vocabulary(lm, shared):
    tokenizer = hub_folders.gpt2_tokenizer(shared / "gpt2")
    network = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=len(tokenizer), n_embd=2, n_layer=1, n_head=1)
    )
    forbidden = set(Tokens(LanguageModel(network, tokenizer), "Image of a").forbidden().tolist())

    def is_forbidden(piece: str) -> bool:
        (token,) = tokenizer.encode(piece)
        return token in forbidden

    assert all(map(is_forbidden, [" and", " 2019", "2", ",", " (", "\n"]))
    assert not any(map(is_forbidden, [" dog", " golden", "ever", "and", " Dog", "-", "'s", "."]))


def metaspace_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """One that, as SentencePiece does, marks words and drops the first one's space."""
    pieces = ["<s>", "</s>", "<unk>", "▁Image", "▁of", "▁a", "▁dog", "s", "."]
    model = tokenizers.models.WordLevel({p: i for i, p in enumerate(pieces)}, unk_token="<unk>")
    inner = tokenizers.Tokenizer(model)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Metaspace(),
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"\.|s$"), "isolated"),
        ]
    )
    inner.decoder = tokenizers.decoders.Metaspace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def test_pieces_keep_their_space():
    config = transformers.LlamaConfig(
        vocab_size=12, hidden_size=4, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=1,
    )  # fmt: skip
    lm = LanguageModel(transformers.LlamaForCausalLM(config), metaspace_tokenizer())
    tokens = Tokens(lm, "Image of a")
    assert tokens.prompt == [0, 3, 4, 5]
    assert tokens.text([0, 3, 4, 5, 6]).strip() == "Image of a dog"
    assert [tokens.piece(t) for t in (6, 7, 8, 11)] == [" dog", "s", ".", ""]
    assert tokens.written([6, 7]) == " dogs"
    assert tokens.end == 8


def test_an_empty_prompt_is_refused(clip, lm):
    with pytest.raises(UsageError, match=r"decoder\.prompt is empty"):
        ZeroCapDecoder(TextEncoder(clip), lm, **KNOBS | {"prompt": ""})


def test_a_model_without_keys_and_values_is_refused(clip, lm, unit):
    config = transformers.MambaConfig(vocab_size=257, hidden_size=8, num_hidden_layers=1)
    mamba = LanguageModel(transformers.MambaForCausalLM(config), lm.tokenizer)
    with pytest.raises(WeightsError, match="'mamba' keeps no keys and values"):
        ZeroCapDecoder(TextEncoder(clip), mamba, **KNOBS).generate(unit[:1], Memo())
