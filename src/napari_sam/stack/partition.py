"""Which pieces of neighbouring planes are one object: greedy, by assignment, or by a multicut."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from ..steps import mapped
from ..types import Progress
from .multicut import multicut
from .pieces import Overlaps, Pieces

Method = Literal["multicut", "assignment", "greedy"]
"""Ways to join pieces; see `partition`."""

METHODS: tuple[Method, ...] = get_args(Method)

LINK_IOU = 0.3
"""Least overlap of two outlines in neighbouring planes that are taken for one object."""

INSIDE = 0.6
"""Share of a piece that lies in another one if it may be a part of it."""

APART = 3.0
"""What it costs to join two pieces of one plane; the odds of an outline cut in two are e^-3."""

STRONGEST = 2.9
"""Largest cost of an edge between two planes. Below `APART`: one plane in which two objects are
one outline does not join them, while one plane in which an object is two outlines does not part it.
"""

ACROSS_GAP = 0.5
"""Weight of an overlap of two planes with one between them."""

TIP_PLANES = 2
"""Most planes of a piece of an object that is joined to what it lies on."""

TIP_VOLUME = 0.1
"""Its largest volume, as a share of that of the other one."""


def partition(
    pieces: Pieces, method: Method, least: float
) -> Generator[Progress, None, NDArray[np.intp]]:
    """Find the object of each piece, numbered in the order of the pieces.

    "greedy" takes the pairs of neighbouring planes in the order of their IoU; "assignment" takes
    those of which the sum of IoU is largest. Both give a piece one partner in the next plane at
    most. "multicut" decides over the whole stack at once, and an object may be missing in one plane
    or in several pieces there.

    Parameters
    ----------
    pieces : Pieces
    method : {"multicut", "assignment", "greedy"}
    least : float, 0..1
        Least IoU of a pair; with "multicut" the IoU that speaks neither for nor against it.

    Yields
    ------
    Progress
        Every few milliseconds.

    Returns
    -------
    (N,) int
    """
    if method == "multicut":
        return (yield from _by_multicut(pieces, least))
    choose = best_pairs if method == "assignment" else _greedy_pairs
    areas, links = np.array(pieces.areas), [np.empty((0, 2), np.intp)]
    for one in pieces.overlaps:
        if not one.gap:
            overlap = _iou(one, areas)
            good = overlap >= least
            a, b = one.first[good], one.second[good]
            rows, columns = (np.unique(side, return_inverse=True)[1] for side in (a, b))
            chosen = choose(rows, columns, overlap[good])
            links.append(np.stack([a[chosen], b[chosen]], 1))
    edges = np.concatenate(links)
    graph = coo_array((np.ones(len(edges), bool), edges.T), shape=(len(pieces), len(pieces)))
    return _numbered(connected_components(graph, directed=False)[1])


def parts_of(pieces: Pieces, least: float) -> NDArray[np.intp]:
    """Return pairs (N, 2) of a piece and one of a neighbouring plane that may be a part of it."""
    areas, found = np.array(pieces.areas), [np.empty((0, 2), np.intp)]
    for one in pieces.overlaps:
        if not one.gap:
            good = _likeness(one, areas) >= least
            for whole, part in ((one.first, one.second), (one.second, one.first)):
                inside = good & (one.shared >= INSIDE * areas[part])
                found.append(np.stack([whole[inside], part[inside]], 1))
    return np.concatenate(found)


def _by_multicut(pieces: Pieces, least: float) -> Generator[Progress, None, NDArray[np.intp]]:
    """Find the object of each piece by a multicut of all overlaps."""
    areas = np.array(pieces.areas, np.intp)
    neutral = _log_odds(least)
    edges, costs = [np.empty((0, 2), np.intp)], [np.empty(0)]
    rivals = [np.empty((0, 2), np.intp)]
    for one in pieces.overlaps:
        cost = np.clip(_log_odds(_likeness(one, areas)) - neutral, -STRONGEST, STRONGEST)
        edges.append(np.stack([one.first, one.second], 1))
        costs.append(cost * (ACROSS_GAP if one.gap else 1.0))
        good = cost > 0
        rivals += [_pairs_at(one.first[good], one.second[good])]
        rivals += [_pairs_at(one.second[good], one.first[good])]
    apart = np.unique(np.concatenate(rivals), axis=0)
    rank = _rank(pieces)
    all_edges = rank[np.concatenate([*edges, apart])]
    count = len(pieces)
    steps = multicut(count, all_edges, np.append(np.concatenate(costs), [-APART] * len(apart)))
    found = yield from mapped(
        steps, lambda done: Progress(done, count, f"joined {done} of {count} outlines")
    )
    return _numbered(_with_tips(pieces, found[rank]))


def _with_tips(pieces: Pieces, objects: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return objects with the thin and small ones joined to those that they lie on.

    An object ends in outlines that shrink quickly, so that the last ones overlap little.
    """
    areas, planes = np.array(pieces.areas, np.intp), np.array(pieces.planes, np.intp)
    volumes = np.bincount(objects, areas)
    depths = np.bincount(np.unique(np.stack([objects, planes]), axis=1)[0])
    best: dict[int, tuple[int, float, int]] = {}
    for one in pieces.overlaps:
        if one.gap:
            continue
        for whole, part in ((one.first, one.second), (one.second, one.first)):
            small = depths[objects[part]] <= TIP_PLANES
            small &= volumes[objects[part]] <= TIP_VOLUME * volumes[objects[whole]]
            small &= one.shared >= INSIDE * areas[part]
            for k in np.flatnonzero(small).tolist():
                target = int(objects[whole[k]])
                offer = int(one.shared[k]), float(volumes[target]), target
                tip = int(objects[part[k]])
                best[tip] = max(best.get(tip, offer), offer)
    joined = np.arange(len(volumes))
    for tip, (_, _, target) in best.items():
        joined[tip] = target
    while not np.array_equal(joined[joined], joined):  # a tip on a tip; volumes grow, so it ends
        joined = joined[joined]
    return np.asarray(joined[objects])


