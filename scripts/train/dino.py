"""Train the tiny DINO on Playroom pictures, without labels; writes a transformers ViT folder.

    python -m scripts.train.dino --work runs/dino --output zeroguide/models/weights/tiny/dino

A student sees large and small crops of a picture, some of the large ones' patches blanked; its
teacher, a moving average of itself, sees the large crops whole. The student must predict the
teacher's class-token output across crops (DINO: Caron et al., 2021) and its patch outputs under
the blanks (iBOT: Zhou et al., 2022). Teacher outputs are balanced over prototypes by Sinkhorn-Knopp
(SwAV: Caron et al., 2020), which is steadier than a moving centre at small batch sizes.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import ViTConfig, ViTModel

from scripts.shared.playroom import TRAIN_SEED, VALIDATION_SEED
from scripts.train.loop import (
    Run,
    SceneDataset,
    attention_kernel,
    batches,
    descend,
    parameter_groups,
    schedule,
    stack_pixels,
    training_parser,
)
from zeroguide.playroom import Scene, render

CONFIG: dict[str, Any] = {
    "hidden_size": 192,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "image_size": 112,
    "patch_size": 8,
    "qkv_bias": True,
    "hidden_act": "gelu",
}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PROTOTYPES = 512
GLOBAL_SIDE, GLOBAL_AREA = 80, (0.3, 1.0)
LOCAL_SIDE, LOCAL_AREA = 40, (0.06, 0.3)
GLOBALS, LOCALS = 2, 3
BLANKED = 0.4
STUDENT_TEMPERATURE, TEACHER_TEMPERATURE = 0.1, 0.06


class Head(nn.Module):
    """Projects tokens to prototype scores: two hidden layers, a bottleneck, unit prototypes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 64)
        )
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., PROTOTYPES) cosines."""
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.prototypes, dim=-1).T


class Network(nn.Module):
    """A ViT and the two heads that only training needs."""

    def __init__(self) -> None:
        super().__init__()
        config = ViTConfig(**CONFIG)
        self.vit = ViTModel(config, add_pooling_layer=False, use_mask_token=True)
        self.cls_head = Head(config.hidden_size)
        self.patch_head = Head(config.hidden_size)

    def tokens(self, pixels: torch.Tensor, blanked: torch.Tensor | None = None) -> torch.Tensor:
        """Normalised last tokens (B, 1 + patches, D); blanked: (B, patches) bool."""
        return self.vit(
            pixels, bool_masked_pos=blanked, interpolate_pos_encoding=True
        ).last_hidden_state


def crop(pixels: torch.Tensor, side: int, area: tuple[float, float]) -> torch.Tensor:
    """One random crop of each picture, mirrored half of the time: (B, 3, side, side) in [0, 1]."""
    n, device = len(pixels), pixels.device
    scale = torch.empty(n, device=device).uniform_(*area).sqrt()
    aspect = torch.empty(n, device=device).uniform_(-0.2, 0.2).exp()
    half = torch.stack([scale * aspect, scale / aspect], 1).clamp(max=1)  # (B, 2): x, y
    centre = (torch.rand(n, 2, device=device) * 2 - 1) * (1 - half)
    mirror = torch.where(torch.rand(n, device=device) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 1, 1] = half[:, 0] * mirror, half[:, 1]
    theta[:, :, 2] = centre
    where = F.affine_grid(theta, [n, 3, side, side], align_corners=False)
    return F.grid_sample(pixels, where, align_corners=False, padding_mode="border")


def jitter(pixels: torch.Tensor) -> torch.Tensor:
    """Random brightness, contrast, colour cast, saturation and noise; then normalised."""
    n, device = len(pixels), pixels.device

    def amount(scale: float, channels: int = 1) -> torch.Tensor:
        return torch.randn(n, channels, 1, 1, device=device).mul(scale).exp()

    grey = pixels.mean(1, keepdim=True)
    saturation = torch.rand(n, 1, 1, 1, device=device) * 1.2
    saturation = saturation * (torch.rand(n, 1, 1, 1, device=device) > 0.15)  # some in grey
    pixels = grey + (pixels - grey) * saturation
    pixels = (pixels - 0.5) * amount(0.25) + 0.5
    pixels = pixels * amount(0.2) * amount(0.1, 3)
    pixels = pixels + torch.randn_like(pixels) * 0.04 * torch.rand(n, 1, 1, 1, device=device)
    mean = torch.tensor(MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(STD, device=device).view(3, 1, 1)
    return (pixels.clamp(0, 1) - mean) / std


@torch.no_grad()
def balanced(scores: torch.Tensor, temperature: float) -> torch.Tensor:
    """Soft assignments (n, K) with prototypes used equally: 3 rounds of Sinkhorn-Knopp."""
    q = (scores.float() / temperature).exp()
    for _ in range(3):
        q = q / q.sum(0, keepdim=True) / q.shape[1]
        q = q / q.sum(1, keepdim=True) / q.shape[0]
    return q * q.shape[0]


def cross_entropy(target: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Mean of -sum target * log softmax(scores / student temperature)."""
    return -(target * F.log_softmax(scores.float() / STUDENT_TEMPERATURE, dim=-1)).sum(-1).mean()


