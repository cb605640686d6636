"""Result files: checked before the long work, and in place only when complete."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ABANDONED = 24 * 3600.0
"""Age of a partial file, s, after which it is removed whoever wrote it."""
Placing = Callable[[Mapping[Path, Path]], None]
"""Told of results by their places, where each is complete and not in place yet."""
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_PARTIAL = re.compile(r"\..*\.([0-9a-f]{6})-(\d+)\.partial(\.\w+)?")


@dataclass
class _Many:
    """A run that writes many results; `tidied` are folders without abandoned files."""

    placing: Placing
    tidied: set[Path] = field(default_factory=set)


_many: ContextVar[_Many | None] = ContextVar("many", default=None)


@contextmanager
def many_results(placing: Placing) -> Iterator[None]:
    """Have a function called before results are put in place; look for abandoned files once.

    Parameters
    ----------
    placing : callable of mapping of Path to Path
        Called with where complete results are, by the places they go to; all of one call belong
        together. If it raises, none is put in place.
    """
    token = _many.set(_Many(placing))
    try:
        yield
    finally:
        _many.reset(token)


def check_target(path: str | Path, source: str | Path | None, overwrite: bool) -> None:
    """Refuse a place where a result cannot go; call it before the long work.

    A file is made beside it and removed. What killed processes left there is removed as well.

    Parameters
    ----------
    path : str or Path
        The result.
    source : str or Path or None
        The input, which is never written to.
    overwrite : bool

    Raises
    ------
    ValueError
        If there is no such folder or no right to write in it, the name is too long, the path is
        the input's, a folder or a device, or a file is there and may not be overwritten.
    """
    path = Path(path)
    try:
        _check_place(path)
        folder = path.resolve().parent
        if source is not None and same_file(path, Path(source)):
            raise ValueError(f"the result {path} would replace the input; choose another name")
        if (path.exists() or path.is_symlink()) and not overwrite:
            raise ValueError(f"{path} exists; choose another name or give --overwrite")
        _remove_abandoned(folder)
        trial = _partial(path.resolve())
        trial.touch()
        trial.unlink()
    except (OSError, RuntimeError) as error:  # the latter is an endless chain of links
        raise _no_place(path, error) from error


@contextmanager
def written_beside(place: Path, partial: Path | None = None) -> Iterator[Path]:
    """Write a file beside its place and move it there when it is complete.

    Parameters
    ----------
    place : Path
        Where the file goes; what was there stays until then, and for good where writing fails.
    partial : Path, optional
        Where to write until then, in the same folder; by default a hidden name with this
        process's number and the same suffix.

    Yields
    ------
    Path
        Where to write. It ends with the context.
    """
    partial = _partial(place) if partial is None else partial
    try:
        yield partial
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Write a result like `written_beside`.

    Raises
    ------
    ValueError
        Where the disk refuses it.
    """
    with replacing_all([target]) as (partial,):
        yield partial


@contextmanager
def replacing_all(targets: Sequence[str | Path]) -> Iterator[list[Path]]:
    """Write results that belong together like `written_beside`; never mix those of two runs.

    When all are complete, all earlier ones but the first are removed, and then each takes its
    place in the order given. So a process that is killed leaves the earlier first one or the new
    one, and the others are of the same run or missing.

    Parameters
    ----------
    targets : sequence of path

    Yields
    ------
    list of Path
        Where to write each.

    Raises
    ------
    ValueError
        Where the disk refuses one.
    """
    try:
        places = [Path(target).resolve() for target in targets]
        with ExitStack() as stack:
            partials = [_partial(place) for place in places]
            for partial in partials:
                stack.callback(partial.unlink, missing_ok=True)
            yield partials
            _tell(dict(zip(places, partials, strict=True)))
            for place in places[1:]:
                place.unlink(missing_ok=True)
            for partial, place in zip(partials, places, strict=True):
                partial.replace(place)
    except (OSError, RuntimeError) as error:
        raise _no_place(targets[0], error) from error


