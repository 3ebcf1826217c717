"""The photo model's networks: DINOv2-S, the head on it, a small text tower with its tokenizer.

Of DINOv2-S the first nine blocks are used. The weights at hand come from a network that was trained
further, for saliency, and its last blocks tell things apart less well.

The head joins photographs and words. The embedding of a region is ``W (x - m)``, x the mean of its
tokens and m that of many regions. That of a phrase is an MLP of what MiniLM makes of it, so that
words which no photograph came with lie near their kin, and, where the phrase means a name that was
learned, a vector of the name's own beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from scripts.real_weights import FOLDER
from zeroguide.models import Dino, load_dino
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

DINOV2 = str(FOLDER / "dinov2-small")
BLOCKS = 9
WIDTH = 384  # of DINOv2-S, of MiniLM and of the embeddings
CONTEXT = 32
VOCABULARY = 6000
FLOOR = 0.3  # of the whitening
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
        "width": WIDTH,
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
        output_dim=WIDTH,
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


class Head(nn.Module):
    """Both projections.

    Args:
        nodes: (n,) the nodes of `Hypernyms` whose names are learned.
        means: (regions, 384) some regions' means, for what all have in common. None: it is loaded.
    """

    def __init__(self, nodes: torch.Tensor, means: torch.Tensor | None = None) -> None:
        super().__init__()
        self.nodes: torch.Tensor
        self.centre: torch.Tensor
        self.whitening: torch.Tensor
        means = torch.eye(WIDTH) if means is None else means
        self.register_buffer("centre", means.mean(0))
        self.register_buffer("whitening", whitening(means))
        self.image = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.orthogonal_(self.image.weight)
        self.plain = nn.Linear(WIDTH, WIDTH, bias=False)
        self.bent = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )
        self.own = nn.Parameter(torch.zeros(len(nodes), WIDTH))
        self.bias = nn.Parameter(torch.full((len(nodes),), -4.0))
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.register_buffer("nodes", nodes.long())

    def embed_regions(self, means: torch.Tensor) -> torch.Tensor:
        """Means of tokens (..., 384) -> unit embeddings (..., 384)."""
        return self.embed(self.whitened(means))

    def whitened(self, means: torch.Tensor) -> torch.Tensor:
        """(..., 384), centred, in which no direction counts much more than another."""
        return (means - self.centre) @ self.whitening

    def embed(self, whitened: torch.Tensor) -> torch.Tensor:
        """(..., 384) -> unit embeddings (..., 384)."""
        return F.normalize(self.image(whitened), dim=-1)

    def projection(self) -> torch.Tensor:
        """(384, 384), from the right of centred means."""
        return self.whitening @ self.image.weight.T

    def read(self, minilm: torch.Tensor) -> torch.Tensor:
        """MiniLM's unit embeddings (n, 384) -> (n, 384), not normalised."""
        out: torch.Tensor = self.plain(minilm) + self.bent(minilm)
        return out

    @torch.inference_mode()
    def texts(self, phrases: Sequence[str], minilm: torch.Tensor) -> torch.Tensor:
        """Unit embeddings of any phrases: (n, 384).

        A phrase whose head noun alone is known ("black dog") has half of the noun's own vector.
        """
        hypernyms = Hypernyms.load()
        column = {int(node): i for i, node in enumerate(self.nodes)}
        found = self.read(minilm)
        for i, phrase in enumerate(phrases):
            whole, head = hypernyms.whole_node_of(phrase), hypernyms.node_of(phrase)
            if whole in column:
                found[i] += self.own[column[whole]]
            elif head in column:
                found[i] += 0.5 * self.own[column[head]]
        return F.normalize(found, dim=-1)


def whitening(means: torch.Tensor) -> torch.Tensor:
    """(384, 384), symmetric: evens out how much regions (n, 384) differ in each direction.

    Directions of little variance stay below the others: `FLOOR` of the mean variance is added.
    """
    values, vectors = torch.linalg.eigh(torch.cov(means.T))
    return vectors @ torch.diag((values + FLOOR * values.mean()).rsqrt()) @ vectors.T


def save_head(head: Head, path: Path) -> None:
    """All tensors in one file."""
    save_file({key: value.contiguous() for key, value in head.state_dict().items()}, path)


def load_head(path: Path) -> Head:
    """What `save_head` wrote."""
    state = load_file(path)
    head = Head(state["nodes"])
    head.load_state_dict(state)
    return head.eval()
