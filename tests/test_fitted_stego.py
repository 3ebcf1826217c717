"""STEGO: its loss, its sampling, what training does, and the published checkpoints' layout."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from zeroguide.errors import UsageError, WeightsError
from zeroguide.segment.fitted import Backbone, FeatureStore, fit
from zeroguide.segment.fitted.stego import Model, codes
from zeroguide.segment.fitted.stego_checkpoint import read_checkpoint
from zeroguide.segment.fitted.stego_training import (
    Head,
    Places,
    _batches,
    _dropout,
    _sampled,
    corners,
    correlation_loss,
    nearest_images,
    other_images,
)

D = 12
BACKBONE = Backbone("some/dino", {"layer": -1, "facet": "token"}, D)


# the loss -----------------------------------------------------------------------------------------


def test_loss_agrees_with_a_plain_one():
    rng = np.random.default_rng(0)
    f1, f2 = rng.normal(size=(2, 3, 5, D)) + 0.4
    c1, c2 = rng.normal(size=(2, 3, 5, 7))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    everything = [cosine(f1[b, i], f2[b, j]) for b in range(3) for i in range(5) for j in range(5)]
    total = 0.0
    for b in range(3):
        for i in range(5):
            row = [cosine(f1[b, i], f2[b, j]) for j in range(5)]
            for j in range(5):
                f = row[j] - sum(row) / 5 + sum(everything) / len(everything)
                total -= max(cosine(c1[b, i], c2[b, j]), 0) * (f - 0.3)
    found = correlation_loss(*map(torch.from_numpy, (f1, f2, c1, c2)), shift=0.3)
    assert float(found) == pytest.approx(total / 75, rel=1e-9)


def test_loss_by_hand():
    """Two places, features at right angles, codes alike: every pair agrees fully.

    F is the identity, its rows' mean 1/2 is taken off and the whole mean 1/2 added again: so the
    loss is the mean of -(1 - b), -(0 - b), -(0 - b), -(1 - b).
    """
    features = torch.eye(2)[None]
    alike = torch.tensor([[[1.0, 0], [2, 0]]])
    assert float(correlation_loss(features, features, alike, alike, 0.2)) == pytest.approx(-0.3)
    apart = torch.tensor([[[1.0, 0], [-1, 0]]])  # disagreement is clamped to 0, not rewarded
    assert float(correlation_loss(features, features, apart, apart, 0.2)) == pytest.approx(-0.4)


def test_gradient_goes_through_the_codes_only():
    features = torch.randn(1, 4, D, requires_grad=True)
    code = torch.randn(1, 4, 7, requires_grad=True)
    correlation_loss(features, features, code, code, 0.1).backward()
    assert features.grad is None
    assert code.grad is not None and code.grad.abs().sum() > 0


# sampling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(6, 9), (1, 5), (4, 1), (1, 1)])
def test_places_are_interpolated_as_torch_does(h, w):
    rng = np.random.default_rng(1)
    grid = rng.normal(size=(h, w, 3))
    coords = np.concatenate([rng.uniform(-1, 1, (40, 2)), [[-1, -1], [1, 1], [1, -1], [0, 0]]])
    index, weight = corners(h, w, coords)
    found = (grid.reshape(-1, 3)[index] * weight[..., None]).sum(axis=1)
    expected = F.grid_sample(
        torch.from_numpy(grid).permute(2, 0, 1)[None],
        torch.from_numpy(coords)[None, None],
        align_corners=True,
        padding_mode="border",
    )[0, :, 0].T
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_codes_are_those_of_the_whole_grid_interpolated(monkeypatch):
    """The head sees only the cells around the places: with dropout off that changes nothing."""
    monkeypatch.setattr("zeroguide.segment.fitted.stego_training.DROPOUT", 0.0)
    torch.manual_seed(0)
    head = Head(D, 7)
    grid = torch.randn(5, 6, D)
    index, weight = corners(5, 6, np.random.default_rng(0).uniform(-1, 1, (8, 2)))
    places = Places(grid.reshape(-1, D)[index][None], torch.from_numpy(weight)[None, ..., None])
    features, code = _sampled(head, places, torch.Generator())
    whole = head(grid, grid).reshape(-1, 7)
    expected = (whole[index] * torch.from_numpy(weight)[..., None]).sum(dim=1)
    assert torch.allclose(code[0], expected, atol=1e-5)
    plain = (grid.reshape(-1, D)[index] * torch.from_numpy(weight)[..., None]).sum(dim=1)
    assert torch.allclose(features[0], plain, atol=1e-6)


def test_dropout_takes_whole_channels_and_keeps_the_mean():
    factors = _dropout(torch.ones(400, 5, 4, 50), torch.Generator().manual_seed(0))
    assert factors.shape == (400, 1, 1, 50)
    assert factors.unique().tolist() == pytest.approx([0, 1 / 0.9])
    assert float(factors.mean()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_others_are_never_the_image_itself(n):
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        other = other_images(n, generator)
        assert (other != torch.arange(n)).all()
        assert other.min() >= 0 and other.max() < n


def test_batches_show_every_image_before_any_again():
    batches = _batches(64, np.random.default_rng(0))
    seen = np.concatenate([next(batches), next(batches)])
    assert np.array_equal(np.sort(seen), np.arange(64))
    assert len(next(_batches(5, np.random.default_rng(0)))) == 5


def test_neighbours_are_the_images_of_the_same_content():
    with FeatureStore("some/dino", {}) as store:
        for i in range(16):
            store.add(str(i), np.eye(D)[i % 2] + 0.1 * np.random.default_rng(i).random((3, 4, D)))
        neighbours = nearest_images(store)
    assert neighbours.shape == (16, 7)
    assert ((neighbours - np.arange(16)[:, None]) % 2 == 0).all()
    assert all(i not in row and len(set(row)) == 7 for i, row in enumerate(neighbours))


# training -----------------------------------------------------------------------------------------


def correspondence(rows: np.ndarray, truth: np.ndarray) -> float:
    """Mean cosine of pairs of the same content less that of pairs of different contents."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows @ rows.T
    same = truth[:, None] == truth[None]
    return float(cosines[same].mean() - cosines[~same].mean())


