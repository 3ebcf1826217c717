"""Text embeddings: the trie against the network's own encode_text, memory and cache."""

import copy
import dataclasses

import hub_folders
import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.clip import TextEncoder
from zeroguide.clip.text_trie import tries
from zeroguide.clip.texts import encode_tokens
from zeroguide.models import load_clip
from zeroguide.system.memo import Memo

TEXTS = ["a dog", "a photo of a golden retriever on a beach", "sky", "é 日本", ""]
ALIKE = [
    f"a {size} {colour} {thing}{end}"
    for size in ("big", "small")
    for colour in ("red", "green", "very dark green")
    for thing in ("dog", "door", "")
    for end in ("", " on a table")
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return load_clip(str(folder), device="cpu")


def counting(clip, calls):
    """The clip with a tokenizer that notes what it reads."""
    return dataclasses.replace(clip, tokenize=lambda t: (calls.extend(t), clip.tokenize(t))[1])


def custom_network(**text_cfg):
    """A CustomTextCLIP whose text tower differs from the tiny one's."""
    config = copy.deepcopy(hub_folders.TINY_CLIP)
    config["text_cfg"].update(text_cfg)
    torch.manual_seed(0)
    return open_clip.model.CustomTextCLIP(**config).eval()


@pytest.fixture
def whole_texts(monkeypatch):
    """Counts the texts that a network reads with padding and all."""
    counts = []

    def watch(network):
        plain = network.encode_text
        monkeypatch.setattr(
            network, "encode_text", lambda t: (counts.append(len(t)), plain(t))[1], raising=False
        )
        return counts

    return watch


@torch.inference_mode()
@pytest.mark.parametrize("texts", [TEXTS, ALIKE, TEXTS[:1], ["same", "same"], [*ALIKE, *TEXTS]])
def test_shared_beginnings_equal_encode_text(clip, texts, whole_texts):
    tokens = clip.tokenize(texts)
    expected = clip.network.encode_text(tokens)
    counts = whole_texts(clip.network)
    torch.testing.assert_close(encode_tokens(clip.network, tokens), expected)
    assert counts == []


@torch.inference_mode()
@pytest.mark.parametrize(("chunk", "block"), [(1, 1), (10, 4), (40, 7), (2048, 3)])
def test_chunks_and_blocks_change_nothing(clip, monkeypatch, chunk, block):
    monkeypatch.setattr("zeroguide.clip.text_trie._CHUNK", chunk)
    monkeypatch.setattr("zeroguide.clip.text_trie._BLOCK", block)
    tokens = clip.tokenize([*ALIKE, *TEXTS])
    expected = clip.network.encode_text(tokens)
    torch.testing.assert_close(encode_tokens(clip.network, tokens), expected)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("text_cfg", "shares"),
    [
        ({}, True),
        ({"proj_bias": True, "ls_init_value": 0.3}, True),
        # Any token can be the end token; this tokenizer's has the largest id.
        ({"pool_type": "eos", "eos_id": 49407}, True),
        ({"pool_type": "last", "no_causal_mask": True, "proj_bias": True}, False),
        ({"pool_type": "last"}, False),
        ({"embed_cls": True}, False),
    ],
)
def test_towers_of_other_kinds(clip, text_cfg, shares, whole_texts):
    network = custom_network(**text_cfg)
    tokens = clip.tokenize(ALIKE)
    expected = network.encode_text(tokens)
    counts = whole_texts(network)
    torch.testing.assert_close(encode_tokens(network, tokens), expected)
    assert bool(counts) != shares


@torch.inference_mode()
def test_end_token_of_a_clip_that_names_it(clip):
    config = copy.deepcopy(hub_folders.TINY_CLIP)
    config["text_cfg"].update(pool_type="eos", eos_id=7)
    torch.manual_seed(0)
    network = open_clip.model.CLIP(**config).eval()
    tokens = torch.tensor([[3, 900, 7, 0, 0, 0], [3, 8, 9, 5000, 7, 0], [3, 900, 901, 902, 903, 7]])
    tokens = F.pad(tokens, (0, 10))
    torch.testing.assert_close(encode_tokens(network, tokens), network.encode_text(tokens))


