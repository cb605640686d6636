"""Reading a journal: the steps that are in force, from a file that may be damaged or foreign."""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .documents import edit_from_json, key_from_json
from .edit import Edit
from .packed import PackedPixels
from .recorder import TargetInfo, TargetKind

VERSION = 1
LARGEST_DOCUMENT = 2**30
"""Bytes of one step as JSON, at most."""
LARGEST_BASE = 2**31
"""Pixels of one plane of labels, at most."""
SCHEMA = (
    "CREATE TABLE session (begun REAL)",
    "CREATE TABLE targets (id INTEGER PRIMARY KEY, name TEXT, info TEXT, base INTEGER DEFAULT 0, "
    "restored INTEGER DEFAULT 0)",
    "CREATE TABLE planes (target INTEGER, plane TEXT, hash TEXT)",
    "CREATE TABLE bases (target INTEGER, position TEXT, low INTEGER, high INTEGER, data BLOB)",
    "CREATE TABLE opened (target INTEGER, data BLOB)",
    "CREATE TABLE outlines (id INTEGER PRIMARY KEY, data BLOB)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, kind TEXT, step INTEGER, target INTEGER, "
    "data BLOB)",
)
DAMAGED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    sqlite3.Error,
)
"""What reading a damaged file may raise."""


class Base(IntEnum):
    """Whether something was there before the first step of a target."""

    NONE = 0
    WANTED = 1  # it is being written, or was when the program ended
    KEPT = 2


BasePlane = tuple[tuple[int, ...], PackedPixels]
"""The position of a plane on the leading axes, and its labels."""


@dataclass(frozen=True, eq=False)
class KeptTarget:
    """What the steps of a journal were written to.

    Attributes
    ----------
    id : str
    info : TargetInfo
    hashes : mapping of SliceKey to str
        Of the image's planes that steps touch.
    base : tuple of ((...) int, PackedPixels)
        The labels where they were not 0, as they were read some time after the first step.
    based : bool
        Whether all of `base` was written.
    lacking : bool
        Whether there was a base that was not written to its end.
    opened : tuple of Edit
        Whose objects and properties were there before the first step.
    ever : tuple of Edit
        All that was ever written, also what was taken back; only where there is a base.
    taken_back : tuple of Edit
        The parts of the step that was taken back last; only of labels in a folder. Some of its
        pixels may be there still, if the program ended meanwhile.
    """

    id: str
    info: TargetInfo
    hashes: dict[Any, str] = field(default_factory=dict)
    base: tuple[BasePlane, ...] = ()
    based: bool = False
    lacking: bool = False
    opened: tuple[Edit, ...] = ()
    ever: tuple[Edit, ...] = ()
    taken_back: tuple[Edit, ...] = ()


@dataclass(frozen=True, eq=False)
class KeptJournal:
    """What a journal holds.

    Attributes
    ----------
    path : Path
    begun : float
        Seconds since 1970.
    targets : mapping of str to KeptTarget
    steps : tuple of tuple of (str, Edit)
        Those in force, in their order: the parts of each, with the id of their target.
    unsaved : bool
        Whether they differ from those that a file of the user holds.
    """

    path: Path
    begun: float
    targets: dict[str, KeptTarget]
    steps: tuple[tuple[tuple[str, Edit], ...], ...]
    unsaved: bool


def open_journal(path: Path) -> KeptJournal:
    """Read a journal that no program writes.

    Raises
    ------
    ValueError
        If it is none, is damaged, or of another version.
    """
    with _opened(path) as found:
        begun = float(found.execute("SELECT begun FROM session").fetchone()[0])
        if not math.isfinite(begun):
            raise ValueError("its time is no number")
        names = dict(found.execute("SELECT id, name FROM targets"))
        in_force, unsaved, undone = _in_force(found)
        targets = {target.id: target for target in _targets(found, whole=True)}
        parts = [(names[target], _edit(found, data)) for target, data in _rows(found, undone)]
        for name, one in targets.items():
            if one.info.stored:
                mine = tuple(edit for target, edit in parts if target == name)
                targets[name] = replace(one, taken_back=mine)
        steps = tuple(
            tuple((names[target], _edit(found, data)) for target, data in _rows(found, rows))
            for rows in in_force
        )
    return KeptJournal(path, begun, targets, steps, unsaved)


