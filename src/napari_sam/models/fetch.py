"""Downloads of published checkpoints: resumed, checked, moved into place when complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import filelock
import pooch
import requests
import urllib3

from ..files import named_folder
from ..types import Progress
from .specs import ModelSpec

FOLDER_VARIABLE = "NAPARI_SAM_MODELS"
OFFLINE_VARIABLE = "NAPARI_SAM_OFFLINE"
Timeouts = tuple[float, float]
TIMEOUTS: Timeouts = (10.0, 15.0)
"""Longest wait for a connection, and for the next bytes, s."""
LOCK_WAIT = 0.5
"""Longest wait for another fetch of the same file, s."""
CHUNK = 1 << 20
"""Most bytes that are taken from the network at once."""
PAUSE = 0.1
"""Least time between two values of progress, s."""

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_OR_BY_PATH = "or give the path of a file that you have"
_GOES_ON = f"try again: the download continues where it stopped, {_OR_BY_PATH}"


def models_folder() -> Path:
    """Return the folder that fetched checkpoints are kept in."""
    chosen = os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("napari-sam-stack") / "models"
    return named_folder(chosen, FOLDER_VARIABLE)


def is_offline() -> bool:
    """Tell whether the environment switches downloads off."""
    return os.environ.get(OFFLINE_VARIABLE, "") not in ("", "0")


def cached_path(spec: ModelSpec, folder: Path | None = None) -> Path:
    """Return where the file of a checkpoint is, or would be, once it is fetched."""
    return (models_folder() if folder is None else folder) / spec.file_name


def is_here(spec: ModelSpec, folder: Path | None = None) -> bool:
    """Tell whether a checkpoint was fetched; its content is not looked at."""
    try:
        path = cached_path(spec, folder)
    except ValueError:  # the folder cannot be; fetching says so
        return False
    return os.path.isfile(path)  # noqa: PTH113 - false without permission


def fetch(
    spec: ModelSpec,
    folder: Path | None = None,
    offline: bool | None = None,
    *,
    timeouts: Timeouts = TIMEOUTS,
) -> Generator[Progress, None, Path]:
    """Download a checkpoint, and yield the progress.

    What was received when the generator is closed or fails stays in a file beside the final one,
    and the next call goes on from there.

    Parameters
    ----------
    spec : ModelSpec
    folder : Path, optional
        Instead of `models_folder()`.
    offline : bool, optional
        Whether downloads are switched off; None asks the environment.
    timeouts : (connect, read) float
        Longest wait for a connection and for the next bytes, in seconds.

    Yields
    ------
    Progress
        In bytes, not more than about ten times a second.

    Returns
    -------
    Path
        Of a file whose hash is the published one.

    Raises
    ------
    ValueError
        If the file is not here and cannot be had, or is not what was published.
    """
    _check_published(spec)
    final = cached_path(spec, folder)
    try:
        if final.is_file() and _is_published(final, spec):
            return final
        if is_offline() if offline is None else offline:
            raise ValueError(
                f"no intact file of {spec.name} is on this machine and downloads are switched off; "
                f"switch them on (unset {OFFLINE_VARIABLE}, if it is set), {_OR_BY_PATH}"
            )
        final.parent.mkdir(parents=True, exist_ok=True)
        # Not local to a thread: a generator may be closed by another one than drove it.
        with filelock.FileLock(f"{final}.lock", LOCK_WAIT, thread_local=False):
            if not (final.is_file() and _is_published(final, spec)):  # others may have been quicker
                yield from _replace(spec, final, timeouts)
    except filelock.Timeout as error:
        raise ValueError(
            f"{spec.name} is being fetched already, or an earlier download is still ending; "
            "try again in a little while"
        ) from error
    except OSError as error:
        raise ValueError(_disk_trouble(spec, final.parent, error)) from error
    return final


def _check_published(spec: ModelSpec) -> None:
    if spec.bundled:
        raise ValueError(f"{spec.name} is part of this package; it is loaded, not fetched")
    if urlsplit(spec.url).scheme not in ("http", "https"):
        raise ValueError(f"{spec.name} must come from http(s)://, but its address is {spec.url}")


def _is_published(path: Path, spec: ModelSpec) -> bool:
    algorithm, _, digest = spec.hash.partition(":")
    return bool(pooch.file_hash(path, alg=algorithm) == digest.lower())


def _replace(spec: ModelSpec, final: Path, timeouts: Timeouts) -> Generator[Progress, None, None]:
    """Receive a file beside its place, and move it there if it is the published one."""
    part = final.with_name(f"{final.name}.part")
    yield from _receive(spec, part, timeouts)
    size = _size(part)
    yield Progress(size, size, f"{spec.name}: checking {_megabytes(size)} MB")
    if not _is_published(part, spec):
        part.unlink()
        raise ValueError(
            f"what was received for {spec.name} is not what was published, and was deleted; "
            f"try again, {_OR_BY_PATH}"
        )
    part.replace(final)


def _receive(spec: ModelSpec, part: Path, timeouts: Timeouts) -> Generator[Progress, None, None]:
    """Add to the part of a file what it lacks, as far as the server gives it."""
    host = urlsplit(spec.url).hostname
    yield Progress(0, spec.size, f"{spec.name}: asking {host}")
    try:
        response = _ask_for_rest(spec, part, timeouts)
        if response is None:
            return
        with response:
            start, total = _checked_answer(spec, part, response)
            with part.open("ab" if start else "wb") as file:
                yield from _copy(spec, response, file, start, total)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise ValueError(
            f"{spec.name} could not be fetched, because {host} {_reason(error, timeouts)}; "
            f"{_megabytes(_size(part))} MB are here; {_GOES_ON}"
        ) from error


def _ask_for_rest(spec: ModelSpec, part: Path, timeouts: Timeouts) -> requests.Response | None:
    """Return the answer to a question for what a part lacks; None if it lacks nothing."""
    start = _size(part)
    response = _ask(spec.url, start, timeouts)
    beyond = response.status_code == requests.codes.requested_range_not_satisfiable
    displaced = response.status_code == requests.codes.partial and _extent(response)[0] != start
    if not start or not (beyond or displaced):
        return response
    response.close()
    if beyond and _is_published(part, spec):
        return None
    return _ask(spec.url, 0, timeouts)


def _ask(url: str, start: int, timeouts: Timeouts) -> requests.Response:
    headers = {"Accept-Encoding": "identity"}  # a range counts the bytes that were published
    if start:
        headers["Range"] = f"bytes={start}-"
    return requests.get(url, headers=headers, stream=True, timeout=timeouts)


def _checked_answer(
    spec: ModelSpec, part: Path, response: requests.Response
) -> tuple[int, int | None]:
    """Return what `_extent` does, for an answer that is of use and that there is room for."""
    host, (start, total) = urlsplit(response.url).hostname, _extent(response)
    if start not in (0, _size(part)):
        raise ValueError(
            f"{spec.name} could not be fetched, because {host} answered {response.status_code} "
            f"{response.reason}; try again later, {_OR_BY_PATH}"
        )
    if spec.exact_size and total not in (None, spec.size):
        raise ValueError(
            f"{host} offers {total} bytes as {spec.name}, but {spec.size} were published; "
            f"try again later, {_OR_BY_PATH}"
        )
    needed = (total or spec.size) - _size(part)
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise ValueError(
            f"{spec.name} needs {_megabytes(needed)} MB in {part.parent}, but "
            f"{_megabytes(free)} MB are free; make room, or set {FOLDER_VARIABLE} to another folder"
        )
    return start, total


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """Return where in the file an answer begins, and the size of the file; None if unsaid."""
    if response.status_code == requests.codes.ok:
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    if response.status_code != requests.codes.partial or found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _copy(
    spec: ModelSpec, response: requests.Response, file: BinaryIO, start: int, total: int | None
) -> Generator[Progress, None, None]:
    """Write what arrives, as soon as it arrives."""
    whole = spec.size_text if total is None else f"{_megabytes(total)} MB"
    done, began, reported = start, time.monotonic(), -PAUSE
    # Unlike `iter_content`, this does not wait until a chunk is full.
    while chunk := response.raw.read1(CHUNK):
        file.write(chunk)
        done += len(chunk)
        elapsed = time.monotonic() - began
        if elapsed - reported >= PAUSE:
            reported = elapsed
            speed = (done - start) / max(elapsed, PAUSE) / 1e6
            text = f"{spec.name}: {_megabytes(done)} of {whole}, {speed:.1f} MB/s"
            yield Progress(done, max(total or spec.size, done), text)
    if total is not None and done < total:
        raise ValueError(f"only {done} of {total} bytes of {spec.name} arrived; {_GOES_ON}")


def _reason(error: Exception, timeouts: Timeouts) -> str:
    """Return what is wrong with a server, as the end of a sentence."""
    if isinstance(error, requests.ConnectTimeout):
        return f"was not reached within {timeouts[0]:g} s"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"sent nothing for {timeouts[1]:g} s"
    if isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
        return "has a certificate that is not trusted on this machine"
    if isinstance(error, (requests.ConnectionError, urllib3.exceptions.ProtocolError)):
        return "cannot be reached or broke off"
    return f"gave no usable answer ({type(error).__name__})"


def _disk_trouble(spec: ModelSpec, folder: Path, error: OSError) -> str:
    elsewhere = f"set {FOLDER_VARIABLE} to another folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder} is full; make room and {_GOES_ON}, or {elsewhere}"
    return f"{spec.name} cannot be kept in {folder}: {error.strerror or error}; {elsewhere}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
