"""What is a kind of what: the shipped data, and how phrases find their node."""

from __future__ import annotations

import pytest
from conftest import REPOSITORY

from zeroguide.name.hypernyms import Hypernyms, head_forms
from zeroguide.name.noun_forms import base_forms, squeezed
from zeroguide.name.phrase_files import read_prompts

SMALL = """\
# a comment
1\t\t\tentity
2\t1\tanimal\tfauna
3\t2\tdog\tdomestic dog
4\t1\tpet\t
5\t3 4\tbeagle,bow-wow dog\t
6\t1\tglass\t
7\t1\tglasses\tspectacles
stop_sign\t1\tstop sign\t
"""


@pytest.fixture
def small() -> Hypernyms:
    return Hypernyms.parse(SMALL)


@pytest.fixture(scope="module")
def shipped() -> Hypernyms:
    return Hypernyms.load()


def named(hypernyms: Hypernyms, phrase: str) -> str | None:
    node = hypernyms.node_of(phrase)
    return None if node is None else hypernyms.name(node)


def test_nodes_of_a_text(small: Hypernyms) -> None:
    assert len(small) == 8
    assert small.ids[-1] == "stop_sign"
    assert small.parents[4] == (2, 3)
    assert small.name(0) == "entity" and not small.is_label(0)
    assert small.name(4) == "beagle" and small.is_label(4)
    assert small.labels[4] == ("beagle", "bow-wow dog")


def test_ancestors_and_their_distances(small: Hypernyms) -> None:
    assert small.ancestors(4) == {4: 0, 2: 1, 3: 1, 1: 2, 0: 2}
    assert [small.name(node) for node in small.broader(4)] == ["dog", "pet", "animal"]
    assert small.ancestors(0) == {0: 0}


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("glasses", "glasses"),  # exact goes before the singular
        ("Glass", "glass"),
        ("spectacles", "glasses"),
        ("bow wow dogs", "beagle"),
        ("stop-signs", "stop sign"),
        ("a brown dog", "dog"),
        ("domestic dog", "dog"),
        ("pack of beagles", "beagle"),
        ("dog with glasses", "dog"),
        ("dog running", "dog"),
        ("xyzzy", None),
        ("", None),
    ],
)
def test_which_node_a_phrase_means(small: Hypernyms, phrase: str, name: str | None) -> None:
    assert named(small, phrase) == name


def test_a_child_before_its_parent_is_refused() -> None:
    with pytest.raises(ValueError, match="2 stands before its hypernym '1'"):
        Hypernyms.parse("2\t1\tdog\t\n1\t\t\tentity\n")


def test_heads_of_phrases() -> None:
    assert list(head_forms("rusty brick wall"))[:2] == ["brick wall", "wall"]
    assert list(head_forms("man in a red shirt")) == ["man"]
    assert list(head_forms("stacks of old books"))[:2] == ["old books", "books"]


def test_spellings_of_one_phrase() -> None:
    assert squeezed("Grey-Wolf") == squeezed("gray wolf") == "graywolf"
    assert squeezed("wine glass") == squeezed("wineglass")
    assert squeezed("chef's hats") == "chefshats"
    assert list(base_forms("tennis dresses")) == ["tennis dresses", "tennis dresse", "tennis dress"]
    assert next(form for form in base_forms("maple leaves") if form != "maple leaves") == (
        "maple leaf"
    )
    assert list(base_forms("glass")) == ["glass"]


@pytest.mark.parametrize(
    ("phrase", "kinds"),
    [
        ("beagle", ["dog", "animal"]),
        ("golden retriever", ["dog", "animal"]),
        ("brick wall", ["wall"]),
        ("stop sign", ["sign"]),
        ("sofa", ["furniture"]),
        ("sports car", ["car", "vehicle"]),
        ("grey wolf", ["wolf", "animal"]),
        ("banana", ["fruit"]),
        ("oak", ["tree", "plant"]),
        ("T-shirt", ["shirt", "clothing"]),
        ("church", ["building"]),
        ("firefighters", ["person"]),
        ("man in a red shirt", ["person"]),
        ("stack of books", ["book"]),
    ],
)
def test_wide_names_of_things(shipped: Hypernyms, phrase: str, kinds: list[str]) -> None:
    node = shipped.node_of(phrase)
    assert node is not None
    names = [shipped.name(up) for up in shipped.broader(node)]
    assert [name for name in names if name in kinds] == kinds, names


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("mouse", "rodent"), ("bat", "animal"), ("crane", "bird"), ("seal", "animal"),
        ("plate", "tableware"), ("tank", "container"), ("salmon", "fish"), ("orange", "fruit"),
    ],
)  # fmt: skip
def test_the_sense_that_one_photographs(shipped: Hypernyms, phrase: str, kind: str) -> None:
    node = shipped.node_of(phrase)
    assert node is not None
    assert kind in [shipped.name(up) for up in shipped.broader(node)]


def test_what_nobody_says_is_a_node_but_no_label(shipped: Hypernyms) -> None:
    names = {shipped.name(node): node for node in range(len(shipped))}
    for name in ("entity", "physical entity", "artifact", "whole", "instrumentality", "placental"):
        assert not shipped.is_label(names[name]), name
    for name in ("animal", "vehicle", "furniture", "food", "person", "plant", "building", "dog"):
        node = shipped.node_of(name)
        assert node is not None and shipped.is_label(node) and shipped.name(node) == name


def test_every_phrase_of_the_list_has_one_node(shipped: Hypernyms) -> None:
    phrases = [phrase for own in shipped.labels for phrase in own]
    assert sorted(phrases) == sorted(read_prompts("labels"))
    for node, own in enumerate(shipped.labels):
        for phrase in own:
            assert shipped.node_of(phrase) == node, phrase


def test_all_chains_end_and_parents_come_first(shipped: Hypernyms) -> None:
    for node, parents in enumerate(shipped.parents):
        assert all(parent < node for parent in parents)
    roots = [shipped.name(node) for node, parents in enumerate(shipped.parents) if not parents]
    assert "entity" in roots and len(roots) < 100, roots


def test_the_data_are_small_and_licensed() -> None:
    text = (REPOSITORY / "prompts" / "hypernyms.tsv").read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert "# WordNet 3.0 Copyright 2006 by Princeton University." in text
