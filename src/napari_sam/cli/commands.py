"""What the commands of the command line do; each returns the text that it prints."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Generator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..evaluate import report
from ..evaluate.scores import (
    ObjectScore,
    average_precision,
    pool_small,
    score_image,
    session_answer,
    summarise,
)
from ..everything.amg import AutomaticMaskGenerator
from ..everything.amg_params import AmgParams
from ..files import check_target
from ..formats.label_images import PROGRAM
from ..formats.label_result import LabelResult
from ..images.channels import channels_text
from ..images.labelled import find_labelled, read_labelled
from ..images.readers import StackImage, read_image
from ..masks import to_labels
from ..models.cards import read_card
from ..models.installed import require_torch
from ..models.registry import check_name, check_runs, find_spec, is_path, loading, state_text
from ..models.specs import SPECS
from ..objects.journal_folder import journal_folder, left_over, remove
from ..predict.cache import Usage
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..preferences import Preferences, disk_cache
from ..stack import volumes
from ..steps import drive
from ..training.finetune.request import remove_left_over
from ..types import MaskRecord, Progress
from .compare import evaluate_pair
from .endings import Declined, TerminatedError
from .inputs import globbed
from .prompt_text import (
    Planes,
    read_channels,
    read_spacing,
)

if TYPE_CHECKING:
    from ..models.contract import PromptableModel


class Say(Protocol):
    """Shows one line of progress, or one that stays."""

    def __call__(self, text: str, keep: bool = False) -> None:
        """Show it."""


class Named(Protocol):
    """A model, or what is known of one that another process has loaded.

    Attributes
    ----------
    name : str
    """

    @property
    def name(self) -> str:
        """Its name."""


def models(args: Namespace, say: Say) -> str:
    """Return a table of the models that can be loaded."""
    from ..models.fetch import fetch, models_folder  # requests and pooch take their time

    if args.export is not None:
        return _exported(args)
    if args.model is not None and is_path(args.model):
        if args.fetch:
            raise ValueError(f"{args.model} is a file already; --fetch needs the name of a model")
        line = f"{args.model} loads: it is a model that sees {load(args, say).image_size} px"
        card = read_card(args.model)
        return line if card is None else f"{line}\n{card.as_text()}"
    if args.fetch:
        if args.model is None:
            raise ValueError("say which model to fetch, for example --model vit_b --fetch")
        spec = find_spec(args.model)
        if spec.bundled:
            return f"{spec.name} is part of this package"
        check_runs(spec.name)
        return f"{spec.name} is here: {drive(fetch(spec, None, args.offline or None), say)}"
    specs = SPECS if args.model is None else (find_spec(args.model),)
    head = ("name", "architecture", "size", "licence", "state", "note")
    rows = [
        (
            spec.name,
            spec.architecture,
            spec.size_text,
            spec.licence,
            state_text(spec),
            spec.note,
        )
        for spec in specs
    ]
    note = (
        f"Downloaded models are kept in {models_folder()}. Any other file of these architectures "
        "loads with --model PATH."
    )
    return f"{report.table([head, *rows])}\n\n{note}"


def _exported(args: Namespace) -> str:
    """Write a model with all its weights; return where it is."""
    if args.model is None:
        raise ValueError("say which model to export, for example --model tuned.safetensors")
    source = Path(args.model) if is_path(args.model) else None
    check_target(args.export, source, overwrite=False)
    require_torch("writing a model's weights")
    from ..models.adapters import export_full  # torch takes its time

    export_full(args.model, args.export, args.offline or None)
    return f"{args.model} is in {args.export} with all its weights"


def cache(args: Namespace, say: Say) -> str:
    """Return what the cache of embeddings holds, or empty it."""
    disk = disk_cache(Preferences().chosen)
    if not args.clear:
        used = disk.usage()
        return report.table(
            [
                ("folder", str(disk.folder)),
                ("planes", str(used.planes)),
                ("size", f"{used.nbytes / 1e6:,.1f} of {disk.quota_bytes / 1e6:,.0f} MB"),
            ]
        )
    removed = disk.clear()
    if disk.notice:
        raise ValueError(disk.notice)
    return f"{removed.planes} planes, {removed.nbytes / 1e6:,.1f} MB, removed from {disk.folder}"


def forget(args: Namespace, say: Say) -> str:
    """Delete the cache of embeddings and the journals that no running program writes."""
    disk, folder = disk_cache(Preferences().chosen), journal_folder()
    least = args.older_than * 24 * 3600
    sizes = [remove(path) for path in left_over(folder, least)]
    remove_left_over(disk.folder)
    # the cache has no age: what is used often is kept in it
    planes = disk.clear() if not least else Usage(0, 0)
    if disk.notice:
        raise ValueError(disk.notice)
    return (
        f"{planes.planes} planes, {planes.nbytes / 1e6:,.1f} MB, removed from {disk.folder}\n"
        f"{len(sizes)} journals, {sum(sizes) / 1e6:,.1f} MB, removed from {folder}"
    )


def evaluate(args: Namespace, say: Say) -> str:
    """Score a model on labelled images, or compare two annotations; return a table or JSON."""
    if args.other is not None:
        return evaluate_pair(args, say)
    if args.figure is not None:
        raise ValueError("--figure draws where two annotations differ; name the second one, too")
    check_name(args.model)
    for name in ("limit", "clicks"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} is at least 1, but is {getattr(args, name)}")
    files = [path for data in globbed([args.data]) for path in find_labelled(data)]
    given = given_params(args)
    predictor = SamPredictor(load(args, say))
    session = Session(predictor, closer_look=not args.whole_planes)
    scores: list[ObjectScore] = []
    found: dict[str, list[NDArray[np.float64]]] = {}
    refused: list[str] = []
    params = AmgParams(**{**predictor.model.amg_defaults, **given})
    for path in files:
        try:
            own, own_found = _scored(path, args, session, params, say)
        except (ValueError, OSError) as error:
            refused.append(str(error))
            continue
        scores += own
        for source, precision in own_found:
            found.setdefault(source, []).append(precision)
    if not scores:
        default = f"{args.data} holds no labelled object that is large enough to score"
        raise ValueError(refused[0] if refused else default)
    for sentence in refused:
        say(f"{sentence}; the file is left out", keep=True)
    summaries = summarise(pool_small(scores) if args.pool else scores)
    text = report.as_text(summaries, found)
    if args.json:
        text = report.as_json(args.model, summaries, found)
    return Declined(text) if refused else text


def _scored(
    path: Path, args: Namespace, session: Session, params: AmgParams, say: Say
) -> tuple[list[ObjectScore], list[tuple[str, NDArray[np.float64]]]]:
    """Return the scores of a labelled file, and of everything mode in its planes by source."""
    scores: list[ObjectScore] = []
    found: list[tuple[str, NDArray[np.float64]]] = []
    for plane in read_labelled(path):
        say(f"{plane.source}: {plane.name}")
        answer = session_answer(session, plane.image)
        scores += score_image(
            answer, plane.labels, plane.source, plane.name, args.clicks, args.limit
        )
        if args.everything:
            records = find_records(session.predictor, plane.image, params, say)
            size = plane.labels.shape[0], plane.labels.shape[1]
            labels = to_labels(records, size, params.min_mask_region_area)
            found.append((plane.source, average_precision(labels, plane.labels)))
    return scores, found


def load(args: Namespace, say: Say) -> PromptableModel:
    """Load the model that the flags name; report if it does not run on the chosen device.

    One that was loaded for an earlier file, `args.loaded`, is returned.
    """
    loaded: PromptableModel | None = getattr(args, "loaded", None)
    if loaded is not None:
        return loaded
    steps = loading(args.model, args.device, args.offline or None, args.precision)
    model = drive(steps, say)
    if model.notice:
        say(model.notice, keep=True)
    return model


def given_params(args: Namespace) -> dict[str, Any]:
    """Return the parameters of everything mode that were given as flags.

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    names = [f.name for f in fields(AmgParams) if f.metadata]
    given = {n: getattr(args, n) for n in names if getattr(args, n, None) is not None}
    AmgParams(**given)
    return given