def loss_of(student: Network, teacher: Network, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """DINO and iBOT losses of a batch of pictures (B, 3, H, W) in [0, 1]."""
    n = len(pixels)
    large = torch.cat([jitter(crop(pixels, GLOBAL_SIDE, GLOBAL_AREA)) for _ in range(GLOBALS)])
    small = torch.cat([jitter(crop(pixels, LOCAL_SIDE, LOCAL_AREA)) for _ in range(LOCALS)])
    patches = (GLOBAL_SIDE // CONFIG["patch_size"]) ** 2
    blanked = torch.rand(len(large), patches, device=pixels.device) < BLANKED
    with torch.no_grad():
        seen = teacher.tokens(large)
        targets = balanced(teacher.cls_head(seen[:, 0]), TEACHER_TEMPERATURE).split(n)
        patch_targets = balanced(teacher.patch_head(seen[:, 1:][blanked]), TEACHER_TEMPERATURE)
    tokens = student.tokens(large, blanked)
    views = [*student.cls_head(tokens[:, 0]).split(n)]
    views += student.cls_head(student.tokens(small)[:, 0]).split(n)
    pairs = [
        cross_entropy(target, view)
        for i, target in enumerate(targets)
        for j, view in enumerate(views)
        if i != j
    ]
    patch = cross_entropy(patch_targets, student.patch_head(tokens[:, 1:][blanked]))
    return {"cls": torch.stack(pairs).mean(), "patch": patch}


@torch.no_grad()
def neighbour_purity(vit: nn.Module, scenes: list[Scene]) -> float:
    """Share of pure patches whose most similar patch of the scene is of the same region.

    Patches fewer than four away don't compete: position alone makes them similar, and mostly right.
    """
    pixels = stack_pixels(scenes).float() / 255
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    device = next(vit.parameters()).device
    tokens = vit(((pixels - mean) / std).to(device)).last_hidden_state[:, 1:].float().cpu()
    grid = torch.cartesian_prod(*[torch.arange(CONFIG["image_size"] // CONFIG["patch_size"])] * 2)
    near = torch.cdist(grid.float(), grid.float(), p=float("inf")) < 4
    hits, total = 0, 0
    for scene, features in zip(scenes, F.normalize(tokens, dim=-1), strict=True):
        side = CONFIG["patch_size"]
        blocks = torch.from_numpy(scene.label_map).unfold(0, side, side).unfold(1, side, side)
        blocks = blocks.reshape(len(features), -1)
        pure = (blocks == blocks[:, :1]).all(1)
        similarity = (features @ features.T).masked_fill(near, -2)[pure][:, pure]
        nearest = similarity.argmax(1)
        regions = blocks[pure, 0]
        hits += int((regions[nearest] == regions).sum())
        total += len(regions)
    return hits / total


def main() -> None:
    """Train, logging the curve, and write the model folder when done."""
    parser = training_parser(__doc__, steps=2500, batch_size=32, peak_lr=1e-3)
    parser.add_argument("--output", type=Path, help="transformers folder to write at the end")
    parser.add_argument("--workers", type=int, default=1, help="rendering processes")
    args = parser.parse_args()

    torch.manual_seed(0)
    device = torch.device(args.device)
    student = Network().to(device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    optimizer = torch.optim.AdamW(parameter_groups(student, 0.04), lr=args.peak_lr, fused=True)
    run = Run(args.work)
    first = run.resume(student=student, teacher=teacher, optimizer=optimizer)
    torch.manual_seed(first)
    stream = batches(
        SceneDataset(TRAIN_SEED, args.steps * args.batch_size),
        batch_size=args.batch_size,
        first_step=first,
        steps=args.steps,
        workers=args.workers,
        collate=stack_pixels,
    )
    held_out = [render(VALIDATION_SEED, i) for i in range(40)]

    for step, pixels in zip(range(first, args.steps), stream, strict=True):
        rate = schedule(optimizer, step, peak=args.peak_lr, warmup=150, total=args.steps)
        with torch.autocast(device.type, torch.bfloat16), attention_kernel(device):
            losses = loss_of(student, teacher, pixels.to(device).float() / 255)
            loss = losses["cls"] + losses["patch"]
        descend(loss, optimizer, student)
        # The teacher follows quickly at first, hardly at the end.
        momentum = 1 - 0.01 * (math.cos(math.pi * step / args.steps) + 1.05) / 2.05
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                slow.lerp_(fast, 1 - momentum)
        if (step + 1) % 100 == 0 or step == first:
            values = {name: value.item() for name, value in losses.items()}
            run.log(step + 1, **values, lr=rate, purity=neighbour_purity(teacher.vit, held_out))
        if (step + 1) % 250 == 0 or step + 1 == args.steps:
            run.save(step + 1, student=student, teacher=teacher, optimizer=optimizer)
    if args.output:
        export(teacher.vit.cpu(), args.output)


def export(vit: nn.Module, folder: Path) -> None:
    """Write the teacher's ViT as a transformers folder: config, fp16 safetensors, preprocessing."""
    state = {name: value for name, value in vit.state_dict().items() if "mask_token" not in name}
    clean = ViTModel(ViTConfig(**CONFIG), add_pooling_layer=False)
    clean.load_state_dict(state)
    clean.half().save_pretrained(folder)
    preprocessing: dict[str, Any] = {
        "image_processor_type": "ViTImageProcessor",
        "image_mean": MEAN,
        "image_std": STD,
        "size": {"height": CONFIG["image_size"], "width": CONFIG["image_size"]},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


if __name__ == "__main__":
    main()
