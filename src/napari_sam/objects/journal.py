"""The journal of a session: each step on the disk before it is written, in one SQLite file."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from ..types import Progress, SliceKey
from .boxes import Box
from .documents import edit_to_json, key_to_json, object_to_json, outline_to_json
from .edit import Edit
from .journal_reader import LARGEST_DOCUMENT, SCHEMA, VERSION, Base, has_unsaved, read_parts
from .packed import PackedPixels
from .recorder import Target
from .segmented import Outline, SegmentedObject

LEVEL = 1
"""Of zlib."""
LARGE = 2**20
"""Bytes of JSON of a step over many planes."""
AT_ONCE = 20
"""Outlines that are kept without a pause."""
MOST_PLANES = 3
"""Planes of the image that are hashed for one step, at most."""
FULL = (
    "the disk has no room for the journal ({}), so no step can be kept; make room in {} and go on"
)
CLOSED = "the journal is closed"


class Journal:
    """Keeps the steps of one session, see `Recorder`; the one writer of its file.

    The file is made at the first step, for this user alone. It has no name of an image or a layer.

    Parameters
    ----------
    path : Path
        Of the file; none may be there yet.

    Attributes
    ----------
    path
    unsaved : bool
        Whether it may hold steps, or walks over them, that came after the last `saved`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unsaved = False
        self._newest = 0
        self._closed = False
        self._lock = lock_of(path)
        self._one = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._targets: dict[str, int] = {}
        self._planes: set[tuple[int, SliceKey]] = set()
        self._outlines: WeakKeyDictionary[Outline, int] = WeakKeyDictionary()

    def open(self) -> None:
        """Make the file, if there is none yet.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        with self._transaction():
            pass

    def made(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a new step, before it is written; what is undone can no longer be redone."""
        self._keep("made", number, target, edit)

    def joined(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a further part of a step."""
        self._keep("joined", number, target, edit)

    def withdrawn(self, number: int) -> None:
        """Note that the newest part of a step could not be written after all."""
        self._note("withdrawn", number)

    def undone(self, number: int) -> None:
        """Note that a step was taken back."""
        self._note("undone", number)

    def redone(self, number: int) -> None:
        """Note that a step was made again."""
        self._note("redone", number)

    def saved(self, number: int) -> None:
        """Note that all steps up to this number are in a file of the user."""
        if self._connection is not None:
            self._note("saved", number)
        self.unsaved = number < self._newest

    def parts(self, number: int) -> list[tuple[str, Edit]]:
        """Return the parts of a step in their order, each with the id of its target."""
        with self._transaction() as connection:
            return read_parts(connection, number)

    def want_base(self, target: Target) -> None:
        """Note, before its first step, that a target cannot be restored without its base."""
        with self._transaction() as connection:
            self._set_base(connection, target, Base.WANTED)

    def keep_base(
        self, target: Target, labels: NDArray[Any], opened: Iterable[Edit] = ()
    ) -> Generator[Progress, None, None]:
        """Keep what was there before the first step: the labels, a plane at a time, and objects.

        Labels may change while this runs: with all steps that came since, the reader finds out
        what they were; see `journal_reader.base_labels`.

        Parameters
        ----------
        target : Target
        labels : (..., H, W) int
        opened : iterable of Edit
            Whose objects and properties were there.

        Yields
        ------
        Progress
            It counts only when it has come to its end.
        """
        with self._transaction() as connection:
            known = self._set_base(connection, target, Base.WANTED)
            for table in ("bases", "opened"):
                connection.execute(f"DELETE FROM {table} WHERE target = ?", (known,))
        leading = list(np.ndindex(labels.shape[:-2]))
        for done, position in enumerate(leading, 1):
            plane = np.asarray(labels[position])
            if plane.any():
                pixels = PackedPixels.of(plane)
                row = json.dumps(position), *pixels.bounds, pixels.packed
                with self._transaction() as connection:
                    connection.execute("INSERT INTO bases VALUES (?, ?, ?, ?, ?)", (known, *row))
            yield Progress(done, len(leading), "the labels so far")
        for edit in opened:
            outlines: dict[Outline, int] = {}
            with self._transaction() as connection:
                data = self._document(connection, edit, outlines)
                connection.execute("INSERT INTO opened VALUES (?, ?)", (known, data))
            self._outlines.update(outlines)
            yield Progress(len(leading), len(leading), "the objects so far")
        with self._transaction() as connection:
            self._set_base(connection, target, Base.KEPT)

    def keep_outlines(self, outlines: Sequence[Outline]) -> Generator[Progress, None, None]:
        """Keep outlines of a step that is still to come, so that keeping the step is quick.

        Parameters
        ----------
        outlines : sequence of Outline

        Yields
        ------
        Progress
            After a few milliseconds each.
        """
        for first in range(0, len(outlines), AT_ONCE):
            new: dict[Outline, int] = {}
            with self._transaction() as connection:
                for outline in outlines[first : first + AT_ONCE]:
                    self._outline(connection, outline, new)
            self._outlines.update(new)
            yield Progress(first, len(outlines), "the outlines")

    def close(self) -> None:
        """Close the file; it goes if all of it is saved, and else it stays to be restored."""
        with self._one:
            self._closed = True
            if self._connection is None:
                return
            self._connection.close()
            self._connection = None
            if not (self.unsaved and _holds_unsaved(self.path)):
                remove_files(self.path)
            self._lock.release()

    def _keep(self, kind: str, number: int, target: Target, edit: Edit) -> None:
        outlines: dict[Outline, int] = {}
        with self._transaction() as connection:
            known = self._target(connection, target)
            planes = self._hash_planes(connection, known, target, edit)
            row = kind, number, known, self._document(connection, edit, outlines)
            connection.execute(
                "INSERT INTO events (kind, step, target, data) VALUES (?, ?, ?, ?)", row
            )
        self._outlines.update(outlines)
        self._planes.update((known, key) for key in planes)
        self._targets[target.id] = known
        self._newest = max(self._newest, number)
        self.unsaved = True

    def _note(self, kind: str, number: int) -> None:
        with self._transaction() as connection:
            connection.execute("INSERT INTO events (kind, step) VALUES (?, ?)", (kind, number))
        self.unsaved = True

    def _document(
        self, connection: sqlite3.Connection, edit: Edit, outlines: dict[Outline, int]
    ) -> bytes:
        document = edit_to_json(replace(edit, objects={}))
        document["objects"] = [
            [label, *(self._object(connection, one, outlines) for one in change)]
            for label, change in edit.objects.items()
        ]
        return packed(document)

    def _object(
        self,
        connection: sqlite3.Connection,
        one: SegmentedObject | None,
        new: dict[Outline, int],
    ) -> dict[str, Any] | None:
        """Return an object with the numbers of its outlines; each is kept once."""
        if one is None:
            return None
        data = object_to_json(replace(one, outlines={}))
        for key, outline in one.outlines.items():
            number = self._outline(connection, outline, new)
            data["outlines"].append([key_to_json(key), number])
        return data

    def _outline(
        self, connection: sqlite3.Connection, outline: Outline, new: dict[Outline, int]
    ) -> int:
        """Return the number of an outline; one that is not kept yet is."""
        number = self._outlines.get(outline) or new.get(outline)
        if number is None:
            row = (packed(outline_to_json(outline)),)
            cursor = connection.execute("INSERT INTO outlines (data) VALUES (?)", row)
            number = new[outline] = int(cursor.lastrowid or 0)
        return number

    def _target(self, connection: sqlite3.Connection, target: Target) -> int:
        if target.id in self._targets:
            return self._targets[target.id]
        found = connection.execute("SELECT id FROM targets WHERE name = ?", (target.id,)).fetchone()
        if found is None:
            row = target.id, json.dumps(asdict(target.info()))
            cursor = connection.execute("INSERT INTO targets (name, info) VALUES (?, ?)", row)
            return int(cursor.lastrowid or 0)
        return int(found[0])

    def _set_base(self, connection: sqlite3.Connection, target: Target, base: Base) -> int:
        known = self._target(connection, target)
        connection.execute("UPDATE targets SET base = ? WHERE id = ?", (base, known))
        return known

    def keep_hashes(self, target: Target, edit: Edit, hash_of: Callable[[SliceKey], str]) -> None:
        """Keep hashes of the planes of a step that was kept without: the image is read slowly.

        A few planes of each target are enough to know the image again.

        Parameters
        ----------
        target : Target
        edit : Edit
        hash_of : callable of SliceKey
            Returns the hash of a plane; empty if it cannot be read.

        Raises
        ------
        OSError
            Where the disk refuses it.
        """
        known = self._targets.get(target.id)
        if known is None:
            return
        room = MOST_PLANES - sum(known == one for one, _ in self._planes)
        if room <= 0:
            return
        digests = {key: hash_of(key) for key in self._unhashed(known, target, edit)[:room]}
        with self._transaction() as connection:
            planes = self._keep_digests(connection, known, digests)
        self._planes.update((known, key) for key in planes)

    def _hash_planes(
        self, connection: sqlite3.Connection, known: int, target: Target, edit: Edit
    ) -> set[SliceKey]:
        digests = {key: target.image_hash(key) for key in self._unhashed(known, target, edit)}
        return self._keep_digests(connection, known, digests)

    def _unhashed(self, known: int, target: Target, edit: Edit) -> list[SliceKey]:
        """Return the planes of a step that are to be hashed."""
        shape = target.info().shape
        new = {key for box in edit.boxes for key in _planes_of(box, shape)}
        if not new and not any(known == one for one, _ in self._planes):
            # without a hash nobody could tell later of which image it is
            new = set(_planes_of(tuple((0, 1) for _ in shape), shape))
        new = {key for key in new if (known, key) not in self._planes}
        return sorted(new, key=lambda key: key.fixed)[:MOST_PLANES]

    def _keep_digests(
        self, connection: sqlite3.Connection, known: int, digests: Mapping[SliceKey, str]
    ) -> set[SliceKey]:
        kept = {key for key, digest in digests.items() if digest}
        for key in kept:
            row = known, json.dumps(key_to_json(key)), digests[key]
            connection.execute("INSERT INTO planes VALUES (?, ?, ?)", row)
        return kept

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all of something or nothing; raises OSError where the disk refuses it."""
        with self._one:
            if self._closed:
                raise OSError(CLOSED)
            try:
                connection = self._connection or self._open()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise OSError(FULL.format(error, self.path.parent)) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OSError(f"another program writes the journal {self.path}") from None
        connection = None
        try:
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            _prepare(connection)
        except (OSError, sqlite3.Error):
            if connection is not None:
                connection.close()
                remove_files(self.path)
            self._lock.release()
            raise
        self._connection = connection
        return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN")
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("INSERT INTO session VALUES (?)", (time.time(),))
    connection.execute("COMMIT")


def _holds_unsaved(path: Path) -> bool:
    """Tell whether a closed journal differs from what is saved; a damaged one stays."""
    try:
        return has_unsaved(path)
    except ValueError:
        return True


def lock_of(path: Path) -> FileLock:
    """Return the lock of a journal; the system releases it when the process ends."""
    return FileLock(f"{path}.lock", mode=0o600, thread_local=False)


def remove_files(path: Path) -> None:
    """Remove a journal and what SQLite keeps beside it; its lock is held."""
    for ending in ("-wal", "-shm", "", ".lock"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def packed(document: Any) -> bytes:
    """Return a JSON value as compressed bytes."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > LARGEST_DOCUMENT:
        raise ValueError("one step changes too much for the journal; do it in smaller parts")
    # nearly all of a large one is pixels, which are compressed: a search for repeats finds none
    strategy = zlib.Z_HUFFMAN_ONLY if len(text) > LARGE else zlib.Z_DEFAULT_STRATEGY
    deflater = zlib.compressobj(LEVEL, strategy=strategy)
    return deflater.compress(text) + deflater.flush()


def _planes_of(box: Box, shape: tuple[int, ...]) -> Iterator[SliceKey]:
    """Yield the planes of the last two axes that a box touches, some at most."""
    axes = len(shape)
    leading = box[: axes - 2]
    positions = product(*(range(max(start, 0), stop) for start, stop in leading))
    for position, _ in zip(positions, range(MOST_PLANES), strict=False):
        if all(at < n for at, n in zip(position, shape, strict=False)):
            yield SliceKey((axes - 2, axes - 1), tuple(enumerate(position)))
