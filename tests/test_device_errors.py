"""What torch says of devices: failures that end a process, and errors that don't."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from runs.stand_ins import ILLEGAL_ACCESS, picture

import zeroguide.segmenter
from zeroguide.cli import main
from zeroguide.errors import DeviceError, ZeroguideError
from zeroguide.image import to_image
from zeroguide.labeler import Labeler
from zeroguide.models.reading import place
from zeroguide.recipe import load_recipe
from zeroguide.runs.search import Searcher
from zeroguide.system.device_errors import device_errors, failure, is_out_of_memory

HINT = "\nCUDA kernel errors might be asynchronously reported at some other API call"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ILLEGAL_ACCESS, "an illegal memory access was encountered"),
        (f"CUDA error: device-side assert triggered{HINT}", "device-side assert triggered"),
        ("CUDA error: unspecified launch failure", "unspecified launch failure"),
        ("CUDA driver error: device not ready", "device not ready"),
        (
            "CUDA error: no kernel image is available for execution on the device",
            "no kernel image is available for execution on the device",
        ),
        (
            "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`",
            "CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle)`",
        ),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED"),
        ("HIP error: unspecified launch failure", "unspecified launch failure"),
        (
            "Triton Error [CUDA]: an illegal memory access was encountered",
            "an illegal memory access was encountered",
        ),
        ("No CUDA GPUs are available", "No CUDA GPUs are available"),
    ],
)
def test_failures_of_devices(text: str, reason: str) -> None:
    assert failure(RuntimeError(text)) == reason
    assert not is_out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_memory_is_no_failure(error: RuntimeError) -> None:
    assert is_out_of_memory(error) and failure(error) is None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("CUDA error: invalid configuration argument"),  # too large a grid, for one
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        ValueError("CUDA error: device-side assert triggered"),  # a file may be called so
    ],
)
def test_other_errors_are_an_images(error: Exception) -> None:
    assert failure(error) is None
    with pytest.raises(type(error)), device_errors("cuda:0"):
        raise error


def test_torchs_own_exception_is_known() -> None:
    if not hasattr(torch, "AcceleratorError"):
        pytest.skip("this torch has no AcceleratorError")
    with pytest.raises(DeviceError) as caught, device_errors(torch.device("cuda", 1)):
        raise torch.AcceleratorError(ILLEGAL_ACCESS)
    assert (caught.value.device, caught.value.images) == ("cuda:1", "")
    again = pickle.loads(pickle.dumps(caught.value))  # it goes from worker to pool
    assert str(again) == str(caught.value) and again.reason == caught.value.reason


@pytest.fixture(scope="module")
def labeler() -> Labeler:
    return Labeler(load_recipe("tiny", ["segmenter.n_segments=3"]), device="cpu")


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError(ILLEGAL_ACCESS)


def test_every_way_into_python_raises_the_same(
    labeler: Labeler, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    image = to_image(pixels)
    segments = labeler.describe([image])[0]
    failed: list[Exception] = []
    with labeler.segmenter.dino.network.register_forward_pre_hook(broken):
        for call in (
            lambda: labeler.label(pixels),
            lambda: labeler.segmenter.segment(image),
            lambda: list(labeler.label_many([pixels], failed=lambda _, e: failed.append(e))),
        ):
            with pytest.raises(DeviceError, match="illegal memory access"):
                call()
    assert not failed
    with monkeypatch.context() as patch:
        patch.setattr(labeler, "decode", broken)
        with pytest.raises(DeviceError):
            labeler.name([segments[0].region])
        with pytest.raises(DeviceError):
            labeler.describe([image])
    with monkeypatch.context() as patch:
        patch.setattr(labeler, "confidence", broken)
        with pytest.raises(DeviceError):
            labeler.label_batch([image])


def test_a_search_says_the_same(labeler: Labeler) -> None:
    searcher = Searcher.__new__(Searcher)  # its index plays no part
    searcher.device = torch.device("cuda", 0)
    searcher._template, searcher._texts = "{}", SimpleNamespace(embed=broken)  # type: ignore[assignment]
    with pytest.raises(DeviceError, match="the device cuda:0 has failed"):
        searcher.find("a red umbrella")


def test_loading_onto_a_failed_device() -> None:
    with pytest.raises(DeviceError, match="the device cuda:0 has failed"):
        place(SimpleNamespace(to=broken), "cuda:0", None, "owner/model")
    assert issubclass(DeviceError, ZeroguideError)


@pytest.mark.parametrize("command", ["label", "segment", "discover"])
def test_one_process_stops_with_one_sentence(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for i in range(4):
        picture(tmp_path / "in" / f"{i}.png", (64, 48))
    whole = zeroguide.segmenter.extract_features_batch
    calls: list[int] = []

    def second_breaks(dino: Any, images: Any, **settings: Any) -> Any:
        calls.append(len(images))
        return whole(dino, images, **settings) if len(calls) == 1 else broken()

    monkeypatch.setattr(zeroguide.segmenter, "extract_features_batch", second_breaks)
    out = tmp_path / "out"
    given = [str(tmp_path / "in"), "-o", str(out), "--preset", "tiny", "--device", "cpu"]
    assert main([command, *given]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "1.png: the device cpu has failed (an illegal memory access was" in errors[0]
    assert len(calls) == 2  # no later image was tried
    if command == "label":
        assert {path.name for path in out.glob("*.json")} == {"0.png.json", "run.json"}
        assert not (out / "failures.jsonl").exists()
