"""What workers of a cluster need before they are given work: this program, and the same files."""

from __future__ import annotations

import os
import pkgutil
import uuid
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._version import __version__
from ..models.registry import is_path
from .commands import Say
from .worded import whole_name

FIRST_WORKER = 30.0
"""Seconds that a first worker has to join a scheduler in."""


def check_workers(client: Any, address: str, say: Say) -> None:
    """Refuse workers that lack this program or have another version of it."""
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER)
    except TimeoutError as error:
        raise ValueError(
            f"the cluster {address} has no worker; start one with: dask worker {address} "
            "--nthreads 1"
        ) from error
    versions = client.run(pkgutil.resolve_name, "napari_sam:__version__", on_error="return")
    for worker, version in versions.items():
        if isinstance(version, Exception):
            raise ValueError(
                f"the worker {worker} lacks this program ({version}); install napari-sam-stack "
                f"{__version__} there"
            )
        if version != __version__:
            raise ValueError(
                f"the worker {worker} has napari-sam-stack {version}, but this is {__version__}; "
                "install the same version"
            )
    idle = [
        one
        for one in client.scheduler_info(n_workers=-1)["workers"].values()
        if one["nthreads"] > 1
    ]
    if idle:
        say(
            f"{len(idle)} workers have several threads and use one; start them with --nthreads 1 "
            "and --nworkers",
            keep=True,
        )


def check_files(client: Any, seen: Sequence[Path], folder: Path) -> None:
    """Refuse workers that do not see the same files under the same names."""
    token = folder / f".{uuid.uuid4().hex}"
    token.touch()
    try:
        for path in (*seen, token):
            for worker, there in client.run(os.path.exists, str(path)).items():
                if not there:
                    named = folder if path == token else path
                    raise ValueError(
                        f"the worker {worker} does not see {named}; all machines need to see the "
                        "same files under the same names"
                    )
        for worker, fine in client.run(os.access, str(folder), os.W_OK).items():
            if not fine:
                raise ValueError(f"the worker {worker} may not write to {folder}")
    finally:
        token.unlink(missing_ok=True)


def models_of(args: Namespace) -> list[Path]:
    """Return the files of models that workers load."""
    text = whole_name(getattr(args, "text_model", None))
    named = [args.model] if is_path(args.model) else []
    named += [] if text is None or not Path(text).exists() else [text]
    return [Path(one).resolve() for one in named]
