"""What a training process is asked for, and the files in its folder; no torch."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from ...files import written_beside
from .examples import Example, read_examples, write_examples
from .tune_params import TuneParams

REQUEST, EXAMPLES = "request.json", "examples.zip"
RESULT, PICTURE = "tuned.safetensors", "changes.png"
"""What the process writes: the tuned model, and the objects that changed most."""
TRAININGS = "trainings"
"""In the folder of the cache of encoded planes; each training has its own in it."""
OWNED = re.compile(r"(\d+)-[0-9a-f]{32}")
FORMAT = 1
COMMANDS = ("pause", "resume", "stop")
"""Lines that the process takes: `stop` ends the training, and the best so far is compared."""


@dataclass(frozen=True)
class Request:
    """What a training process is asked for.

    Attributes
    ----------
    base : str
        Name or file of the model to tune.
    params : TuneParams
    held_out : float
        Share of the objects that judge.
    device : str
        Of the training and of the comparison; see `tuning.tuning`.
    estimate : bool
        Whether it is only to tell what the training will take.
    """

    base: str
    params: TuneParams = field(default_factory=TuneParams)
    held_out: float = 0.25
    device: str = "auto"
    estimate: bool = False


def new_folder(cache: Path) -> Path:
    """Return a folder for a training of this program; it is not made yet.

    Parameters
    ----------
    cache : Path
        The folder of the cache of encoded planes, which the user may have chosen.
    """
    return cache / TRAININGS / f"{os.getpid()}-{uuid4().hex}"


def remove_left_over(cache: Path) -> None:
    """Remove the folders of trainings whose programs have ended; raises no error."""
    with suppress(OSError):
        for folder in (cache / TRAININGS).iterdir():
            owner = OWNED.fullmatch(folder.name)
            if owner and not psutil.pid_exists(int(owner[1])):
                shutil.rmtree(folder, ignore_errors=True)


def write_request(folder: Path, request: Request, examples: Sequence[Example]) -> None:
    """Write what a process is asked for, and the examples, into its folder.

    Raises
    ------
    ValueError
        If the disk refuses the examples.
    OSError
        If it refuses the folder or the request.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_examples(folder / EXAMPLES, examples)
    rewrite_request(folder, request)


def rewrite_request(folder: Path, request: Request) -> None:
    """Ask for something else on the same examples; raises `OSError`."""
    content = {"format": FORMAT, **asdict(request)}
    with written_beside(folder / REQUEST) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_request(folder: Path) -> tuple[Request, list[Example]]:
    """Read what `write_request` wrote.

    Raises
    ------
    ValueError
        If it is missing, damaged, or of another version.
    """
    try:
        content: Any = json.loads((folder / REQUEST).read_bytes())
        if content.pop("format") != FORMAT:
            raise ValueError("it is of another version")
        request = Request(**content | {"params": TuneParams(**content["params"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder} holds no request that can be read: {error}") from error
    return request, read_examples(folder / EXAMPLES)
