"""Everything mode beside watersheds: on the image alone, and on the instance head's depth.

What everything mode is compared with: Otsu's threshold with a watershed on the distance transform,
which learns nothing, and a watershed on the depth that the instance head gives. Their few numbers
are chosen on training images of each source; of a source that has none, those of `LIKE` are taken.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import reconstruction
from skimage.segmentation import watershed
from sources import load_source

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, load_model, masks
from napari_sam.evaluate.report import as_markdown, plane_rows
from napari_sam.evaluate.scores import average_precision
from napari_sam.everything.instances import FlowFields
from napari_sam.predict.upsampling import Upsampler
from napari_sam.steps import drive
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.types import ImageEmbedding

LIKE = {"isbi2012_em": "axon_sem"}
"""Sources without training images, and the ones whose numbers they take."""
SMALLEST = 20
"""Objects of fewer pixels are left out."""
DEPTH_CHOICES = tuple(itertools.product((0.3, 0.4, 0.5), (0.2, 0.4), (0.05, 0.1, 0.2)))
"""Of foreground and of a seed's depth the least, and how far a seed rises above the passes."""
PLAIN_CHOICES = tuple(itertools.product((True, False, None), (0.5, 1, 2), (3, 5, 8), (0, 1, 2)))
"""Whether objects are bright (None: whatever covers less), blur, distance of seeds, blur of the
distance transform; pixels."""

Labels = NDArray[np.integer]
Finder = Callable[[NDArray[np.uint8], ImageEmbedding], Labels]


def main() -> None:
    """Parse the command line, choose numbers, score, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--images", type=int, default=16, help="images per source at most")
    parser.add_argument(
        "--sources", nargs="*", default=["dsb2018", "axon_sem", "hippocampus_mri", "isbi2012_em"]
    )
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    generator = AutomaticMaskGenerator(
        predictor,
        AmgParams(**predictor.model.amg_defaults | {"seeds": "auto", "look_closer": "never"}),
    )
    found: dict[str, dict[str, list[NDArray[np.float64]]]] = {}
    seconds: dict[str, float] = {}

    for source in args.sources:
        path = args.data / f"{source}.npz"
        training = args.data / f"{LIKE.get(source, source)}.npz"
        chosen = spread(load_source(training, ["train"]), args.images)
        maps = [depth_maps(predictor, predictor.encode(item.image)) for item in chosen]
        methods = {
            "threshold and watershed": best_plain([item.image for item in chosen], chosen),
            "watershed on the head": best_depth(predictor, maps, chosen),
            "everything mode": partial(everything, generator),
        }
        for part in ("validation", "unseen", "apart"):
            name = source if part == "validation" else f"{source} ({part})"
            for item in spread(load_source(path, [part]), args.images):
                embedding = predictor.encode(item.image)
                for method, find in methods.items():
                    start = time.perf_counter()
                    labels = find(item.image, embedding)
                    seconds[method] = seconds.get(method, 0.0) + time.perf_counter() - start
                    rows = found.setdefault(method, {}).setdefault(name, [])
                    rows.append(average_precision(labels, item.labels))
    for method, sources in found.items():
        planes = sum(len(rows) for rows in sources.values())
        print(
            f"\n**{method}**, {seconds[method] / planes * 1000:.0f} ms a plane without encoding\n"
        )
        print(as_markdown(plane_rows(sources)))


def depth_maps(predictor: SamPredictor, embedding: ImageEmbedding) -> NDArray[np.float32]:
    """Return foreground and relative depth (2, H, W), 0..1, in pixels of the plane."""
    scales = predictor.instance_fields(embedding)
    if scales is None:
        raise ValueError(f"{embedding.model} has no instance head")
    fields = FlowFields.of(scales[0]).finer
    h, w = (int(side * fields.stride) for side in fields.foreground.shape)
    upsampler: Upsampler = predictor.upsampler(embedding, fields.foreground.shape, (h, w))
    return upsampler(np.stack([fields.foreground, fields.depth]))


def by_depth(maps: NDArray[np.float32], foreground: float, depth: float, rise: float) -> Labels:
    """Return the basins of the depth (maps[1]) in the foreground (maps[0])."""
    tops = maps[1] - reconstruction(maps[1] - rise, maps[1])
    seeds, _ = ndimage.label((tops >= 0.999 * rise) & (maps[1] > depth), np.ones((3, 3)))
    return large(watershed(-maps[1], seeds, mask=maps[0] > foreground))


def by_threshold(
    image: NDArray[np.uint8], bright: bool | None, blur: float, apart: int, smooth: float
) -> Labels:
    """Return what Otsu's threshold and a watershed on the distance transform find."""
    grey = image.mean(axis=-1) if image.ndim == 3 else image.astype(np.float64)
    grey = ndimage.gaussian_filter(grey, blur)
    if grey.min() == grey.max():
        return np.zeros(grey.shape, np.int32)
    mask = grey > threshold_otsu(grey)
    if not (mask.mean() < 0.5 if bright is None else bright):
        mask = ~mask
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), smooth)
    top = ndimage.maximum_filter(distance, 2 * apart + 1) == distance
    seeds, _ = ndimage.label(top & mask, np.ones((3, 3)))
    return large(watershed(-distance, seeds, mask=mask))


def everything(
    generator: AutomaticMaskGenerator, image: NDArray[np.uint8], embedding: ImageEmbedding
) -> Labels:
    """Return what everything mode finds."""
    candidates = drive(generator.propose_on(embedding.original_size, lambda crop: embedding))
    return masks.to_labels(generator.select(candidates), embedding.original_size)


def best_plain(images: Sequence[NDArray[np.uint8]], items: Sequence[LabelledImage]) -> Finder:
    """Return `by_threshold` with the numbers that suit training images."""
    numbers = best([*zip(images, items, strict=True)], PLAIN_CHOICES, by_threshold)
    return lambda image, embedding: by_threshold(image, *numbers)


def best_depth(
    predictor: SamPredictor, maps: Sequence[NDArray[np.float32]], items: Sequence[LabelledImage]
) -> Finder:
    """Return `by_depth` with the numbers that suit training images."""
    numbers = best([*zip(maps, items, strict=True)], DEPTH_CHOICES, by_depth)
    return lambda image, embedding: by_depth(depth_maps(predictor, embedding), *numbers)


def large(labels: Labels) -> Labels:
    """Return labels without objects of fewer than `SMALLEST` pixels."""
    return np.where(np.bincount(labels.ravel())[labels] >= SMALLEST, labels, 0)


def best(
    given: Sequence[tuple[NDArray[np.generic], LabelledImage]],
    choices: Sequence[tuple[Any, ...]],
    find: Callable[..., Labels],
) -> tuple[Any, ...]:
    """Return the choice with the highest sum of AP50 and AP."""
    merits = []
    for choice in choices:
        scores = [average_precision(find(what, *choice), item.labels) for what, item in given]
        precision = np.nanmean(scores, axis=0)
        merits.append(precision[0] + precision.mean())
    return choices[int(np.argmax(merits))]


def spread(items: list[LabelledImage], count: int) -> list[LabelledImage]:
    """Return at most `count` items, spread evenly."""
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).astype(int)]


if __name__ == "__main__":
    main()
