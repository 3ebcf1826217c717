"""Folders of random weights, like `hub_folders`, of the models that write about regions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hub_folders
import open_clip
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ["image", "of", "a", "dog", "cat", "red", "golden", "retriever", "user", "assistant"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>{% else %} {{ part.text }}{% endif %}{% endfor %}"
    "{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant{% endif %}"
)


def text_memory_folder(
    folder: Path, memory: torch.Tensor, first: str, *, seed: int = 0, **config: Any
) -> torch.nn.Module:
    """A tiny text memory with the given unit embeddings (m, e), the first one of the text `first`.

    Returns the language model.
    """
    network = hub_folders.language_model_folder(folder, seed=seed, **config)
    d, e = network.config.n_embd, memory.shape[1]
    tensors = {
        "memory": memory.contiguous(),
        "projection.weight": torch.randn(d, e),
        "projection.bias": torch.randn(d),
    }
    about = {"template": "a photo of {}", "first": first}
    save_file(tensors, folder / "text_memory.safetensors", about)
    return network


_ENCODER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
_ENCODER |= {"num_attention_heads": 2, "max_position_embeddings": 40}
TEXT_TOWERS: dict[str, tuple[Any, dict[str, int]]] = {
    "xlm-roberta": (transformers.XLMRobertaConfig, _ENCODER),
    "roberta": (transformers.RobertaConfig, _ENCODER),
    "bert": (transformers.BertConfig, _ENCODER),
    "mt5": (transformers.MT5Config, {"d_model": 32, "d_ff": 64, "num_heads": 2, "num_layers": 2}),
    "m2m_100": (
        transformers.M2M100Config,
        {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "decoder_layers": 1},
    ),
}


def text_tower_folder(folder: Path, kind: str = "xlm-roberta", *, seed: int = 0) -> torch.nn.Module:
    """A CLIP whose text tower is transformers' model of that type, with its config.json."""
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    tokens = {token: i for i, token in enumerate([*special.values(), *WORDS])}
    words = Tokenizer(WordLevel(tokens, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special)
    config_class, own = TEXT_TOWERS[kind]
    config = config_class(vocab_size=len(tokens), pad_token_id=0, **own)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = {"hf_model_name": f"some/{kind}", "hf_tokenizer_name": f"some/{kind}"}
    text |= {"hf_proj_type": "mlp", "context_length": 16}
    model_cfg = {**hub_folders.TINY_CLIP, "text_cfg": text}
    written = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(seed)
    network = open_clip.model.CustomTextCLIP(
        **json.loads(json.dumps({**model_cfg, "text_cfg": written}))
    )
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    about = {"model_cfg": model_cfg, "preprocess_cfg": hub_folders.OPENAI}
    (folder / "open_clip_config.json").write_text(json.dumps(about))
    return network.eval()


def captioner_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """A BLIP: no chat template, its answer goes on with the text it is given."""
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    special |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    tokens = [*special.values(), *WORDS]
    tokenizer = transformers.BertTokenizer(vocab={token: i for i, token in enumerate(tokens)})
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    small["num_attention_heads"] = 2
    ends = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = transformers.BlipConfig(
        text_config={"vocab_size": len(tokens), "encoder_hidden_size": 32, **small, **ends},
        vision_config={"image_size": 32, "patch_size": 16, "initializer_range": 0.1, **small},
        projection_dim=32,
    )
    torch.manual_seed(seed)
    network = transformers.BlipForConditionalGeneration(config)
    with torch.no_grad():  # the picture matters
        for name, parameter in network.named_parameters():
            if "crossattention" in name and "weight" in name and parameter.ndim == 2:
                parameter.mul_(20)
    size = {"height": 32, "width": 32}
    images = transformers.BlipImageProcessor(size=size)
    return _save(folder, network, transformers.BlipProcessor(images, tokenizer))


def chat_model_folder(folder: Path, *, seed: int = 0) -> torch.nn.Module:
    """An Idefics3, the architecture of SmolVLM: a chat template, large pictures cut into tiles."""
    special = ["[PAD]", "[UNK]", "[END]", "<image>", "<fake_token_around_image>", "<global-img>"]
    special += ["<end_of_utterance>", *(f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2))]
    tokens = {token: i for i, token in enumerate([*special, *WORDS])}
    words = Tokenizer(WordLevel(tokens, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", eos_token="[END]",
        additional_special_tokens=special[3:],
    )  # fmt: skip
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    small["num_attention_heads"] = 2
    ends = {"bos_token_id": 2, "eos_token_id": 2, "pad_token_id": 0}
    config = transformers.Idefics3Config(
        text_config={
            "model_type": "llama", "vocab_size": len(tokens), "num_key_value_heads": 2, **small,
            **ends,
        },
        vision_config={"image_size": 32, "patch_size": 8, **small},
        image_token_id=tokens["<image>"],
        scale_factor=2,
        pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(seed)
    network = transformers.Idefics3ForConditionalGeneration(config)
    # A trained model answers in words, and by what it sees.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 8 if parameter.ndim > 1 else 1
    network.generation_config.suppress_tokens = list(range(len(special)))
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    processor = transformers.Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=CHAT_TEMPLATE
    )
    return _save(folder, network, processor)


def _save(folder: Path, network: Any, processor: Any) -> torch.nn.Module:
    hub_folders._save(network, folder, torch.float32)
    processor.save_pretrained(folder)
    return network.eval()
