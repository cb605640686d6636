"""Results of several images are recorded before they are put in place, and replace no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .kept_results import digests_of
from .manifest import BEGUN


@dataclass
class Placing:
    """Told of complete results by `many_results`.

    Attributes
    ----------
    line : mapping
        What the record says of the file: `file`, `result`, `sha256`, `place`.
    known : collection of str or None
        Names of results that may be replaced; None for all.
    note : callable of mapping
        Records a line that says that the result is complete.
    written : dict
        The digests of what is put in place, by name.
    """

    line: Mapping[str, Any]
    known: frozenset[str] | None
    note: Callable[[Mapping[str, Any]], None]
    written: dict[str, Any] = field(default_factory=dict)

    def __call__(self, partials: Mapping[Path, Path]) -> None:
        """Note complete results before they are put in place.

        Raises
        ------
        ValueError
            If another file is there.
        """
        parent = Path(self.line["result"]).parent  # which may be a link
        names = {place: (parent / place.name).as_posix() for place in partials}
        for place, name in names.items():
            if place.exists() and self.known is not None and name not in self.known:
                raise ValueError(f"{name} exists; move it away or give --overwrite")
        self.written = {names[place]: digests_of(partial) for place, partial in partials.items()}
        self.note({**self.line, "outcome": BEGUN, "results": self.written})
