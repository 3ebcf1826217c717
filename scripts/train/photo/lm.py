"""A small GPT-2 of captions' noun phrases, for the photo model: what may stand before a name.

    python -m scripts.train.photo.lm --captions ../shared/captioned/flickr8k/captions.tsv \
        --work out/photo/lm --output zeroguide/models/weights/photo/lm

It reads phrases in the sentences that decoders continue ("Image of a black dog"), as often as
captions have them, and names of the list, so that none is impossible.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from scripts.train.lm import CONTEXT, encode, loss_of, train_tokenizer
from scripts.train.loop import (
    Run,
    attention_kernel,
    descend,
    parameter_groups,
    schedule,
    training_parser,
)
from scripts.train.photo.export import write_sums
from scripts.train.photo.phrases import noun_phrases
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

VOCABULARY = 5000
BEGINNINGS = ("Image of a ", "a photo of a ", "a ", "the ")
LISTED = 0.2  # share of names of the list


def sentences(captions: Path, rng: np.random.Generator) -> Iterator[str]:
    """Endless noun phrases in sentences."""
    counts = noun_phrases(captions, Hypernyms.load())
    phrases = list(counts)
    weights = np.array([counts[phrase] for phrase in phrases], float) ** 0.75
    weights /= weights.sum()
    listed = read_prompts("labels")
    ranks = np.arange(1, len(listed) + 1, dtype=float) ** -0.5
    ranks /= ranks.sum()
    while True:
        chosen = [phrases[i] for i in rng.choice(len(phrases), 1000, p=weights)]
        chosen += [listed[i] for i in rng.choice(len(listed), int(1000 * LISTED), p=ranks)]
        for phrase in rng.permutation(chosen):
            yield f"{BEGINNINGS[rng.integers(len(BEGINNINGS))]}{phrase}."


def corpus(captions: Path) -> list[str]:
    """What the tokenizer learns from: the list and the captions."""
    texts = [f"Image of a {name}. a photo of the {name}" for name in read_prompts("labels")]
    return texts + [line.partition("\t")[2] for line in captions.read_text("utf-8").splitlines()]


def main() -> None:
    """Train, logging the curve, and write the model folder when done."""
    parser = training_parser(__doc__, steps=1500, batch_size=128, peak_lr=2e-3)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    tokenizer = train_tokenizer(args.work / "tokenizer", corpus(args.captions), VOCABULARY)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=CONTEXT, n_embd=192, n_layer=2, n_head=4,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    lm = GPT2LMHeadModel(config).to(device)
    optimizer = torch.optim.AdamW(parameter_groups(lm, 0.1), lr=args.peak_lr, betas=(0.9, 0.98))
    run = Run(args.work)
    first = run.resume(lm=lm, optimizer=optimizer)
    stream = sentences(args.captions, np.random.default_rng((first, 13)))
    for step in range(first, args.steps):
        rate = schedule(optimizer, step, peak=args.peak_lr, warmup=100, total=args.steps)
        tokens, counts = encode(tokenizer, [next(stream) for _ in range(args.batch_size)])
        with attention_kernel(device):
            loss = loss_of(lm, tokens.to(device), counts.to(device))
        descend(loss, optimizer, lm)
        if (step + 1) % 100 == 0:
            run.log(step + 1, loss=loss.item(), lr=rate)
            run.save(step + 1, lm=lm, optimizer=optimizer)
    args.output.mkdir(parents=True, exist_ok=True)
    lm.cpu().half().save_pretrained(args.output)
    tokenizer.save_pretrained(args.output)
    for name in ("vocab.json", "merges.txt"):
        (args.output / name).unlink(missing_ok=True)  # both are in tokenizer.json
    write_sums(args.output)


if __name__ == "__main__":
    main()
