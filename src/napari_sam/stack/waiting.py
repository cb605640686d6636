"""Evidence of planes that are not settled yet: in memory, beyond a bound in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from contextlib import suppress
from typing import IO, NamedTuple

import numpy as np

from .evidence import Evidence

MOST_BYTES = 1 << 28
"""Of evidence that is kept in memory."""


class _Side(NamedTuple):
    """What was found on the way from one keyframe.

    Attributes
    ----------
    number : int
        Of the object.
    start : int
        The keyframe.
    evidence : Evidence or None
    stored : (int, (int, int), float) or None
        Where in the file the evidence begins, its corner and its score.
    """

    number: int
    start: int
    evidence: Evidence | None
    stored: tuple[int, tuple[int, int], float] | None = None


class Waiting:
    """Evidence by plane, until all objects that may be there have come by.

    An object in the first planes and another one in the last ones may meet anywhere, so what waits
    grows with the number of planes. Memory does not.
    """

    def __init__(self) -> None:
        self._sides: dict[int, list[_Side]] = {}
        self._bytes = 0
        self._file: IO[bytes] | None = None

    def add(self, place: int, number: int, start: int, evidence: Evidence) -> None:
        """Keep what was found of an object in a plane, on the way from a keyframe."""
        side = _Side(number, start, evidence)
        size = _nbytes(evidence)
        if self._bytes + size > MOST_BYTES:
            with suppress(OSError):  # no room on the disk: memory it is
                stored = self._write(evidence), evidence.corner, evidence.score
                side, size = _Side(number, start, None, stored), 0
        self._bytes += size
        self._sides.setdefault(place, []).append(side)

    def pop(self, place: int) -> dict[int, list[tuple[int, Evidence]]]:
        """Return what was found in a plane and forget it: keyframe and evidence by object."""
        found: dict[int, list[tuple[int, Evidence]]] = {}
        for side in self._sides.pop(place, ()):
            evidence = side.evidence
            if evidence is not None:
                self._bytes -= _nbytes(evidence)
            elif side.stored is not None and self._file is not None:
                evidence = _read(self._file, *side.stored)
            if evidence is not None:
                found.setdefault(side.number, []).append((side.start, evidence))
        return found

    def _write(self, evidence: Evidence) -> int:
        """Write the arrays of evidence behind all others; return where they begin."""
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115, open as long as this is used
            weakref.finalize(self, self._file.close)
        begin = self._file.seek(0, 2)
        np.save(self._file, evidence.logits)
        np.save(self._file, evidence.last)
        return begin


def _read(file: IO[bytes], begin: int, corner: tuple[int, int], score: float) -> Evidence:
    file.seek(begin)
    return Evidence(corner, np.load(file), np.load(file), score)


def _nbytes(evidence: Evidence) -> int:
    return evidence.logits.nbytes + evidence.last.nbytes
