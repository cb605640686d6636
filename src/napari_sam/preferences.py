"""What the user chose is kept between starts, in one file of the user's configuration folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from .files import named_folder, written_beside
from .objects.overlap import KEEP, RULES
from .predict import cache

FOLDER_VARIABLE = "NAPARI_SAM_CONFIG_DIR"
FILE_NAME = "preferences.json"
FORMAT = 1
"""Number of the file's format; a file with a larger one is of a later version of this package."""
LEAST_QUOTA = 100_000_000
"""The smallest quota of the cache that can be chosen, bytes."""
MOST_QUOTA = 2**50
LONGEST = 4096
"""Letters of a text that is still believed."""


@dataclass(frozen=True)
class Choices:
    """What is kept.

    Attributes
    ----------
    model : str
        Name of a model, or path of a checkpoint; empty for the bundled one.
    device : str
        Where models run: "auto", "cpu" and so on.
    overlap : str
        Name of a rule of `objects.overlap.RULES`.
    tidy : bool or None
        Whether masks are tidied; None leaves it to the model.
    cache_folder : str
        Where encoded planes are kept; empty for the folder that suits the system.
    cache_quota : int
        How much of them is kept, bytes.
    annotator : str
        Name of the user, noted with the objects; empty for none.
    learn : bool
        Whether the model learns in the background from objects that are kept.
    keys : mapping of str to str
        Keys that the user changed, by the ids of actions; "" where an action has no key.
    """

    model: str = ""
    device: str = "auto"
    overlap: str = KEEP
    tidy: bool | None = None
    cache_folder: str = ""
    cache_quota: int = cache.QUOTA_BYTES
    annotator: str = ""
    learn: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


def preferences_file() -> Path:
    """Return the file that preferences are kept in.

    Raises
    ------
    ValueError
        If the environment names a folder that cannot be.
    """
    default = platformdirs.user_config_path("napari-sam-stack")
    folder = named_folder(os.environ.get(FOLDER_VARIABLE) or default, FOLDER_VARIABLE)
    return folder / FILE_NAME


class Preferences:
    """Reads the choices at the start, and writes the file when one changes.

    Before each write the file is read again. So of two programs that run at a time each keeps what
    was changed in it, and of two changes of one choice the later one.

    Parameters
    ----------
    path : Path, optional
        Instead of `preferences_file()`.

    Attributes
    ----------
    chosen : Choices
    notice : str
        One sentence on why choices were not read or are not kept; empty if there is no problem.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.notice = ""
        self._path = path
        try:
            self._path = preferences_file() if path is None else path
        except ValueError as error:  # of the user's environment
            self.notice = f"preferences are not kept: {error}"
        self.chosen = self._read() or Choices()

    def set(self, **changes: Any) -> None:
        """Change choices, by their names; the file is written only where something differs."""
        chosen = replace(self.chosen, **changes)
        if chosen == self.chosen:
            return
        self.chosen = chosen
        if self._path is None:
            return
        known = self._read()
        if known is None:
            return  # of a later version; it stays as it is
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            content = {"format": FORMAT, **asdict(replace(known, **changes))}
            with written_beside(self._path) as partial:
                partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            self.notice = (
                f"preferences are not kept in {self._path}: {error.strerror or error}; make that "
                f"folder writable, or set {FOLDER_VARIABLE} to another one"
            )
        else:
            self.notice = ""

    def _read(self) -> Choices | None:
        """Return what the file holds, or the defaults; None if it must not be replaced."""
        if self._path is None:
            return Choices()
        try:
            content = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return Choices()
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or not _whole(content.get("format"), 1):
            self.notice = (
                f"{self._path} is damaged: your preferences are those of a new installation; the "
                "next change replaces the file"
            )
            return Choices()
        if content["format"] > FORMAT:
            self.notice = (
                f"{self._path} was written by a later version of napari-sam-stack: your "
                "preferences are not used and changes are not kept; update the package"
            )
            return None
        return _checked(content)


def disk_cache(chosen: Choices) -> cache.DiskCache:
    """Return the cache of encoded planes as it was chosen; the environment has the last word.

    Raises
    ------
    ValueError
        If the environment names a folder that cannot be.
    """
    return cache.DiskCache(cache_folder(chosen), chosen.cache_quota)


def cache_folder(chosen: Choices) -> Path:
    """Return the folder of `disk_cache`; raises as it does."""
    if chosen.cache_folder and not os.environ.get(cache.FOLDER_VARIABLE):
        return Path(chosen.cache_folder)
    return cache.cache_folder()


def _checked(content: Mapping[str, Any]) -> Choices:
    """Return the choices in the content of a file; what cannot be is left out."""
    sound = {
        "model": _text,
        "device": _text,
        "overlap": lambda value: _text(value) and value in RULES,
        "tidy": lambda value: value is None or isinstance(value, bool),
        "cache_folder": _text,
        "cache_quota": lambda value: _whole(value, LEAST_QUOTA) and value <= MOST_QUOTA,
        "annotator": _text,
        "learn": lambda value: isinstance(value, bool),
        "keys": _texts,
    }
    names = (one.name for one in fields(Choices))
    return Choices(
        **{name: content[name] for name in names if name in content and sound[name](content[name])}
    )


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and value.isprintable()


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(_text(one) for pair in value.items() for one in pair)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
