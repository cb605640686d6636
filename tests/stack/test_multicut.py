from __future__ import annotations

from heapq import heappop
from itertools import product

import numpy as np
import pytest

from napari_sam.stack.multicut import AT_ONCE
from napari_sam.stack.multicut import multicut as multicut_steps
from napari_sam.steps import drive


def multicut(*problem):
    return drive(multicut_steps(*problem))


def random_problem(seed, count=7):
    rng = np.random.default_rng(seed)
    pairs = np.array([(a, b) for a in range(count) for b in range(a) if rng.random() < 0.6])
    return count, pairs.reshape(-1, 2), rng.normal(size=len(pairs))


def cut_cost(clusters, edges, costs):
    """Return the sum of the costs of the edges between different clusters."""
    return costs[clusters[edges[:, 0]] != clusters[edges[:, 1]]].sum()


def best_of_all(count, edges, costs):
    """Return the least cost of all ways to cut a graph."""
    ways = product(*(range(k + 1) for k in range(count)))
    return min(cut_cost(np.array(way), edges, costs) for way in ways)


def test_clusters_are_numbered_by_their_first_nodes():
    edges = np.array([(0, 3), (1, 2), (3, 1)])
    assert multicut(5, edges, np.array([1.0, 2.0, -5.0])).tolist() == [0, 1, 1, 0, 2]
    assert multicut(0, np.empty((0, 2), int), np.empty(0)).tolist() == []
    assert multicut(2, np.empty((0, 2), int), np.empty(0)).tolist() == [0, 1]


def test_parallel_edges_add_up():
    edges = np.array([(0, 1), (1, 0)])
    assert multicut(2, edges, np.array([1.0, -2.0])).tolist() == [0, 1]
    assert multicut(2, edges, np.array([2.0, -1.0])).tolist() == [0, 0]


def test_a_repulsive_edge_is_cut_where_the_attraction_is_least():
    edges = np.array([(0, 1), (1, 2), (2, 3), (0, 3)])
    found = multicut(4, edges, np.array([3.0, 1.0, 3.0, -5.0]))
    assert found.tolist() == [0, 0, 1, 1]
    found = multicut(4, edges, np.array([3.0, 1.0, 3.0, -0.5]))
    assert found.tolist() == [0, 0, 0, 0]


def test_most_small_problems_are_solved_exactly():
    exact = 0
    for seed in range(20):
        problem = random_problem(seed, 6)
        cost, best = cut_cost(multicut(*problem), *problem[1:]), best_of_all(*problem)
        assert cost >= best - 1e-9
        assert cost <= min(0.0, cut_cost(np.arange(6), *problem[1:])) + 1e-9
        exact += cost <= best + 1e-9
    assert exact >= 18


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_edges_does_not_count(seed):
    count, edges, costs = random_problem(seed, 12)
    order = np.random.default_rng(seed).permutation(len(edges))
    found = multicut(count, edges[order][:, ::-1], costs[order])
    np.testing.assert_array_equal(found, multicut(count, edges, costs))


def large_problem(planes=100, width=100):
    """Return a graph of 10,000 nodes in one part: each plane is a ring, joined to the next one."""
    rng = np.random.default_rng(0)
    nodes = np.arange(planes * width).reshape(planes, width)
    pairs = [(nodes, np.roll(nodes, 1, axis=1), -3.0, 0.0)]
    for shift, mean in ((-1, -0.5), (0, 1.5), (1, -0.5)):
        pairs.append((nodes[:-1], np.roll(nodes[1:], shift, axis=1), mean, 1.5))
    edges = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b, _, _ in pairs])
    costs = np.concatenate([rng.normal(mean, width, a.size) for a, _, mean, width in pairs])
    return nodes.size, edges, costs


def test_a_large_problem_yields_all_along(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "napari_sam.stack.multicut.heappop", lambda heap: [asked.append(0), heappop(heap)][1]
    )
    steps, between = multicut_steps(*large_problem()), []
    for done in steps:
        assert 0 <= done <= 10_000
        between.append(len(asked))
        asked.clear()
    assert len(between) > 20
    assert max(between) < 5 * AT_ONCE
