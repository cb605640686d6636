"""How often the proposed classes of objects are right, from three or five named objects of each.

    python benchmarks/classes.py --data FOLDER

The data are `.npz` sources as described in docs/models.md. The true outlines are the objects. Of
hippocampus_mri the classes are real: the anterior and the posterior part, in slices of several
people. No other source names classes, so two sources are joined: an image of one beside an image of
the other, cut to the same size, and an object's class is the source that it is from. "right" is the
mean of the shares of each class that are right, of all objects that were not named. "sure" is the
share of them whose confidence is 0.8 or more, which the dock proposes at first; "right, sure" is
the share of these that are right. 0.5 is chance. The constants of `everything.naming` were chosen
on the training part of the same sources.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sources import load_source

from napari_sam import Plane, SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.everything.naming import LIKELY, UNNAMED, comparable, propose_classes
from napari_sam.everything.similar import described_in
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.types import Mask

JOINED = (
    ("neuroblastoma_fluo", "dsb2018"),
    ("axon_sem", "isbi2012_em"),
    ("emps_particles", "nasa_superalloy_sem"),
    ("bbbc010_worms", "usiigaci_phase"),
)
PARTS = "hippocampus_mri"
NAMED = (3, 5)
SMALLEST, FEWEST, SLICES = 12, 8, 30


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--part", default="validation", help="of the data: train, validation")
    parser.add_argument("--images", type=int, default=4, help="joined ones of each pair")
    parser.add_argument("--seeds", type=int, default=10, help="choices of the named objects")
    args = parser.parse_args()
    session = Session(SamPredictor(load_model(args.model)))
    parts = [args.part, *(["unseen"] if args.part == "validation" else [])]
    tasks = [
        (f"{a} + {b}", joined(session, args.data, (a, b), parts, args.images)) for a, b in JOINED
    ]
    tasks.append((PARTS, slices(session, args.data, parts)))
    rows = []
    for name, images in tasks:
        found = [
            value
            for features, classes in images
            for value in measured(features, classes, args.seeds)
        ]
        if found:
            means = np.nanmean(found, axis=0)
            rows.append((name, str(len(images)), *(f"{value:.2f}" for value in means)))
    head = [f"{what}, {n} named" for n in NAMED for what in ("right", "sure", "right, sure")]
    print(as_markdown([("objects", "images", *head, "ms"), *rows]))


def joined(
    session: Session, data: Path, pair: Sequence[str], parts: list[str], most: int
) -> list[tuple[NDArray[np.float32], NDArray[np.intp]]]:
    """Return features and classes of the objects of two sources, image beside image."""
    sources = [
        [item for item in load_source(data / f"{name}.npz", parts) if len(masks_of(item)) >= FEWEST]
        for name in pair
    ]
    if not all(sources):
        return []
    count = min(most, max(map(len, sources)))
    return [
        one
        for _, *items in zip(range(count), *map(cycle, sources), strict=False)
        if (one := beside(session, items)) is not None
    ]


def beside(
    session: Session, items: Sequence[LabelledImage]
) -> tuple[NDArray[np.float32], NDArray[np.intp]] | None:
    """Describe the objects of two images as one; None if one has too few of them."""
    height, width = (min(item.labels.shape[axis] for item in items) for axis in (0, 1))
    colours = [
        np.broadcast_to(item.image[..., None], (*item.image.shape, 3))
        if item.image.ndim == 2
        else item.image[..., :3]
        for item in items
    ]
    image = np.concatenate([one[:height, :width] for one in colours], axis=1)
    masks, classes = [], []
    for k, item in enumerate(items):
        cut = masks_in(item.labels[:height, :width])
        masks += [one.moved(k * width, 0, (height, 2 * width)) for one in cut]
        classes += [k] * len(cut)
    if np.bincount(classes, minlength=2).min() < FEWEST:
        return None
    return described_in(session, Plane(image), masks), np.array(classes)


def slices(
    session: Session, data: Path, parts: list[str]
) -> list[tuple[NDArray[np.float32], NDArray[np.intp]]]:
    """Return features and classes of the parts of the hippocampus in many slices."""
    features, classes = [], []
    for item in load_source(data / f"{PARTS}.npz", parts)[:SLICES]:
        both = [item.labels == part for part in (1, 2)]
        if min(map(np.count_nonzero, both)) >= SMALLEST:
            masks = [Mask.of(one) for one in both]
            features.append(described_in(session, Plane(item.image), masks))
            classes += [0, 1]
    return [(np.concatenate(features), np.array(classes))]


def masks_of(item: LabelledImage) -> list[Mask]:
    """Return the objects of an image that are not tiny."""
    return masks_in(item.labels)


def masks_in(labels: NDArray[np.int32]) -> list[Mask]:
    """Return the masks of labels that are not tiny."""
    areas = np.bincount(labels.ravel())
    return [Mask.of(labels == k) for k in np.flatnonzero(areas >= SMALLEST).tolist() if k]


def measured(
    features: NDArray[np.float32], classes: NDArray[np.intp], seeds: int
) -> list[list[float]]:
    """Return, for each choice of named objects, shares that are right, and milliseconds."""
    found = []
    for seed in range(seeds):
        row = []
        for count in NAMED:
            rng = np.random.default_rng(seed)
            known = np.full(len(classes), UNNAMED)
            for kind in (0, 1):
                chosen = rng.choice(np.flatnonzero(classes == kind), count, replace=False)
                known[chosen] = kind
            start = time.perf_counter()
            proposed = propose_classes(comparable(features), known)
            seconds = time.perf_counter() - start
            rest = known == UNNAMED
            right, truth = (proposed.classes == classes)[rest], classes[rest]
            sure = proposed.confidence[rest] >= LIKELY
            row += [
                float(np.mean([right[truth == kind].mean() for kind in (0, 1)])),
                float(sure.mean()),
                float(right[sure].mean()) if sure.any() else np.nan,
            ]
        found.append([*row, 1000 * seconds])
    return found


if __name__ == "__main__":
    main()
