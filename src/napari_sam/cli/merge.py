"""`napari-sam merge`: the parts of a stack, made by separate runs, joined as in a single run."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import check_target
from ..formats.label_images import check_label_target
from ..formats.label_result import label_result
from ..stack import volumes
from ..stack.blocks import read_back
from ..stack.planes import PlaneResult
from ..stack.tracks import Track, tracks_text
from ..stack.volumes import Find
from ..steps import drive
from ..types import Plane, Progress, SliceKey
from .commands import Say
from .everything import check_apart, stack_spacing
from .inputs import globbed
from .parts import Part, sorted_parts
from .prompt_text import read_axis


def add_merge(parser: ArgumentParser) -> None:
    """Declare the options of `merge`."""
    parser.add_argument(
        "parts", type=Path, nargs="+", metavar="PART",
        help="the parts of a stack, or a glob in quotes: results of everything --slices A:B --part",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="LABELS", help="the labels of the stack"
    )
    parser.add_argument(
        "--tracks", type=Path, metavar="FILE.txt",
        help="write the table of parents of a time series",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def merge(args: Namespace, say: Say) -> str:
    """Join parts to what a single run would have given; return a summary as JSON."""
    parts = sorted_parts(globbed(args.parts))
    first = parts[0]
    image, record = first.image, first.record
    check_label_target(args.output, None, args.overwrite, len(image.label_axes))
    frame = read_axis(record["axis"], image)
    if frame is None:
        raise ValueError(f"{first.path} is a single plane")
    in_time = image.label_axes[frame.axis] == "T"
    if args.tracks and not in_time:
        raise ValueError("--tracks is of a time series, and these planes lie in space")
    if args.tracks:
        check_target(args.tracks, None, args.overwrite)
        check_apart(args.tracks, args.output, "--tracks")
    tracks: list[Track] | None = [] if in_time else None
    with label_result(args.output, image, None, args.overwrite) as result:
        steps = volumes.everything(
            None,
            image.data,
            axis=frame.axis,
            out=result.labels,
            colours=False,
            least_volume=record["least_volume"] or 0.0,
            spacing=stack_spacing(image, frame),
            tracks=tracks,
            prepare=partial(_prepared, parts, frame.axis),
        )
        drive(steps, say)
        if args.tracks:
            result.companions = {args.tracks: tracks_text(tracks or [])}
        whole = {key: value for key, value in record.items() if key != "part"}
        result.provenance = {**whole, "slices": None}
    found: dict[str, Any] = {
        "objects": result.count(),
        "path": str(args.output),
        "shape": list(result.labels.shape),
        "parts": len(parts),
        "model": record["model"],
    }
    if tracks is not None:
        found["divided"] = len({one.parent for one in tracks} - {0})
    return json.dumps(found)


def _prepared(
    parts: Sequence[Part], axis: int, planes: Sequence[Plane]
) -> Generator[Progress, None, Find]:
    """Return what takes the objects of planes from the parts."""
    yield Progress(0, 0, f"reading {len(parts)} parts")
    owner = {number: part for part in parts for number in part.planes}

    def read(key: SliceKey) -> NDArray[np.int32]:
        return np.asarray(owner[dict(key.fixed)[axis]].image.data[key.index])

    def find(some: Sequence[Plane], largest: int) -> Generator[PlaneResult, None, int]:
        return read_back(read, some, largest)

    return find
