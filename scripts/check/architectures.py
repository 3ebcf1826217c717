"""Load and run every preset's real architectures, without their weights.

    python -m scripts.check.architectures photo.jpg ... [--preset fast ...] [--set KEY=VALUE ...]

Writes folders of random weights in the hub's format, of exactly the presets' sizes, to a temporary
place, loads them the one way that everything is loaded, and labels the pictures. The labels mean
nothing; what is shown is that the presets' networks fit the flow, in time and memory, and that
CLIP's towers compute what the library's own forward pass does. The largest preset needs 9 GB of
disk and 14 GB of memory. The decoder is cut short, --set brings it back; with --set
decoder.method=beam there is a language model, too.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import hub_folders

from zeroguide.clip.pooled import embed_pooled, encode_pooled
from zeroguide.clip.texts import encode_tokens
from zeroguide.clip.towers import has_attention_pool, patch_size
from zeroguide.image import open_image
from zeroguide.labeler import Labeler
from zeroguide.models import Clip
from zeroguide.recipe import list_recipes, load_recipe

# Sizes as in the checkpoints' own configurations; the last entry is their number of parameters in
# millions, by the sizes of their files.
_VIT_S8 = {"patch_size": 8, "image_size": 224, "intermediate_size": 1536, "layer_norm_eps": 1e-12}
_DINOV2 = {"patch_size": 14, "image_size": 518, "num_register_tokens": 4}
_SMALL = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_DINOV2_PLAIN = {"patch_size": 14, "image_size": 518}
DINOS: dict[str, tuple[str, dict[str, Any], float]] = {
    "facebook/dinov2-small": ("dinov2", _SMALL | _DINOV2_PLAIN, 22.1),
    "facebook/dinov2-large": ("dinov2", _LARGE | _DINOV2_PLAIN, 304.4),
    "facebook/dino-vits8": ("vit", _SMALL | _VIT_S8, 21.7),
    "facebook/dinov2-with-registers-small": ("dinov2_with_registers", _SMALL | _DINOV2, 22.1),
    "facebook/dinov2-with-registers-base": ("dinov2_with_registers", _BASE | _DINOV2, 86.6),
    "facebook/dinov2-with-registers-large": ("dinov2_with_registers", _LARGE | _DINOV2, 304.4),
}
CLIPS = {
    "timm/PE-Core-S-16-384": ("PE-Core-S-16-384", 87.2),
    "timm/PE-Core-B-16": ("PE-Core-B-16", 447.7),
    "timm/PE-Core-L-14-336": ("PE-Core-L-14-336", 671.1),
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K": ("ViT-B-16", 149.6),
    "timm/vit_large_patch14_clip_224.openai": ("ViT-L-14-quickgelu", 427.6),
    "timm/vit_large_patch14_clip_336.openai": ("ViT-L-14-336-quickgelu", 427.9),
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": ("ViT-H-14", 986.1),
}
_GPT2 = {"n_positions": 1024, "vocab_size": 50257}
_SMOLLM2 = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
    "rope_theta": 100000, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
}  # fmt: skip
LANGUAGE_MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": ("llama", _SMOLLM2, 134.5),
    "distilbert/distilgpt2": ("gpt2", _GPT2 | {"n_layer": 6, "n_embd": 768, "n_head": 12}, 81.9),
    "openai-community/gpt2": ("gpt2", _GPT2 | {"n_layer": 12, "n_embd": 768, "n_head": 12}, 124.4),
    "openai-community/gpt2-medium": (
        "gpt2",
        _GPT2 | {"n_layer": 24, "n_embd": 1024, "n_head": 16},
        354.8,
    ),
    "openai-community/gpt2-large": (
        "gpt2",
        _GPT2 | {"n_layer": 36, "n_embd": 1280, "n_head": 20},
        774.0,
    ),
}
SHORT = (
    "decoder.beam_size=2", "decoder.n_candidates=8", "decoder.max_tokens=2",
    "decoder.vocabulary=everyday",
)  # fmt: skip
TEXTS = ["a dog", "a photo of a dog", "a photo of a dog under a table", "sky", "a photo of"]


def write(checkpoint: str, folder: Path, bpe: Path | None) -> None:
    """Write a checkpoint's architecture with random weights."""
    if checkpoint in DINOS:
        kind, config, millions = DINOS[checkpoint]
        network = hub_folders.dino_folder(folder, kind, **config)
    elif checkpoint in CLIPS:
        name, millions = CLIPS[checkpoint]
        network = hub_folders.clip_folder(folder, name)
    else:
        kind, config, millions = LANGUAGE_MODELS[checkpoint]
        own = bpe if kind == "gpt2" else None  # another family, another tokenizer
        network = hub_folders.language_model_folder(folder, kind, bpe=own, **config)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    if abs(count - millions) > 0.1:
        sys.exit(f"{checkpoint}: {count:.1f} M parameters here, {millions} M in the checkpoint")
    print(f"  {checkpoint}: {count:.1f} M parameters", flush=True)


