"""The ladder of lexical relations."""

import numpy as np
import pytest

from zeroguide.evaluate.metrics.lac import Level, assign_up_to, ladder, relation_levels, same_text

KNOWN = {
    ("puppy", "dog"): Level.HYPONYM,
    ("hound", "dog"): Level.SYNONYM,
    ("paw", "dog"): Level.MERONYM,
    ("paw", "cat"): Level.MERONYM,
    ("dog", "animal"): Level.HYPONYM,
}
NAMES = [["dog", "domestic dog"], ["cat"], ["animal"]]


def known(label: str, name: str) -> Level:
    exact = same_text(label, name)
    return exact if exact is Level.EXACT else KNOWN.get((label, name), Level.NONE)


def test_labels_take_the_closest_class():
    levels = relation_levels(["dog", "puppy", "hound", "paw", "tree", "Domestic-Dog"], NAMES, known)
    assert levels[0].tolist() == [Level.EXACT, Level.NONE, Level.HYPONYM]
    assert assign_up_to(levels, Level.EXACT).tolist() == [0, -1, -1, -1, -1, 0]
    assert assign_up_to(levels, Level.SYNONYM).tolist() == [0, -1, 0, -1, -1, 0]
    assert assign_up_to(levels, Level.HYPONYM).tolist() == [0, 0, 0, -1, -1, 0]
    assert assign_up_to(levels, Level.MERONYM).tolist() == [0, 0, 0, 0, -1, 0]


def test_ladder_is_cumulative():
    levels = relation_levels(["dog", "dog", "puppy", "paw", "tree"], NAMES, known)
    true = np.array([0, 2, 0, 1, 0])
    assert ladder(levels, true) == pytest.approx([0.2, 0.2, 0.6, 0.8])
    areas = np.array([5, 1, 1, 1, 2])
    assert ladder(levels, true, weights=areas) == pytest.approx([0.5, 0.5, 0.7, 0.8])


def test_each_label_is_looked_up_once():
    asked = []
    relation_levels(["a", "b", "a"], [["x"], ["y"]], lambda *pair: asked.append(pair) or Level.NONE)
    assert sorted(asked) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]


def test_nothing_to_judge():
    assert np.isnan(ladder(relation_levels([], NAMES, known), np.zeros(0, int))).all()
    assert assign_up_to(relation_levels(["dog"], [], known), Level.MERONYM).tolist() == [-1]


@pytest.mark.parametrize(
    ("label", "name"), [("Dog", "dog"), ("a dog", "dog"), ("traffic_light", "traffic  light"),
                        ("the wall-other", "wall other"), ("the", "The")],
)  # fmt: skip
def test_same_text(label, name):
    assert same_text(label, name) is Level.EXACT
    assert same_text(label, name + "x") is Level.NONE