def find_records(
    predictor: SamPredictor, plane: NDArray[Any], params: AmgParams, say: Say
) -> list[MaskRecord]:
    """Return the masks of a plane, and report progress."""
    generator = AutomaticMaskGenerator(predictor, params)
    return generator.select(drive(generator.propose(plane), say))


def find_in_stack(
    predictor: SamPredictor,
    volume: NDArray[Any],
    params: AmgParams,
    planes: Planes,
    say: Say,
) -> NDArray[np.int32]:
    """Return the linked labels (Z, H, W) of some planes of a stack; the others stay empty."""
    labels = np.zeros(volume.shape[:3], np.int32)
    drive(volumes.everything(predictor, volume, params, planes=planes, out=labels), say)
    return labels


def interruption(
    steps: Generator[Progress | volumes.PlacedLabels, None, Any], say: Say, keep: bool
) -> BaseException | None:
    """Drive everything mode; return what interrupted it, if a plane that is kept was done then."""
    done = 0
    try:
        for step in steps:
            if isinstance(step, Progress):
                say(step.text)
            else:
                done += 1
    except (KeyboardInterrupt, TerminatedError) as error:
        if not done or not keep:
            raise
        return error
    return None


def provenance(args: Namespace, model: Named, **more: Any) -> dict[str, Any]:
    """Return the provenance that is written with a result."""
    series = getattr(args, "series", None)
    if series is not None:
        more["series"] = series
    return {
        "program": PROGRAM,
        "version": __version__,
        "command": args.command,
        "model": model.name,
        "weights": str(Path(args.model).resolve()) if is_path(args.model) else args.model,
        **more,
    }


def plain(params: AmgParams) -> dict[str, Any]:
    """Return the parameters as JSON can hold them."""
    return {name: value for name, value in asdict(params).items() if name != "point_grids"}


def count_objects(labels: NDArray[np.integer]) -> int:
    """Return how many labels have a pixel."""
    return LabelResult(labels).count()


def read_input(args: Namespace, say: Say) -> StackImage:
    """Read the image; say what of its file is left out."""
    image = read_image(args.image, args.series)
    if image.notice:
        say(image.notice, keep=True)
    if image.scan is not None and args.keep_patient:
        image = replace(image, scan=replace(image.scan, keep_patient=True))
    return read_spacing(args.spacing, image)


def read_used_channels(args: Namespace, image: StackImage, say: Say) -> tuple[int, ...] | None:
    """Return the channels that are used; say which where there is a choice."""
    channels = read_channels(args.channels, image)
    count = image.data.shape[-1]
    if channels is not None and count > 1:
        say(channels_text(channels, count), keep=True)
    return channels


def channels_note(channels: tuple[int, ...] | None) -> dict[str, list[int]]:
    """Return which channels are used, for the record of a result."""
    return {} if channels is None else {"channels": list(channels)}


def summary(args: Namespace, result: LabelResult, model: Named, **more: Any) -> str:
    """Return what was written, as JSON."""
    found = {
        "objects": result.count(),
        "path": str(args.output),
        "shape": list(result.labels.shape),
        "dtype": str(result.labels.dtype),
        "model": model.name,
        **more,
    }
    return json.dumps(found)