def check_towers(preset: str, clip: Clip) -> None:
    """Exit unless CLIP's towers, as the flow uses them, equal the library's own forward pass.

    Texts that are read together, and where an attention pools the whole picture as one segment.
    """
    network, visual = clip.network, clip.network.visual
    device = next(network.parameters()).device
    with torch.inference_mode():
        tokens = clip.tokenize(TEXTS).to(device)
        pairs = {"texts": (encode_tokens(network, tokens), network.encode_text(tokens))}
        if has_attention_pool(visual):
            image = torch.randn(1, 3, clip.image_size, clip.image_size, device=device)
            ones = torch.ones(1, (clip.image_size // patch_size(visual)) ** 2, device=device)
            owner = torch.zeros(1, dtype=torch.int64, device=device)
            ours = embed_pooled(visual, encode_pooled(visual, image), ones, owner)
            pairs["pooled"] = (ours, network.encode_image(image))
    for what, (ours, theirs) in pairs.items():
        differ = float((ours - theirs).abs().max() / theirs.abs().max())
        if not differ < 1e-4:
            sys.exit(f"{preset}: {what} differ from the library's by {differ:.1e} of the largest")
        print(f"  {what}: the library's, but for {differ:.0e} of the largest value", flush=True)


def run(preset: str, images: list[Path], args: argparse.Namespace) -> None:
    """Write, load and run one preset's models."""
    print(preset, flush=True)
    with tempfile.TemporaryDirectory(prefix="zeroguide-") as root:
        overrides = [*SHORT, *args.set]
        for role, checkpoint in load_recipe(preset, overrides).checkpoints().items():
            if not checkpoint.startswith("shipped:"):
                write(checkpoint, Path(root, role), args.bpe)
                gc.collect()
                overrides.append(f"models.{role}={Path(root, role)}")
        start = time.perf_counter()
        labeler = Labeler(load_recipe(preset, overrides), device=args.device, offline=True)
        print(f"  loaded in {time.perf_counter() - start:.1f} s on {labeler.device}", flush=True)
        check_towers(preset, labeler.texts.clip)
        for path in images:
            start = time.perf_counter()
            labeling = labeler.label(open_image(path))
            seconds = time.perf_counter() - start
            ids = {segment.id for segment in labeling.segments}
            if set(np.unique(labeling.label_map).tolist()) != ids:
                sys.exit(f"{preset}, {path}: pixels and segments disagree")
            if not all(np.isfinite(segment.score) for segment in labeling.segments):
                sys.exit(f"{preset}, {path}: scores aren't finite")
            size = f"{labeling.width}x{labeling.height}"
            print(f"  {path.name} {size}: {len(ids)} segments, {seconds:.1f} s", flush=True)
        if torch.cuda.is_available():
            print(f"  {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU", flush=True)
            torch.cuda.reset_peak_memory_stats()


def main() -> None:
    """Parse the arguments and run the presets one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--preset", action="append", choices=list_recipes())
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bpe", type=Path, help="folder with GPT-2's encoder.json and vocab.bpe")
    args = parser.parse_args()
    for preset in args.preset or list_recipes():
        run(preset, args.images, args)
        gc.collect()


if __name__ == "__main__":
    main()
