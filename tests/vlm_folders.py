"""Folders of random weights of real vision-language architectures, with their real processors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hub_folders
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from writing_folders import WORDS, chat_model_folder

QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
_SMALL |= {"num_attention_heads": 2, "num_key_value_heads": 2}


def qwen2_vl_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """A Qwen2-VL."""
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 32, "patch_size": 4}
    return _qwen(folder, seed, transformers.Qwen2VLConfig, "Qwen2VL", "Qwen2VL", vision)


def qwen2_5_vl_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """A Qwen2.5-VL."""
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"intermediate_size": 64, "patch_size": 4, "fullatt_block_indexes": [1]}
    vision |= {"window_size": 16}
    return _qwen(folder, seed, transformers.Qwen2_5_VLConfig, "Qwen2_5_VL", "Qwen2VL", vision)


def qwen3_vl_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """A Qwen3-VL."""
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"intermediate_size": 64, "patch_size": 4, "deepstack_visual_indexes": [1]}
    vision |= {"num_position_embeddings": 64}
    return _qwen(folder, seed, transformers.Qwen3VLConfig, "Qwen3VL", "Qwen3VL", vision)


def _qwen(
    folder: Path, seed: int, config_class: Any, name: str, video: str, vision: dict[str, Any]
) -> torch.nn.Module:
    tokenizer, ids = _tokenizer(["<|im_start|>", "<|im_end|>", *QWEN_TOKENS])
    names = ("vision_start", "vision_end", "image", "video")
    special = {f"{n}_token_id": ids[t] for n, t in zip(names, QWEN_TOKENS, strict=True)}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    if name == "Qwen3VL":
        rope["mrope_interleaved"] = True
    text = {**_SMALL, "vocab_size": len(ids), "head_dim": 16, "rope_parameters": rope}
    text |= {"max_position_embeddings": 512}
    config = config_class(text_config=text, vision_config=vision, **special)
    torch.manual_seed(seed)
    network = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    network.generation_config.update(eos_token_id=ids["[END]"], pad_token_id=ids["[PAD]"])
    patches = {"patch_size": 4, "min_pixels": 64, "max_pixels": 32 * 32}
    processor = getattr(transformers, f"{name}Processor")(
        transformers.Qwen2VLImageProcessor(**patches),
        tokenizer,
        getattr(transformers, f"{video}VideoProcessor")(patch_size=4),
        chat_template=QWEN_TEMPLATE,
    )
    return _save(folder, network, processor, special=len(ids) - len(WORDS))


def smolvlm_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """A SmolVLM: an Idefics3 of its own name, with a processor that knows videos."""
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokens += ["<|im_start|>", *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2))]
    tokenizer, ids = _tokenizer(tokens)
    ends = {"bos_token_id": ids["[END]"], "eos_token_id": ids["[END]"], "pad_token_id": 0}
    config = transformers.SmolVLMConfig(
        text_config={"model_type": "llama", "vocab_size": len(ids), **_SMALL, **ends},
        vision_config={
            "image_size": 32, "patch_size": 8,
            **{k: v for k, v in _SMALL.items() if "key_value" not in k},
        },
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = transformers.SmolVLMForConditionalGeneration(config)
    size = {"size": {"longest_edge": 64}, "max_image_size": {"longest_edge": 32}}
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    processor = transformers.SmolVLMProcessor(
        transformers.SmolVLMImageProcessor(**size),
        tokenizer,
        transformers.SmolVLMVideoProcessor(
            **size, fps=1, num_frames=4, video_sampling={"fps": 1, "max_frames": 4}
        ),
        image_seq_len=4,
        chat_template=DEFAULT_CHAT_TEMPLATE,
    )
    return _save(folder, network, processor, special=len(ids) - len(WORDS))


KINDS: dict[str, Callable[..., torch.nn.Module]] = {
    "idefics3": chat_model_folder,
    "smolvlm": smolvlm_folder,
    "qwen2_vl": qwen2_vl_folder,
    "qwen2_5_vl": qwen2_5_vl_folder,
    "qwen3_vl": qwen3_vl_folder,
}


def split_processor(folder: Path) -> None:
    """Write a folder's processor as transformers did before its version 5: a file for each part."""
    path = folder / "processor_config.json"
    whole = json.loads(path.read_text())
    kind = {"processor_class": whole["processor_class"]}
    for part, name in (("image_processor", ""), ("video_processor", "video_")):
        config = folder / f"{name}preprocessor_config.json"
        config.write_text(json.dumps(whole.pop(part) | kind))
    path.write_text(json.dumps(whole))


def _tokenizer(special: list[str]) -> tuple[Any, dict[str, int]]:
    """A tokenizer of a few words, and the ids of all its tokens."""
    tokens = ["[PAD]", "[UNK]", "[END]", *special, *WORDS]
    ids = {token: i for i, token in enumerate(tokens)}
    words = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]",
        additional_special_tokens=special,
    )  # fmt: skip
    return tokenizer, ids


def _save(folder: Path, network: Any, processor: Any, *, special: int) -> torch.nn.Module:
    # A trained model answers in words, and by what it sees.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 8 if parameter.ndim > 1 else 1
    network.generation_config.suppress_tokens = list(range(special))
    hub_folders._save(network, folder, torch.float32)
    processor.save_pretrained(folder)
    return network.eval()
