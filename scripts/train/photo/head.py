"""Step 3 of the photo model: the head that joins DINOv2's regions and phrases.

    python -m scripts.train.photo.head --captioned ../shared/captioned --work out/photo

What is known of a photograph is a bag of names (see `sets`), not which region has which. A
photograph is cut anew at every step, by a random level of its regions' tree, and learns from two
things:

- its bag: for every name the soft maximum over regions, against whether the name is present, by
  weighted binary cross-entropy (multiple instance learning with partial labels);
- competition, when the bags have taught something: where a region is the best one of a present name
  and that name the best of the present ones for the region, the region must tell it from all other
  names, those above and below it left out. It is what parts sky from the person under it, since
  both are present in the same photographs.

Beside these, some regions were named by hand (`regions`): each must be told from all names.

`--read-out class-token` teaches a projection of the class token instead, by bags of one: for the
comparison in scripts/evaluate/photographs.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scripts.shared.stand_ins import text_side
from scripts.train.loop import Run, schedule
from scripts.train.photo.features import LEAVES
from scripts.train.photo.networks import Head, save_head
from scripts.train.photo.regions import NamedPoint, named_points
from scripts.train.photo.sets import Said, Targets, read_set, targets, with_person
from zeroguide.clip import TextEncoder
from zeroguide.name.hypernyms import Hypernyms
from zeroguide.name.phrase_files import read_prompts

REGIONS = (8, 24)  # of a cut
COMPETES = 2  # epochs before the competition
# Noise on regions, in standard deviations: the few that were named by hand aren't learned by heart.
BLUR, BLUR_NAMED = 0.3, 0.8
PRESENT = 4.0  # weight of a name that is present
SEEN = 0.3  # least probability of what a classifier sees
SURE = 0.5  # least share of a region's name among the present ones
SCALE = 20.0  # of cosines, where one name is told from all others
NAMED = 256  # regions named by hand, of a step


class Photographs:
    """All training photographs: their regions, trees and what is said of them.

    means: (images, 63, 384) float16. children: (images, 31, 2). class_tokens: (images, 384).
    """

    def __init__(self, captioned: Path, work: Path) -> None:
        self._place: dict[tuple[str, str], int] = {}
        hypernyms = Hypernyms.load()
        seen = _seen(captioned, work / "teacher", hypernyms)
        means, children, class_tokens, cells = [], [], [], []
        said: list[tuple[str, Said]] = []
        for folder in sorted(captioned.iterdir()):
            own = read_set(folder, hypernyms)
            for path in sorted((work / "nodes").glob(f"{folder.name}-*.npz")):
                with np.load(path) as file:
                    means.append(file["means"])
                    children.append(file["children"])
                    class_tokens.append(file["class_token"])
                    cells += list(zip(file["grid"], file["cells"], strict=True))
                    for stem in map(str, file["files"]):
                        self._place[folder.name, stem] = len(said)
                        one = own[stem]
                        extra = seen.get((folder.name, stem), frozenset())
                        said.append((folder.name, Said(one.present, one.unsure - extra, extra)))
        self.means = torch.from_numpy(np.concatenate(means))
        self.children = np.concatenate(children)
        self.class_tokens = torch.from_numpy(np.concatenate(class_tokens))
        self._cells = cells
        self.points = [p for p in named_points(hypernyms) if (p.set, p.stem) in self._place]
        self.targets: Targets = targets(said, {point.node for point in self.points})
        column = {int(node): i for i, node in enumerate(self.targets.nodes)}
        for point in self.points:  # what somebody saw is present, whatever the captions say
            place = self._place[point.set, point.stem], column[point.node]
            self.targets.present[place], self.targets.weight[place] = True, 1

    def cut(self, image: int, n_regions: int) -> np.ndarray:
        """(63,) bool: the nodes of a photograph's cut into so many regions."""
        alive = np.zeros(2 * LEAVES - 1, bool)
        alive[-1] = True
        for node in range(2 * LEAVES - 2, 2 * LEAVES - 1 - n_regions, -1):
            alive[node] = False
            alive[self.children[image, node - LEAVES]] = True
        return alive

    def at(self, point: NamedPoint) -> tuple[int, np.ndarray]:
        """A point's photograph, and (63,) bool: the regions that it is in."""
        image = self._place[point.set, point.stem]
        grid, cells = self._cells[image]
        within = np.zeros(2 * LEAVES - 1, bool)
        within[cells[point.cell(*grid)]] = True
        for join, pair in enumerate(self.children[image]):
            within[LEAVES + join] = within[pair].any()
        return image, within


