"""`napari-sam evaluate A B`: two annotators compared, as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..evaluate import report
from ..evaluate.annotators import Agreement, Comparison, compare
from ..evaluate.scores import THRESHOLDS
from ..files import check_target, replacing
from ..formats.annotation import Annotation
from ..formats.exchange import format_of
from ..formats.label_images import geometry_from
from ..formats.label_tiff import LABEL_TIFF
from ..formats.ome_zarr import OME_ZARR
from ..formats.project import PROJECT
from ..images.readers import read_image
from ..images.scan import Scan
from .disagreement import draw_disagreement

if TYPE_CHECKING:
    from .commands import Say

SIZED = (None, PROJECT, OME_ZARR, LABEL_TIFF)
"""Formats that say how large their image is; None is a label image of another kind."""
SHOWN = 8
"""So many labels are listed in the table; JSON has all."""


def evaluate_pair(args: Namespace, say: Say) -> str:
    """Compare two annotations of one image; return a table or JSON."""
    figure: Path | None = args.figure
    if figure is not None:
        if figure.suffix.lower() != ".png":
            raise ValueError(f"the picture is written as .png, but is called {figure}")
        check_target(figure, None, args.overwrite)
    a, b = read_two(args.data, args.other, say)
    say("comparing")
    result = compare(a.labels, b.labels, _classes(a), _classes(b))
    if figure is not None:
        picture = draw_disagreement(a.labels, b.labels, result, (args.data.name, args.other.name))
        with replacing(figure) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
    return _as_json(args, result) if args.json else _as_text(result)


def read_two(a: Path, b: Path, say: Say) -> tuple[Annotation, Annotation]:
    """Read two annotations of one image; see `read_annotation`."""
    # one that does not say how large its image is has the size of the other one
    later = format_of(a) not in SIZED and format_of(b) in SIZED
    first, second = (b, a) if later else (a, b)
    say(f"reading {first}")
    one = read_annotation(first)
    say(f"reading {second}")
    form = format_of(second)
    if one.geometry.scan is not None and form is not None and form.read_in is not None:
        alone = read_annotation(second)
        # labels that do not reach over the whole image are placed in those that reach further
        if alone.labels.size > one.labels.size and _places(first, alone):
            first, second, one, later = second, first, alone, not later
    other = read_annotation(second, tuple(int(n) for n in one.labels.shape), one.geometry.scan)
    return (other, one) if later else (one, other)


def _places(path: Path, image: Annotation) -> bool:
    """Tell whether labels of a file can be placed in the grid of other labels."""
    form = format_of(path)
    return form is not None and form.read_in is not None and image.geometry.scan is not None


def read_annotation(
    path: Path, shape: tuple[int, ...] | None = None, scan: Scan | None = None
) -> Annotation:
    """Read labels of any format that this package reads.

    Parameters
    ----------
    path : Path
        A project, OME-Zarr, TIFF, COCO, ImageJ ROIs, YOLO; or `.npy`, PNG.
    shape : tuple of int, optional
        Of the image, where it is known.
    scan : Scan, optional
        Of the image, in whose grid labels are placed that say where they lie.

    Raises
    ------
    ValueError
        If there is no such file, it holds no labels, or they have another shape.
    """
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    form = format_of(path)
    if form is not None and form.read is None:
        raise ValueError(f"{path} holds no pixels of objects; give a label image or a project")
    if form is not None and form.read_in is not None and shape is not None and scan is not None:
        annotation = form.read_in(path, shape, scan)
    elif form is not None and form.read is not None:
        annotation = form.read(path, None if form in SIZED else shape)
    else:
        image = read_image(path)
        if image.data.dtype.kind not in "bui" or image.axes != image.label_axes:
            raise ValueError(f"{path} holds no labels but {image.data.dtype} {image.axes}")
        annotation = Annotation(image.data, {}, geometry_from(image.axes, image.scale))
    found = tuple(int(n) for n in annotation.labels.shape)
    if shape is not None and found != shape:
        raise ValueError(f"the labels of {path} have the shape {found}, but the others {shape}")
    return annotation


def _classes(annotation: Annotation) -> dict[int, str]:
    return {label: one.category for label, one in annotation.objects.items() if one.category}


def _as_text(result: Comparison) -> str:
    """Return a table of all objects and each class, and what differs in words."""
    one = result.overall
    scores = ("partners", "mean IoU", "AP50", "AP75", "AP", "missed by A", "by B")
    head = ("objects", "A", "B", *scores)
    rows = [head, _row("all", one)]
    rows += [_row(name or "no class", part) for name, part in result.classes.items()]
    lines = [
        report.table(rows),
        "",
        f"Dice of the foreground: {result.dice:.3f}",
        _missed("A", one.missed_by_a.tolist()),
        _missed("B", one.missed_by_b.tolist()),
        _joined("A", "B", result.joined_by_a),
        _joined("B", "A", result.joined_by_b),
    ]
    if not math.isnan(result.same_class):
        lines.append(f"partners of the same class: {100 * result.same_class:.1f} %")
    return "\n".join(lines)


def _row(name: str, one: Agreement) -> tuple[str, ...]:
    at = dict(zip(THRESHOLDS, one.precision.tolist(), strict=True))
    mean = f"{one.mean_iou:.3f}" if len(one.ious) else "-"
    scores = (f"{value:.3f}" for value in (at[0.5], at[0.75], one.mean_precision))
    counts = (one.objects_a, one.objects_b, len(one.partners))
    missed = (len(one.missed_by_a), len(one.missed_by_b))
    return (name, *map(str, counts), mean, *scores, *map(str, missed))


def _missed(who: str, labels: Sequence[int]) -> str:
    other = "B" if who == "A" else "A"
    return f"missed by {who}: {_listed(labels)}" + (f" (labels of {other})" if len(labels) else "")


def _joined(who: str, other: str, groups: Mapping[int, tuple[int, ...]]) -> str:
    names = [f"{label} = {' + '.join(map(str, parts))}" for label, parts in groups.items()]
    return f"one object of {who}, several of {other}: {_listed(names)}"


def _listed(names: Sequence[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:SHOWN])
    return (shown + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")) or "none"


def _as_json(args: Namespace, result: Comparison) -> str:
    found = {
        "a": str(args.data),
        "b": str(args.other),
        **_figures(result.overall),
        "missed_by_a": result.overall.missed_by_a.tolist(),
        "missed_by_b": result.overall.missed_by_b.tolist(),
        "joined_by_a": {str(k): list(parts) for k, parts in result.joined_by_a.items()},
        "joined_by_b": {str(k): list(parts) for k, parts in result.joined_by_b.items()},
        "dice": result.dice,
        "same_class": None if math.isnan(result.same_class) else result.same_class,
        "classes": {name: _figures(one) for name, one in result.classes.items()},
    }
    return json.dumps(found)


def _figures(one: Agreement) -> dict[str, Any]:
    pairs = zip(one.partners.tolist(), one.ious.tolist(), strict=True)
    return {
        "objects_a": one.objects_a,
        "objects_b": one.objects_b,
        "partners": [{"a": a, "b": b, "iou": value} for (a, b), value in pairs],
        "mean_iou": one.mean_iou if len(one.ious) else None,
        "AP": {f"{t:.2f}": p for t, p in zip(THRESHOLDS, one.precision.tolist(), strict=True)},
        "mean_AP": one.mean_precision,
    }
