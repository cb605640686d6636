"""Reads points, shapes and labels of a layer as seeds of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Points, Shapes
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from ....predict.batch import Seed
from ....predict.prompt_kinds import PROMPT_KINDS, read_prompt
from ....types import Mask, Prompts, SliceKey
from .sampling import Coordinates

EACH = ""
"""Instead of a column: each point or shape is an object."""
GROUPS = ("object", "object_id", "instance", "track_id", "id", "label")
"""Columns that tell which prompts belong to one object, if they hold whole numbers."""
CLASSES = ("class", "category")
"""Columns with the class of an object."""
SCORES = ("score", "confidence", "probability")
"""Columns that say how sure another system was of an object."""
OBJECT, BACKGROUND = (PROMPT_KINDS[name].marks[0] for name in ("point", "background"))


@dataclass(frozen=True, eq=False)
class Drawn:
    """What lies in a Points or Shapes layer: values that a worker may read.

    Attributes
    ----------
    vertices : sequence of (N, d) float
        In pixels of the layer; of a point, its one place.
    kinds : sequence of str
        "point", or the type of the shape.
    features : pandas.DataFrame
        A row for each.
    """

    vertices: Sequence[Coordinates]
    kinds: Sequence[str]
    features: pd.DataFrame

    @classmethod
    def of(cls, layer: Points | Shapes) -> Drawn:
        """Copy what lies in a layer."""
        table = layer.features.reset_index(drop=True)
        if isinstance(layer, Points):
            places = np.array(layer.data, np.float64).reshape(-1, 1, layer.ndim)
            return cls(list(places), ["point"] * len(places), table)
        return cls([np.array(one, np.float64) for one in layer.data], layer.shape_type, table)


@dataclass
class Reading:
    """What a layer says.

    Attributes
    ----------
    names : dict of int to str
        What each prompt is called, by the number of its object.
    classes : dict of int to str
        Those that have one.
    scores : dict of int to float
        What another system gave, of those that have one.
    seeds : dict of SliceKey to list of Seed
    outside : list of int
        Objects whose prompts lie outside the image, or in no single plane of it.
    passed_over : int
        Points that were too short a stay, or are background points without an object in their
        plane.
    """

    names: dict[int, str] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    seeds: dict[SliceKey, list[Seed]] = field(default_factory=dict)
    outside: list[int] = field(default_factory=list)
    passed_over: int = 0

    @property
    def asked(self) -> set[int]:
        """Numbers of the objects that have seeds."""
        return {seed.number for seeds in self.seeds.values() for seed in seeds}

    def followed_by(self, other: Reading) -> Reading:
        """Return what is said here and in another layer, whose objects are numbered after these."""
        first = max(self.names, default=-1) + 1
        seeds = {key: list(some) for key, some in self.seeds.items()}
        for key, some in other.seeds.items():
            after = (replace(one, number=one.number + first) for one in some)
            seeds.setdefault(key, []).extend(after)
        return Reading(
            {**self.names, **{k + first: one for k, one in other.names.items()}},
            {**self.classes, **{k + first: one for k, one in other.classes.items()}},
            {**self.scores, **{k + first: one for k, one in other.scores.items()}},
            seeds,
            [*self.outside, *(k + first for k in other.outside)],
            self.passed_over + other.passed_over,
        )

    def within(self, key: SliceKey) -> Reading:
        """Return what is said of one plane alone."""
        seeds = {key: self.seeds[key]} if key in self.seeds else {}
        return replace(self, seeds=seeds)


@dataclass(frozen=True)
class Grouping:
    """Which prompts are one object.

    Attributes
    ----------
    column : str
        Prompts with the same value are one object; `EACH` for none.
    radius : float
        Points that follow each other within this distance, in pixels, are one; 0 for none.
    least : int
        So many such points are needed, else they are passed over.
    """

    column: str = EACH
    radius: float = 0.0
    least: int = 1


def group_columns(features: pd.DataFrame) -> list[str]:
    """Return the columns that can tell which prompts are one object, the likeliest first.

    `EACH` comes first unless a column of a usual name holds whole numbers.
    """
    columns = [str(name) for name in features.columns]
    likely = [
        name
        for name in columns
        if name.lower() in GROUPS and pd.api.types.is_integer_dtype(features[name])
    ]
    rest = [name for name in columns if name not in likely]
    return [*likely, EACH, *rest]


def read_points(
    drawn: Drawn,
    place: Callable[[Coordinates], Coordinates],
    key: SliceKey,
    shape: tuple[int, ...],
    grouping: Grouping,
) -> Reading:
    """Read a Points layer: each point, or group of points, is an object.

    A point whose feature "label" is "background" lies beside the object of its group, or else the
    nearest one in its plane.

    Parameters
    ----------
    drawn : Drawn
    place : callable
        See `sampling.to_image`.
    key : SliceKey
        Any plane; those of the result are displayed as it is.
    shape : tuple of int
        Of the image.
    grouping : Grouping
    """
    reading = Reading()
    table = drawn.features
    places = place(np.concatenate(drawn.vertices)) if drawn.vertices else np.zeros((0, len(shape)))
    kinds = table["label"].astype(str) if "label" in table else pd.Series(OBJECT, table.index)
    beside = (kinds == BACKGROUND).to_numpy()
    rows = np.arange(len(places))
    if grouping.radius > 0:
        places, rows, passed = merged(places, rows[~beside], grouping, key)
        beside, reading.passed_over = np.zeros(len(rows), bool), passed
    numbers = _numbered(reading, table, rows, grouping.column, drawn.kinds)
    keys = [_plane_of(one[None], key, shape) for one in places]
    points: dict[tuple[SliceKey, int], list[tuple[Coordinates, int]]] = {}
    alone = []
    for spot, number, plane, is_beside in zip(places, numbers, keys, beside, strict=True):
        xy = spot[[key.displayed[1], key.displayed[0]]]
        if is_beside and grouping.column == EACH:
            reading.names.pop(number)
            reading.classes.pop(number, None)
            reading.scores.pop(number, None)
            alone.append((plane, xy))
        elif plane is None:
            reading.outside.append(number)
        else:
            points.setdefault((plane, number), []).append((xy, int(not is_beside)))
    for plane, xy in alone:
        here = [(one, some) for one, some in points.items() if one[0] == plane]
        if here:
            nearest = min(here, key=lambda pair: float(np.hypot(*(pair[1][0][0] - xy))))
            nearest[1].append((xy, 0))
        else:
            reading.passed_over += 1
    for (plane, number), some in points.items():
        if not any(label for _, label in some):
            reading.passed_over += len(some)
            continue
        prompts = Prompts(np.array([xy for xy, _ in some]), [label for _, label in some])
        reading.seeds.setdefault(plane, []).append(Seed(number, prompts))
    return _settled(reading)


def read_shapes(
    drawn: Drawn,
    place: Callable[[Coordinates], Coordinates],
    key: SliceKey,
    shape: tuple[int, ...],
    grouping: Grouping,
) -> Reading:
    """Read a Shapes layer: each shape is an object, as `PROMPT_KINDS` reads it; see `read_points`.

    Rectangles are boxes, polygons and ellipses regions, lines and paths scribbles. Shapes of one
    group are one object, if they lie in different planes or can be combined.
    """
    reading = Reading()
    rows = np.arange(len(drawn.kinds))
    numbers = _numbered(reading, drawn.features, rows, grouping.column, drawn.kinds)
    seeds: dict[tuple[SliceKey, int], Prompts] = {}
    for corners, kind, number in zip(drawn.vertices, drawn.kinds, numbers, strict=True):
        vertices = place(corners)
        plane = _plane_of(vertices, key, shape)
        placed = read_prompt("shapes", kind, vertices[:, [key.displayed[1], key.displayed[0]]])
        if plane is None or placed is None:
            reading.outside.append(number)
            continue
        known = seeds.get((plane, number), Prompts())
        try:
            seeds[plane, number] = placed.kind.give(known, placed.values)
        except ValueError:  # a second box of one object
            reading.outside.append(number)
    for (plane, number), prompts in seeds.items():
        reading.seeds.setdefault(plane, []).append(Seed(number, prompts))
    return _settled(reading)


def seeds_of_labels(labels: NDArray[np.integer[Any]], kept: bool = False) -> Iterator[Seed]:
    """Return a seed for each label of a plane; its number is the label.

    Parameters
    ----------
    labels : (H, W) int
    kept : bool
        Whether they are kept objects that are to be made better.
    """
    values, places = np.unique(labels, return_inverse=True)
    size = int(labels.shape[0]), int(labels.shape[1])
    parts = find_objects(places.reshape(size) + 1)
    for label, (rows, columns) in zip(values.tolist(), parts, strict=True):
        if label > 0:
            corner = columns.start, rows.start
            mask = Mask.of(labels[rows, columns] == label, corner, size)
            yield Seed.around(label, mask, label if kept else 0)


def merged(
    places: Coordinates, rows: NDArray[np.intp], grouping: Grouping, key: SliceKey
) -> tuple[Coordinates, NDArray[np.intp], int]:
    """Merge points that follow each other closely, such as the fixations of a gaze.

    A point within the radius of the mean of those before it joins them. (As dispersion-threshold
    identification does; Salvucci and Goldberg, ETRA 2000, with a radius for the dispersion.)

    Parameters
    ----------
    places : (N, D) float
        In pixels of the image.
    rows : (M,) int
        Which of them count, in their order in time.
    grouping : Grouping
    key : SliceKey
        Any plane: points of two planes are not merged.

    Returns
    -------
    means : (K, D) float
    rows : (K,) int
        The first point of each.
    passed_over : int
        Points of groups that are too small.
    """
    axes, hidden = list(key.displayed), [axis for axis, _ in key.fixed]
    stays: list[list[int]] = []
    mean = np.zeros(places.shape[1])
    for row in rows.tolist():
        here = places[row]
        same_plane = bool((np.rint(here[hidden]) == np.rint(mean[hidden])).all())
        near = float(np.linalg.norm(here[axes] - mean[axes])) <= grouping.radius
        if stays and same_plane and near:
            stays[-1].append(row)
            mean = mean + (here - mean) / len(stays[-1])
        else:
            stays.append([row])
            mean = here
    long = [stay for stay in stays if len(stay) >= grouping.least]
    means = np.array([places[stay].mean(axis=0) for stay in long]).reshape(-1, places.shape[1])
    passed = len(rows) - sum(len(stay) for stay in long)
    return means, np.array([stay[0] for stay in long], np.intp), passed


def _settled(reading: Reading) -> Reading:
    """Return a reading in which an object with a prompt inside the image is not outside."""
    known = reading.asked
    reading.outside = [one for one in dict.fromkeys(reading.outside) if one not in known]
    return reading


def _numbered(
    reading: Reading,
    table: pd.DataFrame,
    rows: NDArray[np.intp],
    column: str,
    kinds: Sequence[str],
) -> list[int]:
    """Return the number of the object of each row, and note names, classes and scores."""
    named = next((name for name in table.columns if str(name).lower() in CLASSES), None)
    scored = next((name for name in table.columns if str(name).lower() in SCORES), None)
    scores = None if scored is None else pd.to_numeric(table[scored], errors="coerce")
    values = next((table[name] for name in table.columns if str(name) == column), None)
    numbers: dict[Any, int] = {}
    found = []
    for row in rows.tolist():
        group = row if values is None else values.iloc[row]
        number = numbers.setdefault(group, len(numbers) + 1)
        found.append(number)
        reading.names[number] = f"{kinds[row]} {row}" if values is None else f"{column} {group}"
        category = "" if named is None else str(table[named].iloc[row]).strip()
        if category and category != "nan":
            reading.classes.setdefault(number, category)
        if scores is not None and np.isfinite(scores.iloc[row]):
            reading.scores.setdefault(number, float(scores.iloc[row]))
    return found


def _plane_of(places: Coordinates, key: SliceKey, shape: tuple[int, ...]) -> SliceKey | None:
    """Return the plane that places lie in; None if it is none, or they lie beside it."""
    fixed = []
    if not np.isfinite(places).all():
        return None
    for axis, _ in key.fixed:
        index = np.unique(np.rint(places[:, axis]))
        if len(index) > 1 or not 0 <= index[0] < shape[axis]:
            return None
        fixed.append((axis, int(index[0])))
    for axis in key.displayed:
        low, high = places[:, axis].min(), places[:, axis].max()
        if high < -0.5 or low >= shape[axis] - 0.5:
            return None
    return replace(key, fixed=tuple(fixed))
