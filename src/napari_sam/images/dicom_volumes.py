"""Images of DICOM files as volumes: of one series, size and orientation, perhaps over time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .decoding import UnreadableImageError
from .dicom_headers import KINDS, Frame
from .dicom_times import CLOCKS, DAY, TIMES

EVEN = 0.05
"""Points in time are evenly spaced if no step differs from the median one by more of it."""
NAMES = list(TIMES)
ACQUISITION, TRIGGER = NAMES.index("AcquisitionNumber"), NAMES.index("TriggerTime")
CLOCK = [NAMES.index(one) for one in CLOCKS]
NUMBERED = {"TemporalPositionIdentifier": "temporal positions", "DiffusionBValue": "b-values"}
"""What is the same at all positions of a complete series."""

Places = Mapping[Hashable, list[Frame]]


@dataclass(frozen=True)
class Volume:
    """Images of one grid.

    Attributes
    ----------
    times : tuple of tuple of Frame
        The images of each point in time, each time one at a position.
    seconds : float or None
        Between two points in time; None if they are not evenly spaced, or it is not known.
    """

    times: tuple[tuple[Frame, ...], ...]
    seconds: float | None = None

    @property
    def frames(self) -> tuple[Frame, ...]:
        """All images."""
        return tuple(one for some in self.times for one in some)

    def check(self, name: str) -> None:
        """Raise an UnreadableImageError if some positions have other points in time than others.

        Parameters
        ----------
        name : str
            Of the file or folder.
        """
        if self.times[0][0].position is None:
            return
        places = _by_place(self.times[0])
        counts = [len(some) for some in places.values()]
        if min(counts) < max(counts):
            raise UnreadableImageError(
                f"{name} has {min(counts)} to {max(counts)} images at each of {len(counts)} "
                "positions; keep only those points in time in the folder that all positions have"
            )
        missing = _missing(places)
        if missing:
            raise UnreadableImageError(
                f"some positions of {name} lack {missing}; keep only those in the folder that all "
                "positions have"
            )


def volumes(frames: Iterable[Frame]) -> list[Volume]:
    """Return the images of each volume: of one series, frame of reference, size and orientation.

    Several images at one position are of several kinds, such as echoes, which are volumes of their
    own, or they are points in time. They are in the order of their series' numbers.
    """
    same: dict[Hashable, list[Frame]] = defaultdict(list)
    for one in frames:
        same[one.kind].append(one)
    found = [part for some in same.values() for group in _aligned(some) for part in _parted(group)]
    return sorted(found, key=_number)


def _number(one: Volume) -> tuple[int, str, int]:
    first = min(one.frames, key=lambda frame: frame.instance)
    return first.number, first.series, first.instance


def _aligned(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return images by their directions and spacing, which files round in different ways."""
    groups: list[list[Frame]] = []
    for one in frames:
        group = next((some for some in groups if some[0].is_aligned(one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return groups


def _parted(frames: Sequence[Frame]) -> list[Volume]:
    """Return the images of one grid by their kinds, and in time."""
    places = _by_place(frames)
    if len(places) == len(frames) or frames[0].position is None:
        return [Volume((tuple(frames),))]
    for k in range(len(KINDS)):
        if any(len({one.kinds[k] for one in some}) > 1 for some in places.values()):
            kinds = _groups(frames, [one.kinds[k] for one in frames])
            return [part for some in kinds for part in _parted(some)]
    if _missing(places):
        return [Volume((tuple(frames),))]
    timed = _timed(_by_place(_unbroken(frames)))
    if timed is not None:
        return [timed]
    acquired = _groups(frames, [one.times[ACQUISITION] for one in frames])
    if len(acquired) > 1 and all(len(_by_place(some)) == len(some) for some in acquired):
        return [Volume((tuple(some),)) for some in acquired]
    return [Volume((tuple(frames),))]


def _timed(places: Places) -> Volume | None:
    """Return images in time if each position has as many, and something orders them there."""
    count = len(next(iter(places.values())))
    if any(len(some) != count for some in places.values()):
        return None
    known = [k for k in range(len(TIMES)) if _is_known(places, k)]
    if TRIGGER in known and _is_jitter(places, known):
        known.remove(TRIGGER)
    for marks in (*([k] for k in known), known):  # or several together, such as b-value and time
        ranked = [_ranked(some, marks) for some in places.values()]
        if all(some for some in ranked):
            return Volume(tuple(zip(*ranked, strict=True)), _seconds(ranked[0], known))
    return None


def _is_known(places: Places, k: int) -> bool:
    return all(one.times[k] is not None for some in places.values() for one in some)


def _ranked(frames: Sequence[Frame], marks: Sequence[int]) -> list[Frame]:
    """Return the images of one position in the order of marks; none if two have the same ones."""
    values = {tuple(one.times[k] or 0.0 for k in marks): one for one in frames}
    return [values[key] for key in sorted(values)] if len(values) == len(frames) else []


def _seconds(frames: Sequence[Frame], known: Sequence[int]) -> float | None:
    """Return the time between the images of one position; None if it is not the same for all."""
    if len({one.times[NAMES.index("DiffusionBValue")] for one in frames}) > 1:
        return None
    for k in known:
        step = _even(np.diff([one.times[k] or 0.0 for one in frames]) * TIMES[NAMES[k]])
        if step is not None:
            return step
    return None


def _even(steps: NDArray[np.float64]) -> float | None:
    """Return the length of steps that are all as long; None if they are not, or go back."""
    middle = float(np.median(steps))
    return middle if middle > 0 and float(np.abs(steps - middle).max()) <= EVEN * middle else None


def _missing(places: Places) -> str:
    """Return which of what is numbered some positions lack; empty if none does."""
    for name, text in NUMBERED.items():
        k = NAMES.index(name)
        if not _is_known(places, k):
            continue
        counts = [Counter(one.times[k] or 0.0 for one in some) for some in places.values()]
        most: Counter[float] = Counter()
        for one in counts:
            most |= one
        lacking = {v: sum(one[v] < n for one in counts) for v, n in most.items()}
        listed = [f"{v:g} at {n} of {len(counts)}" for v, n in sorted(lacking.items()) if n]
        if listed:
            return f"{text}: {', '.join(listed[:5])}{', ...' if len(listed) > 5 else ''}"
    return ""


def _unbroken(frames: Sequence[Frame]) -> list[Frame]:
    """Return images whose times of the day go on after midnight, where no date is stated."""
    found = list(frames)
    for k in CLOCK:
        values = [one.times[k] for one in found]
        known = sorted({value for value in values if value is not None})
        if None in values or known[-1] >= DAY:
            continue
        gaps = np.diff([*known, known[0] + DAY])
        widest = int(gaps.argmax())
        if widest + 1 == len(known) or gaps[widest] <= DAY / 2:
            continue
        for number, value in enumerate(values):
            if value is not None and value <= known[widest]:
                times = list(found[number].times)
                times[k] = value + DAY
                found[number] = replace(found[number], times=tuple(times))
    return found


def _is_jitter(places: Places, known: Sequence[int]) -> bool:
    """Tell whether trigger times are delays that scatter: uneven, and in another order than clocks.

    A gated series that is repeated has them, as of diffusion.
    """
    clock = next((k for k in CLOCK if k in known), None)
    if clock is None:
        return False
    by_clock = [_ranked(some, [clock]) for some in places.values()]
    by_trigger = [_ranked(some, [TRIGGER]) for some in places.values()]
    if not all(by_clock) or by_clock == by_trigger:
        return False
    steps = [np.diff([one.times[TRIGGER] or 0.0 for one in some]) for some in by_trigger]
    if len(by_clock[0]) == 2:  # a single step is even; those of all positions need not be
        steps = [np.concatenate(steps)]
    return not all(by_trigger) or any(_even(some) is None for some in steps)


def _by_place(frames: Sequence[Frame]) -> Places:
    return {some[0].place: some for some in _groups(frames, [one.place for one in frames])}


def _groups(frames: Sequence[Frame], keys: Sequence[Hashable]) -> list[list[Frame]]:
    """Return images with equal keys together."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for one, key in zip(frames, keys, strict=True):
        groups[key].append(one)
    return list(groups.values())
