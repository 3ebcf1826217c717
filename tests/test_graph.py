import numpy as np
import pytest
import torch

from zeroguide.name.merging import adjacent_pairs, merge_graph, merge_groups, sibling_pairs

# Three directions: 0 and 1 look alike, 2 does not; the texts of 1 and 2 are equal.
VISUAL = torch.tensor([[2.0, 0.0], [0.96, 0.28], [0.0, 1.0]])
TEXTUAL = torch.tensor([[1.0, 0.0], [0.6, 0.8], [3.0, 4.0]])


def test_similarity_is_the_weighted_mean_of_both_cosines():
    graph = merge_graph(VISUAL, TEXTUAL, embedding_weight=0.25)
    assert graph.edges[0, 1]["weight"] == pytest.approx(0.25 * 0.96 + 0.75 * 0.6)
    assert graph.edges[1, 2]["weight"] == pytest.approx(0.25 * 0.28 + 0.75 * 1.0)
    assert graph.edges[0, 2]["weight"] == pytest.approx(0.25 * 0.0 + 0.75 * 0.6)


def test_only_allowed_pairs_are_edges_and_every_segment_is_a_node():
    graph = merge_graph(VISUAL, TEXTUAL, pairs={(0, 2)})
    assert set(graph.edges) == {(0, 2)}
    assert list(graph) == [0, 1, 2]


@pytest.mark.parametrize(
    ("threshold", "groups"),
    [
        (0.5, [[0, 1, 2]]),  # 0-1 and 1-2 join all three, though 0-2 alone would not
        (0.7, [[0, 1], [2]]),
        (1.1, [[0], [1], [2]]),
    ],
)
def test_groups_are_what_strong_edges_connect(threshold, groups):
    graph = merge_graph(VISUAL, TEXTUAL)  # weights: 0-1 0.78, 1-2 0.64, 0-2 0.3
    assert merge_groups(graph, threshold) == groups


def test_adjacent_pairs_share_a_side_not_a_corner():
    label_map = np.array([[0, 0, 1], [2, 2, 1], [3, 2, 2]])
    assert adjacent_pairs(label_map) == {(0, 1), (0, 2), (1, 2), (2, 3)}
    assert adjacent_pairs(np.array([[0, 1], [2, 0]])) == {(0, 1), (0, 2)}
    assert adjacent_pairs(np.zeros((3, 3), int)) == set()


def test_siblings_are_children_of_one_node():
    tree = np.array([[0, 2], [1, 3], [4, 5]])
    assert sibling_pairs([(0,), (1,), (2,), (3,)], tree) == {(0, 2), (1, 3)}
    assert sibling_pairs([(0, 2), (3,), (1,)], tree) == {(1, 2)}
    assert sibling_pairs([(1, 3), (0, 2)], tree) == {(0, 1)}
    assert sibling_pairs([(1, 3), (0,), (2,)], tree) == {(1, 2)}
    assert sibling_pairs([(0,)], np.empty((0, 2), int)) == set()
    # joined across the tree, a segment has no sibling any more
    assert sibling_pairs([(0, 1), (2,), (3,)], tree) == set()
