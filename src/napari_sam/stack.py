"""Generators over the planes of a stack: everything, and linking what belongs together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from .amg import AutomaticMaskGenerator, Candidates
from .amg_params import AmgParams
from .masks import to_labels
from .predictor import SamPredictor
from .types import Progress

LINK_IOU = 0.3
"""Least overlap of two outlines in neighbouring planes that are taken for one object."""

Plane = tuple[int, NDArray[np.int32]]


def everything(
    predictor: SamPredictor,
    volume: Any,
    params: AmgParams | None = None,
    axis: int = 0,
    planes: Sequence[int] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    out: Any = None,
    link: bool = True,
) -> Iterator[Plane | Progress]:
    """Find every object in every plane, then link the planes.

    Parameters
    ----------
    predictor : SamPredictor
    volume : (Z, H, W) or (Z, H, W, C), lazy or not
    params : AmgParams, optional
    axis : int
        The axis that is walked along.
    planes : sequence of int, optional
        Indices of the planes to do; all of them by default.
    contrast_limits : (low, high) float, optional
        By default each plane's own percentiles.
    out : array of (Z, H, W), optional
        Planes are written into it as well.
    link : bool
        Give an object that goes on in the next plane the same label there.

    Yields
    ------
    Progress while a plane is worked on, (z, labels) as soon as one is done, with labels that no
    other plane uses; and once more, in the end, each plane whose labels linking has changed.
    """
    generator = AutomaticMaskGenerator(predictor, params)
    wanted = range(volume.shape[axis]) if planes is None else planes
    done: dict[int, NDArray[np.int32]] = {}
    last = 0
    for count, z in enumerate(wanted):
        plane = np.asarray(volume[(slice(None),) * axis + (z,)])
        for step in generator.propose(plane, contrast_limits):
            if isinstance(step, Candidates):
                labels = to_labels(generator.select(step), step.size)
            else:
                fraction = step.done / max(step.total, 1)
                text = f"plane {z}: {step.text}"
                yield Progress(int(100 * (count + fraction)), 100 * len(wanted), text)
        labels[labels > 0] += last
        last = max(last, int(labels.max()))
        done[z] = labels
        _write(out, axis, z, labels)
        yield z, labels
    if link and len(done) > 1:
        for z, labels in linked(done):
            _write(out, axis, z, labels)
            yield z, labels


def linked(planes: Mapping[int, NDArray[np.int32]], least: float = LINK_IOU) -> Iterator[Plane]:
    """Give outlines that overlap in neighbouring planes one label.

    Outlines of two consecutive planes are paired so that the sum of their IoU is largest; pairs
    below `least` are dropped.

    Parameters
    ----------
    planes : mapping of z to (H, W) int32
        No label occurs in two planes. Each is asked for twice, and two are held at a time.
    least : float

    Yields
    ------
    (z, labels) of each plane that changes; labels run from 1 without gaps.
    """
    order = sorted(planes)
    names: dict[int, int] = {}
    following = 1
    before: Plane | None = None
    for z in order:
        plane = planes[z]
        touching = before is not None and before[0] == z - 1
        pairs = _pairs(before[1], plane, least) if before is not None and touching else {}
        before = z, plane
        for label in np.unique(plane):
            if label == 0:
                continue
            if int(label) in pairs:
                names[int(label)] = names[pairs[int(label)]]
            else:
                names[int(label)] = following
                following += 1
    table = np.zeros(max(names, default=0) + 1, np.int32)
    for label, name in names.items():
        table[label] = name
    for z in order:
        plane = planes[z]
        renamed = table[plane]
        if not np.array_equal(renamed, plane):
            yield z, renamed


def run(steps: Iterator[Plane | Progress]) -> NDArray[np.int32]:
    """Drive a generator of planes to its end and return the stack (Z, H, W).

    Planes that were not worked on are empty.

    Raises
    ------
    ValueError
        If the generator yields no plane.
    """
    planes = {step[0]: step[1] for step in steps if not isinstance(step, Progress)}
    if not planes:
        raise ValueError("there was no plane to work on")
    shape = next(iter(planes.values())).shape
    volume = np.zeros((max(planes) + 1, *shape), np.int32)
    for z, labels in planes.items():
        volume[z] = labels
    return volume


def _pairs(before: NDArray[np.int32], after: NDArray[np.int32], least: float) -> dict[int, int]:
    """Return, for each label of `after` that has one, its partner in `before`."""
    a, a_index = np.unique(before, return_inverse=True)
    b, b_index = np.unique(after, return_inverse=True)
    counts = np.zeros((len(a), len(b)))
    np.add.at(counts, (a_index.ravel(), b_index.ravel()), 1)
    union = counts.sum(1)[:, None] + counts.sum(0)[None] - counts
    overlap = counts / union
    overlap[a == 0] = 0
    overlap[:, b == 0] = 0
    rows, columns = linear_sum_assignment(-overlap)
    return {
        int(b[c]): int(a[r]) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= least
    }


def _write(out: Any, axis: int, z: int, labels: NDArray[np.int32]) -> None:
    if out is not None:
        out[(slice(None),) * axis + (z,)] = labels
