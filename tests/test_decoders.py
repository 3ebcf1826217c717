"""Decoders: beam search against brute force over every text, vocabulary against plain cosines."""

import itertools
import math
from types import SimpleNamespace

import hub_folders
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given
from hypothesis import strategies as st

from zeroguide.clip import TextEncoder
from zeroguide.errors import UsageError
from zeroguide.models import LanguageModel, LoadedModels, load_clip, load_language_model
from zeroguide.name.beam import BeamDecoder
from zeroguide.name.cache import read
from zeroguide.name.decoders import make_decoder
from zeroguide.name.noun_phrases import clean_phrase
from zeroguide.name.phrase_files import read_prompts
from zeroguide.name.proposals import phrase_ends, start_ids
from zeroguide.name.vocabulary import VocabularyDecoder
from zeroguide.recipe import load_recipe
from zeroguide.system.memo import Memo


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
        ("“the owl”。", "owl"),
        ("grapes", "grapes"),
        ("a cup of tea,", "cup of tea"),
        ("dog and", "dog"),
        ("dog , and (the", "dog"),
        ("a sandy beach with the", "sandy beach"),
        ("cup of", "cup"),
        ("This is a dog. It is brown.", "dog"),
        ("A St. Bernard. ", "St. Bernard"),
        ("dog\nA photo of a cat", "dog"),
        ("\x07a \x1bbig dog\x00", "big dog"),
        ("a soft\u00ad\ufeff toy", "soft toy"),
        ("a golden caf\ufffd", "golden"),
        ("'s dog", "dog"),
        ("dog's bowl", "dog's bowl"),
        ("Andes in the sand", "Andes in the sand"),
        ("a", ""),
        (" ... ", ""),
        ("and of the", ""),
        ("", ""),
        ("théière", "théière"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_clean_phrase(text, label):
    assert clean_phrase(text) == label


@pytest.mark.parametrize(
    ("text", "prompt", "label"),
    [
        ("Image of a dog", "Image of a", "dog"),
        ("an image of the red dog.", "Image of a", "red dog"),
        ("Image of a image of a dog", "Image of a", "dog"),
        ("This is a photo of a dog", "this is a photo of", "dog"),
        ("a photo of", "a photo of", ""),
        ("a photographer", "a photo of", "photographer"),
        ("image of a dog", "", "image of a dog"),
        ("an album", "a", "album"),
    ],
)
def test_a_prompt_that_is_said_again_is_left_out(text, prompt, label):
    assert clean_phrase(text, prompt) == label


WORDS = st.sampled_from(
    [
        "a",
        "the",
        "of",
        "and",
        "Image",
        "image",
        "dog",
        "red",
        ",",
        ".",
        "dog.",
        "'s",
        "\n",
        "\ufffd",
        "-",
    ]
)
TEXT = st.text(max_size=30) | st.lists(WORDS, max_size=8).map(" ".join)


@given(TEXT, st.sampled_from(["", "Image of a", "the", "a photo of"]) | TEXT)
def test_cleaning_a_clean_phrase_changes_nothing(text, prompt):
    label = clean_phrase(text, prompt)
    assert clean_phrase(label, prompt) == label
    assert label == " ".join(label.split()) and len(label) <= len(text)


@pytest.mark.parametrize("name", ["everyday", "playroom"])
def test_phrases_of_the_shipped_lists_are_clean(name):
    assert [p for p in read_prompts(name) if clean_phrase(p) != p] == []


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
    ends = phrase_ends(lm)
    inside = (~ends).nonzero().flatten().tolist()[:6]
    allowed = torch.zeros_like(ends)
    allowed[inside] = True
    # Only six tokens are possible besides the ends, so that brute force stays small.
    plain = lm.network.forward

    def narrowed(ids, **options):
        out = plain(ids, **options)
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
        decode = beam(texts, lm, beam_size=50, n_candidates=6, max_tokens=2, n_alternatives=0)
        found = [ranked[0][0] for ranked in decode(embeddings)]
    finally:
        del lm.network.forward
    assert found == [label for label, _ in best]


def assert_same(found, expected):
    assert [[label for label, _ in r] for r in found] == [
        [label for label, _ in r] for r in expected
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert [s for _, s in ours] == pytest.approx([s for _, s in theirs], abs=1e-5)


@torch.inference_mode()
def plain_search(texts, lm, unit, knobs):
    """One segment's beam search: whole contexts and whole texts, nothing shared or remembered."""
    network, tokenizer, ends = texts.clip.network, lm.tokenizer, phrase_ends(lm)
    prompt = tokenizer(knobs["prompt"])["input_ids"] or [tokenizer.eos_token_id]
    scale = float(network.logit_scale.exp())

    def log_probs(tokens):
        return lm.network(torch.tensor([[*prompt, *tokens]])).logits[0, -1].log_softmax(-1)

    def cosine(tokens):
        text = (knobs["prompt"] + tokenizer.decode(tokens)).strip()
        return float(network.encode_text(texts.clip.tokenize([text]), normalize=True)[0] @ unit)

    def score(tokens, total, length):
        return scale * cosine(tokens) + knobs["lm_weight"] * total / length

    beams, finished = {(): 0.0}, {}
    for _ in range(knobs["max_tokens"]):
        options = {}
        for tokens, total in beams.items():
            inside = log_probs(tokens).masked_fill(ends, float("-inf")).topk(knobs["n_candidates"])
            for token, step in zip(inside.indices.tolist(), inside.values.tolist(), strict=True):
                if step > math.log(1e-3):
                    options[*tokens, token] = total + step
        best = sorted(options, key=lambda t: -score(t, options[t], len(t)))[: knobs["beam_size"]]
        beams = {tokens: options[tokens] for tokens in best}
        for tokens, total in beams.items():
            end = float(log_probs(tokens)[ends].logsumexp(0))
            label = clean_phrase(tokenizer.decode(tokens))
            result = score(tokens, total + end, len(tokens) + 1), cosine(tokens)
            if label and result[0] > finished.get(label, (float("-inf"),))[0]:
                finished[label] = result
    labels = sorted(finished, key=lambda label: -finished[label][0])[: 1 + knobs["n_alternatives"]]
    return [(label, finished[label][1]) for label in labels] or [("unnamed", 0.0)]


def other_language_model(kind, tokenizer):
    """A tiny random language model of another architecture, with the same tokens."""
    size = len(tokenizer)
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(0)
    if kind == "llama":  # rotary positions, fewer heads of keys than of queries
        config = transformers.LlamaConfig(
            vocab_size=size, intermediate_size=64, num_key_value_heads=2, **tiny
        )
    elif kind == "mistral":  # a sliding window
        config = transformers.MistralConfig(
            vocab_size=size, intermediate_size=64, num_key_value_heads=2, sliding_window=32, **tiny
        )
    elif kind == "gemma3":  # its sizes are those of a configuration inside
        config = hub_folders.gemma3_config(tokenizer)
    else:  # keeps a recurrent state instead of keys and values
        config = transformers.MambaConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, state_size=4
        )
    network = transformers.AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    return LanguageModel(network, tokenizer)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "gemma3", "mamba"])
