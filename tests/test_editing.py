"""Merging anew, naming and joining by hand: against the flow, and against hand calculations."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroguide.errors import UsageError
from zeroguide.image import from_array
from zeroguide.name.name import UNNAMED
from zeroguide.recipe import Merge
from zeroguide.web.editing import Editor
from zeroguide.web.namings import Naming, TextTable

PROVENANCE = {"name": "test", "seed": 0}


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


# Texts on the axes of a plane: what lies at an angle between them is a mixture of both.
TEXTS = {"cat": unit(1, 0, 0), "dog": unit(0, 1, 0), "sky": unit(0, 0, 1), UNNAMED: unit(1, 1, 1)}
TABLE = TextTable(TEXTS, TEXTS, np.stack([TEXTS["cat"], TEXTS["dog"], TEXTS["sky"]]), 1.0, 2.0)


def strip(widths: list[int], height: int = 2) -> np.ndarray:
    """Over-segments side by side."""
    return np.repeat(np.arange(len(widths), dtype=np.int32), widths)[None].repeat(height, 0)


def make(
    widths: list[int],
    seen: list[tuple[list[str], np.ndarray]],
    *,
    edges: str = "adjacent",
    threshold: float = 0.8,
    named: dict | None = None,
    tree: np.ndarray | None = None,
) -> Editor:
    label_map = strip(widths)
    singles = {
        (i,): Naming(tuple((name, float(TEXTS[name] @ e)) for name in names), e, 0.5)
        for i, (names, e) in enumerate(seen)
    }
    return Editor(
        from_array(np.zeros((*label_map.shape, 3), np.uint8), "strip.png"),
        label_map,
        named={**singles, **(named or {})},
        texts=TABLE,
        merge=Merge(edges=edges, threshold=threshold),  # type: ignore[arg-type]
        provenance=PROVENANCE,
        tree=tree,
    )


CAT, DOG, SKY = (["cat", "dog"], TEXTS["cat"]), (["dog"], TEXTS["dog"]), (["sky"], TEXTS["sky"])
CATTISH = (["dog", "cat"], unit(0.8, 0.6, 0))  # called a dog, looks more like a cat


def parts(editor: Editor) -> list[tuple[int, ...]]:
    return [segment.parts for segment in editor.segments]


def test_the_same_neighbours_become_one() -> None:
    editor = make([3, 3, 2, 4], [CAT, CAT, SKY, CAT])
    assert parts(editor) == [(0, 1), (2,), (3,)]  # the last one doesn't touch them
    assert make([3, 3, 2, 4], [CAT, CAT, SKY, CAT], edges="all").segments[0].parts == (0, 1, 3)


def test_similarity_is_half_picture_half_name() -> None:
    # cos(embeddings) = 0.8, cos(labels) = cos(cat, dog) = 0.
    editor = make([2, 2], [CAT, CATTISH])
    assert editor.edges() == [(0, 1, pytest.approx(0.4))]
    editor.set_threshold(0.41)
    assert parts(editor) == [(0,), (1,)]
    editor.set_threshold(0.39)
    assert parts(editor) == [(0, 1)]


def test_an_estimate_is_the_nearest_of_its_parts_names() -> None:
    editor = make([3, 1], [CAT, CATTISH], threshold=0.3)
    (joined,) = editor.segments
    # 3 of 4 pixels see (1, 0, 0), one (0.8, 0.6, 0): (0.95, 0.15, 0).
    assert joined.embedding == pytest.approx(unit(0.95, 0.15, 0), abs=1e-6)
    cosine = 0.95 / math.hypot(0.95, 0.15)
    assert (joined.label, joined.source) == ("cat", "estimate")
    assert joined.score == pytest.approx(cosine)
    assert joined.alternatives == (("dog", pytest.approx(0.15 / math.hypot(0.95, 0.15))),)
    cosines = joined.embedding  # the label set's texts are the axes
    z = (cosine - cosines.mean()) / cosines.std(ddof=1)
    assert joined.confidence == pytest.approx(1 / (1 + math.exp(-2 * (z - 1))), abs=1e-6)


def test_an_estimate_prefers_what_was_put_first() -> None:
    # "cat" lies nearer to the mean, but no part's first name is "cat".
    editor = make([1, 1], [CATTISH, CATTISH])
    assert [s.label for s in editor.segments] == ["dog"]


def test_what_the_networks_said_goes_before_an_estimate() -> None:
    said = Naming((("sky", 0.9),), TEXTS["sky"], 0.7)
    editor = make([3, 3, 2], [CAT, CAT, SKY], named={(0, 1): said})
    # Named "sky", the joined segment is alike to its neighbour, as in the flow's second round.
    assert parts(editor) == [(0, 1, 2)]
    assert editor.segments[0].source == "estimate"
    editor = make([3, 3, 2], [CAT, CAT, DOG], named={(0, 1): said})
    assert [(s.label, s.source) for s in editor.segments] == [
        ("sky", "network"),
        ("dog", "network"),
    ]


def test_segments_without_a_name_are_not_alike_for_that() -> None:
    nameless = ([UNNAMED], TEXTS["cat"])
    assert make([2, 2], [nameless, nameless]).edges() == [(0, 1, pytest.approx(0.5))]
    joined = make([2, 2], [nameless, nameless], threshold=0.4).segments
    assert [(s.label, s.confidence) for s in joined] == [(UNNAMED, 0.0)]


def test_siblings_join_upwards_only() -> None:
    tree = np.array([[0, 1], [2, 3], [4, 5]])
    seen = [CAT, CAT, CAT, SKY]
    assert parts(make([1, 1, 1, 1], seen, edges="siblings", tree=tree)) == [(0, 1), (2,), (3,)]
    with pytest.raises(ValueError, match="tree"):
        make([1, 1], [CAT, CAT], edges="siblings")


def test_over_segments_must_have_names() -> None:
    with pytest.raises(ValueError, match=r"without a naming: \[1\]"):
        make([1, 1], [CAT])


def test_a_name_by_hand_holds_at_every_threshold() -> None:
    editor = make([3, 3, 2], [CAT, CAT, SKY])
    editor.rename(1, "  my \n cat\t")
    for threshold in (0.0, 0.5, 1.0):
        editor.set_threshold(threshold)
        mine = editor.segment_of(0)
        assert (mine.parts, mine.label, mine.source) == ((0, 1), "my cat", "hand")
        assert (mine.score, mine.confidence, mine.fixed) == (1.0, 1.0, True)
        assert mine.alternatives[0][0] == "cat"
    assert editor.segment_of(2).source == "network"


@pytest.mark.parametrize("name", ["", "  \n", "\x00\x07", "x" * 81])
def test_a_name_must_be_one(name: str) -> None:
    editor = make([1, 1], [CAT, SKY])
    with pytest.raises(UsageError):
        editor.rename(0, name)
    assert not editor.can_undo


def test_joining_and_undoing() -> None:
    editor = make([3, 2, 2], [CAT, SKY, DOG])
    before = [(s.parts, s.label) for s in editor.segments]
    editor.rename(1, "blue")
    editor.join([0, 1])
    assert parts(editor) == [(0, 1), (2,)]
    assert editor.segment_of(0).label == "blue"  # the name given by hand, not the larger part's
    editor.set_threshold(1.0)
    assert parts(editor) == [(0, 1), (2,)]
    editor.undo()
    assert [s.label for s in editor.segments] == ["cat", "blue", "dog"]
    editor.undo()
    assert [(s.parts, s.label) for s in editor.segments] == before
    assert not editor.can_undo
    editor.undo()  # nothing more to take back
    with pytest.raises(UsageError, match="two different"):
        editor.join([0, 0])
    with pytest.raises(UsageError, match="count 1 to 3"):
        editor.join([0, 7])
    with pytest.raises(UsageError, match="not a number"):
        editor.set_threshold(math.nan)


def test_joined_by_hand_it_is_estimated_until_the_networks_look() -> None:
    editor = make([3, 2], [CAT, SKY])
    editor.join([0, 1])
    assert (editor.segments[0].label, editor.segments[0].source) == ("cat", "estimate")
    bird = unit(1, 1, 0)
    more = TextTable({"bird": bird}, {"bird": bird}, TABLE.label_set, 1.0, 2.0)
    editor.add_naming(1, Naming((("bird", 0.8),), bird, 0.6), more)
    named = editor.segments[0]
    assert (named.label, named.source, named.fixed) == ("bird", "network", True)
    editor.undo()
    editor.undo()
    assert parts(editor) == [(0,), (1,)]


def test_the_result_tells_what_was_done() -> None:
    said = Naming((("cat", 1.0),), TEXTS["cat"], 0.9)
    editor = make([3, 3, 2, 4], [CAT, CAT, SKY, DOG], named={(0, 1): said})
    untouched = editor.labeling()
    assert untouched.recipe == PROVENANCE
    assert [(s.label, s.merged_from) for s in untouched.segments] == [
        ("cat", (1, 2)),
        ("dog", (4,)),
        ("sky", (3,)),
    ]
    editor.rename(2, "blue")
    editor.set_threshold(0.9)
    editor.join([1, 3])  # 10 of 12 pixels: the segment 1
    edits = editor.labeling().recipe["edits"]
    assert edits == {"threshold": 0.9, "fixed": [1, 2], "named_by_hand": [2], "estimated": [1]}
    assert type(editor.labeling()).from_dict(editor.labeling().to_dict()).recipe["edits"] == edits


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.floats(0, 1)), min_size=2, max_size=8),
    st.floats(0, 1.1),
    st.sampled_from(["adjacent", "all"]),
    st.data(),
)
def test_segments_are_always_a_partition(
    blends: list[tuple[int, float]], threshold: float, edges: str, data: st.DataObject
) -> None:
    names = ["cat", "dog", "sky"]
    seen = []
    for first, share in blends:
        e = (1 - share) * TEXTS[names[first]] + share * TEXTS[names[(first + 1) % 3]]
        seen.append(([names[first]], unit(*e)))
    editor = make([1] * len(seen), seen, edges=edges, threshold=threshold)
    for _ in range(data.draw(st.integers(0, 3))):
        i, j = data.draw(st.tuples(*[st.integers(0, len(seen) - 1)] * 2))
        if editor.segment_of(i) is not editor.segment_of(j):
            editor.join([i, j])
            assert editor.segment_of(i) is editor.segment_of(j)
    assert sorted(p for s in editor.segments for p in s.parts) == list(range(len(seen)))
    assert sum(s.area for s in editor.segments) == editor.label_map.size
    assert len(editor.labeling().segments) == len(editor.segments)
    # Nothing free that is left is alike any more.
    free = [s for s in editor.segments if not s.fixed]
    graph = editor._graph([s.parts for s in free]) if len(free) > 1 else nx.Graph()
    assert all(weight < threshold for _, _, weight in graph.edges(data="weight"))
