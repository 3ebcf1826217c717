"""Folder -> text memory: a small language model that reads CLIP embeddings, and texts to compare.

The folder is a transformers GPT-2 folder with its tokenizer, and `text_memory.safetensors`:

- ``projection.weight`` (d, e) and ``projection.bias`` (d,): CLIP embedding -> the language model's
  first position.
- ``memory`` (m, e): unit CLIP embeddings of texts.
- metadata ``template``: how texts were worded for CLIP, with ``{}`` for the phrase; metadata
  ``first``: the text of the memory's first row, by which the decoder knows the right CLIP again.

`scripts/train/text_memory.py` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from zeroguide.errors import WeightsError
from zeroguide.models.hub import TEXT_MEMORY, resolve
from zeroguide.models.reading import from_pretrained, model_type, opened, place, tokenizer_of

if TYPE_CHECKING:
    import torch

_REMEDY = "copy it again or train it with scripts/train/text_memory.py"


@dataclass(frozen=True)
class TextMemory:
    """A language model conditioned on one CLIP's embeddings, and a memory of texts.

    network, tokenizer: a transformers GPT-2 and its fast tokenizer. projection: linear, e -> d.
    memory: (m, e) float32, unit. template: how texts were worded for CLIP. first: the text of
    ``memory[0]``.
    """

    network: Any
    tokenizer: Any
    projection: Any
    memory: torch.Tensor
    template: str
    first: str

    def prefix(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Unit embeddings (n, e) -> the language model's first input embedding: (n, 1, d)."""
        prefix: torch.Tensor = self.projection(embeddings)
        return prefix[:, None]


def load_text_memory(
    checkpoint: str | PathLike[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> TextMemory:
    """Load a text memory; `dtype` None is float32, the memory itself always is.

    Raises WeightsError if it can't be found, downloaded or read, or isn't a GPT-2 with a
    projection that fits.
    """
    checkpoint = fspath(checkpoint)
    folder = resolve(checkpoint, "text_memory", offline=offline)
    if (kind := model_type(folder)) != "gpt2":
        raise WeightsError(
            f"{folder} holds a model of type {kind!r}, which isn't a GPT-2: {_REMEDY}"
        )
    path = folder / TEXT_MEMORY
    with opened(path) as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        about = file.metadata() or {}
    network = from_pretrained("AutoModelForCausalLM", folder, "text_memory", dtype)
    tokenizer = tokenizer_of(folder, network)

    from torch import nn

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    m, e = shapes.get("memory", (0, 0))[-2:] if len(shapes.get("memory", ())) == 2 else (0, 0)
    d = network.config.n_embd
    expected = {"memory": (m, e), "projection.weight": (d, e), "projection.bias": (d,)}
    if shapes != expected or not m or not {"template", "first"} <= set(about):
        raise WeightsError(f"{path} has no memory and projection to width {d}: {_REMEDY}")
    projection = nn.Linear(e, d)
    projection.load_state_dict(
        {name: tensors[f"projection.{name}"] for name in ("weight", "bias")}, assign=True
    )
    return TextMemory(
        place(network, device, dtype, checkpoint),
        tokenizer,
        place(projection, device, dtype, checkpoint),
        nn.functional.normalize(tensors["memory"], dim=-1).to(device),
        about["template"],
        about["first"],
    )