@pytest.mark.parametrize("prompt", ["a photo of", ""])
def test_search_equals_the_plain_one(texts, lm, kind, prompt):
    model = lm if kind == "gpt2" else other_language_model(kind, lm.tokenizer)
    knobs = {
        "prompt": prompt, "beam_size": 3, "n_candidates": 4, "max_tokens": 3,
        "lm_weight": 0.7, "n_alternatives": 3,
    }  # fmt: skip
    generator = torch.Generator().manual_seed(5)
    decode = BeamDecoder(texts, model, **knobs)
    for _ in range(2):  # the second call finds some contexts known and others not
        embeddings = torch.randn(3, 32, generator=generator)
        expected = [
            plain_search(texts, model, row, knobs) for row in F.normalize(embeddings, dim=-1)
        ]
        assert_same(decode(embeddings), expected)


def test_a_context_costs_one_token(texts, lm, monkeypatch):
    shapes = []
    plain = lm.network.forward
    monkeypatch.setattr(
        lm.network,
        "forward",
        lambda ids, **options: (shapes.append(tuple(ids.shape)), plain(ids, **options))[1],
    )
    decode = beam(texts, lm)
    decode(torch.randn(4, 32, generator=torch.Generator().manual_seed(6)))
    assert shapes[0] == (1, len("a photo of")) and len(shapes) == 4
    assert all(length == 1 for _, length in shapes[1:])


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


def test_contexts_of_a_call_are_read_once(texts, lm):
    decode, memo = beam(texts, lm), Memo()
    embeddings = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    first = decode(embeddings, (), memo)
    calls = []
    plain = lm.network.forward
    lm.network.forward = lambda ids, **options: (calls.append(ids), plain(ids, **options))[1]
    try:
        assert decode(embeddings, (), memo) == first
        assert calls == []
        assert decode(embeddings) == first  # another call
        assert len(calls) == 3 and all(ids.shape[1] == 1 for ids in calls)  # not the prompt
    finally:
        del lm.network.forward


def test_memory_of_contexts_is_bounded(texts, lm, monkeypatch):
    embeddings = torch.randn(3, 32, generator=torch.Generator().manual_seed(4))
    unbounded = beam(texts, lm)(embeddings)
    monkeypatch.setattr("zeroguide.name.proposals._STATES_KEPT", 2)
    monkeypatch.setattr("zeroguide.name.proposals._BATCH", 3)
    decode, memo = beam(texts, lm), Memo()
    for _ in range(2):
        assert_same(decode(embeddings, (), memo), unbounded)
    states = decode.proposals.known(memo)._states
    assert len(states) <= 2 + 3 * 3  # a batch, and the beginnings of its contexts