def test_gradients_equal_those_of_encode_text(clip):
    tokens = clip.tokenize(ALIKE)
    gradients = []
    for encode in (encode_tokens, lambda network, tokens: network.encode_text(tokens)):
        network = copy.deepcopy(clip.network).requires_grad_(True)
        encode(network, tokens).square().sum().backward()
        gradients.append(
            {n: p.grad for n, p in network.named_parameters() if p.grad is not None and p.numel()}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-5)


@torch.inference_mode()
def test_bfloat16_stays_near(clip):
    tokens = clip.tokenize(ALIKE)
    expected = F.normalize(clip.network.encode_text(tokens), dim=-1)
    with torch.autocast("cpu", torch.bfloat16):
        rows = encode_tokens(clip.network, tokens)
    assert (F.normalize(rows.float(), dim=-1) * expected).sum(-1).min() > 0.999


TOKENS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(TOKENS)
def test_a_trie_holds_every_beginning_once(texts):
    longest = max(map(len, texts))
    padded = np.array([text + [9] * (longest - len(text)) for text in texts])
    lengths = np.array(list(map(len, texts)))
    ((order, trie),) = tries(padded, lengths)

    def beginning(node):
        before = () if trie.parents[node] < 0 else beginning(trie.parents[node])
        return (*before, int(trie.ids[node]))

    nodes = [beginning(node) for node in range(len(trie.ids))]
    assert sorted(nodes) == sorted({tuple(t[: i + 1]) for t in texts for i in range(len(t))})
    assert [nodes[end] for end in trie.ends] == [tuple(texts[i]) for i in order]
    assert [len(node) - 1 for node in nodes] == trie.depths.tolist()
    for a, stop in enumerate(trie.stops):
        inside = [b for b, node in enumerate(nodes) if node[: len(nodes[a])] == nodes[a]]
        assert inside == list(range(a, stop))


@torch.inference_mode()
def test_embed_gives_unit_rows_in_the_order_asked(clip):
    encoder = TextEncoder(clip)
    encoder.embed(["sky"])
    rows = encoder.embed([*TEXTS, "a dog"])
    expected = clip.network.encode_text(clip.tokenize([*TEXTS, "a dog"]), normalize=True)
    torch.testing.assert_close(rows, expected)
    assert encoder.embed([]).shape == (0, 32)


def test_a_text_is_encoded_once(clip):
    calls: list[str] = []
    encoder, memo = TextEncoder(counting(clip, calls)), Memo()
    encoder.embed(["a", "b", "a"], memo)
    encoder.embed(["b", "c"], memo)
    assert sorted(calls) == ["a", "b", "c"]
    encoder.embed(["a"])  # another call
    assert sorted(calls) == ["a", "a", "b", "c"]


def test_what_is_given_out_does_not_change_later(clip, monkeypatch):
    monkeypatch.setattr("zeroguide.clip.texts._KEPT", 3)
    encoder, memo = TextEncoder(clip), Memo()
    rows = encoder.embed(["a", "b"], memo)
    kept = rows.clone()
    for text in "cdefgh":
        encoder.embed([text], memo)
    assert torch.equal(rows, kept)


def test_memory_is_bounded_and_what_was_asked_is_always_answered(clip, monkeypatch):
    monkeypatch.setattr("zeroguide.clip.texts._KEPT", 3)
    calls: list[str] = []
    encoder, memo = TextEncoder(counting(clip, calls)), Memo()
    rows = encoder.embed(["a", "b", "c", "d"], memo)  # more than is kept
    for text in "defghijk":
        encoder.embed([text], memo)
        assert len(memo.part(encoder, dict).place) <= 3
    torch.testing.assert_close(encoder.embed(["a"], memo)[0], rows[0])
    # When memory is full, what is asked for now isn't forgotten.
    calls.clear()
    encoder.embed(["a", "x", "y", "z"], memo)
    assert sorted(calls) == ["x", "y", "z"]


