"""Objects of a time series: followed from frame to frame, with divisions and a table of parents."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import shown, whole_number
from ..files import replacing
from ..masks import labels_in
from ..types import Progress
from .join import PlaneLabels, written
from .lineage import divided, successors
from .partition import partition
from .pieces import Pieces
from .repairs import Repairs

JOIN_IOU = 0.2
"""`least` of the multicut that joins several outlines of an object in one frame."""

ABOVE_LABELS = 2**40
"""Above any label of 32 bits."""


class Track(NamedTuple):
    """An object from its first to its last frame.

    Attributes
    ----------
    label : int
    begin, end : int
        Its first and last frame.
    parent : int
        The label of the object that divided; 0 if there is none.
    """

    label: int
    begin: int
    end: int
    parent: int = 0


class _JoinedFrames(Mapping[int, NDArray[np.int32]]):
    """Frames in which outlines that are one in the frames around them have one label.

    The labels lie above those of any result, so that a frame of the result always differs.
    """

    def __init__(
        self, frames: Mapping[int, NDArray[np.int32]], found: Pieces, groups: NDArray[np.intp]
    ) -> None:
        self._frames = frames
        self._names = {
            t: (found.labels_of(t), groups[own] + ABOVE_LABELS) for t, own in found.in_plane.items()
        }

    def __getitem__(self, t: int) -> NDArray[np.int32]:
        frame, (old, new) = np.asarray(self._frames[t]), self._names[t]
        return np.where(frame > 0, np.append(new, 0)[np.searchsorted(old, frame)], 0)

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def tracked(
    frames: Mapping[int, NDArray[np.int32]], largest: int = 0
) -> Generator[Progress | PlaneLabels, None, list[Track]]:
    """Follow objects through the frames of a time series.

    Outlines of a frame that are one outline in the frames around it are joined first, by a multicut
    (see `partition`). Then outlines of two frames are paired by overlap, place and area, so that
    the sum is largest. An object that is missing in one frame is drawn there. An object that
    divides ends, and its two daughters get labels of their own.

    Parameters
    ----------
    frames : mapping of t to (H, W) int32
        A label that occurs in two frames does not make them one object. Each frame is asked for
        three times, and two are held at a time; one that was yielded is not asked for again.
    largest : int
        The new labels begin after it.

    Yields
    ------
    Progress
        After each frame that was compared with those before, and while objects are found.
    (t, labels)
        Of each frame that holds objects.

    Returns
    -------
    list of Track, by label; see `write_tracks`

    Raises
    ------
    ValueError
        If a frame has no number or holds no labels, neighbours differ in size, or `largest` is
        below 0.
    """
    if not all(isinstance(t, int | np.integer) for t in frames):
        raise ValueError(f"frames have whole numbers, but these are {shown(list(frames))}")
    largest = whole_number("the largest label", largest)
    if not 0 <= largest < 2**30:
        raise ValueError(f"the largest label lies between 0 and {2**30}, but is {largest}")
    order = sorted(frames)
    found, pieces = Pieces(), Pieces()
    for count, t in enumerate(order, start=1):
        found.add(t, np.asarray(frames[t]))
        yield Progress(count, 2 * len(order), f"compared {count} of {len(order)} frames")
    groups = yield from partition(found, "multicut", JOIN_IOU)
    joined = _JoinedFrames(frames, found, groups)
    for count, t in enumerate(order, start=1):
        pieces.add(t, joined[t])
        yield Progress(
            len(order) + count, 2 * len(order), f"tracked {count} of {len(order)} frames"
        )
    after = yield from successors(pieces)
    mothers = yield from divided(pieces, after)
    objects = np.full(len(pieces), -1, np.intp)
    count = 0
    for piece in range(len(pieces)):
        if objects[piece] < 0:
            at = piece
            while at >= 0:
                objects[at] = count
                at = after[at]
            count += 1
    numbers = np.arange(1, count + 1, dtype=np.int32) + np.int32(largest)
    repairs = Repairs.of(pieces, objects, gaps_only=True)
    yield from written(joined, order, pieces, numbers, objects, repairs)
    return _table(pieces, objects, numbers, mothers)


def tracks_in(
    frames: Mapping[int, NDArray[np.int32]], parents: Mapping[int, int]
) -> Generator[Progress, None, list[Track]]:
    """Find the first and the last frame of each label, as labels are now.

    Parameters
    ----------
    frames : mapping of t to (H, W) int32
    parents : mapping of int to int
        The labels of objects that divided, by the labels of their daughters. What is in no frame,
        or does not end before its daughter begins, is no parent.

    Yields
    ------
    Progress
        After each frame.

    Returns
    -------
    list of Track, by label
    """
    spans: dict[int, tuple[int, int]] = {}
    order = sorted(frames)
    for count, t in enumerate(order, start=1):
        for label in labels_in(frames[t]).tolist():
            spans[label] = spans.get(label, (t, t))[0], t
        yield Progress(count, len(order), f"looked at {count} of {len(order)} frames")
    tracks = []
    for label, (begin, end) in sorted(spans.items()):
        parent = parents.get(label, 0)
        ends_before = parent in spans and spans[parent][1] < begin
        tracks.append(Track(label, begin, end, parent if ends_before else 0))
    return tracks


def write_tracks(path: str | Path, tracks: Iterable[Track]) -> None:
    """Write tracks as the Cell Tracking Challenge does (`res_track.txt`).

    See `tracks_text`.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(tracks_text(tracks), encoding="ascii")


def tracks_text(tracks: Iterable[Track]) -> str:
    """Return a table of tracks: in each line label, first frame, last frame, and parent or 0."""
    return "".join(f"{' '.join(map(str, track))}\n" for track in tracks)


def _table(
    pieces: Pieces, objects: NDArray[np.intp], numbers: NDArray[np.int32], mothers: dict[int, int]
) -> list[Track]:
    """Return the tracks by label."""
    planes = np.array(pieces.planes, np.intp)
    begin = np.full(len(numbers), np.iinfo(np.intp).max)
    end = np.full(len(numbers), np.iinfo(np.intp).min)
    np.minimum.at(begin, objects, planes)
    np.maximum.at(end, objects, planes)
    parents = {int(objects[p]): int(numbers[objects[m]]) for p, m in mothers.items()}
    return [
        Track(int(label), int(begin[k]), int(end[k]), parents.get(k, 0))
        for k, label in enumerate(numbers)
    ]
