"""Folders of random weights in the hub's format, of any size, for tests and checks.

Each function writes a folder that the loaders take for a downloaded one, and returns the network
that was written, in eval mode.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import tokenizers
import torch
import transformers
from safetensors.torch import save_file
from transformers.utils import logging as transformers_logging

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
OPENAI = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
}
DINO_CLASSES = {
    "vit": (transformers.ViTConfig, transformers.ViTModel),
    "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model),
    "dinov2_with_registers": (
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersModel,
    ),
    "dinov3_vit": (transformers.DINOv3ViTConfig, transformers.DINOv3ViTModel),
}
LANGUAGE_MODEL_CLASSES = {
    "gpt2": (
        transformers.GPT2Config,
        transformers.GPT2LMHeadModel,
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    ),
    "llama": (
        transformers.LlamaConfig,
        transformers.LlamaForCausalLM,
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
         "tie_word_embeddings": True},
    ),
}  # fmt: skip
TINY_CLIP = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 48, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}


def dino_folder(
    folder: Path,
    kind: str = "vit",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    pooler: bool = False,
    **config: Any,
) -> torch.nn.Module:
    """A DINO ("vit"), "dinov2", "dinov2_with_registers" or "dinov3_vit"; tiny unless configured.

    pooler: a "vit" with one, as some hub checkpoints have.
    """
    tiny = {
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "patch_size": 8,
        "image_size": 48,
    }
    if kind in ("vit", "dinov3_vit"):
        tiny["intermediate_size"] = 64
    if kind == "dinov3_vit":
        tiny["num_register_tokens"] = 4
    config_class, model_class = DINO_CLASSES[kind]
    torch.manual_seed(seed)
    options = {"add_pooling_layer": pooler} if kind == "vit" else {}
    network = model_class(config_class(**(tiny | config)), **options)
    with torch.no_grad():  # position embeddings and layer scales that matter in a comparison
        for name, parameter in network.named_parameters():
            if "position" in name or "lambda" in name or "bias" in name:
                parameter.normal_(std=0.5)
    _save(network, folder, dtype)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGENET))
    return network.eval()


def clip_folder(
    folder: Path,
    model_cfg: dict[str, Any] | str | None = None,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    preprocess_cfg: dict[str, Any] | None = None,
    file_name: str = "open_clip_model.safetensors",
) -> torch.nn.Module:
    """An open_clip folder: a configuration, the name of one of open_clip's own, or a tiny one."""
    if isinstance(model_cfg, str):
        model_cfg = open_clip.get_model_config(model_cfg)
    model_cfg = model_cfg or TINY_CLIP
    torch.manual_seed(seed)
    settings = json.loads(json.dumps(model_cfg))
    custom = settings.pop("custom_text", False)  # towers that aren't CLIP's own, such as timm's
    network = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype).contiguous() for k, v in network.state_dict().items()}
    save_file(state, folder / file_name)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg or OPENAI}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return network.eval()


def language_model_folder(
    folder: Path,
    kind: str = "gpt2",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    bpe: Path | None = None,
    **config: Any,
) -> torch.nn.Module:
    """A "gpt2", or a "llama" as SmolLM2 is one, with GPT-2's tokenizer; tiny unless configured.

    bpe: folder with GPT-2's own ``encoder.json`` and ``vocab.bpe``; without it the tokenizer knows
    single bytes only.
    """
    tokenizer = gpt2_tokenizer(bpe)
    config_class, model_class, tiny = LANGUAGE_MODEL_CLASSES[kind]
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    settings = tiny | {"vocab_size": len(tokenizer)} | ends | config
    torch.manual_seed(seed)
    network = model_class(config_class(**settings))
    _save(network, folder, dtype)
    tokenizer.save_pretrained(folder)
    return network.eval()


def gemma3_config(tokenizer: Any) -> Any:
    """Of a tiny Gemma 3, whose language model's configuration lies inside another."""
    end = tokenizer.eos_token_id
    text = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "head_dim": 8,
        "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2,
        "sliding_window": 32, "max_position_embeddings": 64, "bos_token_id": end,
        "eos_token_id": end, "pad_token_id": end,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    return transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)


def llama_tokenizer() -> Any:
    """One of the same kind as Llama's: SentencePiece's words, <s> before a text, </s> after it."""
    words = ["<unk>", "<s>", "</s>", "▁a", "▁photo", "▁of", "▁dog", "▁red", "▁cat", "▁on", "."]
    vocabulary = {word: i for i, word in enumerate(words)}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    plain.decoder = tokenizers.decoders.Metaspace()
    plain.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def gpt2_tokenizer(bpe: Path | None = None) -> Any:
    """GPT-2's tokenizer, or one of the same kind whose tokens are the 256 bytes."""
    if bpe is None:
        letters = sorted(transformers.convert_slow_tokenizer.bytes_to_unicode().values())
        vocab = {token: i for i, token in enumerate([*letters, "<|endoftext|>"])}
        return transformers.GPT2Tokenizer(vocab=vocab, merges=[])
    vocab = json.loads((bpe / "encoder.json").read_text(encoding="utf-8"))
    lines = (bpe / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    merges = [tuple(line.split()) for line in lines if line]
    return transformers.GPT2Tokenizer(vocab=vocab, merges=merges)


def _save(network: Any, folder: Path, dtype: torch.dtype) -> None:
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    stored = network if dtype == torch.float32 else _copy(network).to(dtype)
    stored.save_pretrained(folder)
    if bars:
        transformers_logging.enable_progress_bar()


def _copy(network: Any) -> Any:
    import copy

    return copy.deepcopy(network)
