"""`napari-sam everything --to sa1b`: a picture and a record of masks with scores of each plane."""

from __future__ import annotations

import hashlib
import json
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..everything.amg_params import AmgParams
from ..everything.amg_select import select
from ..files import check_target, replacing_all, replacing_folder
from ..formats.coco import sa1b_entry
from ..formats.training_sets.coco import run_lengths
from ..formats.training_sets.contract import save_png
from ..formats.training_sets.sa1b import sa1b_record
from ..images.readers import StackImage
from ..images.transforms import to_rgb8
from ..models.registry import check_name
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..stack.planes import PlaneResult, all_planes, everything_in
from ..types import MaskRecord, Plane, Progress, SliceKey
from .commands import Say, given_params, load, read_input, read_used_channels
from .everything import ruled
from .folders import Form
from .prompt_text import read_axis, read_contrast, read_planes, spacing_of

ENDINGS = (".png", ".json")


def records(args: Namespace, say: Say) -> str:
    """Write `OUTPUT.png` and `OUTPUT.json`; of a stack, those of its planes into a folder.

    The folder has the name of the file, with its ending. Planes stand for themselves: nothing is
    joined. Masks are what everything mode selects, without duplicates, which may overlap. Returns
    a summary as JSON.
    """
    check_name(args.model)
    given = given_params(args)
    if args.least_volume:
        raise ValueError("--least-volume is of objects of a stack, and records are of planes")
    if args.text is not None:
        raise ValueError("--text keeps some of the objects, and records are of all masks")
    image = read_input(args, say)
    keys = _keys(args, image)
    contrast = read_contrast(args.contrast, args.window, image)
    channels = read_used_channels(args, image, say)
    frame = read_axis(args.axis, image)
    predictor = SamPredictor(load(args, say))
    given = ruled(args, image, frame) | given
    params = AmgParams(**{**predictor.model.amg_defaults, **given})
    planes = []
    for key in keys:
        rows, columns = spacing_of(image, key.displayed)
        planes.append(Plane(image.data, key, contrast, channels=channels, spacing=(rows, columns)))
    found = _found(predictor, planes, params, say)
    if frame is not None:
        return _of_stack(args, image, found)
    targets = [args.output.with_name(args.output.name + ending) for ending in ENDINGS]
    for target in targets:
        check_target(target, args.image, args.overwrite)
    with replacing_all(targets) as (picture, record):
        (objects,) = (_write(picture, record, targets[0].name, args, *one) for one in found)
    return _summary(objects, 1)


def _keys(args: Namespace, image: StackImage) -> list[SliceKey]:
    """Return the planes that are meant."""
    frame = read_axis(args.axis, image)
    numbers = read_planes(args.slices, image, frame)
    if frame is None or numbers is None:
        return [SliceKey((0, 1))]
    keys = all_planes(image.label_shape, frame.key, frame.axis)
    return [key for key in keys if dict(key.fixed)[frame.axis] in numbers]


def _found(
    predictor: SamPredictor, planes: list[Plane], params: AmgParams, say: Say
) -> Iterator[tuple[Plane, list[MaskRecord]]]:
    """Yield the masks of each plane; no more than one plane is kept."""
    for step in everything_in(Session(predictor, max_bytes=0), planes, params):
        if isinstance(step, Progress):
            say(step.text)
        elif isinstance(step, PlaneResult) and step.candidates is not None:
            yield step.plane, select(step.candidates, params)


def _of_stack(
    args: Namespace, image: StackImage, found: Iterator[tuple[Plane, list[MaskRecord]]]
) -> str:
    folder = args.output.with_name(args.image.name)
    _check_folder(folder, args.overwrite)
    objects = count = 0
    with replacing_folder(folder) as partial:
        for plane, masks in found:
            places = (
                f"{image.label_axes[axis].lower()}{at:0{len(str(image.label_shape[axis] - 1))}d}"
                for axis, at in plane.key.fixed
            )
            name = "_".join([args.output.name, *places])
            picture, record = (partial / f"{name}{ending}" for ending in ENDINGS)
            objects += _write(picture, record, picture.name, args, plane, masks)
            count += 1
    return _summary(objects, count)


def _check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a place where records cannot go; only a folder of nothing else is replaced."""
    if not folder.exists():
        check_target(folder, None, overwrite)
    elif not overwrite:
        raise ValueError(f"{folder} exists; choose another name or give --overwrite")
    elif not folder.is_dir() or any(one.suffix not in ENDINGS for one in folder.iterdir()):
        raise ValueError(f"{folder} holds more than records and is not replaced; move it away")


def _write(
    picture: Path, record: Path, name: str, args: Namespace, plane: Plane, masks: list[MaskRecord]
) -> int:
    """Write a plane as the model sees it, and its masks; return how many there are."""
    pixels = plane.read()
    save_png(picture, to_rgb8(pixels, plane.contrast, plane.channels), grey=pixels.ndim == 2)
    entries: list[dict[str, Any]] = [
        {
            "id": _digest(args.name, name, str(number)),
            **sa1b_entry(
                one.mask,
                run_lengths(one.mask),
                float(one.predicted_iou),
                float(one.stability_score),
                [[float(value) for value in one.point_coords]],
                one.crop_box,
            ),
        }
        for number, one in enumerate(masks, 1)
    ]
    text = json.dumps(sa1b_record(name, _digest(args.name, name), plane.size, entries))
    record.write_text(text, encoding="utf-8")
    return len(entries)


def _digest(*parts: str) -> int:
    """Return a number that is the same in each run, and below 2 ** 52, for JSON."""
    return int(hashlib.sha256(b"\0".join(map(os.fsencode, parts))).hexdigest()[:13], 16)


def _summary(objects: int, planes: int) -> str:
    return json.dumps({"objects": objects, "planes": planes})


RECORDS = Form(records, "")
