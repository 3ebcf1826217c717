"""Step 4 of the photo model: the trunk's last blocks, taught by the regions named by hand.

    python -m scripts.train.photo.blocks --captioned ../shared/captioned --work out/photo

The first blocks stay as they are, so each photograph goes through them once, in four views: in two
sizes, as it is and mirrored. The last ones learn, together with the head, to tell each named region
from all other names, and to leave tokens about where they were: what the head knows of most names
it knows from photographs that nobody has looked at.
"""

from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from scripts.shared.stand_ins import text_side
from scripts.train.loop import Run, learning_rate
from scripts.train.photo.features import LEAVES, SMALLEST, without_frame
from scripts.train.photo.head import BLUR_NAMED, REGIONS, SCALE, kin, noise
from scripts.train.photo.networks import BLOCKS, DINOV2, Head, load_head, save_head, trunk
from scripts.train.photo.regions import named_points
from zeroguide.clip import TextEncoder
from zeroguide.clip.frame import make_frame, preprocess
from zeroguide.models import Dino
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

TAUGHT = 2  # last blocks
SIZES = (1.0, 1.35)  # of the views; photographs are small copies, and are looked at larger later
PHOTOGRAPHS_PER_FILE = 64
LEFT_OUT = 0.5  # at most this share of a region's cells


@dataclass(frozen=True)
class View:
    """tokens (1 + cells, 384) float16: what goes into the taught blocks. cells (cells,): leaves."""

    tokens: torch.Tensor
    cells: torch.Tensor


@dataclass(frozen=True)
class Photograph:
    """Views, the tree of its regions and the points that were named.

    parents: (63,), -1 at the top. below: (63, 32) bool, leaves of each node. points: leaf and
    column of the head's names.
    """

    views: list[View]
    parents: np.ndarray
    below: np.ndarray
    points: list[tuple[int, int]]

    def node(self, leaf: int, n_regions: int) -> int:
        """The region, of a cut into so many, that has the leaf."""
        node = leaf
        # In a cut into n regions, the last n - 1 joins are undone.
        while self.parents[node] >= 0 and self.parents[node] < 2 * LEAVES - n_regions:
            node = int(self.parents[node])
        return node


def photographs(captioned: Path, work: Path, dino: Dino, head: Head) -> list[Photograph]:
    """All that have named points; views are made where they are missing."""
    column = {int(node): i for i, node in enumerate(head.nodes)}
    named = defaultdict(list)
    for point in named_points(Hypernyms.load()):
        named[point.set, point.stem].append(point)
    trees = {}
    for path in sorted((work / "nodes").glob("*.npz")):
        name = path.stem.rpartition("-")[0]
        with np.load(path) as file:
            for stem, *tree in zip(
                file["files"], file["grid"], file["cells"], file["children"], strict=True
            ):
                if (name, str(stem)) in named:
                    trees[name, str(stem)] = tree
    keys = sorted(trees)
    found = []
    for first in range(0, len(keys), PHOTOGRAPHS_PER_FILE):
        path = work / "views" / f"{first // PHOTOGRAPHS_PER_FILE:03d}.pt"
        some = keys[first : first + PHOTOGRAPHS_PER_FILE]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            made = {key: list(views(captioned, key, trees[key], dino)) for key in some}
            torch.save(made, path.with_suffix(".partial"))
            path.with_suffix(".partial").rename(path)
            print(f"{path.name}: {first + len(some)} of {len(keys)} photographs", flush=True)
        stored = torch.load(path, weights_only=True)
        for key in some:
            grid, cells, children = trees[key]
            parents, below = np.full(2 * LEAVES - 1, -1), np.eye(2 * LEAVES - 1, LEAVES, dtype=bool)
            for join, pair in enumerate(children):
                parents[pair] = LEAVES + join
                below[LEAVES + join] = below[pair].any(0)
            points = [(int(cells[p.cell(*grid)]), column[p.node]) for p in named[key]]
            own = [View(*each) for each in stored[key]]
            found.append(Photograph(own, parents, below, points))
    return found


