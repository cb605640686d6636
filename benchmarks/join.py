"""How well outlines of planes are joined into objects: in 3-D, and over time with divisions.

    python benchmarks/join.py --stacks FOLDER

The folder holds `embryo_8cell` and `sim_nuclei_time` as pairs NAME.tif, NAME_labels.tif whose
labels are constant along the first axis. Printed are

- AP50 and AP75, TP / (TP + FP + FN) of whole objects at a 3-D IoU above 0.5 and 0.75, of a made
  stack of 100 touching objects with errors in its planes, and of everything mode on the embryo;
- TRA, the tracking accuracy of the Cell Tracking Challenge (Matula et al., PLoS ONE 10:e0144959,
  2015), of true outlines whose labels are mixed in each frame, and of everything mode. The truth
  has no table of parents: a track that ends is the parent of those that begin in the next frame
  within 1.2 of its diameters.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam import SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import overlap_counts
from napari_sam.stack import everything, linked, run
from napari_sam.stack.lineage import REACH
from napari_sam.stack.partition import METHODS
from napari_sam.stack.tracks import Track, tracked
from napari_sam.steps import drive, mapped
from napari_sam.types import Progress

Labels = NDArray[np.integer]

LEAST_VOLUME = 500
"""Least volume of an object of the embryo, in voxels; a nucleus has 1000 to 3000."""

NODE_SPLIT, NODE_MISSED, NODE_FALSE = 5.0, 10.0, 1.0
EDGE_FALSE, EDGE_MISSED, EDGE_OTHER = 1.0, 1.5, 1.0


def main() -> None:
    """Parse the command line, measure, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--seeds", type=int, default=5, help="made stacks")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    rows = [("stack", "method", "objects", "of", "AP50", "AP75", "s")]
    for method in METHODS:
        scores = []
        for seed in range(args.seeds):
            truth = touching_objects(seed)
            scores.append(score(planes_with_errors(truth, seed), truth, method))
        rows.append(("made", method, *cells(np.mean(scores, axis=0))))
    image, truth = pair(args.stacks, "embryo_8cell")
    found = run(everything(predictor, image, link=False))
    for least in (0, LEAST_VOLUME):
        for method in METHODS:
            what = f"embryo_8cell, volume from {least}"
            rows.append((what, method, *cells(score(found, truth, method, least))))
    print(as_markdown(rows))
    image, truth = pair(args.stacks, "sim_nuclei_time")
    parents = true_tracks(truth)
    rows = [("outlines", "tracks", "of", "divisions", "of", "TRA", "DET", "s")]
    mixed = np.stack([renumbered(frame, np.random.default_rng(t)) for t, frame in enumerate(truth)])
    for name, frames in (
        ("true", mixed),
        (args.model, run(everything(predictor, image, link=False))),
    ):
        start = time.perf_counter()
        labels, tracks = followed(frames)
        taken = time.perf_counter() - start
        tra, det = tracking_accuracy(labels, tracks, truth, parents)
        counts = (len(tracks), len(parents), divisions(tracks), divisions(parents))
        rows.append((name, *map(str, counts), f"{tra:.3f}", f"{det:.3f}", f"{taken:.2f}"))
    print()
    print(as_markdown(rows))


def pair(folder: Path, name: str) -> tuple[NDArray, Labels]:
    """Read a stack and its labels."""
    return tifffile.imread(folder / f"{name}.tif"), tifffile.imread(folder / f"{name}_labels.tif")


def score(planes: Labels, truth: Labels, method: str, least: float = 0) -> tuple[float, ...]:
    """Join planes; return objects, true objects, AP50, AP75 and the time taken, s."""
    labels = planes.astype(np.int32)
    start = time.perf_counter()
    steps = linked(dict(enumerate(planes)), method=method, least_volume=least)
    drive(mapped(steps, lambda step: keep(labels, step)))
    taken = time.perf_counter() - start
    found, real, overlap = overlaps(labels, truth)
    hits = np.array([(overlap > threshold).sum() for threshold in (0.5, 0.75)])
    ap = hits / (len(found) + len(real) - hits)
    return len(found), len(real), *ap.tolist(), taken


