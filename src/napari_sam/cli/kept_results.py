"""What is at the place of a result: written by such a run, changed since, or foreign."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..formats.labels_store import LOCK
from ..images.readers import read_image
from ..images.zarr_files import is_zarr

Digests = Mapping[str, str | Mapping[str, str]]
"""By the name of a result: the SHA-256 of a file, or those of all files of a folder."""


@dataclass
class Kept:
    """What became of the files of a result.

    Attributes
    ----------
    missing : list of Path
        Written and no longer there.
    damaged, corrected : list of Path
        Changed since they were written: those that cannot be read, and those that can.
    added : list of Path
        Files in a folder of the result that it was not written with.
    """

    missing: list[Path] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)
    corrected: list[Path] = field(default_factory=list)
    added: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing or damaged."""
        return not self.missing and not self.damaged


def kept(folder: Path, versions: Sequence[Digests]) -> Kept:
    """Compare what is in a folder of results with what was written there.

    Parameters
    ----------
    folder : Path
    versions : sequence of Digests
        What was written at one place, one after another; each of them is as it was written.
    """
    found = Kept()
    for name in dict.fromkeys(name for one in versions for name in one):
        path = folder / name
        known = [one[name] for one in versions if name in one]
        if not path.exists():
            found.missing.append(path)
        elif path.is_dir():
            folders = [one for one in known if not isinstance(one, str)]
            if not folders:  # another one took the place of a file
                found.missing.append(path)
            _compare(path, folders, found)
        elif digest_of(path) not in known:
            (found.corrected if _is_whole(path) else found.damaged).append(path)
    return found


def _compare(folder: Path, known: Sequence[Mapping[str, str]], found: Kept) -> None:
    """Compare the files of a folder; those of a zarr are read as one image."""
    here = {_name(one, folder): one for one in _files(folder)}
    listed = {name for one in known for name in one}
    # of two versions, either may be there
    common = set(known[0]).intersection(*known) if known else set()
    found.missing += [folder / name for name in sorted(common) if name not in here]
    found.added += [one for name, one in here.items() if name not in listed]
    changed = [
        one
        for name, one in here.items()
        if name in listed and digest_of(one) not in [each.get(name) for each in known]
    ]
    if changed and is_zarr(folder):
        (found.corrected if _is_whole(folder) else found.damaged).append(folder)
        return
    for one in changed:
        (found.corrected if _is_whole(one) else found.damaged).append(one)


def _is_whole(path: Path) -> bool:
    """Tell whether a file or a zarr can be read to its end."""
    try:
        if path.suffix == ".json":
            return bool(json.loads(path.read_text(encoding="utf-8")))
        if path.suffix == ".dcm":
            return path.stat().st_size > 0
        image = read_image(path)
        for place in np.ndindex(*image.label_shape[:-2]):
            np.asarray(image.data[place])
    except (ValueError, OSError, RuntimeError):
        return False
    return True


def digests_of(path: Path) -> str | dict[str, str]:
    """Return the SHA-256 of a file, or of each file of a folder."""
    if not path.is_dir():
        return digest_of(path)
    return {_name(one, path): digest_of(one) for one in _files(path)}


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder.

    Raises
    ------
    OSError
        If one cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    whole = hashlib.sha256()
    for one in _files(path):
        whole.update(os.fsencode(f"{_name(one, path)}\0{digest_of(one)}\n"))
    return whole.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file() and one.name != LOCK)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
