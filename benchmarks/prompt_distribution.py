"""How prompts and crops are distributed in training, and how they were in an older version.

    python benchmarks/prompt_distribution.py --old OTHER_CHECKOUT/src

The older version, which worked with numpy, runs in a process of its own on the same images, which
this version draws. A markdown table of shares and quantiles.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

IMAGES = 240
SIDE = 256  # of an image
SIZE = 128  # of a crop
BATCHES, CROPS, OBJECTS = 100, 10, 3
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
STRIDE = 4
MODEL_SCALE = 512 / SIDE  # at which a model sees these images

Figures = dict[str, list[float]]


def measured(masks: Tensor, prompts: Any) -> Figures:
    """Return the figures of first prompts, which are no strokes, of objects (P, S, S)."""
    clicked = prompts.labels[:, 0] == 1
    boxed = ~prompts.boxes.isnan().any(1)
    rough = ~prompts.mask_input.isnan().flatten(1).any(1)
    found: Figures = {
        "share of clicks": clicked.float().tolist(),
        "share of boxes": boxed.float().tolist(),
        "share of both": (clicked & boxed).float().tolist(),
        "share of rough masks": rough.float().tolist(),
        "share of rough masks alone": (rough & ~clicked & ~boxed).float().tolist(),
        "click: depth / deepest": [],
        "click: pixels from the deepest place, small objects": [],
        "box: share of exact ones": [],
        "box: shift of a side / its length": [],
        "object: longest side, pixels": [],
    }
    for k, mask in enumerate(masks.numpy()):
        rows, columns = np.nonzero(mask)
        tight = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        sides = np.tile(tight[2:] - tight[:2] + 1, 2)
        found["object: longest side, pixels"].append(float(sides.max()))
        if clicked[k]:
            x, y = prompts.coords[k, 0].tolist()
            depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
            own = depth[round(np.clip(y, 0, SIZE - 1)), round(np.clip(x, 0, SIZE - 1))]
            found["click: depth / deepest"].append(float(own / depth.max()))
            if sides.max() <= 16:
                row, column = np.unravel_index(int(depth.argmax()), mask.shape)
                away = float(np.hypot(x - column, y - row))
                found["click: pixels from the deepest place, small objects"].append(away)
        if boxed[k]:
            shift = np.abs(prompts.boxes[k].numpy() - tight) / sides
            found["box: share of exact ones"].append(float(shift.max() == 0))
            if shift.max():
                found["box: shift of a side / its length"] += shift.tolist()
    return found


def of_this_version(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Figures:
    """Return the figures of this version."""
    from napari_sam.training.crops import draw_views
    from napari_sam.training.image_set import ImageSet
    from napari_sam.training.labelled_images import LabelledImage
    from napari_sam.training.prompts import choose_objects, first_prompts
    from napari_sam.training.rng import DeviceRandom

    rng = DeviceRandom(0)
    pairs = zip(images, labels, strict=True)
    known = ImageSet.of([LabelledImage("drawn", "drawn", "", "train", *pair) for pair in pairs])
    parts = []
    for _ in range(BATCHES):
        views = draw_views(known, CROPS, SIZE, rng)
        planes = known.read_labels(views.image, views.coords)
        right = views.coords[:, 0, 1] - views.coords[:, 0, 0]
        down = views.coords[:, 1, 0] - views.coords[:, 0, 0]
        scale = (right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]).abs() ** -0.5
        chosen, valid = choose_objects(planes, views.anchor, OBJECTS, rng)
        own = torch.ones_like(chosen, dtype=torch.bool)
        own[:, 1:] = chosen[:, 1:] != chosen[:, :1]  # named again where there are fewer
        masks = planes[:, None] == chosen[..., None, None]
        masks = masks[own & valid[:, None]]
        found = measured(masks, first_prompts(masks, STRIDE, rng))
        parts.append(found | {"crop: scale / a model's": (scale / MODEL_SCALE).tolist()})
    return joined(parts)


def of_old_version(images: NDArray[np.uint8], labels: NDArray[np.int32]) -> Figures:
    """Return the figures of the version with `training.data` and `training.simulate`."""
    from napari_sam.training import data, simulate  # type: ignore[attr-defined]

    rng = np.random.default_rng(0)
    pairs = zip(images, labels, strict=True)
    sampler = data.CropSampler({"drawn": [data.LabelledImage("drawn", "", *p) for p in pairs]}, rng)
    scales: list[float] = []
    cut = data._affine

    def noted(item: Any, centre: Any, scale: float, *rest: Any) -> Any:
        scales.append(scale / MODEL_SCALE)
        return cut(item, centre, scale, *rest)

    data._affine = noted
    parts: list[Figures] = []
    while len(parts) < BATCHES:
        crops = sampler.batch(CROPS, SIZE, OBJECTS)
        prompts = simulate.first_prompts(crops.masks, STRIDE, rng)
        if prompts.coords.shape[1] == 1:  # no strokes
            parts.append(measured(crops.masks, prompts))
    return joined(parts) | {"crop: scale / a model's": scales}


def joined(parts: list[Figures]) -> Figures:
    """Return the figures of all batches."""
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}


def summed_up(found: Figures) -> dict[str, str]:
    """Return each figure's mean, if it is a share, or its quantiles."""
    lines = {}
    for name, values in found.items():
        quantiles = [np.mean(values)] if "share" in name else np.quantile(values, QUANTILES)
        lines[name] = "  ".join(f"{value:.2f}" for value in quantiles)
    return lines


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, help="the folder `src` of an older checkout")
    parser.add_argument("--as-old", type=Path, help=argparse.SUPPRESS)  # folder of the images
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.as_old:
        images, labels = (np.load(args.as_old / f"{name}.npy") for name in ("images", "labels"))
        for name, line in summed_up(of_old_version(images, labels)).items():
            print(f"{name}\t{line}")
        return
    from napari_sam.training.drawn import draw

    generator = torch.Generator().manual_seed(0)
    batches = [draw(40, SIDE, generator) for _ in range(IMAGES // 40)]
    images = torch.cat([(b.images * 255).round().byte() for b in batches]).permute(0, 2, 3, 1)
    labels = torch.cat([b.labels for b in batches])
    columns = [summed_up(of_this_version(images.numpy(), labels.numpy()))]
    if args.old:
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder, "images.npy"), images.numpy())
            np.save(Path(folder, "labels.npy"), labels.numpy())
            told = subprocess.run(
                [sys.executable, __file__, "--as-old", folder],
                env=os.environ | {"PYTHONPATH": str(args.old)},
                capture_output=True,
                text=True,
                check=True,
            )
        columns.append(dict(line.split("\t") for line in told.stdout.splitlines()))
    quantiles = " ".join(f"{round(100 * q)}" for q in QUANTILES)
    print(f"| share, or quantiles ({quantiles} %) | this version |{' old |' * bool(args.old)}")
    print("|" + "---|" * (1 + len(columns)))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")


if __name__ == "__main__":
    main()
