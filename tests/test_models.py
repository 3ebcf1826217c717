"""The loaders on folders in the hub's format: equal networks, one clear sentence for each flaw."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import hub_folders
import pytest
import torch
import writing_folders
from safetensors.torch import load_file, save_file

from zeroguide.clip import TextEncoder
from zeroguide.clip.texts import encode_tokens
from zeroguide.clip.towers import has_attention_pool
from zeroguide.errors import UsageError, WeightsError
from zeroguide.models import (
    check,
    choose_device,
    list_models,
    load_all,
    load_clip,
    load_dino,
    load_language_model,
)
from zeroguide.models.reading import _LOADING
from zeroguide.recipe import Models, load_recipe

SHARED = Path(__file__).parents[2] / "shared"
GPT2_BPE = SHARED / "gpt2"
IMAGES = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny random models; tests that change a folder copy it."""
    root = tmp_path_factory.mktemp("hub")
    hub_folders.dino_folder(root / "dino")
    hub_folders.clip_folder(root / "clip")
    hub_folders.language_model_folder(root / "lm")
    writing_folders.text_memory_folder(root / "memory", torch.eye(4, 32), "a dog")
    writing_folders.captioner_folder(root / "captioner")
    return root


@pytest.fixture
def own(folders: Path, tmp_path: Path) -> Path:
    """A copy of the folders to damage."""
    return Path(shutil.copytree(folders, tmp_path / "own"))


def models(root: Path) -> Models:
    return Models(dino=f"{root}/dino", clip=f"{root}/clip", language_model=f"{root}/lm")


