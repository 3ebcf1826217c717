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

from os import PathLike
from pathlib import Path

import numpy as np

from zeroguide.errors import UsageError, WeightsError
from zeroguide.segment.fitted.config import Backbone
from zeroguide.segment.fitted.stego_head import CLUSTERS, FIRST, head_shapes

PICKLES = (".ckpt", ".pth", ".pt", ".bin", ".pkl")
# Torch's zip of a pickle, and a bare pickle of protocol 2 to 5.
MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
NAMES = [*head_shapes(0, 0), CLUSTERS]


def check_file(path: str | PathLike[str]) -> None:
    """Everything that shows without torch and without the backbone: the file and its layout.

    Raises UsageError if it can't be read or is a pickle, WeightsError if it is damaged or holds no
    STEGO head.
    """
    path = Path(path)
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as e:
        raise UsageError(f"{path} can't be read ({e.strerror}): name a safetensors file") from None
    try:
        with safe_open(path, "numpy") as tensors:
            shapes = {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as e:
        # Only now: the length that begins a safetensors file can look like the start of a pickle.
        if path.suffix.lower() in PICKLES or start.startswith(MAGIC):
            raise UsageError(
                f"{path} is a pickle, which can run code and is never opened: convert its "
                "state_dict with safetensors.torch.save_file, in an environment where you trust "
                "the file"
            ) from None
        raise WeightsError(f"{path} is damaged ({e}): copy or convert it again") from None
    if missing := [name for name in NAMES if name not in shapes]:
        raise WeightsError(
            f"{path} has no {missing[0]}, so it isn't a STEGO checkpoint: convert the whole "
            "state_dict, names unchanged"
        )
    head = {name: _as_matrix(shapes[name]) for name in NAMES}
    clusters, first = head.pop(CLUSTERS), head[f"{FIRST}.weight"]
    matrices = len(clusters) == len(first) == 2 and clusters[0] > 0
    if not matrices or head != head_shapes(first[1], clusters[1]):
        raise WeightsError(
            f"{path} has layers that don't fit together: convert the checkpoint again"
        )


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Convolutions of size 1 are matrices with two more axes."""
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape


def read_checkpoint(
    path: str | PathLike[str], backbone: Backbone
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The head of a checkpoint, for a backbone's features, and its centres (n_classes, 70).

    Raises UsageError if the file isn't there, is a pickle, or belongs to features of another width;
    WeightsError if it is damaged or holds no STEGO head.
    """
    path = Path(path)
    from zeroguide.models.reading import opened

    check_file(path)
    with opened(path) as tensors:
        head = {name: tensors.get_tensor(name).float() for name in NAMES}
    head = {name: x.reshape(_as_matrix(tuple(x.shape))) for name, x in head.items()}
    if not all(x.isfinite().all() for x in head.values()):
        raise WeightsError(f"{path} has unusable values: convert the checkpoint again")
    d = head[f"{FIRST}.weight"].shape[1]
    if d != backbone.width:
        raise UsageError(
            f"{path} is a head for features of width {d}, but {backbone.dino} gives "
            f"{backbone.width}: choose the backbone that it was trained with, with models.dino"
        )
    arrays = {name: tensor.contiguous().numpy() for name, tensor in head.items()}
    centres = arrays.pop(CLUSTERS)
    return arrays, centres