def views(
    captioned: Path, key: tuple[str, str], tree: list[np.ndarray], dino: Dino
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """tokens and cells of each `View`."""
    (rows, columns), cells, _ = tree
    grid = cells[: int(rows) * int(columns)].reshape(rows, columns)
    (path,) = (captioned / key[0] / "images").glob(f"{key[1]}.*")
    image = without_frame(np.array(Image.open(path).convert("RGB")))
    side = max(SMALLEST, round((image.shape[0] * image.shape[1]) ** 0.5))
    for size in SIZES:
        frame = make_frame(
            *image.shape[:2], fit="native", side=round(size * side), patch=dino.patch_size
        )
        there = grid[np.arange(frame.rows) * rows // frame.rows]
        there = there[:, np.arange(frame.columns) * columns // frame.columns]
        for step in (1, -1):
            pixels = preprocess(image[:, ::step].copy(), frame, dino.mean, dino.std)
            with torch.no_grad():
                states = dino.network.embeddings(pixels[None])
                states = through(dino.network.encoder.layer[: BLOCKS - TAUGHT], states)
            yield states[0].half(), torch.from_numpy(there[:, ::step].ravel().copy())


def through(layers: nn.Module, states: torch.Tensor) -> torch.Tensor:
    """(1, n, 384) behind all layers."""
    for layer in layers:  # type: ignore[attr-defined]
        out = layer(states)
        states = out[0] if isinstance(out, tuple) else out
    return states


def tokens_after(layers: nn.Module, view: View) -> torch.Tensor:
    """(cells, 384), normalised as the trunk's last norm does."""
    states = through(layers, view.tokens[None].float())[0, 1:]
    return F.layer_norm(states, states.shape[-1:], eps=1e-6)


def main() -> None:
    """Train; writes taught/trunk.safetensors, all blocks, and taught/head.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--captioned", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="of the steps before")
    parser.add_argument("--dino", default=DINOV2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--peak-lr", type=float, default=1e-4, help="of the blocks")
    parser.add_argument("--head-lr", type=float, default=3e-4)
    parser.add_argument("--keep", type=float, default=1.0, help="weight of tokens' old places")
    args = parser.parse_args()

    torch.manual_seed(0)
    dino = trunk(args.dino)
    head = load_head(args.work / "head-regions.safetensors").train()
    known = photographs(args.captioned, args.work, dino, head)
    print(f"{len(known)} photographs, {sum(len(p.points) for p in known)} points", flush=True)
    listed = read_prompts("labels")
    minilm = TextEncoder(text_side()).embed_phrases(listed, read_prompts("templates_labels"))
    row = {phrase: i for i, phrase in enumerate(listed)}
    hypernyms = Hypernyms.load()
    phrases = minilm[[row[hypernyms.name(int(node))] for node in head.nodes]].clone()
    _, related = kin(head.nodes.numpy())
    counts = np.bincount([c for p in known for _, c in p.points], minlength=len(head.nodes))
    rarity = torch.from_numpy(np.maximum(counts, 1) ** -0.5).float()

    layers = dino.network.encoder.layer[BLOCKS - TAUGHT :]
    before = copy.deepcopy(layers)
    layers.requires_grad_(True)
    with torch.no_grad():
        some = torch.stack([tokens_after(before, p.views[0]).mean(0) for p in known[::4]])
        spread = head.whitened(some).std(0)
    taught = [head.image.weight, head.own, *head.plain.parameters(), *head.bent.parameters()]
    groups = [
        {"params": list(layers.parameters()), "peak": args.peak_lr, "weight_decay": 0.05},
        {"params": taught, "peak": args.head_lr, "weight_decay": 1e-4},
    ]
    optimizer = torch.optim.AdamW(groups)
    run = Run(args.work / "taught")
    per_epoch = len(known) // args.batch_size
    steps = args.epochs * per_epoch
    for step in range(run.resume(layers=layers, head=head, optimizer=optimizer), steps):
        rng = np.random.default_rng((step, 11))
        torch.manual_seed(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, peak=group["peak"], warmup=50, total=steps)
        order = np.random.default_rng((step // per_epoch, 13)).permutation(len(known))
        first = step % per_epoch * args.batch_size
        means, columns, moved = [], [], torch.zeros(())
        for i in order[first : first + args.batch_size]:
            photograph = known[i]
            view = photograph.views[rng.integers(len(photograph.views))]
            tokens = tokens_after(layers, view)
            with torch.no_grad():
                old = tokens_after(before, view)
            moved = moved + (1 - F.cosine_similarity(tokens, old, dim=-1)).mean()
            for leaf, name in photograph.points:
                node = photograph.node(leaf, int(rng.integers(*REGIONS, endpoint=True)))
                inside = torch.from_numpy(photograph.below[node])[view.cells.long()].float()
                some_cells = inside * (torch.rand(len(inside)) >= LEFT_OUT * torch.rand(()))
                inside = some_cells if some_cells.any() else inside
                means.append(inside @ tokens / inside.sum())
                columns.append(name)
        name = torch.tensor(columns)
        blurred = head.whitened(torch.stack(means)) + BLUR_NAMED * noise(spread, len(means))
        texts = F.normalize(head.read(phrases) + head.own, dim=-1)
        rows = (SCALE * head.embed(blurred) @ texts.T).masked_fill(related[name], -1e4)
        own = F.cross_entropy(rows, name, reduction="none")
        named = (own * rarity[name]).sum() / rarity[name].sum()
        loss = named + args.keep * moved / args.batch_size
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % per_epoch == 0:
            run.log(step + 1, named=named.item(), moved=moved.item() / args.batch_size)
            run.save(step + 1, layers=layers, head=head, optimizer=optimizer)
    save_head(head, run.folder / "head.safetensors")
    save_file(dino.network.state_dict(), run.folder / "trunk.safetensors")


if __name__ == "__main__":
    main()
