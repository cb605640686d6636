"""Labelled images that models are compared on, and which of their objects belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..masks import overlap_counts

SHARED = 0.5
"""Part of the smaller one's pixels that an object shares with itself in the plane before."""


class Judged(Protocol):
    """A labelled image; `training.finetune.examples.Example` is one.

    Attributes
    ----------
    name : str
    image : (H, W) or (H, W, 3) uint8
        As the model sees it.
    labels : (H, W) int32
        0 is background, or not labelled.
    complete : (H, W) bool or None
        Where every object is labelled; None: everywhere.
    classes : mapping of int to str
        The class of a label, where it has one.
    family : str
        Images of one family (file, patient, movie) are alike.
    stack : str
        If it is not empty, equal labels in the planes of a family are the same object.
    place : int
        Of the plane in its stack.
    digest : str
        That of two images is equal where their pixels are.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def image(self) -> NDArray[np.uint8]: ...  # noqa: D102
    @property
    def labels(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def complete(self) -> NDArray[np.bool_] | None: ...  # noqa: D102
    @property
    def classes(self) -> Mapping[int, str]: ...  # noqa: D102
    @property
    def family(self) -> str: ...  # noqa: D102
    @property
    def stack(self) -> str: ...  # noqa: D102
    @property
    def place(self) -> int: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


class Kin(NamedTuple):
    """What of an image is not independent of others.

    Attributes
    ----------
    image : int
        Equal for equal images.
    group : int
        Equal for images of one family, and for equal ones.
    tracks : dict of int to int
        The object that each label is; equal in all planes that show the object.
    """

    image: int
    group: int
    tracks: dict[int, int]


def kin_of(examples: Sequence[Judged]) -> list[Kin]:
    """Find images that are of one group, and objects that several planes show.

    Objects of a stack are followed by their labels. Where the labels of planes are not linked, an
    object is the one of the plane before that it shares most pixels with.

    Parameters
    ----------
    examples : sequence of Judged

    Returns
    -------
    list of Kin
        One for each example.
    """
    digests = {one.digest: number for number, one in enumerate(examples)}
    groups = _groups(examples)
    tracks: list[dict[int, int]] = [{} for _ in examples]
    fresh = count()
    known: dict[tuple[str, int], int] = defaultdict(lambda: next(fresh))
    last = -1
    for place in sorted(
        range(len(examples)), key=lambda k: (examples[k].family, examples[k].place)
    ):
        one = examples[place]
        labels = [int(label) for label in np.unique(one.labels) if label]
        if one.stack:
            tracks[place] = {label: known[one.family, label] for label in labels}
        else:
            before = _followed(examples[last], one) if last >= 0 else {}
            tracks[place] = {
                label: tracks[last][before[label]] if label in before else next(fresh)
                for label in labels
            }
        last = place
    return [
        Kin(digests[one.digest], group, own)
        for one, group, own in zip(examples, groups, tracks, strict=True)
    ]


def _groups(examples: Sequence[Judged]) -> list[int]:
    """Return the group of each example: those of one family, or of an equal image, are together."""
    groups = list(range(len(examples)))
    first: dict[tuple[str, str], int] = {}
    for number, one in enumerate(examples):
        for key in (("family", one.family), ("image", one.digest)):
            old, new = groups[first.setdefault(key, number)], groups[number]
            groups = [new if group == old else group for group in groups]
    return groups


def _followed(before: Judged, one: Judged) -> dict[int, int]:
    """Return for labels of a plane the label that their object has in the plane before."""
    apart = before.family != one.family or before.place == one.place or before.stack
    if apart or before.labels.shape != one.labels.shape:
        return {}
    own, others, counts = overlap_counts(one.labels, before.labels)
    table = counts.tocoo()
    row, column = table.coords
    smaller = np.minimum(counts.sum(1)[row], counts.sum(0)[column])
    same = (own[row] > 0) & (others[column] > 0) & (table.data >= SHARED * smaller)
    order = np.argsort(table.data[same], kind="stable")  # the one that shares most comes last
    pairs = zip(own[row[same]][order].tolist(), others[column[same]][order].tolist(), strict=True)
    return dict(pairs)
