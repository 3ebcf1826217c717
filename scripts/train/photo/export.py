"""The last step of the photo model: one folder in open_clip's format that is CLIP and DINO.

    python -m scripts.train.photo.export --work out/photo --text out/photo/names/checkpoint.pt \
        --output zeroguide/models/weights/photo/clip

The trunk's weights are stored once, in float16. `--read-out class-token` writes the network that
scripts/evaluate/photographs.py compares with; its blocks are DINOv2's own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Config

from scripts.train.photo.networks import (
    BLOCKS,
    DINOV2,
    TEXT_CONFIG,
    WIDTH,
    load_head,
    text_tower,
    trunk,
    vision_config,
)
from zeroguide.models.trunk import tower_tensors

IMAGE_SIZE = 518  # of DINOv2's own positions
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="of the steps before")
    parser.add_argument("--dino", default=DINOV2)
    parser.add_argument("--text", type=Path, required=True, help="checkpoint of the text tower")
    parser.add_argument("--read-out", choices=("regions", "class-token"), default="regions")
    parser.add_argument("--scale", type=float, default=20.0, help="of cosines, for posteriors")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()

    dino = trunk(args.dino)
    if args.read_out == "regions":
        dino.network.load_state_dict(load_file(args.work / "taught" / "trunk.safetensors"))
        head = load_head(args.work / "taught" / "head.safetensors")
    else:
        head = load_head(args.work / "head-class-token.safetensors")
    tower = text_tower()
    tower.load_state_dict(torch.load(args.text, weights_only=True)["parts"]["tower"])
    # What the head subtracts becomes the bias of the tower's last norm.
    dino.network.layernorm.bias.data = -head.centre
    state = {f"visual.{k}": v for k, v in tower_tensors(dino.network.state_dict()).items()}
    state["visual.proj"] = head.projection()
    state |= {k: v for k, v in tower.state_dict().items() if k != "attn_mask"}
    state["logit_scale"] = torch.tensor(math.log(args.scale))

    args.output.mkdir(parents=True, exist_ok=True)
    halves = {k: v.detach().to(torch.float16).contiguous().clone() for k, v in state.items()}
    weights = args.output / "open_clip_model.safetensors"
    save_file(halves, weights)
    weights.chmod(0o644)
    vision = vision_config(IMAGE_SIZE)
    if args.read_out == "class-token":
        vision["pool_type"] = "tok"
    settings = {
        "model_cfg": {"embed_dim": WIDTH, "vision_cfg": vision, "text_cfg": TEXT_CONFIG},
        "preprocess_cfg": {
            "mean": list(dino.mean),
            "std": list(dino.std),
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }
    (args.output / "open_clip_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    kept = ("hidden_size", "num_attention_heads", "patch_size", "image_size", "layer_norm_eps")
    own = dino.network.config.to_dict()
    config = Dinov2Config(num_hidden_layers=BLOCKS, **{key: own[key] for key in kept})
    config.save_pretrained(args.output)
    preprocessing = {"image_mean": list(dino.mean), "image_std": list(dino.std)}
    path = args.output / "preprocessor_config.json"
    path.write_text(json.dumps(preprocessing, indent=2) + "\n")
    for name in TOKENIZER:
        if (args.work / "tokenizer" / name).is_file():
            shutil.copy(args.work / "tokenizer" / name, args.output / name)
    write_sums(args.output)


def write_sums(folder: Path) -> None:
    """SHA256SUMS of all files but texts, as `zeroguide models check` reads it."""
    files = sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors"))
    sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files]
    (folder / "SHA256SUMS").write_text("".join(sums))


if __name__ == "__main__":
    main()