def test_labels_are_clean_distinct_and_never_empty(texts, lm):
    for ranked in beam(texts, lm, beam_size=8, n_candidates=20)(torch.randn(8, 32)):
        labels = [label for label, _ in ranked]
        assert len(set(labels)) == len(labels) and all(labels)
        assert all(label == clean_phrase(label) for label in labels)


def test_empty_prompt_is_possible(texts, lm):
    assert beam(texts, lm, prompt="")(torch.randn(1, 32))[0]


def test_an_empty_prompt_begins_where_texts_begin(texts):
    tokenizer = hub_folders.llama_tokenizer()
    model = other_language_model("llama", tokenizer)
    read, plain = [], model.network.forward
    model.network.forward = lambda ids, **options: (read.append(ids), plain(ids, **options))[1]
    labels = beam(texts, model, prompt="")(torch.randn(2, 32))
    assert read[0].tolist() == [[tokenizer.bos_token_id]] != [[tokenizer.eos_token_id]]
    assert all("s>" not in label for ranked in labels for label, _ in ranked)
    assert start_ids(model, "a dog") == [1, 3, 6]  # as its tokenizer begins a text


def test_an_empty_prompt_needs_a_token_that_begins_texts(texts, lm):
    tokenizer = hub_folders.llama_tokenizer()
    assert start_ids(LanguageModel(None, tokenizer), "") == [1]
    tokenizer.bos_token = None
    assert start_ids(LanguageModel(None, tokenizer), "") == [2]
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match=r"decoder\.prompt is empty.* write a prompt"):
        start_ids(LanguageModel(None, tokenizer), "")


def test_positions_of_a_language_model_with_a_nested_configuration(texts, lm):
    recipe = load_recipe("tiny", ["decoder.max_tokens=100"])
    model = other_language_model("gemma3", lm.tokenizer)
    with pytest.raises(UsageError, match=r"decoder\.max_tokens=100 .* has 64"):
        make_decoder(recipe, texts, LoadedModels(None, texts.clip, language_model=model))


class OldNames(torch.nn.Module):
    """A language model that calls its cache as transformers did before 5.24, and only so."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, ids, past_key_values=None, use_cache=None):
        out = self.network(ids, cache=past_key_values, use_cache=use_cache)
        return SimpleNamespace(logits=out.logits, past_key_values=out.cache)


class NewNames(OldNames):
    """As transformers will from 5.40 on."""

    def forward(self, ids, cache=None, use_cache=None):
        out = self.network(ids, cache=cache, use_cache=use_cache)
        return SimpleNamespace(logits=out.logits, cache=out.cache)


@pytest.mark.parametrize("names", [OldNames, NewNames])
def test_a_cache_by_either_name_is_used(lm, names):
    network = names(other_language_model("llama", lm.tokenizer).network)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 10]])
    with torch.inference_mode():
        whole, kept = read(network, ids)
        _, past = read(network, ids[:, :3])
        logits, after = read(network, ids[:, 3:], past)
    torch.testing.assert_close(logits, whole)
    assert len(past) == len(after) == 4  # two layers
    for ours, expected in zip(after, kept, strict=True):
        torch.testing.assert_close(ours, expected)


def test_phrase_ends_of_gpt2(shared):
    tokenizer = hub_folders.gpt2_tokenizer(shared / "gpt2")
    network = torch.nn.Module()
    network.config = transformers.GPT2Config(vocab_size=len(tokenizer) + 3)
    ends = phrase_ends(LanguageModel(network, tokenizer))
    assert len(ends) == len(tokenizer) + 3
    vocabulary = tokenizer.get_vocab()
    for token in ("Ġon", "Ġand", ".", ",", "Ċ", "<|endoftext|>", "Ġ.", "Ġ(", "."):
        assert ends[vocabulary[token]], token
    for token in ("Ġdog", "dog", "Ġa", "Ġof", "and", "on", "Ġred", "-", "'s", "Ġ3"):
        assert not ends[vocabulary[token]], token
    assert ends[-3:].all()


@pytest.mark.parametrize(("prompt", "begins"), [("a photo of a", True), ("a photo of", False)])
def test_behind_an_article_the_nearest_phrases_give_first_words(texts, lm, prompt, begins):
    phrases = ["dog", "cat", "tree", "car"]
    decode = beam(texts, lm, prompt=prompt, phrases=phrases, templates=["a {}"], n_candidates=2)
    unit = texts.embed(["a cat"])
    order = (texts.embed([f"a {phrase}" for phrase in phrases]) @ unit[0]).argsort(descending=True)
    nearest = [phrases[i] for i in order[:2].tolist()]
    own = {lm.tokenizer(f" {phrase}")["input_ids"][0] for phrase in nearest}
    (first,) = decode._first_tokens(unit)
    assert set(first) == (own if begins else set())
    for token, log_prob in first.items():
        assert log_prob == pytest.approx(float(decode.proposals.start.log_probs[token]))
    assert len(decode(unit)[0]) >= 1
