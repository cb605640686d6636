"""Planes of everything mode as values: what was found on one, and those written, read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..everything.amg import AutomaticMaskGenerator, Candidates
from ..masks import to_labels
from ..types import SliceKey


@dataclass(frozen=True, eq=False)
class Found:
    """The labels of one plane.

    Attributes
    ----------
    key : SliceKey
    labels : (H, W) int32
    values : (N,) int32
        The labels that occur, ascending.
    candidates : Candidates or None
        What they were selected from; None if the plane was only linked.
    """

    key: SliceKey
    labels: NDArray[np.int32]
    values: NDArray[np.int32]
    candidates: Candidates | None = None

    @classmethod
    def of(
        cls, key: SliceKey, labels: NDArray[np.int32], candidates: Candidates | None = None
    ) -> Found:
        """Find out which labels occur."""
        return cls(key, labels, np.unique(labels[labels > 0]), candidates)

    @classmethod
    def selected(
        cls,
        key: SliceKey,
        generator: AutomaticMaskGenerator,
        candidates: Candidates,
        largest: int,
    ) -> Found:
        """Select among candidates; the labels begin after `largest`."""
        labels = to_labels(generator.select(candidates), candidates.size)
        labels[labels > 0] += largest
        return cls.of(key, labels, candidates)

    @property
    def largest(self) -> int:
        """The largest label; 0 if there is none."""
        return int(self.values.max(initial=0))


class StoredPlanes(Mapping[int, NDArray[np.int32]]):
    """Planes of a label array by their place along an axis, read when they are asked for.

    Parameters
    ----------
    data : array
    keys : iterable of SliceKey
        They differ in the first fixed axis only.
    """

    def __init__(self, data: Any, keys: Iterable[SliceKey]) -> None:
        self.data = data
        self.keys_by_place = {key.fixed[0][1]: key for key in keys}

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        key = self.keys_by_place[place]
        return turned(np.asarray(self.data[key.index]), key)

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys_by_place)

    def __len__(self) -> int:
        return len(self.keys_by_place)


def turned(labels: NDArray[np.int32], key: SliceKey) -> NDArray[np.int32]:
    """Return labels as displayed in the order of the array's axes, or the other way round."""
    return labels.T if key.displayed[0] > key.displayed[1] else labels
