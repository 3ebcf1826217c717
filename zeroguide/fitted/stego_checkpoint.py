"""Reads the head of a published STEGO checkpoint, converted to safetensors.

The authors' files are pickles of a whole training state, and opening a pickle runs what it says;
none is opened here. The conversion is a few lines in an environment where the file is trusted:

    import torch
    from safetensors.torch import save_file
    state = torch.load("cocostuff27_vit_base_5.ckpt", weights_only=False)["state_dict"]
    save_file({k: v.contiguous() for k, v in state.items()}, "stego.safetensors")

The layout: `net.cluster1.0` and `net.cluster2.0`, `net.cluster2.2` (convolutions of size 1, weight
and bias), `cluster_probe.clusters` (classes and extra clusters, 70). The backbone `net.model.*`,
`linear_probe.*`, `train_cluster_probe.*` and `decoder.*` are passed over: features come from the
recipe's DINO. Published heads were trained on the last block's tokens, `features.facet = "token"`.
"""

from __future__ import annotations

from pathlib import Path

from zeroguide.errors import UsageError, WeightsError
from zeroguide.fitted.model import Backbone
from zeroguide.fitted.stego import CLUSTERS, FIRST, Model, head_shapes

PICKLES = (".ckpt", ".pth", ".pt", ".bin", ".pkl")
MAGIC = (b"PK\x03\x04", b"\x80")  # torch's zip of a pickle, and a bare pickle


def check_file(path: Path) -> None:
    """UsageError if the file can't be read or is a pickle."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as e:
        raise UsageError(f"{path} can't be read ({e.strerror}): name a safetensors file") from e
    if path.suffix.lower() in PICKLES or start.startswith(MAGIC):
        raise UsageError(
            f"{path} is a pickle, which can run code and is never opened: convert its state_dict "
            "with safetensors.torch.save_file, in an environment where you trust the file"
        )


def read_checkpoint(path: Path, backbone: Backbone) -> Model:
    """The model of a checkpoint, for a backbone's features.

    Raises UsageError if the file isn't there, is a pickle, or belongs to features of another width;
    WeightsError if it is damaged or holds no STEGO head.
    """
    from zeroguide.models.reading import opened

    check_file(path)
    names = [*head_shapes(0, 0), CLUSTERS]
    with opened(path) as tensors:
        held = set(tensors.keys())
        if missing := [name for name in names if name not in held]:
            raise WeightsError(
                f"{path} has no {missing[0]}, so it isn't a STEGO checkpoint: convert the whole "
                "state_dict, names unchanged"
            )
        found = {name: tensors.get_tensor(name).float() for name in names}
    # Convolutions of size 1 are matrices with two more axes.
    found = {
        k: v[..., 0, 0] if v.ndim == 4 and v.shape[2:] == (1, 1) else v for k, v in found.items()
    }
    k = found[CLUSTERS].shape[-1]
    d = found[f"{FIRST}.weight"].shape[-1]
    if any(tuple(found[name].shape) != shape for name, shape in head_shapes(d, k).items()):
        raise WeightsError(
            f"{path} has layers that don't fit together: convert the checkpoint again"
        )
    if found[CLUSTERS].ndim != 2 or not all(v.isfinite().all() for v in found.values()):
        raise WeightsError(f"{path} has unusable values: convert the checkpoint again")
    if d != backbone.width:
        raise UsageError(
            f"{path} is a head for features of width {d}, but {backbone.dino} gives "
            f"{backbone.width}: choose the backbone that it was trained with, with models.dino"
        )
    arrays = {name: tensor.contiguous().numpy() for name, tensor in found.items()}
    centres = arrays.pop(CLUSTERS)
    return Model(backbone, arrays, centres)
