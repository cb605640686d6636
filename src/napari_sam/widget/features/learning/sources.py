"""What is learnt from: images and their labels as values, read and looked over in a worker."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....objects import SegmentedObject
from ....training.finetune.audit import Audit, auditing
from ....training.finetune.examples import Example
from ....training.finetune.findings import Finding
from ....training.finetune.layers import each_plane, gathered
from ....training.finetune.request import Request, write_request
from ....training.finetune.seen import Sight
from ....types import Contrast, Progress
from ...context import Context
from ...frame import Frame, chosen_contrast
from ...labels_view import LabelsView
from ...placement import pixel_sides

MOST_PIXELS = 80_000_000
"""Of all planes together, each of which takes 6 to 8 bytes; beyond, planes are left out evenly."""


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and its labels; nothing is read yet.

    Attributes
    ----------
    name : str
    image, labels : array-like
    objects, properties : mapping
        See `each_plane`.
    contrast : (low, high) float, or None
    spacing : tuple of float
    """

    name: str
    image: Any
    labels: Any
    objects: Mapping[int, SegmentedObject]
    properties: Mapping[str, Any]
    contrast: Contrast | None
    spacing: tuple[float, ...]


def views_of(context: Context, everything: bool) -> list[LabelsView]:
    """Return the layers of objects of the image that is worked on, or of all images."""
    bench = context.bench
    results = [] if bench.results is None or bench.frame is None else [bench.results]
    if not everything:
        return results
    others = [view for view in bench.views if view.kind == "objects" and view.frame is not None]
    return [*results, *(view for view in others if view not in results)]


def pairs_of(context: Context, everything: bool) -> list[Pair]:
    """Return what the layers hold now; on the main thread."""
    found = []
    for view in views_of(context, everything):
        own = view is context.bench.results
        frame = context.bench.frame if own else view.frame
        if frame is not None:
            found.append(_pair(view, frame))
    return found


def _pair(view: LabelsView, frame: Frame) -> Pair:
    image = frame.pixels
    if frame.blend is not None:
        several = isinstance(frame.blend, list | tuple)
        image = frame.blend[frame.level or 0] if several else frame.blend
    return Pair(
        frame.layer.name,
        image,
        view.layer.data,
        dict(view.store.objects),
        dict(view.store.properties),
        chosen_contrast(frame),
        pixel_sides(frame.transform),
    )


def looking_over(pairs: Sequence[Pair], sight: Sight) -> Generator[Progress, None, Audit]:
    """Read pairs and look them over; in the worker.

    Raises
    ------
    ValueError
        If labels and image do not fit, or there is no object.
    """
    examples: list[Example] = []
    for pair in pairs:
        plane = int(np.prod(pair.labels.shape[-2:]))
        planes = each_plane(
            pair.image,
            pair.labels,
            pair.objects,
            pair.properties,
            name=pair.name,
            contrast=pair.contrast,
            spacing=pair.spacing,
            most=max(1, MOST_PIXELS // len(pairs) // plane),
        )
        examples += yield from gathered(planes)
    if not any(one.objects for one in examples):
        raise ValueError("there is no object to learn from; keep some objects first")
    return (yield from auditing(examples, sight=sight))


def asking(
    audit: Audit, left_out: Sequence[Finding], folder: Path, request: Request
) -> Generator[Progress, None, None]:
    """Write what the training process is asked for; in the worker.

    Raises
    ------
    ValueError, OSError
        If the disk refuses it.
    """
    yield Progress(0, 0, "writing what is learnt from")
    write_request(folder, request, audit.without(left_out))
