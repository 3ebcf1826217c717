import hub_folders
import pytest
import torch

from zeroguide.models import load_clip
from zeroguide.texts import TextEncoder, encode_tokens

TEXTS = ["a dog", "a photo of a golden retriever on a beach", "sky", "é 日本", ""]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    hub_folders.clip_folder(folder)
    return load_clip(str(folder), device="cpu")


def counting(clip, calls):
    """The clip with a tokenizer that notes what it reads."""
    import dataclasses

    return dataclasses.replace(clip, tokenize=lambda t: (calls.extend(t), clip.tokenize(t))[1])


@torch.inference_mode()
def test_short_texts_equal_encode_text(clip):
    tokens = clip.tokenize(TEXTS)
    torch.testing.assert_close(
        encode_tokens(clip.network, tokens), clip.network.encode_text(tokens)
    )


@torch.inference_mode()
def test_embed_gives_unit_rows_in_the_order_asked(clip):
    encoder = TextEncoder(clip)
    encoder.embed(["sky"])
    rows = encoder.embed([*TEXTS, "a dog"])
    expected = clip.network.encode_text(clip.tokenize([*TEXTS, "a dog"]), normalize=True)
    torch.testing.assert_close(rows, expected)


def test_a_text_is_encoded_once(clip):
    calls: list[str] = []
    encoder = TextEncoder(counting(clip, calls))
    encoder.embed(["a", "b", "a"])
    encoder.embed(["b", "c"])
    assert sorted(calls) == ["a", "b", "c"]


def test_memory_is_bounded_and_what_was_asked_is_always_answered(clip, monkeypatch):
    monkeypatch.setattr("zeroguide.texts._KEPT", 2)
    encoder = TextEncoder(clip)
    rows = encoder.embed(["a", "b", "c", "d"])
    assert len(encoder._known) == 2
    torch.testing.assert_close(encoder.embed(["a"])[0], rows[0])


def test_phrases_are_averaged_over_templates_and_cached(clip):
    calls: list[str] = []
    encoder = TextEncoder(counting(clip, calls))
    phrases, templates = ["red dog", "old cat"], ["a photo of a {}.", "{}"]
    first = encoder.embed_phrases(phrases, templates)
    rows = encoder.embed(["a photo of a red dog.", "red dog"])
    torch.testing.assert_close(first[0], torch.nn.functional.normalize(rows.mean(0), dim=0))
    calls.clear()
    again = TextEncoder(counting(clip, calls)).embed_phrases(phrases, templates)
    torch.testing.assert_close(again, first)
    assert len(calls) == 1  # the sentence that tells one model from another


def test_cache_tells_models_and_lists_apart(clip, tmp_path):
    hub_folders.clip_folder(tmp_path, seed=1)
    other = load_clip(str(tmp_path), device="cpu")
    rows = TextEncoder(clip).embed_phrases(["dog"], ["{}"])
    assert not torch.allclose(TextEncoder(other).embed_phrases(["dog"], ["{}"]), rows)
    assert not torch.allclose(TextEncoder(clip).embed_phrases(["cat"], ["{}"]), rows)


def test_an_unwritable_cache_only_costs_time(clip, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert TextEncoder(clip).embed_phrases(["dog"], ["{}"]).shape == (1, 32)