@pytest.mark.parametrize("kind", hub_folders.DINO_CLASSES)
@pytest.mark.parametrize("pooler", [False, True])
def test_dino_equals_the_network_written(kind: str, pooler: bool, tmp_path: Path) -> None:
    written = hub_folders.dino_folder(tmp_path, kind, pooler=pooler, image_size=48)
    dino = load_dino(str(tmp_path), device="cpu")
    assert isinstance(dino.network, type(written))
    assert dino.patch_size == 8
    assert dino.n_prefix == (5 if "registers" in kind or kind == "dinov3_vit" else 1)
    assert dino.mean == (0.485, 0.456, 0.406) and dino.std == (0.229, 0.224, 0.225)
    assert not dino.network.training
    assert not any(p.requires_grad for p in dino.network.parameters())
    with torch.no_grad():
        expected = written(IMAGES).last_hidden_state
        torch.testing.assert_close(dino.network(IMAGES).last_hidden_state, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "file_name", ["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"]
)
def test_clip_equals_the_network_written(file_name: str, tmp_path: Path) -> None:
    preprocess = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    written = hub_folders.clip_folder(tmp_path, preprocess_cfg=preprocess, file_name=file_name)
    clip = load_clip(str(tmp_path), device="cpu")
    assert (clip.image_size, clip.mean, clip.std) == (48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    tokens = clip.tokenize(["a dog", "Image of a golden retriever."])
    assert tokens.shape == (2, 16) and tokens.dtype == torch.int64
    with torch.no_grad():
        for name, x in (("encode_image", IMAGES), ("encode_text", tokens)):
            expected = getattr(written, name)(x)
            ours = getattr(clip.network, name)(x)
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
    for name, parameter in written.named_parameters():  # the weights themselves, to the bit
        assert torch.equal(clip.network.get_parameter(name), parameter), name


@pytest.mark.parametrize("kind", writing_folders.TEXT_TOWERS)
def test_a_text_tower_of_transformers_asks_no_other_repository(kind: str, tmp_path: Path) -> None:
    written = writing_folders.text_tower_folder(tmp_path, kind)
    clip = load_clip(str(tmp_path), device="cpu")
    tokens = clip.tokenize(["a dog", "image of a golden retriever"])
    assert tokens[0, :4].tolist() == [2, 5, 6, 0]  # the tower's own tokens, not CLIP's
    with torch.no_grad():
        torch.testing.assert_close(clip.network.encode_text(tokens), written.encode_text(tokens))
    for name, parameter in written.named_parameters():
        assert torch.equal(clip.network.get_parameter(name), parameter), name
    embedded = TextEncoder(clip).embed(["a dog", "a cat", "a dog"])
    assert torch.equal(embedded[0], embedded[2]) and not torch.allclose(embedded[0], embedded[1])


@pytest.mark.parametrize("other", [None, {"model_type": "clip"}])
def test_a_text_tower_without_its_configuration(other: object, tmp_path: Path) -> None:
    writing_folders.text_tower_folder(tmp_path)
    (tmp_path / "config.json").unlink()
    if other:  # that of the whole model, in transformers' format
        (tmp_path / "config.json").write_text(json.dumps(other))
    with pytest.raises(WeightsError) as caught:
        load_clip(str(tmp_path), device="cpu")
    assert str(caught.value) == (
        f"{tmp_path} (clip) has some/xlm-roberta as its text tower, but not that model's "
        f"config.json: run `hf download some/xlm-roberta config.json --local-dir {tmp_path}`"
    )


@pytest.mark.parametrize("bpe", [None, GPT2_BPE])
def test_language_model_equals_the_network_written(bpe: Path | None, tmp_path: Path) -> None:
    if bpe and not bpe.exists():
        pytest.skip("GPT-2's vocabulary isn't here")
    written = hub_folders.language_model_folder(tmp_path, bpe=bpe)
    model = load_language_model(str(tmp_path), device="cpu")
    encoded = model.tokenizer("Image of a dog.", return_tensors="pt")["input_ids"]
    assert model.tokenizer.is_fast and model.tokenizer.decode(encoded[0]) == "Image of a dog."
    if bpe:
        assert encoded.tolist() == [[5159, 286, 257, 3290, 13]]
        assert model.tokenizer.eos_token_id == 50256
    with torch.no_grad():
        expected = written(encoded).logits
        torch.testing.assert_close(model.network(encoded).logits, expected, rtol=0, atol=0)


def test_gpt2_as_the_hub_stores_it(folders: Path, own: Path) -> None:
    """OpenAI's GPT-2 has no "transformer." prefix, and causal masks as tensors; slow tokenizer."""
    path = own / "lm" / "model.safetensors"
    state = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    for i in range(2):
        state[f"h.{i}.attn.bias"] = torch.tril(torch.ones(64, 64))[None, None]
    save_file(state, path, metadata={"format": "pt"})
    tokenizer = json.loads((own / "lm" / "tokenizer.json").read_text())["model"]
    (own / "lm" / "vocab.json").write_text(json.dumps(tokenizer["vocab"]))
    (own / "lm" / "merges.txt").write_text("#version: 0.2\n")
    (own / "lm" / "tokenizer.json").unlink()
    (own / "lm" / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    ours = load_language_model(str(own / "lm"), device="cpu")
    plain = load_language_model(str(folders / "lm"), device="cpu")
    ids = ours.tokenizer("a b", return_tensors="pt")["input_ids"]
    assert ids.tolist() == plain.tokenizer("a b", return_tensors="pt")["input_ids"].tolist()
    assert ours.tokenizer.eos_token_id == 256
    assert torch.equal(ours.network(ids).logits, plain.network(ids).logits)


def test_sharded_weights(own: Path) -> None:
    path = own / "dino" / "model.safetensors"
    state = load_file(path)
    names, index = sorted(state), {}
    for part, keys in enumerate([names[::2], names[1::2]], start=1):
        file_name = f"model-0000{part}-of-00002.safetensors"
        save_file({k: state[k] for k in keys}, path.with_name(file_name), {"format": "pt"})
        index |= dict.fromkeys(keys, file_name)
    path.rename(own / "whole.safetensors")
    (own / "dino" / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": index})
    )
    dino = load_dino(str(own / "dino"), device="cpu")
    name = "embeddings.position_embeddings"
    assert torch.equal(dino.network.state_dict()[name], state[name])
    (own / "dino" / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model-00002-of-00002\.safetensors is damaged"):
        load_dino(str(own / "dino"), device="cpu")


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16])
def test_half_precision_on_disk(dtype: torch.dtype | None, tmp_path: Path) -> None:
    half = {"dtype": torch.float16}
    nets = {
        "dino": hub_folders.dino_folder(tmp_path / "dino", **half),
        "clip": hub_folders.clip_folder(tmp_path / "clip", **half),
        "language_model": hub_folders.language_model_folder(tmp_path / "lm", **half),
    }
    every = models(tmp_path).model_dump(exclude_none=True)
    loaded = load_all(every, device="cpu", dtype=dtype)
    for role, written in nets.items():
        network = getattr(loaded, role).network
        ours = dict(network.named_parameters())
        for name, parameter in written.named_parameters():
            assert ours[name].dtype == (dtype or torch.float32), name
            expected = parameter.half().to(dtype or torch.float32)
            assert torch.equal(ours[name], expected), name
    del every["language_model"]
    assert load_all(every, device="cpu").language_model is None


@pytest.mark.skipif(not SHARED.exists(), reason="the reference outputs aren't here")
def test_the_reference_clip_loads() -> None:
    np = pytest.importorskip("numpy")
    folder = SHARED / "reference" / "masked_clip"
    expected = np.load(folder / "expected.npz")
    clip = load_clip(str(folder), device="cpu")
    assert clip.image_size == 70
    embedding = clip.network.encode_image(torch.from_numpy(expected["image"])[None])[0]
    torch.testing.assert_close(embedding, torch.from_numpy(expected["plain"]), rtol=0, atol=1e-5)


def test_clip_with_a_tokenizer_of_its_own(own: Path) -> None:
    path = own / "clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "somebody/some-tokenizer"
    path.write_text(json.dumps(config))
    tokenizer = hub_folders.gpt2_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(own / "clip")
    tokens = load_clip(str(own / "clip"), device="cpu").tokenize(["ab"])
    assert tokens.shape == (1, 16) and tokens[0, :2].tolist() == tokenizer("ab")["input_ids"]


@pytest.mark.slow
def test_loading_is_quiet_and_leaves_logging_alone(folders: Path) -> None:
    code = f"""
import logging, sys
from zeroguide.models import load_all
root = {str(folders)!r}
load_all(dict(dino=root + "/dino", clip=root + "/clip", language_model=root + "/lm"), device="cpu")
logging.warning("still heard")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr == "WARNING:root:still heard\n"


def test_missing_models_are_said_before_torch_is_imported() -> None:
    code = """
import sys
from zeroguide.errors import WeightsError
from zeroguide.models import prepare
try:
    prepare({"dino": "./nowhere", "clip": "./nowhere", "language_model": "./nowhere"})
except WeightsError as e:
    print(e, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("there is no folder ./nowhere")
    assert done.stdout.endswith(" False\n")


def test_the_shipped_models_load() -> None:
    loaded = load_all(load_recipe("tiny").checkpoints(), device="cpu", offline=True)
    assert loaded.dino.patch_size == 8 and loaded.clip.image_size == 112
    assert loaded.language_model is not None
    sizes = [m.size for m in list_models() if m.recipe == "tiny"]
    assert len(sizes) >= 3 and 0 < sum(sizes) <= 40e6


def test_loading_in_threads(folders: Path) -> None:
    results: list[object] = []
    loaders = [
        lambda: load_dino(f"{folders}/dino", device="cpu"),
        lambda: load_clip(f"{folders}/clip", device="cpu"),
        lambda: load_language_model(f"{folders}/lm", device="cpu"),
    ]
    threads = [threading.Thread(target=lambda f=f: results.append(f())) for f in loaders * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 9 and not _LOADING.locked()
    weight = torch.empty(2000)
    torch.nn.init.normal_(weight)  # torch draws again
    assert 0.9 < weight.std() < 1.1


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("gpu", "cuda:x", "cpu:0", "cuda:", ""):
        with pytest.raises(UsageError, match=r"unknown device .* choose auto, cpu, cuda"):
            choose_device(name)
    if torch.cuda.is_available():
        with pytest.raises(UsageError, match="isn't available here: the last is cuda:"):
            choose_device("cuda:99")
    else:
        with pytest.raises(UsageError, match="'cuda' isn't available here: choose auto or cpu"):
            choose_device("cuda")


def test_check_loads_and_runs_each_model(folders: Path) -> None:
    named = models(folders).model_dump(exclude_none=True)
    named |= {"text_memory": f"{folders}/memory", "vlm": f"{folders}/captioner"}
    overrides = [f"models.{role}={folder}" for role, folder in named.items()]
    results = list(check(load_recipe("fast", overrides), device="cpu"))
    assert [(r.role, r.architecture, r.output) for r in results] == [
        ("dino", "ViTModel", (1, 37, 32)),
        ("clip", "CLIP", (1, 32)),
        ("language_model", "GPT2LMHeadModel", (1, 10, 257)),
        ("text_memory", "GPT2LMHeadModel", (1, 1, 257)),
        ("vlm", "BlipForConditionalGeneration", (1, 5, 15)),
    ]
    assert all(r.parameters > 10_000 for r in results)
    three = load_recipe("fast", overrides[:3])  # named, here, and not used by its decoder
    assert [r.role for r in check(three, device="cpu")] == ["dino", "clip", "language_model"]
    two = load_recipe("fast", [*overrides[:2], "models.language_model=owner/never-fetched"])
    assert [r.role for r in check(two, device="cpu", offline=True)] == ["dino", "clip"]


OPENAI_IDS = ["vit_large_patch14_clip_224.openai", "vit_large_patch14_clip_336.openai"]


@pytest.mark.parametrize("name", [*OPENAI_IDS, "vit_base_patch16_clip_224.metaclip_400m"])
@pytest.mark.parametrize("says", [{}, {"quick_gelu": False}])
def test_weights_that_want_quick_gelu_are_refused_without_it(
    name: str, says: dict[str, bool], tmp_path: Path
) -> None:
    """They would load, and compute worse embeddings without any sign."""
    folder = tmp_path / name
    hub_folders.clip_folder(folder, hub_folders.TINY_CLIP | says)
    with pytest.raises(WeightsError, match='"quick_gelu": true into the model_cfg'):
        load_clip(str(folder), device="cpu")
    hub_folders.clip_folder(folder, hub_folders.TINY_CLIP | {"quick_gelu": True})
    network = load_clip(str(folder), device="cpu").network
    kinds = {type(m).__name__ for m in network.modules()}
    assert "QuickGELU" in kinds and "GELU" not in kinds


def test_other_weights_say_themselves_which_activation_they_want(tmp_path: Path) -> None:
    hub_folders.clip_folder(tmp_path / "mine")
    network = load_clip(str(tmp_path / "mine"), device="cpu").network
    kinds = {type(m).__name__ for m in network.modules()}
    assert "GELU" in kinds and "QuickGELU" not in kinds


def test_perception_encoder_loads_and_reads_texts_as_the_library(tmp_path: Path) -> None:
    """In the hub's format: timm's tower with its attention pool, and 32 causal tokens of text."""
    network = hub_folders.clip_folder(tmp_path, "PE-Core-S-16-384")
    clip = load_clip(str(tmp_path), device="cpu")
    assert (clip.image_size, has_attention_pool(clip.network.visual)) == (384, True)
    texts = ["a dog", "a photo of a dog", "a photo of a dog under a table", "long " * 60]
    tokens = clip.tokenize(texts)
    assert tokens.shape == (4, 32)
    with torch.inference_mode():
        whole = network.encode_text(tokens)
        read = []
        clip.network.encode_text = read.append  # the trie doesn't fall back on it
        torch.testing.assert_close(encode_tokens(clip.network, tokens), whole, rtol=1e-4, atol=1e-5)
    assert not read


def test_all_roles_are_loaded_when_asked_for(folders: Path) -> None:
    every = models(folders).model_dump(exclude_none=True)
    few = load_all(every, device="cpu")
    assert few.text_memory is None and few.vlm is None
    every |= {"text_memory": f"{folders}/memory", "vlm": f"{folders}/captioner"}
    loaded = load_all(every, device="cpu")
    assert loaded.text_memory is not None and loaded.text_memory.first == "a dog"
    assert loaded.vlm is not None and loaded.vlm.processor.tokenizer.padding_side == "left"


def test_list_names_every_checkpoint_of_every_preset() -> None:
    listed = list_models()
    assert {m.recipe for m in listed} >= {"tiny", "fast", "base", "paper", "best"}
    for name in {m.recipe for m in listed}:
        named = load_recipe(name).models.model_dump(exclude_none=True)
        assert {m.role: m.checkpoint for m in listed if m.recipe == name} == named
    assert all((m.size > 0) == (m.folder is not None) for m in listed)