def cells(values: Sequence[float]) -> tuple[str, ...]:
    """Return a score as cells of a table."""
    return f"{values[0]:.0f}", f"{values[1]:.0f}", *(f"{value:.3f}" for value in values[2:])


def keep(labels: Labels, step: Progress | tuple[int, Labels]) -> None:
    """Write a plane that was yielded."""
    if not isinstance(step, Progress):
        labels[step[0]] = step[1]


def overlaps(labels: Labels, truth: Labels) -> tuple[Labels, Labels, NDArray[np.float64]]:
    """Return the labels of both, without background, and the IoU of each pair."""
    found, real, counts = overlap_counts(labels.ravel()[None], truth.ravel()[None])
    shared = counts.toarray()
    iou = shared / (shared.sum(1)[:, None] + shared.sum(0) - shared)
    return found[found > 0], real[real > 0], iou[found > 0][:, real > 0]


# -- a made stack ------------------------------------------------------------------------------


def touching_objects(seed: int, count: int = 100) -> Labels:
    """Return objects (40, 240, 240) that touch: balls around random places, cut where they meet."""
    rng = np.random.default_rng(seed)
    shape, places = np.array((40, 240, 240)), []
    while len(places) < count:
        place = rng.uniform((4, 8, 8), shape - (4, 8, 8))
        if all(np.linalg.norm((place - other) * (1.6, 1, 1)) > 17 for other in places):
            places.append(place)
    grid = np.indices(shape).astype(np.float32)
    nearest, truth = np.full(shape, 1.0, np.float32), np.zeros(shape, np.int32)
    for k, place in enumerate(places, start=1):
        radii = rng.uniform(13, 17) * np.array((0.625, 1, 1))
        depth = sum(((grid[a] - place[a]) / radii[a]) ** 2 for a in range(3))
        truth[depth < nearest] = k
        nearest = np.minimum(nearest, depth)
    return truth


def planes_with_errors(truth: Labels, seed: int, share: float = 0.06) -> Labels:
    """Return planes with labels of their own and the errors of a plane-wise method.

    Of the outlines a share is missing, another one cut in two, and another one joined with an
    outline that it touches.
    """
    rng = np.random.default_rng(1000 + seed)
    planes = np.zeros_like(truth)
    for z, plane in enumerate(truth):
        own = plane.copy()
        for label in np.unique(own[own > 0]):
            kind, mask = rng.random(), own == label
            if not mask.any():
                continue
            if kind < share:
                own[mask] = 0
            elif kind < 2 * share:
                rows, columns = np.nonzero(mask)
                angle = rng.uniform(0, np.pi)
                side = np.cos(angle) * rows + np.sin(angle) * columns
                far = side > np.median(side)
                own[rows[far], columns[far]] = label + 1000
            elif kind < 3 * share:
                beside = own[grown(mask) & ~mask]
                beside = beside[beside > 0]
                if beside.size:
                    own[mask] = np.bincount(beside).argmax()
        planes[z] = renumbered(own, rng)
    return planes


def grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask with the pixels beside it."""
    padded = np.pad(mask, 1)
    return np.logical_or.reduce(
        [
            padded[1:-1, 1:-1],
            padded[2:, 1:-1],
            padded[:-2, 1:-1],
            padded[1:-1, 2:],
            padded[1:-1, :-2],
        ]
    )


def renumbered(plane: Labels, rng: np.random.Generator) -> Labels:
    """Return a plane with its labels mixed."""
    values, index = np.unique(plane, return_inverse=True)
    new = np.zeros(len(values), np.int32)
    new[values > 0] = rng.permutation(np.count_nonzero(values)) + 1
    return new[index].reshape(plane.shape)


# -- tracks ------------------------------------------------------------------------------------


def followed(frames: Labels) -> tuple[Labels, list[Track]]:
    """Follow objects over time; return their labels and tracks."""
    labels = frames.astype(np.int32)
    steps = tracked(dict(enumerate(frames)))
    return labels, drive(mapped(steps, lambda step: keep(labels, step)))


def true_tracks(truth: Labels) -> list[Track]:
    """Return the tracks of true labels, with parents found by place."""
    forms, spans = {}, {}
    for t, frame in enumerate(truth):
        for label in np.unique(frame[frame > 0]).tolist():
            places = np.argwhere(frame == label)
            spans[label] = (spans.get(label, (t,))[0], t)
            forms[label, t] = places.mean(0), np.sqrt(4 / np.pi * len(places))
    tracks = []
    for label, (begin, end) in spans.items():
        near = []
        for other, (_, last) in spans.items():
            if last == begin - 1:
                middle, diameter = forms[other, last]
                apart = np.linalg.norm(forms[label, begin][0] - middle)
                if apart <= REACH * diameter:
                    near.append((apart, other))
        tracks.append(Track(label, begin, end, min(near)[1] if near else 0))
    return tracks


def divisions(tracks: Sequence[Track]) -> int:
    """Return how many tracks have two children or more."""
    parents = [track.parent for track in tracks if track.parent]
    return sum(parents.count(parent) > 1 for parent in set(parents))


def tracking_accuracy(
    labels: Labels, tracks: Sequence[Track], truth: Labels, true: Sequence[Track]
) -> tuple[float, float]:
    """Return TRA and DET: 1 - min(AOGM, AOGM of an empty result) / the latter.

    A true node belongs to the found node that covers more than half of it. AOGM is the weighted
    number of steps that turn the found graph into the true one.
    """
    nodes, edges = graph(labels, tracks)
    real_nodes, real_edges = graph(truth, true)
    match: dict[tuple[int, int], tuple[int, int]] = {}
    for t in range(len(truth)):
        found, real, counts = overlap_counts(labels[t], truth[t])
        shared = counts.toarray()
        for row, column in zip(*np.nonzero(2 * shared > shared.sum(0)), strict=True):
            if found[row] and real[column]:
                match[t, int(real[column])] = t, int(found[row])
    used, times = np.unique([hash_of(node) for node in match.values()], return_counts=True)
    good = {hash_of(node) for node in nodes} & set(used[times == 1].tolist())
    splits = int((times - 1).sum())
    missed, false = len(real_nodes) - len(match), len(nodes) - len(used)
    back = {found: real for real, found in match.items() if hash_of(found) in good}
    moved = {(back[a], back[b]): kind for (a, b), kind in edges.items() if a in back and b in back}
    edge_false = sum(pair not in real_edges for pair in moved)
    edge_missed = sum(pair not in moved for pair in real_edges)
    edge_other = sum(real_edges.get(pair, kind) != kind for pair, kind in moved.items())
    detection = NODE_SPLIT * splits + NODE_MISSED * missed + NODE_FALSE * false
    rest = EDGE_FALSE * edge_false + EDGE_MISSED * edge_missed + EDGE_OTHER * edge_other
    empty_nodes = NODE_MISSED * len(real_nodes)
    empty = empty_nodes + EDGE_MISSED * len(real_edges)
    return 1 - min(detection + rest, empty) / empty, 1 - min(detection, empty_nodes) / empty_nodes


def graph(
    labels: Labels, tracks: Sequence[Track]
) -> tuple[set[tuple[int, int]], dict[tuple[tuple[int, int], tuple[int, int]], bool]]:
    """Return nodes (frame, label), and edges; an edge is True if it leads from parent to child."""
    times: dict[int, list[int]] = {}
    for t, frame in enumerate(labels):
        for label in np.unique(frame[frame > 0]).tolist():
            times.setdefault(label, []).append(t)
    nodes = {(t, label) for label, own in times.items() for t in own}
    edges = {
        ((a, label), (b, label)): False for label, own in times.items() for a, b in pairwise(own)
    }
    for track in tracks:
        if track.parent in times and track.label in times:
            edges[(times[track.parent][-1], track.parent), (times[track.label][0], track.label)] = (
                True
            )
    return nodes, edges


def hash_of(node: tuple[int, int]) -> int:
    """Return one number for a node."""
    return node[0] * 2**32 + node[1]


if __name__ == "__main__":
    main()