def read_targets(path: Path) -> list[KeptTarget]:
    """Return what the steps of a journal were written to, without what was there before them.

    Raises
    ------
    ValueError
        As `open_journal` does.
    """
    with _opened(path) as found:
        return list(_targets(found, whole=False))


def has_unsaved(path: Path) -> bool:
    """Tell whether a journal holds steps that are in no file of the user.

    Raises
    ------
    ValueError
        As `open_journal` does.
    """
    with _opened(path) as found:
        return _in_force(found)[1]


def note_restored(path: Path, targets: Iterable[str]) -> bool:
    """Note that the steps of some targets are in another journal now.

    Returns
    -------
    bool
        Whether the journal holds other unsaved steps still.

    Raises
    ------
    ValueError
        As `open_journal` does, or if it cannot be written to.
    """
    with _opened(path) as found:
        rows = [(name,) for name in targets]
        found.executemany("UPDATE targets SET restored = 1 WHERE name = ?", rows)
        found.commit()
        return _in_force(found)[1]


def base_labels(target: KeptTarget) -> NDArray[Any]:
    """Return the labels of a target before its first step, a new array."""
    labels = np.zeros(target.info.shape, target.info.labels_dtype)
    for position, pixels in target.base:
        labels[position] = pixels.array()
    # planes were read some time later: the first patch that changed a pixel knows what it was
    for edit in reversed(target.ever):
        for patch in reversed(edit.patches):
            old = patch.old()
            part = labels[patch.index]
            np.copyto(part, old, where=old != patch.new())
    return labels


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as found:
            found.execute("PRAGMA trusted_schema = OFF")
            _check_schema(found)
            yield found
    except DAMAGED as error:
        raise ValueError(f"the journal {path.name} cannot be read: {error}; delete it") from None


def read_parts(connection: sqlite3.Connection, number: int) -> list[tuple[str, Edit]]:
    """Return the parts of a step that were not withdrawn, each with the id of its target."""
    query = "SELECT id, kind FROM events WHERE step = ? ORDER BY id"
    rows: list[int] = []
    for row, kind in connection.execute(query, (number,)):
        if kind in ("made", "joined"):
            rows.append(row)
        elif kind == "withdrawn":
            rows.pop()
    names = dict(connection.execute("SELECT id, name FROM targets"))
    return [(names[target], _edit(connection, data)) for target, data in _rows(connection, rows)]


