"""What the commands of the command line do; each returns the text that it prints."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
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
from ..formats.coco import as_annotations
from ..formats.label_images import PROGRAM, check_label_target, write_labels
from ..images.channels import channels_text
from ..images.labelled import find_labelled, read_labelled
from ..images.plane_stack import PlaneStack
from ..images.readers import StackImage, read_image
from ..images.transforms import to_rgb8
from ..masks import to_labels
from ..models.registry import available, check_name, find_spec, is_path, loading
from ..models.specs import SPECS
from ..objects.journal_folder import journal_folder, left_over, remove
from ..predict.cache import DiskCache, Usage
from ..predict.predictor import SamPredictor
from ..predict.prompt_kinds import PROMPT_KINDS
from ..predict.session import Session
from ..stack import volumes
from ..steps import drive
from ..types import MaskRecord, Plane, SliceKey
from .prompt_text import Planes, read_channels, read_planes, read_prompts

if TYPE_CHECKING:
    from ..models.contract import PromptableModel


class Say(Protocol):
    """Shows one line of progress, or one that stays."""

    def __call__(self, text: str, keep: bool = False) -> None:
        """Show it."""


def models(args: Namespace, say: Say) -> str:
    """Return a table of the models that can be loaded."""
    from ..models.fetch import fetch, models_folder  # requests and pooch take their time

    if args.model is not None and is_path(args.model):
        if args.fetch:
            raise ValueError(f"{args.model} is a file already; --fetch needs the name of a model")
        return f"{args.model} loads: it is a model that sees {load(args, say).image_size} px"
    if args.fetch:
        if args.model is None:
            raise ValueError("say which model to fetch, for example --model vit_b --fetch")
        spec = find_spec(args.model)
        if spec.bundled:
            return f"{spec.name} is part of this package"
        return f"{spec.name} is here: {drive(fetch(spec, None, args.offline or None), say)}"
    specs = SPECS if args.model is None else (find_spec(args.model),)
    head = ("name", "architecture", "size", "licence", "state", "note")
    rows = [
        (
            spec.name,
            spec.architecture,
            spec.size_text,
            spec.licence,
            "here" if available(spec) else "to download",
            spec.note,
        )
        for spec in specs
    ]
    note = (
        f"Downloaded models are kept in {models_folder()}. Any other file of these architectures "
        "loads with --model PATH."
    )
    return f"{report.table([head, *rows])}\n\n{note}"


def cache(args: Namespace, say: Say) -> str:
    """Return what the cache of embeddings holds, or empty it."""
    disk = DiskCache()
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
    disk, folder = DiskCache(), journal_folder()
    least = args.older_than * 24 * 3600
    sizes = [remove(path) for path in left_over(folder, least)]
    # the cache has no age: what is used often is kept in it
    planes = disk.clear() if not least else Usage(0, 0)
    if disk.notice:
        raise ValueError(disk.notice)
    return (
        f"{planes.planes} planes, {planes.nbytes / 1e6:,.1f} MB, removed from {disk.folder}\n"
        f"{len(sizes)} journals, {sum(sizes) / 1e6:,.1f} MB, removed from {folder}"
    )


def segment(args: Namespace, say: Say) -> str:
    """Segment the objects that points and boxes name; return a summary as JSON."""
    check_name(args.model)
    image = _read_image(args, say)
    check_label_target(args.output, args.image, args.overwrite, len(image.label_axes))
    given = {name: getattr(args, name) for name in PROMPT_KINDS}
    prompts = read_prompts(image, given)
    channels = _read_channels(args, image, say)
    model = load(args, say)
    session = Session(SamPredictor(model, tidy_masks=False if args.untidy else None))
    labels = np.zeros(image.label_shape, np.int32)
    scores: list[float] = []
    absent: list[int] = []  # objects that the model does not see
    for z, objects in prompts.items():
        first = len(scores) + 1
        say(f"object {first} of {sum(map(len, prompts.values()))}")
        answers = session.predict_many(Plane(image.data, _key(z), channels=channels), objects)
        target = labels if z is None else labels[z]
        for number, answer in enumerate(answers, first):
            mask = answer.masks[answer.best]
            part = target[mask.part]
            part[mask.bits & (part == 0)] = number
            scores.append(round(float(answer.iou_predictions[answer.best]), 4))
            if not answer.present:
                absent.append(number)
    empty = _without_pixels(labels, len(scores), absent)
    for number in empty:
        say(f"object {number} has no pixel: earlier objects cover it or its mask is empty", True)
    note = {"prompts": given, **_channels_note(channels)}
    return _written(
        args,
        image,
        labels,
        model,
        note,
        {},
        scores=scores,
        absent=absent,
        empty=empty,
        **_channels_note(channels),
    )


def everything(args: Namespace, say: Say) -> str:
    """Segment every object; return a summary as JSON."""
    check_name(args.model)
    given = given_params(args)
    image = _read_image(args, say)
    check_label_target(args.output, args.image, args.overwrite, len(image.label_axes))
    planes = read_planes(args.slices, image)
    _check_annotations(args, image)
    channels = _read_channels(args, image, say)
    model = load(args, say)
    params = AmgParams(**{**model.amg_defaults, **given})
    predictor = SamPredictor(model)
    companions: dict[Path, str] = {}
    if planes is None:
        records = find_records(predictor, to_rgb8(image.data, channels=channels), params, say)
        size = image.label_shape[0], image.label_shape[1]
        labels = to_labels(records, size, params.min_mask_region_area)
        if args.annotations:
            companions[args.annotations] = json.dumps(as_annotations(records))
    else:
        labels = find_in_stack(predictor, image.data, params, planes, say, channels)
    chosen = _channels_note(channels)
    note = {"parameters": plain(params), "slices": args.slices, **chosen}
    return _written(args, image, labels, model, note, companions, **chosen)


def evaluate(args: Namespace, say: Say) -> str:
    """Score a model on labelled images; return a table or JSON."""
    check_name(args.model)
    for name in ("limit", "clicks"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} is at least 1, but is {getattr(args, name)}")
    files = find_labelled(args.data)
    given = given_params(args)
    predictor = SamPredictor(load(args, say))
    session = Session(predictor, closer_look=not args.whole_planes)
    scores: list[ObjectScore] = []
    found: dict[str, list[NDArray[np.float64]]] = {}
    params = AmgParams(**{**predictor.model.amg_defaults, **given})
    for path in files:
        for plane in read_labelled(path):
            say(f"{plane.source}: {plane.name}")
            answer = session_answer(session, plane.image)
            scores += score_image(
                answer, plane.labels, plane.source, plane.name, args.clicks, args.limit
            )
            if args.everything:
                records = find_records(predictor, plane.image, params, say)
                size = plane.labels.shape[0], plane.labels.shape[1]
                labels = to_labels(records, size, params.min_mask_region_area)
                precision = average_precision(labels, plane.labels)
                found.setdefault(plane.source, []).append(precision)
    if not scores:
        raise ValueError(f"{args.data} holds no labelled object that is large enough to score")
    summaries = summarise(pool_small(scores) if args.pool else scores)
    if args.json:
        return report.as_json(args.model, summaries, found)
    return report.as_text(summaries, found)


def load(args: Namespace, say: Say) -> PromptableModel:
    """Load the model that the flags name; report if it does not run on the chosen device."""
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
    volume: NDArray[Any] | PlaneStack,
    params: AmgParams,
    planes: Planes,
    say: Say,
    channels: tuple[int, ...] | None = None,
) -> NDArray[np.int32]:
    """Return the linked labels (Z, H, W) of some planes of a stack; the others stay empty."""
    labels = np.zeros(volume.shape[:3], np.int32)
    colours = volume.ndim == 4
    steps = volumes.everything(
        predictor, volume, params, planes=planes, out=labels, colours=colours, channels=channels
    )
    drive(steps, say)
    return labels


def provenance(args: Namespace, model: PromptableModel, **more: Any) -> dict[str, Any]:
    """Return the provenance that is written with a result."""
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
    if labels.ndim == 2:
        return int(np.count_nonzero(np.unique(labels)))
    return len(set().union(*(np.unique(plane).tolist() for plane in labels)) - {0})


def _without_pixels(labels: NDArray[np.int32], count: int, absent: Sequence[int]) -> list[int]:
    """Return which of the objects 1 to `count` that the model sees are not in the labels."""
    left_out = {*np.unique(labels).tolist(), *absent}
    return [number for number in range(1, count + 1) if number not in left_out]


def _key(plane: int | None) -> SliceKey:
    return SliceKey((0, 1)) if plane is None else SliceKey((1, 2), ((0, plane),))


def _read_image(args: Namespace, say: Say) -> StackImage:
    """Read the image; say what of its file is left out."""
    image = read_image(args.image, args.series)
    if image.notice:
        say(image.notice, keep=True)
    return image


def _read_channels(args: Namespace, image: StackImage, say: Say) -> tuple[int, ...] | None:
    """Return the channels that are used; say which where there is a choice."""
    channels = read_channels(args.channels, image)
    count = image.data.shape[-1]
    if channels is not None and count > 1:
        say(channels_text(channels, count), keep=True)
    return channels


def _channels_note(channels: tuple[int, ...] | None) -> dict[str, list[int]]:
    return {} if channels is None else {"channels": list(channels)}


def _check_annotations(args: Namespace, image: StackImage) -> None:
    if not args.annotations:
        return
    if len(image.label_axes) != 2:
        raise ValueError("--annotations are of a single plane, but this image is a stack")
    check_target(args.annotations, args.image, args.overwrite)
    if args.annotations.resolve() == args.output.resolve():
        raise ValueError(f"--annotations and -o are both {args.output}; give two names")


def _written(
    args: Namespace,
    image: StackImage,
    labels: NDArray[np.int32],
    model: PromptableModel,
    note: dict[str, Any],
    companions: Mapping[Path, str],
    **more: Any,
) -> str:
    """Write the labels with the files that belong to them, and return the summary."""
    if args.series is not None:
        note = {**note, "series": args.series}
    written = write_labels(
        args.output,
        labels,
        image.label_axes,
        image.scale,
        args.overwrite,
        provenance(args, model, **note),
        args.image,
        companions,
    )
    summary = {
        "objects": count_objects(written),
        "path": str(args.output),
        "shape": list(written.shape),
        "dtype": str(written.dtype),
        "model": model.name,
        **more,
    }
    return json.dumps(summary)
