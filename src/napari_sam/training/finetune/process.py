"""A training in a process of its own: `python -m napari_sam.training.finetune.process FOLDER`.

It reads what it is asked for from the folder (`request.py`), and writes a line of JSON for each
event to its standard output. Lines on its standard input are commands (`request.COMMANDS`). When
that is closed, whoever began it has ended: then it ends, too.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from ...files import replacing
from ...types import Progress
from .examples import Example
from .request import PICTURE, RESULT, Request, read_request
from .split import Split, split
from .training_folder import LOCK, locked
from .tune_params import TuneParams, TuneStep

NICENESS = 10
GRACE = 20.0
"""Seconds from the end of whoever began it until the process ends even within a step."""
WAIT = 0.2
"""Seconds between two looks whether a pause has ended."""
EVERY = 0.2
"""Seconds between two events of the same kind."""
EXPECTED = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


class Commands:
    """What whoever began the process wants of it; read in a thread.

    Parameters
    ----------
    lines : TextIO

    Attributes
    ----------
    paused, stopped, abandoned : threading.Event
        `abandoned`: nobody listens any more.
    """

    def __init__(self, lines: TextIO) -> None:
        self.paused, self.stopped = threading.Event(), threading.Event()
        self.abandoned = threading.Event()
        self._lines = lines

    def listen(self) -> None:
        """Read until there is nothing more to come."""
        for line in self._lines:
            word = line.strip()
            if word == "pause":
                self.paused.set()
            elif word == "resume":
                self.paused.clear()
            elif word == "stop":
                self.stopped.set()
        self.abandoned.set()

    def wait(self) -> bool:
        """Wait while paused; return whether to go on."""
        while self.paused.is_set() and not (self.stopped.is_set() or self.abandoned.is_set()):
            time.sleep(WAIT)
        return not self.abandoned.is_set()


class Events:
    """Writes events as lines of JSON.

    Parameters
    ----------
    out : TextIO
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: dict[str, float] = {}

    def tell(self, event: str, **content: Any) -> None:
        """Write an event."""
        self._out.write(json.dumps({"event": event, **content}) + "\n")
        self._out.flush()

    def now_and_then(self, event: str, **content: Any) -> None:
        """Write an event, unless one of its kind was just written."""
        now = time.monotonic()
        if now - self._last.get(event, -EVERY) >= EVERY:
            self._last[event] = now
            self.tell(event, **content)

    def step(self, step: TuneStep | Progress) -> None:
        """Write how far the work is; measurements on the held-out part are never left out."""
        if isinstance(step, Progress):
            self.now_and_then("progress", text=step.text, done=step.done, total=step.total)
        elif step.held_out is not None:
            self.tell("step", **asdict(step))
        else:
            self.now_and_then("step", **asdict(step))


def run(folder: Path, commands: Commands, events: Events) -> None:
    """Do what is asked for in a folder.

    Raises
    ------
    ValueError
        If it cannot be read or done, or another program trains in the folder.
    """
    request, examples = read_request(folder)
    with locked(folder):
        _run(request, examples, folder, commands, events)


def _run(
    request: Request, examples: list[Example], folder: Path, commands: Commands, events: Events
) -> None:
    events.tell("progress", text="preparing the training", done=0, total=0)
    divided = split(examples, request.held_out, request.params.seed)
    from .proven import shortage  # torch takes its time

    few = shortage(divided)
    events.tell("split", text=f"{divided.sentence}; {few}" if few else divided.sentence)
    request = replace(request, params=_with_threads(request.params))
    if request.estimate:
        from .estimating import estimate

        found = estimate(request.base, divided.learn, request.params, device=request.device)
        events.tell("estimate", **asdict(found), shortage=few)
        return
    path = _tuned(request, divided, folder, commands, events)
    if path is not None:
        _judged(request, path, divided, folder, commands, events)


def _tuned(
    request: Request, divided: Split, folder: Path, commands: Commands, events: Events
) -> Path | None:
    """Tune the model; return its file, or None if nobody waits for it any more."""
    from .proven import halves
    from .tuning import BEST, tuning

    choosing, _ = halves(divided.held_out)
    steps = tuning(
        request.base, divided.learn, choosing, request.params, folder, device=request.device
    )
    try:
        while commands.wait() and not commands.stopped.is_set():
            try:
                events.step(next(steps))
            except StopIteration as end:
                path: Path = end.value
                return path
    finally:
        steps.close()
    if commands.abandoned.is_set():
        return None
    if not (folder / BEST).exists():
        raise ValueError("it was stopped before anything was learnt; the model stays as it was")
    return folder / BEST


def _judged(
    request: Request, path: Path, divided: Split, folder: Path, commands: Commands, events: Events
) -> None:
    """Compare the tuned model with its base, write its file and a picture, and tell."""
    from .proven import Proven, halves, proving

    _, judging = halves(divided.held_out)
    steps: Generator[Progress, None, Proven] = proving(
        request.base, path, judging, seed=request.params.seed, device=request.device
    )
    with closing(steps):
        while commands.wait():
            try:
                events.step(next(steps))
            except StopIteration as end:
                proven: Proven = end.value
                break
        else:
            return
    versus = proven.versus
    text = f"{versus.verdict} {proven.remark}".rstrip()
    proven.write(folder / RESULT)
    _write_picture(folder / PICTURE, versus.picture())
    _tidy(folder)
    events.tell(
        "verdict",
        better=versus.better,
        text=text,
        table=versus.as_text(),
        picture=str(folder / PICTURE),
        file=str(folder / RESULT),
    )


def _tidy(folder: Path) -> None:
    """Remove examples and checkpoints; the result stays."""
    for path in folder.iterdir():
        if path.name not in (RESULT, PICTURE, LOCK):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _with_threads(params: TuneParams) -> TuneParams:
    return params if params.threads else replace(params, threads=free_threads())


def free_threads() -> int:
    """Return how many threads leave one for whoever works at this machine."""
    return max(1, (os.cpu_count() or 1) - 1)


def _write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    with replacing(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if isinstance(error, MemoryError) or (lines and "memory" in lines[0].lower()):
        return "there is not enough memory to train; close something, or learn from fewer images"
    return lines[0] if lines else type(error).__name__


def _make_way() -> None:
    """Let everything else on this machine go first."""
    os.environ.setdefault("OMP_NUM_THREADS", str(free_threads()))  # torch is not loaded yet
    windows = getattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", None)
    own = psutil.Process()
    with suppress(psutil.Error):
        own.nice(max(int(own.nice()), NICENESS) if windows is None else windows)


def main(arguments: list[str]) -> int:
    """Do what is asked for in the folder that is named; return the exit code."""
    _make_way()
    commands, events = Commands(sys.stdin), Events(sys.stdout)

    def watch() -> None:
        commands.listen()
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    try:
        run(Path(arguments[0]), commands, events)
    except EXPECTED as error:
        events.tell("error", text=_sentence(error))
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # Python cannot end in order while a thread waits for its standard input
