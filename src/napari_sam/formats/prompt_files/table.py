"""Prompts of a CSV table: points, boxes, and the track of a gaze.

The first line names the columns: x and y of points, or x0, y0, x1 and y1 of boxes, in pixels;
(0, 0) is the centre of the first one. Others may be there: z and t (planes, from 0), object (points
or boxes of one number are one object), label ("background" or 0: beside the object; of boxes it is
the class), class, score (from 0 to 1), and time
(a gaze; seconds, or time_ms in milliseconds). Columns axis-0, axis-1 ... are those of napari's
Points.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...checks import shown
from ...types import Prompts
from ..found import LARGEST_FILE
from .contract import FilePrompt, PromptChoice, PromptFile, checked_score, several
from .gaze import fixations
from .plane_axes import plane_axes

BOX = ("x0", "y0", "x1", "y1")
AXES = {"z": "z", "slice": "z", "plane": "z", "t": "t", "frame": "t"}
TIMES = {"time": 1.0, "time_s": 1.0, "timestamp": 1.0, "time_ms": 1e-3, "time_us": 1e-6}
"""Columns with the time of a point, and their unit in seconds."""
NAMES = {
    "class": ("class", "category", "classification"),
    "score": ("score", "confidence", "probability"),
    "object": ("object", "object_id", "track_id", "id"),
    "label": ("label",),
}
BESIDE = ("background", "0", "negative")
ON = ("object", "1", "positive", "")
SLOW = 0.5
"""Seconds between two points of a gaze; eye trackers take 30 points a second and more."""


@dataclass(frozen=True)
class _Row:
    """A line of the table."""

    line: int
    cells: Mapping[str, str]

    def number(self, column: str) -> float:
        """Return a finite number; raises a ValueError that names the line."""
        text = self.cells[column].strip()
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or abs(value) > 1e9:
            raise ValueError(f"line {self.line}: {column} is a number, but is {shown(text)}")
        return value

    def whole(self, column: str) -> int:
        """Return a whole number; raises a ValueError that names the line."""
        value = self.number(column)
        if value != int(value):
            raise ValueError(f"line {self.line}: {column} is a whole number, but is {value:g}")
        return int(value)


def read_table(path: Path, shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    """Return the prompts of a CSV table.

    Raises
    ------
    ValueError
        That names the file and the line where it is wrong.
    """
    try:
        return _read(_rows(path, shape), shape, choice)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _rows(path: Path, shape: tuple[int, ...]) -> list[_Row]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE} bytes")
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=sample.count)
            reader = csv.reader(file, delimiter=delimiter)
            head = _columns(next(reader, []), shape)
            rows = [
                _Row(reader.line_num, dict(zip(head, cells, strict=False)))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("it is no table of text") from None
    if not {"x", "y"} <= {*head} and not {*BOX} <= {*head}:
        raise ValueError(
            f"line 1 names the columns x and y, or {', '.join(BOX)}, but is {shown(sample.strip())}"
        )
    short = next((one for one in rows if len(one.cells) < len(head)), None)
    if short is not None:
        raise ValueError(f"line {short.line} has {len(short.cells)} of the {len(head)} cells")
    return rows


def _columns(head: Sequence[str], shape: tuple[int, ...]) -> list[str]:
    """Return the names of columns; ValueError if two mean the same, or axes are missing."""
    axes = [one for one in head if re.fullmatch(r"\s*axis-\d+\s*", one.lower())]
    if axes and len(axes) != len(shape):
        raise ValueError(
            f"line 1 names {len(axes)} axes ({', '.join(axes)}), but the image has {len(shape)}"
        )
    names = [_column(one, shape) for one in head]
    for name in names:
        both = [text.strip() for text, other in zip(head, names, strict=True) if other == name]
        if name and len(both) > 1:
            raise ValueError(f"line 1 has several columns of {name}: {', '.join(both)}; leave one")
    return names


def _column(text: str, shape: tuple[int, ...]) -> str:
    """Return the name of a column as it is used here."""
    name = text.strip().lower().replace(" ", "_").replace("[", "").replace("]", "")
    axis = name.removeprefix("axis-")
    if axis != name and axis.isdecimal() and int(axis) < len(shape):
        return ["t", "z", "y", "x"][int(axis) - len(shape)] if len(shape) <= 4 else name
    known = {other: own for own, others in NAMES.items() for other in others}
    return AXES.get(name) or known.get(name) or name


def _read(rows: Sequence[_Row], shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    if not rows:
        return PromptFile(())
    columns = rows[0].cells.keys()
    named: dict[str, list[int]] = {
        one: [row.whole(one) for row in rows] for one in ("z", "t") if one in columns
    }
    axes = plane_axes(shape, named)
    places = [_place(one, axes, shape) for one in rows]
    time = next((name for name in TIMES if name in columns), None)
    if {*BOX} <= columns:
        numbers: dict[str, int] = {}
        boxes = (
            _box(_number(row, numbers), row, place) for row, place in zip(rows, places, strict=True)
        )
        return PromptFile(tuple(boxes))
    if time is not None:
        return _gaze(rows, places, time, choice)
    return _points(rows, places)


def _number(row: _Row, numbers: dict[str, int]) -> int:
    """Return the number of the object of a row; each is its own where it names none."""
    name = row.cells.get("object", "").strip() or f"line {row.line}"
    return numbers.setdefault(name, len(numbers) + 1)


def _place(row: _Row, axes: Sequence[str], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the plane of a row; an axis of one plane may have no column."""
    found = []
    for column, length in zip(axes, shape[:-2], strict=True):
        if column not in row.cells:
            if length > 1:
                raise ValueError(f"a stack needs a column {column} with the plane of each prompt")
            found.append(0)
            continue
        at = row.whole(column)
        if not 0 <= at < length:
            raise ValueError(
                f"line {row.line}: {column} = {at} lies outside the image; it goes from 0 to "
                f"{length - 1}"
            )
        found.append(at)
    return tuple(found)