def _check_schema(connection: sqlite3.Connection) -> None:
    """Refuse a file with other tables: a view or a trigger could do anything."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise ValueError(f"it is of version {version}, but this program reads {VERSION}")
    if {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")} != set(SCHEMA):
        raise ValueError("it is no journal")


def _in_force(connection: sqlite3.Connection) -> tuple[list[list[int]], bool, list[int]]:
    """Return the rows of the parts of each step in force, and whether some are unsaved.

    Those of targets that were restored elsewhere do not count. The last value is the rows of the
    step that was taken back last.
    """
    done: dict[int, list[int]] = {}
    undone: dict[int, list[int]] = {}
    saved: list[list[int]] = []
    for row, kind, step in connection.execute("SELECT id, kind, step FROM events ORDER BY id"):
        if kind == "made":
            # what was undone stays: a step that is withdrawn leaves it to be redone
            done[step] = [row]
        elif kind == "joined":
            done.setdefault(step, []).append(row)
        elif kind == "withdrawn":
            done[step].pop()
            if not done[step]:
                del done[step]
        # a stroke that the full disk refused is a step of the history, but not of the journal
        elif kind == "undone":
            if step in done:
                undone[step] = done.pop(step)
        elif kind == "redone":
            if step in undone:
                done[step] = undone.pop(step)
        elif kind == "saved":
            saved = [list(rows) for number, rows in done.items() if number <= step]
        else:
            raise ValueError("it has a row of an unknown kind")
    query = "SELECT id FROM events WHERE target IN (SELECT id FROM targets WHERE restored)"
    restored = {row for (row,) in connection.execute(query)}
    steps, saved = (
        [left for rows in some if (left := [row for row in rows if row not in restored])]
        for some in (done.values(), saved)
    )
    return steps, steps != saved, next(reversed(undone.values()), [])


def _rows(connection: sqlite3.Connection, rows: list[int]) -> Iterator[tuple[int, bytes]]:
    for row in rows:
        query = "SELECT target, data FROM events WHERE id = ?"
        target, data = connection.execute(query, (row,)).fetchone()
        yield target, data


def _edit(connection: sqlite3.Connection, data: Any) -> Edit:
    document = _unpacked(data)
    for change in document["objects"]:
        for one in change[1:]:
            if one is not None:
                one["outlines"] = [_outline(connection, *pair) for pair in one["outlines"]]
    return edit_from_json(document)


def _outline(connection: sqlite3.Connection, plane: Any, number: Any) -> dict[str, Any]:
    found = connection.execute("SELECT data FROM outlines WHERE id = ?", (number,)).fetchone()
    if found is None:
        raise ValueError("an outline is missing")
    return {**_unpacked(found[0]), "plane": plane}


def _unpacked(data: Any) -> Any:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, LARGEST_DOCUMENT)
    except zlib.error:
        raise ValueError("a row is damaged") from None
    if not inflater.eof:
        raise ValueError("a row is not complete")
    return json.loads(text)


def _targets(connection: sqlite3.Connection, whole: bool) -> Iterator[KeptTarget]:
    query = "SELECT id, name, info, base FROM targets WHERE NOT restored"
    for number, name, info, state in connection.execute(query).fetchall():
        hashes = {
            key_from_json(json.loads(plane)): str(one)
            for plane, one in connection.execute(
                "SELECT plane, hash FROM planes WHERE target = ?", (number,)
            )
        }
        kept, base = _info(json.loads(info)), Base(state)
        target = KeptTarget(
            str(name), kept, hashes, based=base == Base.KEPT, lacking=base == Base.WANTED
        )
        if whole and target.based:
            opened = "SELECT data FROM opened WHERE target = ?"
            ever = "SELECT data FROM events WHERE target = ? ORDER BY id"
            target = replace(
                target,
                base=tuple(_base(connection, number, kept)),
                opened=tuple(_edits(connection, opened, number)),
                ever=tuple(_edits(connection, ever, number)),
            )
        yield target


def _edits(connection: sqlite3.Connection, query: str, target: int) -> Iterator[Edit]:
    for (data,) in connection.execute(query, (target,)).fetchall():
        yield _edit(connection, data)


def _info(data: dict[str, Any]) -> TargetInfo:
    if data["kind"] not in get_args(TargetKind):
        raise ValueError("it has a target of an unknown kind")
    shape = tuple(data["shape"])
    if len(shape) < 2 or not all(isinstance(n, int) and 0 < n < 2**31 for n in shape):
        raise ValueError("the shape of its image is wrong")
    texts = [data[name] for name in ("dtype", "labels_dtype", "stored")]
    if not all(isinstance(one, str) for one in texts):
        raise ValueError("a target is described wrongly")
    if data["kind"] != "prompts" and np.dtype(data["labels_dtype"]).kind not in "biu":
        raise ValueError("its labels are no integers")
    return TargetInfo(data["kind"], shape, *texts)


def _base(connection: sqlite3.Connection, target: int, info: TargetInfo) -> Iterator[BasePlane]:
    query = "SELECT position, low, high, data FROM bases WHERE target = ?"
    dtype = np.dtype(info.labels_dtype)
    plane = info.shape[-2:]
    if math.prod(plane) > LARGEST_BASE:
        raise ValueError("a plane of its labels is too large")
    for position, low, high, data in connection.execute(query, (target,)):
        at = tuple(json.loads(position))
        inside = len(at) == len(info.shape) - 2 and all(
            isinstance(k, int) and 0 <= k < n for k, n in zip(at, info.shape, strict=False)
        )
        if not inside:
            raise ValueError("a plane of its labels lies outside the image")
        pixels = PackedPixels(data, plane, dtype.str, (low, high))
        pixels.check(math.prod(plane))
        yield at, pixels
