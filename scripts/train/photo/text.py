"""Step 5 of the photo model: a small causal text tower that says what the head's teacher says.

    python -m scripts.train.photo.text --work out/photo/names --captions CAPTIONS.tsv \
        --head out/photo/taught/head.safetensors

The teacher reads a phrase with MiniLM and says where the head puts it among pictures (see `Head`),
so that words that no picture came with lie near their kin. Phrases are those of the list, noun
phrases of captions, and names with a modifier before them; whatever sentence a phrase stands in,
its target is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scripts.shared.stand_ins import text_side
from scripts.train.loop import (
    Run,
    attention_kernel,
    descend,
    parameter_groups,
    schedule,
    training_parser,
)
from scripts.train.photo.networks import CONTEXT, load_head, text_tower, tokenizer_for
from scripts.train.photo.phrases import modifiers, noun_phrases
from zeroguide.clip import TextEncoder
from zeroguide.clip.texts import encode_tokens
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

SENTENCES = (
    "a photo of a {}.", "a close-up photo of {}.", "{}", "a photo of a {}", "Image of a {}", "a {}",
)  # fmt: skip
COMBINATIONS = 6000  # names with a modifier that were made up


def phrases_of(captions: Path, rng: np.random.Generator) -> list[str]:
    """All phrases to be learned, the list's first."""
    listed = read_prompts("labels")
    found = noun_phrases(captions, Hypernyms.load())
    words = sorted(modifiers())
    # The list is in order of frequency: what is commonly said is what is commonly modified.
    nouns = rng.integers(0, 1500, COMBINATIONS)
    made = [f"{words[rng.integers(len(words))]} {listed[n]}" for n in nouns]
    return list(dict.fromkeys([*listed, *found, *made]))


def main() -> None:
    """Train, logging the curve; the newest checkpoint holds the tower."""
    parser = training_parser(__doc__, steps=1200, batch_size=512, peak_lr=2e-3)
    parser.add_argument("--captions", type=Path, required=True, help="captions.tsv of flickr8k")
    parser.add_argument("--head", type=Path, required=True, help="what blocks.py wrote")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    phrases = phrases_of(args.captions, np.random.default_rng(0))
    minilm = TextEncoder(text_side()).embed_phrases(phrases, read_prompts("templates_labels"))
    head = load_head(args.head)
    targets = head.texts(phrases, minilm).to(device)
    hypernyms, learned = Hypernyms.load(), set(head.nodes.tolist())
    known = np.array([i for i, p in enumerate(phrases) if hypernyms.whole_node_of(p) in learned])

    tokenize = tokenizer_for(args.work.parent / "tokenizer", args.captions)
    tower = text_tower().to(device)
    tower.train()
    optimizer = torch.optim.AdamW(parameter_groups(tower, 0.05), lr=args.peak_lr, betas=(0.9, 0.98))
    run = Run(args.work)
    first = run.resume(tower=tower, optimizer=optimizer)
    for step in range(first, args.steps):
        rng = np.random.default_rng((step, 7))
        rate = schedule(optimizer, step, peak=args.peak_lr, warmup=100, total=args.steps)
        chosen = rng.integers(0, len(phrases), args.batch_size)
        # Every other phrase is one that pictures were named with.
        chosen[::2] = rng.choice(known, len(chosen[::2]))
        sentences = rng.integers(0, len(SENTENCES), args.batch_size)
        texts = [
            SENTENCES[s].replace("{}", phrases[i]) for s, i in zip(sentences, chosen, strict=True)
        ]
        tokens = tokenize(texts)[:, :CONTEXT].to(device)
        with attention_kernel(device):
            found = F.normalize(encode_tokens(tower, tokens).float(), dim=-1)
        wanted = targets[torch.from_numpy(chosen).to(device)]
        # Beside its own place, its place among the others of the batch.
        own = 1 - (found * wanted).sum(1).mean()
        among = F.mse_loss(found @ wanted.T, wanted @ wanted.T)
        loss = own + 5 * among
        descend(loss, optimizer, tower)
        if (step + 1) % 50 == 0:
            run.log(step + 1, loss=loss.item(), cosine=1 - own.item(), lr=rate)
            run.save(step + 1, tower=tower, optimizer=optimizer)


if __name__ == "__main__":
    main()
