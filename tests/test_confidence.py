"""Confidence: what stands out from the label set is believed."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from zeroguide.clip.confidence import Confidence, calibrated
from zeroguide.errors import UsageError


class FakeTexts:
    """A text encoder whose embeddings are set by hand, by the text it is given."""

    def __init__(self, vectors):
        self.vectors = vectors
        self.clip = SimpleNamespace()

    def embed(self, texts, _memo=None):
        return torch.stack([F.normalize(self.vectors[text], dim=0) for text in texts])

    def embed_phrases(self, phrases, templates):
        assert len(templates) == 1
        return self.embed([templates[0].replace("{}", phrase) for phrase in phrases])


@pytest.fixture
def texts():
    torch.manual_seed(0)
    return FakeTexts({f"a photo of word {i}": torch.randn(16) for i in range(200)})


def confidence(texts, **knobs):
    knobs = {"prompt": "a photo of", "midpoint": 3.0, "slope": 1.5} | knobs
    return Confidence(texts, [f"word {i}" for i in range(100)], **knobs)


def test_z_score_is_the_distance_from_the_label_set_in_deviations(texts):
    ours = confidence(texts)
    region = torch.randn(3, 16) * 7  # length doesn't matter
    spread = F.normalize(region, dim=1) @ ours.label_set.T
    own = F.normalize(region, dim=1) @ texts.embed(["a photo of word 150"])[0]
    expected = (own - spread.mean(1)) / spread.std(1)
    torch.testing.assert_close(ours.z_scores(region, ["word 150"] * 3), expected)


def test_the_region_s_own_label_is_sure_and_others_are_not(texts):
    ours = confidence(texts)
    region = texts.vectors["a photo of word 7"][None]
    sure, unsure = ours(region.expand(2, -1), ["word 7", "word 8"])
    assert sure > 0.6 > 0.1 > unsure


def test_midpoint_is_an_even_chance_and_slope_the_log_odds(texts):
    region = torch.randn(1, 16)
    z = float(confidence(texts).z_scores(region, ["word 3"]))
    assert confidence(texts, midpoint=z)(region, ["word 3"]) == [pytest.approx(0.5, abs=1e-4)]
    (p,) = confidence(texts, midpoint=z - 1, slope=2.0)(region, ["word 3"])
    assert p == pytest.approx(torch.tensor(2.0).sigmoid().item(), abs=1e-4)


def test_one_phrase_is_no_label_set(texts):
    with pytest.raises(UsageError, match=r"confidence\.vocabulary holds only 'word 1'"):
        Confidence(texts, ["word 1"], prompt="a photo of", midpoint=3.0, slope=1.5)


def test_a_decoder_s_own_probability_goes_through_a_curve() -> None:
    for p in (0.0, 0.2, 0.5, 1.0):
        assert calibrated(p, slope=1, offset=0) == pytest.approx(p)
    assert calibrated(0.5, slope=3, offset=1) == pytest.approx(torch.tensor(1.0).sigmoid().item())
    odds = torch.tensor(0.8).logit() * 0.5 - 0.2
    assert calibrated(0.8, slope=0.5, offset=-0.2) == pytest.approx(odds.sigmoid().item())
    assert [calibrated(p, slope=0.4, offset=-2) for p in (0.0, 1.0)] == [0, 1]