def _seen(
    captioned: Path, teacher: Path, hypernyms: Hypernyms
) -> dict[tuple[str, str], frozenset[int]]:
    """What the ImageNet classifier is sure of."""
    labels = filter(hypernyms.is_label, range(len(hypernyms)))
    place = {hypernyms.ids[node]: node for node in labels}
    files = sorted((captioned / "imagenet_1000x1" / "images").iterdir())
    nodes = [place.get(file.stem.split("_")[0][1:]) for file in files]
    found = {}
    for path in sorted(teacher.glob("*.npz")):
        name = path.stem.rpartition("-")[0]
        with np.load(path) as file:
            for stem, classes, p in zip(
                file["files"], file["names"], file["probabilities"], strict=True
            ):
                sure = [node for c in classes[p >= SEEN] if (node := nodes[c]) is not None]
                found[name, str(stem)] = frozenset(with_person(sure, hypernyms))
    return found


def kin(nodes: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, n) bool: column is above row; and column is above or below row."""
    hypernyms = Hypernyms.load()
    column = {int(node): i for i, node in enumerate(nodes)}
    over = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
    for i, node in enumerate(nodes):
        for up in hypernyms.ancestors(int(node)):
            if up != node and up in column:
                over[i, column[up]] = True
    return over, over | over.T


def bags(logits: torch.Tensor, owner: torch.Tensor, n: int) -> torch.Tensor:
    """Regions' logits (m, names), in order of their photographs -> (n, most regions, names)."""
    counts = torch.bincount(owner, minlength=n)
    place = torch.arange(len(owner)) - (counts.cumsum(0) - counts)[owner]
    padded = logits.new_full((n, int(counts.max()), logits.shape[1]), -1e4)
    return padded.index_put((owner, place), logits)


