"""Where the models are kept that came out of trainings."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ....files import replacing
from ....objects.journal_folder import journal_folder

MOST_KEPT = 5
"""Tuned models that are kept beside the one in use; older ones go."""
NUMBERED = re.compile(r".+-tuned-(\d+)\.safetensors")


def tuned_folder() -> Path:
    """Return where tuned models are kept; raises `ValueError` as `journal_folder`."""
    return journal_folder().parent / "tuned"


def keep(result: Path, base: str, in_use: Collection[str]) -> Path:
    """Copy a tuned model to those that are kept, and remove old ones.

    Parameters
    ----------
    result : Path
    base : str
        Display name of the model that was tuned.
    in_use : collection of str
        Paths of models that must stay.

    Returns
    -------
    Path
        BASE-tuned-NUMBER.safetensors.

    Raises
    ------
    ValueError
        If the disk refuses it.
    """
    folder = tuned_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder} cannot be made: {error.strerror or error}") from error
    kept = _kept(folder)
    number = 1 + max((place for place, _ in kept), default=0)
    target = folder / f"{base}-tuned-{number}.safetensors"
    with replacing(target) as partial:
        shutil.copyfile(result, partial)
    old = [path for _, path in kept if str(path) not in in_use]
    for path in old[: max(0, len(old) - MOST_KEPT + 1)]:
        with suppress(OSError):
            path.unlink()
    return target


def is_kept(model: str) -> bool:
    """Tell whether a model is the file of one that is kept here."""
    try:
        return Path(model).parent == tuned_folder()
    except ValueError:  # of the user's environment: nothing can be kept
        return False


def _kept(folder: Path) -> list[tuple[int, Path]]:
    """Return the tuned models that are kept and their numbers, the oldest first."""
    found = ((NUMBERED.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match)
