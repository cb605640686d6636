"""What a worker of a cluster does: planes of a stack, or a file. It gets paths, never pixels."""

from __future__ import annotations

import json
import platform
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from .._version import __version__
from ..everything.amg_params import AmgParams
from ..files import many_results, written_beside
from ..images.plane_stack import PlaneStack
from ..images.readers import read_image
from ..models.registry import loading
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..stack.blocks import Block, KeptPlanes, do_block, plane_of
from ..stack.planes import best_share
from ..steps import drive
from ..types import Plane
from .kept_results import Digests
from .placing import Placing

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

_ONE = Lock()
"""A process does one task at a time, however many threads its worker has."""


class UnfitWorkerError(ValueError):
    """A worker has another program or another model than the run needs."""


class ModelSource(NamedTuple):
    """Which model a worker loads.

    Attributes
    ----------
    model, device, precision : str
    offline : bool or None
    run : str
        Names the run, so that a file that was changed is read again in the next one.
    version : str
        Of this program; a worker that joins late may have another one.
    wanted : (str, str) or None
        Fingerprint and precision of the model in the first worker that loaded it.
    """

    model: str
    device: str
    precision: str
    offline: bool | None
    run: str
    version: str
    wanted: tuple[str, str] | None = None


class ModelFacts(NamedTuple):
    """What a run needs to know of a model that only its workers load.

    Attributes
    ----------
    name, fingerprint, precision, notice : str
        As in `PromptableModel`.
    amg_defaults : dict
    """

    name: str
    fingerprint: str
    precision: str
    notice: str
    amg_defaults: dict[str, Any]


class StackSource(NamedTuple):
    """Where the planes of a run lie.

    Attributes
    ----------
    model : ModelSource
    image : Path
    series : int or None
    most_held : int
        Bytes of the image that a worker keeps at most.
    folder : Path
        Of `KeptPlanes`.
    """

    model: ModelSource
    image: Path
    series: int | None
    most_held: int
    folder: Path


@dataclass(frozen=True)
class FileTask:
    """One of several images.

    Attributes
    ----------
    model : ModelSource
    run : callable of (args, say)
        The command for one image.
    args : dict
        Its arguments, without the model.
    line : dict
        What the record says of the file when its result is complete.
    known : frozenset of str or None
        Results that may be replaced; None for all.
    begun : Path
        A file that gets this line before the result is put in place.
    """

    model: ModelSource
    run: Callable[..., str]
    args: dict[str, Any]
    line: dict[str, Any]
    known: frozenset[str] | None
    begun: Path


class FileDone(NamedTuple):
    """What became of an image.

    Attributes
    ----------
    summary : dict
    results : mapping of str to digests
        Of what was written.
    notes : tuple of str
        Lines that are to be shown.
    seconds : float
    """

    summary: dict[str, Any]
    results: Digests
    notes: tuple[str, ...]
    seconds: float


def model_facts(source: ModelSource) -> ModelFacts:
    """Load a model, which stays loaded, and tell of it."""
    with _ONE:
        model = _model(source)
    return ModelFacts(
        model.name, model.fingerprint, model.precision, model.notice, dict(model.amg_defaults)
    )


def choose_share(source: StackSource, planes: list[Plane], params: AmgParams) -> float:
    """Choose the contrast of all planes; see `best_share`."""
    with _ONE:
        image = _image(source)
        session = Session(SamPredictor(_model(source.model)), max_bytes=0)
        return drive(best_share(session, [plane_of(one, image) for one in planes], params))


def do_planes(source: StackSource, block: Block) -> int:
    """Find the objects in the planes of a block; return how many planes were not done before."""
    with _ONE:
        session = Session(SamPredictor(_model(source.model)), max_bytes=0)
        return do_block(session, block, _image(source), KeptPlanes(source.folder))


def do_file(task: FileTask) -> FileDone:
    """Do one image and put its result in place."""
    begun, notes = time.monotonic(), []

    def say(text: str, keep: bool = False) -> None:
        if keep:
            notes.append(text)

    def note(line: Mapping[str, Any]) -> None:
        with written_beside(task.begun) as partial:
            partial.write_text(json.dumps(line), encoding="utf-8")

    with _ONE:
        args = Namespace(**task.args, loaded=_model(task.model))
        args.overwrite |= task.begun.exists()
        placing = Placing(task.line, task.known, note)

        def place(partials: Mapping[Path, Path]) -> None:
            placing.known = _known(task)  # now: a worker of a killed run may have just ended
            placing(partials)

        args.output.parent.mkdir(parents=True, exist_ok=True)
        with many_results(place):
            summary = json.loads(task.run(args, say))
    seconds = round(time.monotonic() - begun, 3)
    return FileDone(summary, placing.written, tuple(notes), seconds)


def _known(task: FileTask) -> frozenset[str] | None:
    """Return results that may be replaced, with those that another worker has put in place."""
    if task.known is None or not task.begun.exists():
        return task.known
    own = json.loads(task.begun.read_text(encoding="utf-8"))["results"]
    return task.known | frozenset(own)


def _model(source: ModelSource) -> PromptableModel:
    where = f"the worker on {platform.node()} has"
    if source.version != __version__:
        raise UnfitWorkerError(
            f"{where} napari-sam-stack {__version__}, but this is {source.version}; install the "
            "same version"
        )
    model = _loaded(source._replace(wanted=None))
    if source.wanted not in (None, (model.fingerprint, model.precision)):
        raise UnfitWorkerError(
            f"{where} another file of the model, or another precision ({model.precision}), than "
            f"the first worker ({source.wanted[1]}); give all of them the same file, and the run "
            "--precision"
        )
    return model


@lru_cache(maxsize=1)
def _loaded(source: ModelSource) -> PromptableModel:
    return drive(loading(source.model, source.device, source.offline, source.precision))


@lru_cache(maxsize=1)
def _image(source: StackSource) -> Any:
    data = read_image(source.image, source.series).data
    if isinstance(data, PlaneStack):
        data.most_held = source.most_held
    return data
