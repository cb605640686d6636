"""The demonstration: segments the built-in samples and writes labels and an overview picture."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from ..everything.amg_params import AmgParams
from ..files import check_target, replacing
from ..formats.label_images import write_labels
from ..images.samples import STACK_SCALE, cells_stack
from ..images.transforms import to_rgb8
from ..masks import to_labels
from ..predict.predictor import SamPredictor
from .commands import (
    Say,
    count_objects,
    find_in_stack,
    find_records,
    given_params,
    load,
    plain,
    provenance,
)
from .overview import Panel, draw_overview

POINTS_PER_SIDE = 12
"""Sparser than the default, so that the demonstration takes less than a minute on two cores."""
SAMPLES = ("immunohistochemistry", "cell", "coins")
PLANES = range(11, 14)
"""Planes of the drawn stack that are segmented."""


def demo(args: Namespace, say: Say) -> str:
    """Segment the samples; return the paths of the results, one per line."""
    given = given_params(args)
    targets = {name: args.output / f"{name}_labels.tif" for name in (*SAMPLES, "cells_stack")}
    picture = args.output / "overview.png"
    _make_folder(args.output)
    for target in (*targets.values(), picture):
        check_target(target, None, args.overwrite)
    model = load(args, say)
    predictor = SamPredictor(model)
    chosen = {**model.amg_defaults, "points_per_side": POINTS_PER_SIDE, **given}
    params = AmgParams(**chosen)
    note = provenance(args, model, parameters=plain(params))
    lines, panels = [], []
    for name in SAMPLES:
        image = np.asarray(getattr(data, name)())
        records = find_records(predictor, image, params, _prefixed(say, name))
        size = image.shape[0], image.shape[1]
        labels = to_labels(records, size, params.min_mask_region_area)
        write_labels(targets[name], labels, "YX", None, args.overwrite, note)
        lines.append(f"{targets[name]}  {count_objects(labels)} objects")
        panels.append(_panel(name, image, labels))
    volume = cells_stack()
    labels = find_in_stack(predictor, volume, params, PLANES, _prefixed(say, "cells_stack"))
    write_labels(targets["cells_stack"], labels, "ZYX", STACK_SCALE, args.overwrite, note)
    count = count_objects(labels)
    lines.append(f"{targets['cells_stack']}  {count} objects in {len(PLANES)} planes")
    panels += [_panel(f"cells_stack, plane {z}", volume[z], labels[z]) for z in PLANES]
    _write_picture(picture, draw_overview(panels))
    return "\n".join([*lines, str(picture)])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"no place for the results: the folder {folder} cannot be made ({error.strerror})"
        ) from error


def _prefixed(say: Say, name: str) -> Say:
    def prefixed(text: str, keep: bool = False) -> None:
        say(f"{name}: {text}", keep)

    return prefixed


def _panel(name: str, plane: NDArray[np.generic], labels: NDArray[np.int32]) -> Panel:
    return Panel(f"{name}: {count_objects(labels)} objects", to_rgb8(plane), labels)


def _write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    with replacing(path) as partial:
        Image.fromarray(picture).save(partial)