@contextmanager
def replacing_folder(target: str | Path) -> Iterator[Path]:
    """Write a folder beside its place; it takes the place of an earlier one when it is complete.

    The earlier one is set aside for that moment. A process that is killed then leaves it under a
    hidden name, from which `put_back` fetches it.

    Parameters
    ----------
    target : str or Path
        The caller has checked that what is there may be replaced.

    Yields
    ------
    Path
        A new, empty folder to write to.

    Raises
    ------
    ValueError
        Where the disk refuses it.
    """
    try:
        with folder_written_beside(target) as partial:
            yield partial
    except (OSError, RuntimeError) as error:
        raise _no_place(target, error) from error


@contextmanager
def folder_written_beside(target: str | Path) -> Iterator[Path]:
    """Do as `replacing_folder`; errors, also those of other work in between, stay as they are."""
    place = Path(target).resolve()
    put_back(place)
    _remove_abandoned(place.parent)
    partial, aside = _partial(place), _aside(place)
    _remove(partial)
    partial.mkdir()
    try:
        yield partial
        _tell({place: partial})
        if place.exists():
            place.rename(aside)
        partial.rename(place)
    finally:
        _remove(partial)
        put_back(place)  # or remove what was set aside


def put_back(place: Path) -> None:
    """Put back what a killed process set aside from a place, or remove it if that is taken."""
    aside = _aside(place)
    with suppress(OSError):
        if aside.exists() and not place.exists():
            aside.rename(place)
        elif aside.exists():
            _remove(aside)


def named_folder(path: str | Path, variable: str) -> Path:
    """Return a folder that an environment variable may name, with ~ expanded.

    Raises
    ------
    ValueError
        If it lies in the home of an unknown user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{path} lies in the home of an unknown user; set {variable} to another folder"
        ) from error


def write_text(path: str | Path, text: str, source: str | Path | None, overwrite: bool) -> None:
    """Write a text (see `replacing`); raises as `check_target` does."""
    check_target(path, source, overwrite)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _check_place(path: Path) -> None:
    folder = path.resolve().parent
    if not folder.is_dir():
        raise ValueError(f"no place for the result: there is no folder {folder}")
    if path.is_dir():
        raise ValueError(f"no place for the result: {path} is a folder")
    if path.exists() and not path.is_file():
        raise ValueError(f"no place for the result: {path} is a device or a pipe, not a file")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"no place for the result: the folder {folder} is write-protected")


def _no_place(path: str | Path, error: Exception) -> ValueError:
    reason = str(error)
    if isinstance(error, OSError):  # numpy's own has no number where a disk is full
        reason = error.strerror or f"the disk does not take it all ({error})"
    return ValueError(f"no place for the result {path}: {reason}")


def _partial(place: Path) -> Path:
    """Return a hidden name of this process beside a place; it is short where the name is long."""
    stem = os.fsencode(place.stem)[:80].decode(errors="ignore")
    return place.with_name(f".{stem}.{_HOST}-{os.getpid()}.partial{place.suffix}")


def _aside(place: Path) -> Path:
    """Return the hidden name of an earlier folder; all processes give it the same."""
    name = hashlib.sha256(os.fsencode(place.name)).hexdigest()[:12]
    return place.with_name(f".{name}.earlier")


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _tell(partials: Mapping[Path, Path]) -> None:
    many = _many.get()
    if many is not None:
        many.placing(partials)


def _remove_abandoned(folder: Path) -> None:
    """Remove partial files of processes of this computer that have ended, and those of old."""
    many = _many.get()
    if many is not None:
        if folder in many.tidied:
            return
        many.tidied.add(folder)
    for path in folder.glob(".*.partial*"):
        found = _PARTIAL.fullmatch(path.name)
        if found is None:
            continue
        dead = found[1] == _HOST and not psutil.pid_exists(int(found[2]))
        with suppress(OSError):
            if dead or time.time() - path.stat().st_mtime > ABANDONED:
                _remove(path)


def same_file(a: Path, b: Path) -> bool:
    """Tell whether two paths name one file; neither need exist."""
    if a.resolve() == b.resolve():
        return True
    return a.exists() and b.exists() and a.samefile(b)
