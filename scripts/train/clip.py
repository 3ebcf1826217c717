"""Train the tiny CLIP on Playroom pictures with captions; writes an open_clip folder.

    torchrun --nproc-per-node 2 -m scripts.train.clip --work runs/clip --output OUTPUT

One process per CPU core, with OMP_NUM_THREADS=1, is faster than one process with many threads,
because the matrices are small; a GPU needs only plain ``python``.

Pictures are whole scenes and close-ups; captions name all, or one, of the things and stuff they
show. No masks are used in training: a close-up is a rectangle. Three ideas make it quick:

- Half of the close-ups are not enlarged: they are rectangles of the scene's patch tokens at their
  own positions, 16 or 36 of the 196. They cost a tenth of a whole picture, and make the model at
  home with attention restricted to a part of the picture. The other half are enlarged crops, from
  which small things are learned soonest, at a random place among the positions.
- Whole scenes and enlarged crops lose random tokens (patch dropout: Li et al., FLIP, 2023).
- Every caption that is true of a picture counts as its positive, not only the caption drawn for
  it: with a hundred names, other pictures' captions are often true too. Pairs whose truth is
  doubtful (a sliver of a thing is visible) count neither way.

Beside the contrast, a linear layer on the image tower must tell which names the captions of a
picture may use (as in SuperClass: Huang et al., 2024). It gives the image tower something to learn
while the text tower still says nothing, and is thrown away at the end.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.distributed as dist
import torch.nn.functional as F
from safetensors.torch import save_file

from scripts.shared.playroom import TRAIN_SEED, VALIDATION_SEED
from scripts.train.clip_views import SIZE, Batch, RepeatedScenes, make_batch
from scripts.train.loop import (
    Run,
    attention_kernel,
    batches,
    parameter_groups,
    schedule,
    training_parser,
)
from zeroguide.clip.texts import encode_tokens
from zeroguide.playroom import NAMES, THINGS, caption, phrase, render

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 112,
        "patch_size": 8,
        "width": 192,
        "layers": 6,
        "head_width": 48,
    },
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 49408,
        "width": 128,
        "heads": 4,
        "layers": 3,
    },
}
PREPROCESS_CONFIG = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


class Network(torch.nn.Module):
    """The CLIP, and the linear layer over names that only training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(
            MODEL_CONFIG["embed_dim"], MODEL_CONFIG["vision_cfg"], MODEL_CONFIG["text_cfg"]
        )
        self.words = torch.nn.Linear(MODEL_CONFIG["vision_cfg"]["width"], len(NAMES))


def used_tokens() -> torch.Tensor:
    """Ids of the tokens that occur in captions: the rows of the text tower's table that learn."""
    tokenize = open_clip.SimpleTokenizer()
    rng = np.random.default_rng(0)
    texts = [caption([name], rng) for name in NAMES for _ in range(60)]
    texts += [caption(rng.choice(NAMES, 3, replace=False).tolist(), rng) for _ in range(2000)]
    ids = {token for text in texts for token in tokenize.encode(text)}
    return torch.tensor(sorted(ids | {tokenize.sot_token_id, tokenize.eot_token_id}))


def average_gradients(network: Network, tokens: torch.Tensor) -> None:
    """Average gradients over the processes that `torchrun` started.

    Of the token table only the rows of `tokens` travel: the others have none.
    """
    table = network.clip.token_embedding.weight.grad
    grads = [p.grad for p in network.parameters() if p.grad is not None and p.grad is not table]
    flat = torch.cat([*(grad.flatten() for grad in grads), table[tokens].flatten()])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    *parts, rows = flat.split([*(grad.numel() for grad in grads), len(tokens) * table.shape[1]])
    for grad, part in zip(grads, parts, strict=True):
        grad.copy_(part.view_as(grad))
    table[tokens] = rows.view(len(tokens), -1)


def encode_views(
    visual: Any, batch: Batch, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """All views through the tower's own layers, on subsets of its tokens.

    Returns unit embeddings (V, 128) and what they are projected from (V, 192).
    """
    mean = torch.tensor(PREPROCESS_CONFIG["mean"], device=device).view(3, 1, 1)
    std = torch.tensor(PREPROCESS_CONFIG["std"], device=device).view(3, 1, 1)
    cls = visual.class_embedding + visual.positional_embedding[0]
    pooled = []
    for views in batch.views:
        pixels = (views.images.to(device).float() / 255 - mean) / std
        tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, patches, D)
        kept = tokens[views.index.to(device)[:, None], views.patches.to(device)]  # (V, count, D)
        kept = kept + visual.positional_embedding[1:][views.positions.to(device)]
        x = torch.cat([cls.to(kept.dtype).expand(len(kept), 1, -1), kept.to(cls.dtype)], dim=1)
        x = visual.transformer(visual.ln_pre(x))
        pooled.append(visual.ln_post(x[:, 0]))
    features = torch.cat(pooled)
    return F.normalize((features @ visual.proj).float(), dim=-1), features