@pytest.mark.slow
def test_training_sharpens_correspondences():
    """Contents under noise of their own size: codes tell them apart better than features do."""
    rng = np.random.default_rng(0)
    centres = np.eye(D)[:3]
    with FeatureStore("some/dino", {}) as store:
        for i in range(6):
            truth = np.repeat(rng.permutation(3)[:2], [20, 16]).reshape(6, 6)
            store.add(str(i), 4 * (centres[truth] + 0.3 * rng.normal(size=(6, 6, D))))
        said: list[str] = []
        model = fit(store, method="stego", n_classes=3, seed=1, steps=120, progress=said.append)
    truth = rng.integers(3, size=200)
    rows = (4 * (centres[truth] + 0.3 * rng.normal(size=(200, D)))).astype(np.float32)
    before, after = correspondence(rows, truth), correspondence(codes(rows, model.head), truth)
    assert after > before + 0.15
    assert any(text.startswith("step 120 of 120, loss -") for text in said)


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    with FeatureStore("some/dino", {}) as store:
        for i in range(2):
            store.add(str(i), np.random.default_rng(i).random((3, 3, D)))
        a, b = (fit(store, method="stego", n_classes=2, seed=s, steps=1) for s in (0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert not np.array_equal(a.head["net.cluster1.0.weight"], b.head["net.cluster1.0.weight"])


# published checkpoints ----------------------------------------------------------------------------


def published(d: int = D, k: int = 70, n: int = 27) -> dict[str, torch.Tensor]:
    """A state dict with the names and shapes of the authors' files."""
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "net.model.cls_token": (1, 1, d),
        "net.cluster1.0.weight": (k, d, 1, 1),
        "net.cluster1.0.bias": (k,),
        "net.cluster2.0.weight": (d, d, 1, 1),
        "net.cluster2.0.bias": (d,),
        "net.cluster2.2.weight": (k, d, 1, 1),
        "net.cluster2.2.bias": (k,),
        "train_cluster_probe.clusters": (n, k),
        "cluster_probe.clusters": (n + 3, k),
        "linear_probe.weight": (n, k, 1, 1),
        "linear_probe.bias": (n,),
        "decoder.weight": (d, k, 1, 1),
        "decoder.bias": (d,),
    }
    return {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}


def test_published_layout_gives_the_published_classes(tmp_path):
    state = published()
    save_file(state, tmp_path / "stego.safetensors")
    model = Model(BACKBONE, *read_checkpoint(tmp_path / "stego.safetensors", BACKBONE))
    assert model.n_classes == 30
    features = torch.randn(4, 5, D)
    x = features.permute(2, 0, 1)[None]
    s = state
    code = F.conv2d(x, s["net.cluster1.0.weight"], s["net.cluster1.0.bias"])
    hidden = F.relu(F.conv2d(x, s["net.cluster2.0.weight"], s["net.cluster2.0.bias"]))
    code = code + F.conv2d(hidden, s["net.cluster2.2.weight"], s["net.cluster2.2.bias"])
    cosines = torch.einsum(
        "chw,nc->nhw", F.normalize(code[0], dim=0), F.normalize(s["cluster_probe.clusters"], dim=1)
    )
    assert np.array_equal(model.classify(features), cosines.argmax(dim=0).numpy())


def test_a_checkpoint_can_be_fitted_without_training(tmp_path):
    save_file(published(), tmp_path / "stego.safetensors")
    with FeatureStore("some/dino", {}) as store:
        store.add("a", np.random.default_rng(0).random((3, 3, D)))
        model = fit(store, method="stego", n_classes=2, checkpoint=tmp_path / "stego.safetensors")
        model.save(tmp_path / "model")
    assert model.n_classes == 30


@pytest.mark.parametrize("name", ["head.ckpt", "head.pth", "renamed.safetensors"])
def test_pickles_are_never_opened(tmp_path, name):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UsageError, match=r"is a pickle.*save_file"):
        read_checkpoint(tmp_path / name, BACKBONE)
    torch.save(published(), tmp_path / name)
    with pytest.raises(UsageError, match="is a pickle"):
        read_checkpoint(tmp_path / name, BACKBONE)
    assert not (tmp_path / "sprung").exists()


