"""The photo model's towers: DINOv2-S under a projection, a small text tower, its tokenizer.

Of DINOv2-S the first nine blocks are used. The weights at hand come from a network that was trained
further, for saliency, and its last blocks tell things apart less well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from zeroguide.models import Dino, load_dino
from zeroguide.name.phrase_files import read_prompts

REAL_WEIGHTS = Path(__file__).parent.parent / "out" / "real-weights"
BLOCKS = 9
EMBEDDING = 384
CONTEXT = 32
VOCABULARY = 6000
# Ids of the tokens that no text holds. The end token has the largest id: open_clip looks for it.
PAD, START, END = "<pad>", "<|startoftext|>", "<|endoftext|>"

TEXT_CONFIG: dict[str, Any] = {
    "context_length": CONTEXT,
    "vocab_size": VOCABULARY,
    "hf_tokenizer_name": "tokenizer.json beside this file",
    "width": 256,
    "heads": 4,
    "layers": 3,
}


def trunk(checkpoint: str, device: str | torch.device = "cpu") -> Dino:
    """The first `BLOCKS` blocks of a DINOv2, and a norm that only normalises."""
    dino = load_dino(checkpoint, device=torch.device(device), offline=True)
    network = dino.network
    network.encoder.layer = network.encoder.layer[:BLOCKS]
    network.config.num_hidden_layers = BLOCKS
    torch.nn.init.ones_(network.layernorm.weight)
    torch.nn.init.zeros_(network.layernorm.bias)
    return dino


def vision_config(image_size: int) -> dict[str, Any]:
    """`trunk` as open_clip's own ViT, read out by the mean of its patches."""
    return {
        "image_size": image_size,
        "patch_size": 14,
        "width": 384,
        "layers": BLOCKS,
        "head_width": 64,
        "ls_init_value": 1.0,
        "no_ln_pre": True,
        "pool_type": "avg",
        "norm_kwargs": {"eps": 1e-6},
    }


def text_tower() -> Any:
    """open_clip's text tower with random weights."""
    from open_clip.transformer import TextTransformer

    return TextTransformer(
        context_length=CONTEXT,
        vocab_size=VOCABULARY,
        width=TEXT_CONFIG["width"],
        heads=TEXT_CONFIG["heads"],
        layers=TEXT_CONFIG["layers"],
        output_dim=EMBEDDING,
        pad_id=0,
    )


def tokenizer_for(folder: Path, captions: Path) -> Callable[[list[str]], torch.Tensor]:
    """Texts -> (n, CONTEXT) ids, by a byte-level BPE of list and captions; trained if not there."""
    from open_clip.tokenizer import HFTokenizer

    if not (folder / "tokenizer.json").exists():
        train_tokenizer(folder, captions)
    tokenizer: Any = HFTokenizer(str(folder), context_length=CONTEXT, local_files_only=True)

    def tokenize(texts: list[str]) -> torch.Tensor:
        ids: torch.Tensor = tokenizer(texts)
        return ids[:, : int((ids != 0).sum(1).max())]

    return tokenize


def train_tokenizer(folder: Path, captions: Path) -> None:
    """Write a transformers tokenizer folder."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY - 2,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(captions), trainer)
    bpe.add_special_tokens([START, END])
    start, end = bpe.token_to_id(START), bpe.token_to_id(END)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        model_max_length=CONTEXT,
    )
    fast.save_pretrained(folder)
    assert fast.convert_tokens_to_ids(PAD) == 0 and end == len(fast) - 1 <= VOCABULARY - 1


def _corpus(captions: Path) -> Iterator[str]:
    """The list, and captions as often as makes both count."""
    yield from (f"a photo of a {phrase}" for phrase in read_prompts("labels"))
    for line in captions.read_text(encoding="utf-8").splitlines()[1:]:
        yield line.partition("\t")[2]