def contrastive_loss(
    logits: torch.Tensor, shown: torch.Tensor, doubtful: torch.Tensor, named: torch.Tensor
) -> torch.Tensor:
    """Symmetric contrastive loss in which every true caption of a picture is a positive.

    For each true pair: -log of its share against all false pairs of the same row (and column).
    Every caption weighs the same, however many pictures it is true of: else the few kinds of
    stuff, which are in most pictures, would drown the things.

    Args:
        logits: (V, C) scaled cosines; shown, doubtful: (V, 104); named: (C, 104).
    """
    named_f = named.float()
    true = (~shown).float() @ named_f.T == 0  # nothing is named that isn't shown
    false = (~(shown | doubtful)).float() @ named_f.T > 0  # something named is surely absent
    weights = true / true.sum(dim=0)  # (V, C); a caption is true of its own picture at least
    rivals = logits.masked_fill(~false, float("-inf"))
    by_picture = F.softplus(rivals.logsumexp(dim=1, keepdim=True) - logits)
    by_caption = F.softplus(rivals.logsumexp(dim=0, keepdim=True) - logits)
    return ((by_picture + by_caption) / 2 * weights).sum() / logits.shape[1]


def word_loss(logits: torch.Tensor, shown: torch.Tensor, doubtful: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of names (V, 104) with the shown ones as equal targets, doubtful left out."""
    log_probs = logits.float().masked_fill(doubtful, -1e4).log_softmax(dim=1)
    return -((log_probs * shown).sum(1) / shown.sum(1)).mean()


def name_accuracy(
    embeddings: torch.Tensor, names: torch.Tensor, shown: torch.Tensor, groups: list[int]
) -> list[float]:
    """Share of views of each group that show a thing and whose nearest thing's name is shown."""
    n = len(THINGS)
    best = (embeddings @ names[:n].T).argmax(1)
    hits, asked = shown[torch.arange(len(best)), best].float(), shown[:, :n].any(1)
    return [
        float(part[keep].mean())
        for part, keep in zip(hits.split(groups), asked.split(groups), strict=True)
    ]


def main() -> None:
    """Train, logging the curve, and write the model folder when done."""
    parser = training_parser(__doc__, steps=12000, batch_size=10, peak_lr=8e-4)
    parser.add_argument("--output", type=Path, help="open_clip folder to write at the end")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    tokens = used_tokens().to(device)
    ranks, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if ranks > 1:
        dist.init_process_group("gloo" if device.type == "cpu" else "nccl")
    network = Network().to(device)
    clip = network.clip
    tokenize = open_clip.SimpleTokenizer(context_length=MODEL_CONFIG["text_cfg"]["context_length"])
    optimizer = torch.optim.AdamW(
        parameter_groups(network, 0.05), lr=args.peak_lr, betas=(0.9, 0.98), fused=True
    )
    run = Run(args.work)
    first = run.resume(network=network, optimizer=optimizer)

    stream = batches(
        # Each process has its own world.
        RepeatedScenes(TRAIN_SEED + 1000 * rank, args.steps * args.batch_size, args.batch_size),
        batch_size=args.batch_size,
        first_step=first,
        steps=args.steps,
        workers=args.workers,
        collate=make_batch,
    )
    held_out = make_batch([(i, render(VALIDATION_SEED, i, size=SIZE)) for i in range(40)])
    prompts = tokenize([f"a photo of {phrase(name)}." for name in NAMES]).to(device)

    for step, batch in zip(range(first, args.steps), stream, strict=True):
        rate = schedule(optimizer, step, peak=args.peak_lr, warmup=200, total=args.steps)
        texts = tokenize(batch.texts).to(device)
        with torch.autocast(device.type, torch.bfloat16), attention_kernel(device):
            images, features = encode_views(clip.visual, batch, device)
            words = network.words(features)
            captions = F.normalize(encode_tokens(clip, texts).float(), dim=-1)
        logits = clip.logit_scale.exp() * images @ captions.T
        shown, doubtful = batch.shown.to(device), batch.doubtful.to(device)
        contrast = contrastive_loss(logits, shown, doubtful, batch.named.to(device))
        word = word_loss(words, shown, doubtful)
        loss = contrast + word
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if ranks > 1:
            average_gradients(network, tokens)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        clip.logit_scale.data.clamp_(max=float(np.log(100)))
        if rank == 0 and ((step + 1) % 100 == 0 or step == first):
            clip.eval()
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                embeddings = encode_views(clip.visual, held_out, device)[0].cpu()
                names = F.normalize(encode_tokens(clip, prompts).float(), dim=-1).cpu()
            clip.train()
            sizes = [len(views.index) for views in held_out.views]
            whole, middle, small, near = name_accuracy(embeddings, names, held_out.shown, sizes)
            run.log(
                step + 1, contrast=contrast.item(), words=word.item(), lr=rate,
                scale=clip.logit_scale.exp().item(),
                top1_whole=whole, top1_36=middle, top1_16=small, top1_near=near,
            )  # fmt: skip
        if rank == 0 and ((step + 1) % 250 == 0 or step + 1 == args.steps):
            run.save(step + 1, network=network, optimizer=optimizer)
    if args.output and rank == 0:
        export(clip.cpu(), args.output)


def export(clip: torch.nn.Module, folder: Path) -> None:
    """Write an open_clip folder: config and fp16 safetensors.

    Token embeddings of words that no caption contains have had no gradient; they are written as
    zeros, so that the file compresses to what was learned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.half().contiguous() for name, value in clip.state_dict().items()}
    state.pop("attn_mask", None)
    unused = torch.ones(len(state["token_embedding.weight"]), dtype=torch.bool)
    unused[used_tokens()] = False
    state["token_embedding.weight"][unused] = 0
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
