"""Decoders: beam search against brute force over every text, vocabulary against plain cosines."""

import itertools

import hub_folders
import pytest
import torch
import torch.nn.functional as F

from zeroguide.decoders.beam import BeamDecoder, _phrase_ends
from zeroguide.decoders.phrases import clean_phrase
from zeroguide.decoders.vocabulary import VocabularyDecoder
from zeroguide.models import LanguageModel, load_clip, load_language_model
from zeroguide.texts import TextEncoder


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return TextEncoder(load_clip(str(folder), device="cpu"))


@pytest.fixture(scope="module")
def lm(tmp_path_factory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("lm")
    hub_folders.language_model_folder(folder)
    return load_language_model(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" a golden retriever.", "golden retriever"),
        ("The old, red  barn\n", "old, red barn"),
        ("a a dog", "dog"),
        ('"an owl"', "owl"),
        ("grapes", "grapes"),
        ("a cup of tea,", "cup of tea"),
        ("a", ""),
        (" ... ", ""),
        ("", ""),
        ("théière", "théière"),
    ],
)
def test_clean_phrase(text, label):
    assert clean_phrase(text) == label


def test_vocabulary_ranks_by_cosine(texts):
    phrases, templates = ["dog", "cat", "tree", "red car"], ["a photo of a {}."]
    decode = VocabularyDecoder(texts, phrases=phrases, templates=templates, n_alternatives=2)
    embeddings = 7 * torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    rows = texts.embed([f"a photo of a {p}." for p in phrases])
    cosines = F.normalize(embeddings, dim=-1) @ rows.T
    for ranked, row in zip(decode(embeddings), cosines, strict=True):
        order = row.argsort(descending=True)[:3].tolist()
        assert [label for label, _ in ranked] == [phrases[i] for i in order]
        assert [score for _, score in ranked] == pytest.approx(row[order].tolist(), abs=1e-6)


def test_vocabulary_shorter_than_the_alternatives_asked_for(texts):
    decode = VocabularyDecoder(texts, phrases=["dog"], templates=["{}"], n_alternatives=5)
    assert [len(ranked) for ranked in decode(torch.randn(2, 32))] == [1, 1]


def beam(texts, lm, **changes):
    settings = {
        "prompt": "a photo of", "beam_size": 3, "n_candidates": 4, "max_tokens": 3,
        "lm_weight": 0.7, "n_alternatives": 3,
    }  # fmt: skip
    return BeamDecoder(texts, lm, **(settings | changes))


def test_wide_beam_finds_what_brute_force_finds(texts, lm):
    """With every option kept, the search must equal scoring every text of up to two tokens."""
    ends = _phrase_ends(lm)
    inside = (~ends).nonzero().flatten().tolist()[:6]
    allowed = torch.zeros_like(ends)
    allowed[inside] = True
    decode = beam(texts, lm, beam_size=50, n_candidates=6, max_tokens=2, n_alternatives=0)
    # Only six tokens are possible besides the ends, so that brute force stays small.
    plain = lm.network.forward

    def narrowed(ids):
        out = plain(ids)
        out.logits[..., ~(allowed | ends)] = -1e9
        return out

    embeddings = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    unit = F.normalize(embeddings, dim=-1)
    scale = float(texts.clip.network.logit_scale.exp())
    prompt = lm.tokenizer("a photo of")["input_ids"]
    best = [("", float("-inf"))] * 4
    with torch.inference_mode():
        for length in (1, 2):
            for tokens in itertools.product(inside, repeat=length):
                total = 0.0
                for step in range(length + 1):
                    logits = narrowed(torch.tensor([[*prompt, *tokens[:step]]])).logits[0, -1]
                    log_probs = logits.log_softmax(-1)
                    end = log_probs[ends].logsumexp(0)
                    total += float(log_probs[tokens[step]] if step < length else end)
                text = "a photo of" + lm.tokenizer.decode(list(tokens))
                cosines = unit @ texts.embed([text.strip()])[0]
                label = clean_phrase(lm.tokenizer.decode(list(tokens)))
                for i, cosine in enumerate(cosines.tolist()):
                    score = scale * cosine + 0.7 * total / (length + 1)
                    if label and score > best[i][1]:
                        best[i] = (label, score)
    lm.network.forward = narrowed
    try:
        found = [ranked[0][0] for ranked in decode(embeddings)]
    finally:
        del lm.network.forward
    assert found == [label for label, _ in best]


def test_segments_do_not_influence_each_other(texts, lm):
    embeddings = torch.randn(6, 32, generator=torch.Generator().manual_seed(2))
    together = beam(texts, lm)(embeddings)
    alone = [beam(texts, lm)(row[None])[0] for row in embeddings]
    assert [[label for label, _ in r] for r in together] == [
        [label for label, _ in r] for r in alone
    ]


def test_score_is_the_cosine_of_prompt_and_label(texts, lm):
    embeddings = torch.randn(1, 32, generator=torch.Generator().manual_seed(3))
    decode = beam(texts, lm, max_tokens=1)
    for label, score in decode(embeddings)[0]:
        rows = [texts.embed([f"a photo of{gap}{label}"])[0] for gap in ("", " ")]
        cosines = [float(F.normalize(embeddings[0], dim=0) @ row) for row in rows]
        assert min(abs(score - cosine) for cosine in cosines) < 1e-6


def test_contexts_are_read_once(texts, lm):
    decode = beam(texts, lm)
    embeddings = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    first = decode(embeddings)
    calls = []
    plain = lm.network.forward
    lm.network.forward = lambda ids: (calls.append(ids), plain(ids))[1]
    try:
        assert decode(embeddings) == first
    finally:
        del lm.network.forward
    assert calls == []


def test_memory_of_contexts_is_bounded(texts, lm, monkeypatch):
    embeddings = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    unbounded = beam(texts, lm)(embeddings)
    monkeypatch.setattr("zeroguide.decoders.beam._KEPT", 5)
    assert beam(texts, lm)(embeddings) == unbounded


def test_labels_are_clean_distinct_and_never_empty(texts, lm):
    for ranked in beam(texts, lm, beam_size=8, n_candidates=20)(torch.randn(8, 32)):
        labels = [label for label, _ in ranked]
        assert len(set(labels)) == len(labels) and all(labels)
        assert all(label == clean_phrase(label) for label in labels)


def test_empty_prompt_is_possible(texts, lm):
    assert beam(texts, lm, prompt="")(torch.randn(1, 32))[0]


def test_phrase_ends_of_gpt2(shared):
    tokenizer = hub_folders.gpt2_tokenizer(shared / "gpt2")
    network = torch.nn.Module()
    network.config = type("Config", (), {"vocab_size": len(tokenizer) + 3})()
    ends = _phrase_ends(LanguageModel(network, tokenizer))
    assert len(ends) == len(tokenizer) + 3
    vocabulary = tokenizer.get_vocab()
    for token in ("Ġon", "Ġand", ".", ",", "Ċ", "<|endoftext|>", "Ġ.", "Ġ(", "."):
        assert ends[vocabulary[token]], token
    for token in ("Ġdog", "dog", "Ġa", "Ġof", "and", "on", "Ġred", "-", "'s", "Ġ3"):
        assert not ends[vocabulary[token]], token
    assert ends[-3:].all()