def compete(
    padded: torch.Tensor, specific: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Photographs, regions and names (k,) each that are each other's best.

    Args:
        padded: (B, regions, names) logits. specific: (B, names) bool, present names with no present
            name below them.
    """
    own = padded.masked_fill(~specific[:, None], -1e4)
    value, name = own.max(2)  # (B, regions)
    best = padded.argmax(1).gather(1, name)
    mutual = (best == torch.arange(padded.shape[1])) & (value > -1e3)
    mutual &= own.softmax(2).amax(2) > SURE
    photo, region = mutual.nonzero(as_tuple=True)
    return photo, region, name[photo, region]


def noise(spread: torch.Tensor, n: int) -> torch.Tensor:
    """(n, 384) normally distributed, with standard deviations `spread` (384,)."""
    return spread * torch.randn(n, len(spread))


def main() -> None:
    """Train, and write the head when done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captioned", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where the features are")
    parser.add_argument("--read-out", choices=("regions", "class-token"), default="regions")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--peak-lr", type=float, default=3e-3)
    parser.add_argument("--competition", type=float, default=0.3, help="its weight")
    parser.add_argument("--by-hand", type=float, default=1.0, help="weight of what was named so")
    args = parser.parse_args()

    torch.manual_seed(0)
    photographs = Photographs(args.captioned, args.work)
    learned = photographs.targets
    hypernyms = Hypernyms.load()
    names = [hypernyms.name(int(node)) for node in learned.nodes]
    listed = read_prompts("labels")
    minilm = TextEncoder(text_side()).embed_phrases(listed, read_prompts("templates_labels"))
    row = {phrase: i for i, phrase in enumerate(listed)}
    phrases = minilm[[row[name] for name in names]].clone()
    present, weight = torch.from_numpy(learned.present), torch.from_numpy(learned.weight)
    over, related = kin(learned.nodes)
    specific = present & ~((present.float() @ over.float()) > 0)
    rarity = 1 / present.sum(0).clamp(min=5).sqrt()
    column = {int(node): i for i, node in enumerate(learned.nodes)}
    said_by_hand = np.array([column[point.node] for point in photographs.points])
    places = [photographs.at(point) for point in photographs.points]
    asked = np.bincount(said_by_hand)[said_by_hand] ** -0.5  # rare names are asked for more often
    asked /= asked.sum()
    print(f"{len(present)} photographs, {len(places)} points, {len(names)} names", flush=True)

    if args.read_out == "regions":
        some = photographs.means[:, :LEAVES].reshape(-1, photographs.means.shape[-1])[::37].float()
    else:
        some = photographs.class_tokens.float()
    head = Head(torch.from_numpy(learned.nodes.astype(np.int64)), some)
    spread = head.whitened(some).std(0)
    rest = [p for name, p in head.named_parameters() if name != "own"]
    groups = [
        {"params": rest, "weight_decay": 1e-4},
        {"params": [head.own], "weight_decay": 1e-3},
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.peak_lr)
    run = Run(args.work / f"head-{args.read_out}")
    per_epoch = len(present) // args.batch_size
    steps = args.epochs * per_epoch
    for step in range(run.resume(head=head, optimizer=optimizer), steps):
        rng = np.random.default_rng((step, 5))
        schedule(optimizer, step, peak=args.peak_lr, warmup=50, total=steps)
        order = np.random.default_rng((step // per_epoch, 3)).permutation(len(present))
        first = step % per_epoch * args.batch_size
        chosen = order[first : first + args.batch_size]
        if args.read_out == "regions":
            sizes = rng.integers(*REGIONS, len(chosen), endpoint=True)
            cuts = [photographs.cut(i, n) for i, n in zip(chosen, sizes, strict=True)]
            alive = torch.from_numpy(np.stack(cuts))
            owner, means = alive.nonzero()[:, 0], photographs.means[chosen][alive]
        else:
            owner, means = torch.arange(len(chosen)), photographs.class_tokens[chosen]
        texts = F.normalize(head.read(phrases) + head.own, dim=-1)
        scale = head.log_scale.exp()
        regions = head.embed(head.whitened(means.float()) + BLUR * noise(spread, len(means)))
        logits = scale * (regions @ texts.T) + head.bias
        padded = bags(logits, owner, len(chosen))
        soft_maximum = (padded.softmax(1) * padded).sum(1)
        there = present[chosen]
        counted = weight[chosen].float() * torch.where(there, PRESENT, 1.0)
        losses = F.binary_cross_entropy_with_logits(soft_maximum, there.float(), reduction="none")
        loss = bag_loss = (counted * losses).sum() / len(chosen) / 10
        if args.read_out == "regions" and step >= COMPETES * per_epoch:
            with torch.no_grad():
                photo, region, name = compete(padded, specific[chosen])
            cosines = (padded[photo, region] - head.bias) / scale
            rows = (SCALE * cosines).masked_fill(related[name], -1e4)
            share = rarity[name]
            own = F.cross_entropy(rows, name, reduction="none")
            loss = loss + args.competition * (own * share).sum() / share.sum().clamp(min=1e-6)
        if args.read_out == "regions":
            picked = rng.choice(len(places), NAMED, p=asked)
            found = []
            for image, within in (places[i] for i in picked):
                cut = photographs.cut(image, int(rng.integers(*REGIONS, endpoint=True)))
                found.append(photographs.means[image, np.flatnonzero(cut & within)[0]])
            name = torch.from_numpy(said_by_hand[picked])
            blurred = head.whitened(torch.stack(found).float())
            blurred = blurred + BLUR_NAMED * noise(spread, len(found))
            rows = SCALE * head.embed(blurred) @ texts.T
            rows = rows.masked_fill(related[name], -1e4)
            loss = loss + args.by_hand * F.cross_entropy(rows, name)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % per_epoch == 0:
            run.log(step + 1, loss=loss.item(), bags=bag_loss.item(), scale=scale.item())
            run.save(step + 1, head=head, optimizer=optimizer)
    save_head(head, args.work / f"head-{args.read_out}.safetensors")


if __name__ == "__main__":
    main()
