"""`napari-sam everything`: all objects of an image or a stack, joined across planes."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..everything.amg_params import AmgParams
from ..everything.amg_select import select
from ..everything.rules import read_rule
from ..files import check_target
from ..formats.coco import as_annotations
from ..formats.label_images import check_label_target
from ..formats.label_result import label_result
from ..images.readers import StackImage
from ..models.registry import check_name
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..stack import volumes
from ..stack.planes import PlaneResult, all_planes, everything_in
from ..stack.tracks import Track, tracks_text
from ..stack.volumes import StackFrame
from ..types import Contrast, Plane, Progress, SliceKey
from .commands import (
    Say,
    channels_note,
    given_params,
    interruption,
    plain,
    provenance,
    read_input,
    read_used_channels,
    summary,
)
from .parts import part_note
from .prompt_text import Planes, is_known, read_axis, read_contrast, read_planes, spacing_of
from .worded import check_text, keep_worded, load_text, whole_name
from .workplace import check_workplace, workplace


def everything(args: Namespace, say: Say) -> str:
    """Segment every object; return a summary as JSON."""
    with ExitStack() as ends:
        return _everything(args, say, ends)


def _everything(args: Namespace, say: Say, ends: ExitStack) -> str:
    """Segment every object; what has to end with the run is given to `ends`."""
    check_name(args.model)
    given = given_params(args)
    image = read_input(args, say)
    check_label_target(args.output, args.image, args.overwrite, len(image.label_axes), image.scan)
    frame = read_axis(args.axis, image)
    planes = read_planes(args.slices, image, frame)
    _check(args, image, frame)
    tracks = _tracks(args, image, frame)
    contrast = read_contrast(args.contrast, args.window, image)
    channels = read_used_channels(args, image, say)
    given = ruled(args, image, frame) | given
    shown = _planes_shown(image, frame, planes, contrast, channels)
    work = workplace(args, image, frame, shown, say, ends)
    params = AmgParams(**{**work.model.amg_defaults, **given})
    load_text(args, say)
    chosen: dict[str, Any] = {**channels_note(channels)}
    ended: BaseException | None = None
    with label_result(args.output, image, args.image, args.overwrite) as result:
        if frame is not None and planes is not None:
            steps = volumes.everything(
                work.predictor,
                image.data,
                params,
                frame.axis,
                planes,
                contrast,
                out=result.labels,
                colours=image.axes != image.label_axes,
                link=not args.part,
                channels=channels,
                least_volume=args.least_volume or 0.0,
                spacing=stack_spacing(image, frame),
                tracks=tracks,
                prepare=work.prepare and work.prepare(params),
            )
            ended = interruption(steps, say, args.keep_partial)
            if args.tracks and ended is None:
                result.companions = {args.tracks: tracks_text(tracks or [])}
        elif work.predictor is not None:
            found = _found_in(work.predictor, shown[0], params, say)
            result.labels[:] = found.labels
            if args.annotations and found.candidates is not None:
                records = select(found.candidates, params)
                result.companions = {args.annotations: json.dumps(as_annotations(records))}
        note = {
            "parameters": plain(params),
            "slices": args.slices,
            "axis": args.axis,
            **chosen,
            "contrast": args.contrast,
            "window": args.window,
            "least_volume": args.least_volume,
            "text": args.text,
            "text_model": whole_name(args.text_model),
            "text_share": args.text_share,
            **(part_note(args, image, work.model, work.shares) if args.part else {}),
        }
        if args.text is not None and ended is None:
            chosen |= keep_worded(args, shown, result, say)
        result.provenance = provenance(args, work.model, complete=ended is None, **note)
    if ended is not None:
        say(f"the planes that are done, not joined yet, are in {args.output}", keep=True)
        raise ended
    if tracks is not None:
        chosen["divided"] = len({one.parent for one in tracks} - {0})
    return summary(args, result, work.model, **chosen)


def ruled(args: Namespace, image: StackImage, frame: StackFrame | None) -> dict[str, Any]:
    """Return the parameters that a rule names."""
    if args.rule is None:
        return {}
    rule = read_rule(args.rule)
    rows = len(image.label_axes) - 2
    axes = (rows, rows + 1) if frame is None else frame.key.displayed
    pixel = math.prod(spacing_of(image, axes)) if is_known(image, axes) else None
    return plain(rule.params_for(pixel))


def _planes_shown(
    image: StackImage,
    frame: StackFrame | None,
    planes: Planes | None,
    contrast: Contrast | None,
    channels: tuple[int, ...] | None,
) -> list[Plane]:
    """Return the planes that are looked at, as they are seen."""
    keys = [SliceKey((0, 1))]
    if frame is not None and planes is not None:
        everywhere = all_planes(frame.shape, frame.key, frame.axis)
        keys = [key for key in everywhere if dict(key.fixed)[frame.axis] in planes]
    shown = []
    for key in keys:
        rows, columns = spacing_of(image, key.displayed)
        shown.append(Plane(image.data, key, contrast, channels=channels, spacing=(rows, columns)))
    return shown


def _found_in(predictor: SamPredictor, plane: Plane, params: AmgParams, say: Say) -> PlaneResult:
    """Return what is found in a single plane, and report progress."""
    found = []
    for step in everything_in(Session(predictor, max_bytes=0), [plane], params):
        if isinstance(step, Progress):
            say(step.text)
        else:
            found.append(step)
    return found[0]


def _check(args: Namespace, image: StackImage, frame: StackFrame | None) -> None:
    """Refuse what does not suit the image, before anything is computed."""
    _check_annotations(args, image)
    _check_least_volume(args, image, frame)
    check_workplace(args, frame)
    check_text(args)


def _check_annotations(args: Namespace, image: StackImage) -> None:
    if not args.annotations:
        return
    if len(image.label_axes) != 2:
        raise ValueError("--annotations are of a single plane, but this image is a stack")
    check_target(args.annotations, args.image, args.overwrite)
    check_apart(args.annotations, args.output, "--annotations")


def check_apart(other: Path, output: Path, flag: str) -> None:
    """Refuse one name for two results."""
    if other.resolve() == output.resolve():
        raise ValueError(f"{flag} and -o are both {output}; give two names")


def _tracks(args: Namespace, image: StackImage, frame: StackFrame | None) -> list[Track] | None:
    """Return a list for the tracks of a time series; None for another image."""
    if frame is not None and image.label_axes[frame.axis] == "T":
        if args.tracks:
            check_target(args.tracks, args.image, args.overwrite)
            check_apart(args.tracks, args.output, "--tracks")
        return []
    if args.tracks:
        raise ValueError(
            "--tracks needs planes that follow one another in time: a file that says so, and "
            "--axis t"
        )
    return None


def _check_least_volume(args: Namespace, image: StackImage, frame: StackFrame | None) -> None:
    """Refuse a volume where there is none, or where nobody knows the size of a voxel."""
    if not args.least_volume:
        return
    if frame is None or "T" in (image.label_axes[axis] for axis in volume_axes(frame)):
        raise ValueError("--least-volume needs a stack whose planes lie in space")
    if not is_known(image, volume_axes(frame)):
        raise ValueError(
            "--least-volume is in cubic micrometres, but the file does not say how large a voxel "
            "is; give --spacing Z,Y,X, for example 1,1,1 to count voxels"
        )


def volume_axes(frame: StackFrame) -> tuple[int, int, int]:
    """Return the axis along which planes follow one another, that of rows and that of columns."""
    return frame.axis, *frame.key.displayed


def stack_spacing(image: StackImage, frame: StackFrame) -> tuple[float, ...]:
    """Return the distance of planes, of rows and of columns."""
    axis, *displayed = volume_axes(frame)
    return *spacing_of(image, [axis]), *spacing_of(image, displayed)
