"""The multicut problem: a graph with attractive and repulsive edges is cut into clusters."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from heapq import heapify, heappop, heappush
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..steps import mapped

MIN_GAIN = 1e-9
"""Least gain of a move, so that rounding makes none."""

MAX_SWEEPS = 20
"""Most times that all nodes are looked at for better places."""

AT_ONCE = 1000
"""Steps of work between two yields."""


def multicut(
    count: int, edges: NDArray[np.integer], costs: NDArray[np.float64]
) -> Generator[int, None, NDArray[np.intp]]:
    """Cut a graph into clusters so that the costs of the edges that are cut add up to little.

    Greedy additive edge contraction, then moves of single nodes between clusters and joins of
    clusters while one of them lowers the sum (Keuper et al., ICCV 2015). The result is a local
    optimum. Parts of the graph that only repulsive edges connect are solved by themselves.

    Parameters
    ----------
    count : int
        Number of nodes. Of two contractions of equal cost the one of lower node numbers is first.
    edges : (E, 2) int
        Pairs of nodes. A pair that occurs several times has the sum of its costs.
    costs : (E,) float
        What it costs to cut an edge: above 0 attractive, below 0 repulsive.

    Yields
    ------
    int, how many nodes have a place; every few milliseconds

    Returns
    -------
    (N,) int, the cluster of each node, numbered in the order of their first nodes
    """
    edges, costs = np.asarray(edges).reshape(-1, 2), np.asarray(costs, np.float64)
    parts = _connected(count, edges[costs > 0])
    clusters = parts.copy()
    free = count  # above the number of any cluster
    inner = parts[edges[:, 0]] == parts[edges[:, 1]]
    edges, costs = edges[inner], costs[inner]
    own = parts[edges[:, 0]]
    torn = np.isin(own, own[costs < 0])  # without repulsion a part is one cluster
    order = np.flatnonzero(torn)[np.argsort(own[torn], kind="stable")]
    done = told = count - len(np.unique(edges[order]))
    yield done
    for group in np.split(order, np.flatnonzero(np.diff(own[order])) + 1):
        nodes, pairs = np.unique(edges[group], return_inverse=True)
        solved = yield from mapped(
            _solved(len(nodes), pairs.reshape(-1, 2), costs[group]), partial(add, done)
        )
        done += len(nodes)
        if done >= told + AT_ONCE:
            told = done
            yield done
        clusters[nodes] = np.where(solved > 0, solved + free, clusters[nodes])
        free += len(nodes)
    _, first, clusters = np.unique(clusters, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[clusters])


def _connected(count: int, edges: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the connected component of each node."""
    graph = coo_array((np.ones(len(edges), bool), edges.T), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.intp)


def _solved(
    count: int, edges: NDArray[np.integer], costs: NDArray[np.float64]
) -> Generator[int, None, NDArray[np.intp]]:
    """Solve one part of a problem; yield how many nodes have a place, return clusters from 0."""
    around: list[dict[int, float]] = [{} for _ in range(count)]
    for (a, b), cost in zip(edges.tolist(), costs.tolist(), strict=True):
        around[a][b] = around[b][a] = around[a].get(b, 0.0) + cost
    if count >= AT_ONCE:
        yield 0
    clusters = yield from _contracted([dict(one) for one in around])
    for _ in range(MAX_SWEEPS):
        moved = yield from _move_nodes(clusters, around)
        joined = yield from _join_clusters(clusters, around)
        if not joined and not moved:
            break
    return np.unique(clusters, return_inverse=True)[1]


def _contracted(around: list[dict[int, float]]) -> Generator[int, None, list[int]]:
    """Contract the most attractive edge until none is left; return the cluster of each node."""
    cluster = list(range(len(around)))
    contracted = steps = 0
    heap = [(-cost, a, b) for a, near in enumerate(around) for b, cost in near.items() if a < b]
    heapify(heap)
    while heap and heap[0][0] < 0:
        cost, a, b = heappop(heap)
        if around[a].get(b) != -cost:
            continue  # one end was contracted, or the cost changed
        cluster[b] = a
        contracted += 1
        steps += len(around[b])
        if steps > AT_ONCE:
            steps = 0
            yield contracted
        del around[a][b]
        for c, more in around[b].items():
            if c == a:
                continue
            total = around[a].get(c, 0.0) + more
            around[a][c] = around[c][a] = total
            del around[c][b]
            heappush(heap, (-total, min(a, c), max(a, c)))
        around[b] = {}
    for node in range(len(cluster)):
        while cluster[cluster[node]] != cluster[node]:
            cluster[node] = cluster[cluster[node]]
    return cluster


def _move_nodes(clusters: list[int], around: list[dict[int, float]]) -> Generator[int, None, bool]:
    """Move each node to the cluster that attracts it most, or to one of its own."""
    moved = False
    free = max(clusters, default=-1) + 1  # above the number of any cluster
    for node, near in enumerate(around):
        if node % AT_ONCE == AT_ONCE - 1:
            yield len(around)
        pull: dict[int, float] = {}
        for other, cost in near.items():
            pull[clusters[other]] = pull.get(clusters[other], 0.0) + cost
        here = pull.get(clusters[node], 0.0)
        best = max(pull, key=lambda one: (pull[one], -one), default=clusters[node])
        gain = max(pull.get(best, 0.0), 0.0) - here
        if gain > MIN_GAIN:
            clusters[node], free = (best, free) if pull[best] > 0 else (free, free + 1)
            moved = True
    return moved


def _join_clusters(
    clusters: list[int], around: list[dict[int, float]]
) -> Generator[int, None, bool]:
    """Contract clusters that attract each other."""
    names, index = np.unique(clusters, return_inverse=True)
    between: list[dict[int, float]] = [{} for _ in names]
    for node, near in enumerate(around):
        if node % AT_ONCE == AT_ONCE - 1:
            yield len(around)
        for other, cost in near.items():
            a, b = int(index[node]), int(index[other])
            if a != b and node < other:
                between[a][b] = between[b][a] = between[a].get(b, 0.0) + cost
    joined = yield from mapped(_contracted(between), lambda _: len(around))
    if joined == list(range(len(names))):
        return False
    clusters[:] = [int(names[joined[k]]) for k in index]
    return True