def _facts(row: _Row) -> tuple[str, float | None]:
    """Return the class and the score of a row."""
    score = row.number("score") if row.cells.get("score", "").strip() else None
    try:
        score = None if score is None else checked_score(score)
    except ValueError as error:
        raise ValueError(f"line {row.line}: {error}") from None
    return row.cells.get("class", "").strip(), score


def _box(number: int, row: _Row, place: tuple[int, ...]) -> FilePrompt:
    x0, y0, x1, y1 = (row.number(name) for name in BOX)
    if x0 > x1 or y0 > y1:
        raise ValueError(f"line {row.line}: a box has x0 <= x1 and y0 <= y1")
    category, score = _facts(row)
    category = category or row.cells.get("label", "").strip()  # a box is never beside the object
    prompts = Prompts(box=(x0, y0, x1, y1))
    return FilePrompt(number, place, prompts, None, category, score, f"line {row.line}")


def _points(rows: Sequence[_Row], places: Sequence[tuple[int, ...]]) -> PromptFile:
    numbers: dict[str, int] = {}
    groups: dict[tuple[int, tuple[int, ...]], list[_Row]] = {}
    for row, place in zip(rows, places, strict=True):
        groups.setdefault((_number(row, numbers), place), []).append(row)
    found = []
    alone = 0
    for (number, place), group in groups.items():
        marks = [one.cells.get("label", "").strip().lower() for one in group]
        wrong = next((k for k, mark in enumerate(marks) if mark not in (*ON, *BESIDE)), None)
        if wrong is not None:
            raise ValueError(
                f'line {group[wrong].line}: label is "object" or "background", but is '
                f"{shown(marks[wrong])}"
            )
        labels = [int(mark not in BESIDE) for mark in marks]
        if not any(labels):
            alone += 1
            continue
        points = [(one.number("x"), one.number("y")) for one in group]
        first = group[labels.index(1)]
        category, score = _facts(first)
        prompts = Prompts(points, labels)
        where = f"line {first.line}"
        found.append(FilePrompt(number, place, prompts, None, category, score, where))
    notice = f"{several(alone, 'object')} of background points alone" if alone else ""
    return PromptFile(tuple(found), notice)


def _gaze(
    rows: Sequence[_Row], places: Sequence[tuple[int, ...]], time: str, choice: PromptChoice
) -> PromptFile:
    xy = np.array([(one.number("x"), one.number("y")) for one in rows])
    times = np.array([one.number(time) for one in rows]) * TIMES[time]
    steps = np.diff(times)
    if (steps < 0).any():
        row = rows[int(np.argmax(steps < 0)) + 1]
        raise ValueError(f"line {row.line}: {time} goes back; sort the points by their time")
    if TIMES[time] == 1.0 and len(steps) and np.median(steps) > SLOW:
        raise ValueError(
            f"line 2: between two points are {np.median(steps):g} seconds, too long for a gaze; "
            "call the column time_ms if they are milliseconds"
        )
    found: list[FilePrompt] = []
    within = 0
    starts = [0, *(k for k in range(1, len(rows)) if places[k] != places[k - 1]), len(rows)]
    for start, stop in pairwise(starts):
        part = slice(start, stop)
        for first, last in fixations(
            xy[part], times[part].tolist(), choice.dwell, choice.dispersion
        ):
            inside = slice(start + first, start + last + 1)
            within += last - first + 1
            prompts = Prompts([xy[inside].mean(axis=0)])
            where = f"lines {rows[start + first].line} to {rows[start + last].line}"
            number = len(found) + 1
            found.append(FilePrompt(number, places[start], prompts, where=where))
    moving = len(rows) - within
    notice = f"{several(moving, 'point')} at which the gaze did not rest" if moving else ""
    return PromptFile(tuple(found), notice)