def test_phrases_are_averaged_over_templates_and_cached(clip, monkeypatch):
    monkeypatch.setattr("zeroguide.clip.texts._BATCH", 2)
    calls: list[str] = []
    encoder = TextEncoder(counting(clip, calls))
    phrases, templates = ["red dog", "old cat", "bee"], ["a photo of a {}.", "{}", "two {}s"]
    first = encoder.embed_phrases(phrases, templates)
    for phrase, mean in zip(phrases, first, strict=True):
        rows = encoder.embed([template.replace("{}", phrase) for template in templates])
        torch.testing.assert_close(mean, F.normalize(rows.mean(0), dim=0), rtol=0, atol=1e-3)
    calls.clear()
    again = TextEncoder(counting(clip, calls)).embed_phrases(phrases, templates)
    assert torch.equal(again, first)
    assert calls == []


def test_a_broken_cache_is_written_anew(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoder = TextEncoder(clip)
    first = encoder.embed_phrases(["broken"], ["{}"])
    (path,) = tmp_path.rglob("*.npy")
    for content in (b"", b"no array", path.read_bytes()[:-5]):
        path.write_bytes(content)
        torch.testing.assert_close(encoder.embed_phrases(["broken"], ["{}"]), first)
        assert path.stat().st_size > 100


def test_what_an_interrupted_list_had_done_is_kept(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("zeroguide.clip.texts._BATCH", 2)
    phrases = ["ant", "bee", "cat", "dog", "elk"]
    read = []

    def tokenize(texts):
        if len(read) == 2:
            raise KeyboardInterrupt
        read.append(texts)
        return clip.tokenize(texts)

    with pytest.raises(KeyboardInterrupt):
        TextEncoder(dataclasses.replace(clip, tokenize=tokenize)).embed_phrases(phrases, ["{}"])
    calls: list[str] = []
    rows = TextEncoder(counting(clip, calls)).embed_phrases(phrases, ["{}"])
    assert sorted(calls) == sorted(set(phrases).difference(*read))
    torch.testing.assert_close(rows, TextEncoder(clip).embed(phrases), rtol=0, atol=1e-3)


def test_long_lists_are_kept_in_half_precision(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("zeroguide.clip.texts._BATCH", 2)
    rows = TextEncoder(clip).embed_phrases(["bee", "ant", "cat"], ["a {}"])
    assert rows.dtype == torch.float32
    for path in tmp_path.rglob("*.npy"):
        assert np.load(path).dtype == np.float16
    exact = TextEncoder(clip).embed(["a bee", "a ant", "a cat"])
    assert not torch.equal(rows, exact)
    assert (rows * exact).sum(-1).min() > 0.9995


def test_cache_tells_models_and_lists_apart(clip, tmp_path):
    hub_folders.clip_folder(tmp_path, seed=1)
    other = load_clip(str(tmp_path), device="cpu")
    rows = TextEncoder(clip).embed_phrases(["dog"], ["{}"])
    assert not torch.allclose(TextEncoder(other).embed_phrases(["dog"], ["{}"]), rows)
    assert not torch.allclose(TextEncoder(clip).embed_phrases(["cat"], ["{}"]), rows)


def test_an_unwritable_cache_only_costs_time(clip, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert TextEncoder(clip).embed_phrases(["dog"], ["{}"]).shape == (1, 32)


def test_a_long_list_shows_its_progress_on_a_terminal_only(clip, monkeypatch, capsys):
    monkeypatch.setattr("zeroguide.clip.texts._BATCH", 2)
    phrases = [f"{letter}hing" for letter in "abcdefghij"]
    TextEncoder(clip).embed_phrases(phrases, ["one {}"])
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    TextEncoder(clip).embed_phrases(phrases, ["another {}"])
    out, err = capsys.readouterr()
    assert out == "" and "vocabulary" in err
