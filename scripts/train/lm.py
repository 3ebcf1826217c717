"""Train the tiny language model on Playroom captions; writes a transformers GPT-2 folder.

    python -m scripts.train.lm --work runs/lm --output zeroguide/models/weights/tiny/lm

The captions are the wording of `zeroguide.playroom.caption` over random names: text only, no
scene is rendered. The tokenizer is a byte-level BPE trained on such captions first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

from scripts.shared.playroom import TRAIN_SEED, VALIDATION_SEED
from scripts.train.loop import (
    Run,
    attention_kernel,
    descend,
    parameter_groups,
    schedule,
    training_parser,
)
from zeroguide.playroom import STUFF, THINGS, caption

END = "<|endoftext|>"
# Enough that every word of a caption is one token: CLIP judges words better than pieces of them.
VOCABULARY = 1024
CONTEXT = 64


def captions(seed: int) -> Iterator[str]:
    """Endless captions of up to five things and three kinds of stuff; two in five name only one."""
    rng = np.random.default_rng((seed, 11))
    while True:
        things = rng.choice(len(THINGS), rng.integers(0, 6), replace=False)
        stuff = rng.choice(len(STUFF), rng.integers(0, 4), replace=False)
        names = [THINGS[i] for i in things] + [STUFF[i] for i in stuff]
        if names:
            if rng.random() < 0.4:
                names = [names[rng.integers(len(names))]]
            yield caption(names, rng)


def train_tokenizer(folder: Path, texts: list[str], vocabulary: int) -> GPT2TokenizerFast:
    """A byte-level BPE of the texts' words, saved in GPT-2's format."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(texts, vocabulary, special_tokens=[END], show_progress=False)
    folder.mkdir(parents=True, exist_ok=True)
    bpe.save_model(str(folder))
    tokenizer = GPT2TokenizerFast(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        unk_token=END, bos_token=END, eos_token=END, pad_token=END,
        model_max_length=CONTEXT,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def encode(tokenizer: GPT2TokenizerFast, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, T) with the end token, and where a token counts, padding left out: (B, T) bool."""
    rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(texts)["input_ids"]]
    length = max(map(len, rows))
    tokens = torch.tensor([row + [tokenizer.eos_token_id] * (length - len(row)) for row in rows])
    counts = torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]
    return tokens, counts


def loss_of(lm: GPT2LMHeadModel, tokens: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy per token, in nats."""
    logits = lm(tokens[:, :-1]).logits.float()
    losses = F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")
    return (losses * counts[:, 1:]).sum() / counts[:, 1:].sum()


def main() -> None:
    """Train, logging the curve, and write the model folder when done."""
    parser = training_parser(__doc__, steps=2500, batch_size=64, peak_lr=2e-3)
    parser.add_argument("--output", type=Path, help="transformers folder to write at the end")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    spoken = captions(TRAIN_SEED)
    texts = [next(spoken) for _ in range(20_000)]
    tokenizer = train_tokenizer(args.work / "tokenizer", texts, VOCABULARY)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=128, n_layer=3, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    lm = GPT2LMHeadModel(config).to(device)
    optimizer = torch.optim.AdamW(parameter_groups(lm, 0.1), lr=args.peak_lr, betas=(0.9, 0.98))
    run = Run(args.work)
    first = run.resume(lm=lm, optimizer=optimizer)
    stream = captions(TRAIN_SEED)
    for _ in range(first * args.batch_size):
        next(stream)
    held_out = captions(VALIDATION_SEED)
    test = tuple(t.to(device) for t in encode(tokenizer, [next(held_out) for _ in range(500)]))

    for step in range(first, args.steps):
        rate = schedule(optimizer, step, peak=args.peak_lr, warmup=100, total=args.steps)
        tokens, counts = encode(tokenizer, [next(stream) for _ in range(args.batch_size)])
        with attention_kernel(device):
            loss = loss_of(lm, tokens.to(device), counts.to(device))
        descend(loss, optimizer, lm)
        if (step + 1) % 100 == 0 or step == first:
            lm.eval()
            with torch.no_grad():
                held_out_loss = loss_of(lm, *test).item()
            lm.train()
            run.log(step + 1, loss=loss.item(), held_out=held_out_loss, lr=rate)
        if (step + 1) % 500 == 0 or step + 1 == args.steps:
            run.save(step + 1, lm=lm, optimizer=optimizer)
    if args.output:
        tokenizer.save_pretrained(args.output)
        lm.cpu().half().save_pretrained(args.output)


if __name__ == "__main__":
    main()
