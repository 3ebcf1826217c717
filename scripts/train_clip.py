"""Train the tiny CLIP on Playroom pictures with captions; writes an open_clip folder.

    python scripts/train_clip.py --run runs/clip --output zeroguide/weights/tiny/clip

Pictures are whole scenes and close-ups; captions name all, or one, of the things and stuff they
show. No masks are used in training: a close-up is a rectangle. Three ideas make it quick:

- A close-up is not resized: it is a rectangle of the scene's patch tokens at their own positions,
  16 or 36 of the 196. That costs a tenth of a whole picture, and it is also what makes the model
  at home with attention restricted to a part of the picture.
- Whole scenes keep a random half of their tokens (patch dropout: Li et al., FLIP, 2023).
- Every caption that is true of a picture counts as its positive, not only the caption drawn for
  it: with a hundred names, other pictures' captions are often true too. Pairs whose truth is
  doubtful (a sliver of a thing is visible) count neither way.

Beside the contrast, a linear layer on the image tower must tell which names the captions of a
picture may use (as in SuperClass: Huang et al., 2024). It gives the image tower something to learn
while the text tower still says nothing, and is thrown away at the end.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from training import (
    TRAIN_SEED,
    VALIDATION_SEED,
    Run,
    SceneDataset,
    attention_kernel,
    batches,
    learning_rate,
    parameter_groups,
    stack_pixels,
)

from zeroguide.playroom import NAMES, STUFF, THINGS, Scene, caption, phrase, render
from zeroguide.texts import encode_tokens

MODEL_CONFIG = {
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
GRID = 14
PATCH = 8

# Token rectangles of close-ups by number of tokens kept; larger ones lose random tokens.
RECTANGLES = {16: [(4, 4), (5, 5), (3, 6), (6, 3)], 36: [(6, 6), (7, 7), (5, 8), (8, 5), (9, 9)]}
# Views per scene by token count: (tokens, views); whole scenes are every fourth scene's.
CLOSE_UPS = ((36, 3), (16, 5))
WHOLE_TOKENS = 98


@dataclass
class Batch:
    """Pictures, and the views of them that are trained on.

    pixels: (B, 3, 112, 112) uint8; tokens: {count: (scene index (V,), token ids (V, count))};
    shown, doubtful: (V, 104) bool over all views in order; texts: one caption per view;
    named: (V, 104) bool, what each caption names.
    """

    pixels: torch.Tensor
    views: list[tuple[torch.Tensor, torch.Tensor]]
    shown: torch.Tensor
    doubtful: torch.Tensor
    texts: list[str]
    named: torch.Tensor


def close_up(scene: Scene, count: int, rng: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...]]:
    """A random rectangle of tokens around a random region: token ids (count,), and its box in pixels."""
    height, width = RECTANGLES[count][rng.integers(len(RECTANGLES[count]))]
    things = [i for i, name in enumerate(scene.names) if name not in STUFF]
    region = rng.integers(len(scene.names))
    if things and rng.random() < 0.5:
        region = rng.choice(things)
    rows, columns = np.nonzero(scene.label_map == region)
    if scene.names[region] in STUFF:  # anywhere in it
        pick = rng.integers(len(rows))
        y, x = rows[pick], columns[pick]
    else:  # about its middle
        y, x = rows.mean() + rng.normal(0, 5), columns.mean() + rng.normal(0, 5)
    top = int(np.clip(round(y / PATCH - height / 2), 0, GRID - height))
    left = int(np.clip(round(x / PATCH - width / 2), 0, GRID - width))
    ids = (np.arange(top, top + height)[:, None] * GRID + np.arange(left, left + width)).ravel()
    if len(ids) > count:
        ids = rng.choice(ids, count, replace=False)
    return ids, (top * PATCH, left * PATCH, (top + height) * PATCH, (left + width) * PATCH)


def visible(scene: Scene, box: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which names a box clearly shows, and which doubtfully: two (104,) bool."""
    y0, x0, y1, x1 = box
    inside = np.bincount(scene.label_map[y0:y1, x0:x1].ravel(), minlength=len(scene.names))
    whole = np.bincount(scene.label_map.ravel(), minlength=len(scene.names))
    cover, share = inside / max(1, inside.sum()), inside / whole
    shown, doubtful = np.zeros(len(NAMES), bool), np.zeros(len(NAMES), bool)
    for name, c, s in zip(scene.names, cover, share, strict=True):
        thing = name not in STUFF
        clear = (c >= 0.1 and s >= 0.4) or c >= 0.6 if thing else c >= 0.2
        clear = clear or (thing and s >= 0.8 and c > 0.01)
        shown[NAMES.index(name)] = clear
        doubtful[NAMES.index(name)] = not clear and c > 0
    return shown, doubtful