def _rank(pieces: Pieces) -> NDArray[np.intp]:
    """Return the place of each piece in an order that is the same in the reversed stack.

    Only pieces that are alike in all but their planes, at the same distance from the middle of the
    stack, change places.
    """
    planes = np.array(pieces.planes, np.intp)
    middle = planes.min(initial=0) + planes.max(initial=0)
    boxes = np.array(pieces.boxes, np.intp).reshape(-1, 4)
    order = np.lexsort((planes, abs(2 * planes - middle), *boxes.T, np.array(pieces.areas)))
    return np.argsort(order)


def _iou(one: Overlaps, areas: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the IoU of overlapping pieces."""
    return np.asarray(one.shared / (areas[one.first] + areas[one.second] - one.shared))


def _likeness(one: Overlaps, areas: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how well overlapping pieces agree, 0..1.

    That is their IoU; or, if a piece lies in the other one, the IoU of the other one with all
    pieces in it together, if this is larger.
    """
    likeness = _iou(one, areas)
    for whole, part in ((one.first, one.second), (one.second, one.first)):
        share = one.shared / areas[part]
        inside = share >= INSIDE
        _, row = np.unique(whole, return_inverse=True)
        covered = np.bincount(row, np.where(inside, one.shared, 0))
        outside = np.bincount(row, np.where(inside, areas[part] - one.shared, 0))
        together = covered[row] / (areas[whole] + outside[row])
        likeness = np.where(inside, np.maximum(likeness, share * together), likeness)
    return likeness


def _log_odds(likeness: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the logarithm of the odds."""
    inner = np.clip(likeness, 0.01, 0.99)
    return np.asarray(np.log(inner / (1 - inner)))


def _pairs_at(shared: NDArray[np.intp], pieces: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the pairs (N, 2) of pieces that have one of `shared` in common, smaller one first."""
    found = []
    for group in np.split(
        pieces[np.argsort(shared, kind="stable")],
        np.cumsum(np.unique(shared, return_counts=True)[1]),
    ):
        if len(group) > 1:
            a, b = np.triu_indices(len(group), 1)
            found.append(np.sort(np.stack([group[a], group[b]], 1), axis=1))
    return np.concatenate(found) if found else np.empty((0, 2), np.intp)


def _numbered(groups: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return groups numbered in the order of their first members."""
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[index])


def _greedy_pairs(
    rows: NDArray[np.integer], columns: NDArray[np.integer], worth: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Choose among pairs the best first, each row and column once at most; see `best_pairs`."""
    chosen: list[int] = []
    taken: tuple[set[int], set[int]] = set(), set()
    for k in np.argsort(-worth, kind="stable").tolist():
        row, column = int(rows[k]), int(columns[k])
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            chosen.append(k)
    return np.array(chosen, np.intp)


def best_pairs(
    rows: NDArray[np.integer], columns: NDArray[np.integer], worth: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Choose among pairs, each row and column once at most, so that the sum of worth is largest.

    Parameters
    ----------
    rows, columns : (N,) int
    worth : (N,) float, above 0

    Returns
    -------
    (K,) int, indices of the chosen pairs
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    rivals = np.flatnonzero(~alone)
    if not len(rivals):
        return np.flatnonzero(alone)
    rivals = rivals[np.lexsort((columns[rivals], rows[rivals]))]
    row, column = (np.unique(index[rivals], return_inverse=True)[1] for index in (rows, columns))
    count, width = int(row.max()) + 1, int(column.max()) + 1
    none = np.arange(count)  # each row has a column of its own to stay without a pair
    graph = coo_array(
        (
            np.append(worth[rivals] + 1, np.ones(count)),
            (np.append(row, none), np.append(column, width + none)),
        ),
        shape=(count, width + count),
    )
    chosen, partner = min_weight_full_bipartite_matching(graph.tocsr(), maximize=True)
    paired = partner < width
    places = np.searchsorted(row * width + column, (chosen * width + partner)[paired])
    return np.concatenate([np.flatnonzero(alone), rivals[places]])
