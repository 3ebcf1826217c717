"""Folder -> vision-language model: any transformers image-text-to-text model and its processor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from zeroguide.errors import WeightsError
from zeroguide.models.hub import resolve
from zeroguide.models.reading import (
    check_vocabulary,
    from_pretrained,
    loading,
    model_type,
    place,
)

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Vlm:
    """A model that writes about pictures.

    network: transformers' image-text-to-text model. processor: pictures and texts -> its inputs.
    """

    network: Any
    processor: Any

    def encode(self, pictures: Sequence[np.ndarray], question: str, opening: str = "") -> Any:
        """The network's inputs, one row per picture, on its device; all rows padded at the left.

        A model with a chat template is asked the question, and its answer begins with the opening.
        One without is a captioner that goes on with the opening; a question would confuse it.

        Args:
            pictures: (H, W, 3) uint8 RGB each, at least one.
        """
        from PIL import Image

        images = [Image.fromarray(pixels) for pixels in pictures]
        text, batch = opening, list[Any](images)
        if self.processor.chat_template is not None:
            content = [{"type": "image"}, {"type": "text", "text": question}]
            chat = [{"role": "user", "content": content}]
            turn = self.processor.apply_chat_template(chat, add_generation_prompt=True)
            space = "" if not opening or turn.endswith(("\n", " ")) else " "
            text = turn + space + opening
            batch = [[image] for image in images]  # one conversation each
        inputs = self.processor(
            images=batch, text=[text] * len(images), padding=True, return_tensors="pt"
        )
        return inputs.to(self.network.device, self.network.dtype)


def load_vlm(
    checkpoint: str | PathLike[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype | None = None,
    offline: bool = False,
) -> Vlm:
    """Load an image-text-to-text model and its processor; `dtype` None is float32.

    Only architectures that transformers itself knows: code from a folder is never run. Raises
    WeightsError if it can't be found, downloaded or read.
    """
    checkpoint = fspath(checkpoint)
    folder = resolve(checkpoint, "vlm", offline=offline)
    model_type(folder)
    network = from_pretrained(
        "AutoModelForImageTextToText", folder, "vlm", dtype, trust_remote_code=False
    )
    with loading(folder):
        from transformers import AutoProcessor

        processor = AutoProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        raise WeightsError(
            f"{folder} has a processor for {type(processor).__name__} only: copy the model's own "
            "processor and tokenizer files"
        )
    tokenizer = processor.tokenizer
    check_vocabulary(folder, tokenizer, network)
    tokenizer.padding_side = "left"  # what is generated follows the text directly
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    network.generation_config.max_length = None  # the decoder's knob; two of them are warned about
    return Vlm(place(network, device, dtype, checkpoint), processor)