def test_a_header_that_begins_like_a_pickle_is_read(tmp_path):
    """A safetensors file begins with its header's length, which may be 0x..0480."""
    path = tmp_path / "stego.safetensors"
    state = published(k=8)
    save_file(state, path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    save_file(state, path, {"pad": ""})
    empty = int.from_bytes(path.read_bytes()[:8], "little")
    wanted = next(n for n in range(empty, 10_000, 8) if n & 0xFF == 0x80 and 2 <= n >> 8 <= 5)
    save_file(state, path, {"pad": "x" * (wanted - empty)})
    assert length < wanted and path.read_bytes()[0] == 0x80
    assert path.read_bytes()[1] in (2, 3, 4, 5)
    _, centres = read_checkpoint(path, BACKBONE)
    assert len(centres) == 30


def test_unusable_checkpoints(tmp_path):
    path = tmp_path / "stego.safetensors"
    with pytest.raises(UsageError, match="can't be read"):
        read_checkpoint(path, BACKBONE)
    path.write_bytes(b"nonsense")
    with pytest.raises(WeightsError, match="is damaged"):
        read_checkpoint(path, BACKBONE)
    state = published()
    del state["net.cluster2.2.bias"]
    save_file(state, path)
    with pytest.raises(WeightsError, match=r"has no net\.cluster2\.2\.bias"):
        read_checkpoint(path, BACKBONE)
    save_file(published() | {"net.cluster2.0.bias": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match="don't fit together"):
        read_checkpoint(path, BACKBONE)
    save_file(published() | {"net.cluster2.0.bias": torch.full((D,), torch.nan)}, path)
    with pytest.raises(WeightsError, match="unusable values"):
        read_checkpoint(path, BACKBONE)
    save_file(published(d=8), path)
    with pytest.raises(UsageError, match="width 8, but some/dino gives 12"):
        read_checkpoint(path, BACKBONE)
