"""The manifest of a training set: which image came from where, and which files are of the set."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...formats.training_sets.known import OWN_FILES

MANIFEST = "manifest.csv"
"""In the folder of the set; only such a folder is replaced."""
COLUMNS = ("name", "part", "source", "group", "plane", "objects", "files")
HELD_OUT = "held out"
BETWEEN = "|"
"""Between the files of an image, which are named from the folder of the set."""
DEEPEST = 3
"""Folders between an image of a set and the folder of the set, at most."""


def write_manifest(
    folder: Path, rows: Sequence[Mapping[str, Any]], files: Mapping[str, Sequence[Path]]
) -> None:
    """Write the manifest of a set.

    Parameters
    ----------
    folder : Path
        Of the set.
    rows : sequence of mapping
        One for each image, with all columns but its files.
    files : mapping of str to paths
        Those of each image, by its name.
    """
    with (folder / MANIFEST).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            own = (one.relative_to(folder).as_posix() for one in files[row["name"]])
            writer.writerow({**row, "files": BETWEEN.join(own)})


def read_manifest(folder: Path) -> list[dict[str, str]] | None:
    """Return the rows of the manifest in a folder; None if it has none of ours."""
    try:
        with (folder / MANIFEST).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                return None
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return rows if all(None not in row.values() and None not in row for row in rows) else None


def files_of(row: Mapping[str, str]) -> list[str]:
    """Return the files of an image, from the folder of the set."""
    return row["files"].split(BETWEEN)


def check_replaceable(folder: Path) -> None:
    """Raise a ValueError if a folder is no set, or holds a file that is not of the set."""
    rows = read_manifest(folder)
    if rows is None:
        raise ValueError(f"{folder} holds no training set and is not replaced; choose another name")
    own = {MANIFEST, *OWN_FILES, *(name for row in rows for name in files_of(row))}
    for path in sorted(folder.rglob("*")):
        other = path.is_symlink() or not path.is_dir()
        if other and path.relative_to(folder).as_posix() not in own:
            raise ValueError(
                f"{folder} is not replaced: {path.relative_to(folder)} is not of the training set; "
                "move it away, or choose another name"
            )


@dataclass
class Origins:
    """Knows the group and the part of images that lie in a set of ours."""

    _sets: dict[Path, dict[str, dict[str, str]]] = field(default_factory=dict)

    def of(self, image: Path) -> tuple[str, bool] | None:
        """Return the group of an image, and whether it is held out; None if it is of no set."""
        image = image.resolve()
        for folder in list(image.parents)[:DEEPEST]:
            if folder not in self._sets:
                rows = read_manifest(folder) or []
                self._sets[folder] = {name: row for row in rows for name in files_of(row)}
            row = self._sets[folder].get(image.relative_to(folder).as_posix())
            if row is not None:
                return row["group"], row["part"] == HELD_OUT
        return None
