"""The record of a run over many files: a line for each, from which a later run goes on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

MANIFEST = "manifest.jsonl"
LOCK = f".{MANIFEST}.lock"
"""File in a folder of results that a run holds locked; it stays, as others may have opened it."""
BEGUN, DONE, FAILED = "begun", "done", "failed"
"""What a line says of a file. A result is begun when it is complete and about to be put in place;
so what a killed run left is told from other files by its digest."""


class Manifest:
    """Lines of JSON, appended one by one; a line that a killed process did not finish is ignored.

    Parameters
    ----------
    folder : Path
        Of the results.

    Attributes
    ----------
    path : Path

    Raises
    ------
    ValueError
        If there is a file of this name with lines of something else.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST
        self._last: dict[str, dict[str, Any]] = {}
        self._done: dict[str, dict[str, Any]] = {}
        data = self.path.read_bytes() if self.path.exists() else b""
        self._torn = bool(data) and not data.endswith(b"\n")
        entries = [entry for line in data.splitlines() if (entry := _entry(line)) is not None]
        if data.strip() and not entries:
            raise ValueError(
                f"{self.path} is not the record of such a run; choose another folder of results"
            )
        for entry in entries:
            self._note(entry)

    def done(self, result: str) -> Mapping[str, Any] | None:
        """Return the last line that says that a result was written, None if there is none."""
        return self._done.get(result)

    def versions(self, result: str, made: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return what may be at the place of a result: that of two lines, "done" and then "begun".

        Parameters
        ----------
        result : str
        made : mapping
            `sha256` and `place` of the image; one of them has to be that of the record, else what
            is there is of another image.
        """
        last, done = self._last.get(result), self._done.get(result)
        lines = [done, last if last is not done else None]
        return [
            line["results"]
            for line in lines
            if line
            and line.get("results")
            and any(line.get(key) == made[key] for key in ("sha256", "place"))
        ]

    def add(self, **entry: Any) -> None:
        """Append a line; it outlives this process, however that ends.

        Raises
        ------
        OSError
            If the disk refuses it.
        """
        line = json.dumps(entry) + "\n"
        if self._torn:
            line, self._torn = "\n" + line, False
        with self.path.open("ab", buffering=0) as file:  # a line is one write, at the end
            file.write(line.encode())
        self._note(entry)

    def _note(self, entry: dict[str, Any]) -> None:
        if entry.get("outcome") != FAILED:
            self._last[entry["result"]] = entry
        if entry.get("outcome") == DONE:
            self._done[entry["result"]] = entry


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make a folder of results, and keep other runs from writing to it."""
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"another run writes to {folder}; wait until it has ended, or choose another -o"
        ) from error
    except OSError as error:
        raise ValueError(f"no place for the results {folder}: {error.strerror}") from error
    except NotImplementedError as error:
        raise ValueError(f"{folder} lies on a disk that cannot lock files") from error
    try:
        yield
    finally:
        lock.release()


def is_results(folder: Path) -> bool:
    """Tell whether a folder holds the results of such a run."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            return any(_entry(line) is not None for line in file)
    except OSError:
        return False


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return a line of ours; None if it is another one or was not finished."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    ours = isinstance(entry, dict) and entry.get("outcome") in (BEGUN, DONE, FAILED)
    return entry if ours and isinstance(entry.get("result"), str) else None


def place_digest(path: Path) -> str:
    """Return a short digest of where a file is, which tells two places apart and names neither."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