def make_batch(items: list[tuple[int, Scene]]) -> Batch:
    """Draw views and captions for scenes; random by the first scene's index alone."""
    rng = np.random.default_rng((7, items[0][0]))
    scenes = [scene for _, scene in items]
    plan: dict[int, list[tuple[int, np.ndarray, tuple[int, ...]]]] = {WHOLE_TOKENS: []}
    for i, scene in enumerate(scenes):
        if i % 4 == 0:
            ids = rng.choice(GRID * GRID, WHOLE_TOKENS, replace=False)
            plan[WHOLE_TOKENS].append((i, ids, (0, 0, GRID * PATCH, GRID * PATCH)))
        for count, views in CLOSE_UPS:
            for _ in range(views):
                plan.setdefault(count, []).append((i, *close_up(scene, count, rng)))
    views, shown, doubtful, texts, named = [], [], [], [], []
    for group in plan.values():
        index = torch.tensor([i for i, _, _ in group])
        views.append((index, torch.from_numpy(np.stack([ids for _, ids, _ in group]))))
        for i, _, box in group:
            clear, doubt = visible(scenes[i], box)
            if not clear.any():  # nothing is clear: name the doubtful
                clear, doubt = doubt, clear
            names = np.flatnonzero(clear)
            if rng.random() < 0.6:  # name one only, a thing if there is one, mostly
                things = names[names < len(THINGS)]
                names = rng.choice(things if len(things) and rng.random() < 0.75 else names, 1)
            names_mask = np.zeros(len(NAMES), bool)
            names_mask[names] = True
            shown.append(clear)
            doubtful.append(doubt)
            named.append(names_mask)
            texts.append(caption([NAMES[n] for n in names], rng))
    to_tensor = lambda rows: torch.from_numpy(np.stack(rows))  # noqa: E731
    return Batch(
        stack_pixels(scenes), views, to_tensor(shown), to_tensor(doubtful), texts, to_tensor(named)
    )


class IndexedScenes(SceneDataset):
    """Scenes with their index, which seeds the views drawn from them."""

    def __getitem__(self, index: int) -> tuple[int, Scene]:  # type: ignore[override]
        return index, super().__getitem__(index)


class Network(torch.nn.Module):
    """The CLIP, and the linear layer over names that only training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.clip = open_clip.CLIP(
            MODEL_CONFIG["embed_dim"], MODEL_CONFIG["vision_cfg"], MODEL_CONFIG["text_cfg"]
        )
        self.words = torch.nn.Linear(MODEL_CONFIG["vision_cfg"]["width"], len(NAMES))


def encode_views(
    visual: torch.nn.Module, batch: Batch, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """All views through the tower's own layers, on subsets of its tokens.

    Returns unit embeddings (V, 128) and what they are projected from (V, 192).
    """
    mean = torch.tensor(PREPROCESS_CONFIG["mean"], device=device).view(3, 1, 1)
    std = torch.tensor(PREPROCESS_CONFIG["std"], device=device).view(3, 1, 1)
    pixels = (batch.pixels.to(device).float() / 255 - mean) / std
    tokens = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, 196, D)
    tokens = tokens + visual.positional_embedding[1:]
    cls = visual.class_embedding + visual.positional_embedding[0]
    pooled = []
    for index, ids in batch.views:
        kept = tokens[index.to(device)[:, None], ids.to(device)]  # (V, count, D)
        x = torch.cat([cls.to(kept.dtype).expand(len(kept), 1, -1), kept], dim=1)
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


def word_loss(
    logits: torch.Tensor, shown: torch.Tensor, doubtful: torch.Tensor
) -> torch.Tensor:
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of checkpoints and curve")
    parser.add_argument("--output", type=Path, help="open_clip folder to write at the end")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=32, help="scenes per step")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peak-lr", type=float, default=1.2e-3)
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    network = Network().to(device)
    clip = network.clip
    tokenize = open_clip.SimpleTokenizer(context_length=MODEL_CONFIG["text_cfg"]["context_length"])
    optimizer = torch.optim.AdamW(
        parameter_groups(network, 0.05), lr=args.peak_lr, betas=(0.9, 0.98), fused=True
    )
    run = Run(args.run)
    first = run.resume(network=network, optimizer=optimizer)

    stream = batches(
        IndexedScenes(TRAIN_SEED, args.steps * args.batch_size),
        batch_size=args.batch_size,
        first_step=first,
        steps=args.steps,
        workers=args.workers,
        collate=make_batch,
    )
    held_out = make_batch([(i, render(VALIDATION_SEED, i)) for i in range(40)])
    prompts = tokenize([f"a photo of {phrase(name)}." for name in NAMES]).to(device)

    for step, batch in zip(range(first, args.steps), stream, strict=True):
        rate = learning_rate(step, peak=args.peak_lr, warmup=200, total=args.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
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
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        clip.logit_scale.data.clamp_(max=float(np.log(100)))
        if (step + 1) % 100 == 0 or step == first:
            clip.eval()
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                embeddings = encode_views(clip.visual, held_out, device)[0].cpu()
                names = F.normalize(encode_tokens(clip, prompts).float(), dim=-1).cpu()
            clip.train()
            sizes = [len(index) for index, _ in held_out.views]
            whole, middle, small = name_accuracy(embeddings, names, held_out.shown, sizes)
            run.log(
                step + 1, contrast=contrast.item(), words=word.item(), lr=rate, scale=clip.logit_scale.exp().item(),
                top1_whole=whole, top1_36=middle, top1_16=small,
            )  # fmt: skip
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            run.save(step + 1, network=network, optimizer=optimizer)
    if args.output:
        export(clip.cpu(), args.output)


def export(clip: torch.nn.Module, folder: Path) -> None:
    """Write an open_clip folder: config and fp16 safetensors.

    Token embeddings of words that no caption contains have had no gradient; they are written as
    zeros, so that the file compresses to what was learned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenize = open_clip.SimpleTokenizer()
    rng = np.random.default_rng(0)
    texts = [caption([name], rng) for name in NAMES for _ in range(60)]
    texts += [caption(rng.choice(NAMES, 3, replace=False).tolist(), rng) for _ in range(2000)]
    used = {token for text in texts for token in tokenize.encode(text)}
    used |= {tokenize.sot_token_id, tokenize.eot_token_id}
    state = {name: value.half().contiguous() for name, value in clip.state_dict().items()}
    state.pop("attn_mask", None)
    unused = torch.ones(len(state["token_embedding.weight"]), dtype=torch.bool)
    unused[list(used)] = False
    state["token_embedding.weight"][unused] = 0
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    main()
