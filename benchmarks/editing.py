"""How well editing tools do: touching nuclei split by two clicks, rough outlines snapped.

    python benchmarks/editing.py --data FOLDER

FOLDER holds the `.npz` sources; the validation part is used. Nuclei that touch are made one object,
which is split by a click in each of them. Outlines are made rough by growing, shrinking or
moving them, or by a polygon of few corners, and are then given to the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon2mask
from sources import load_source

from napari_sam import Plane, SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import iou, middle_of
from napari_sam.objects.asking import asking, snapped
from napari_sam.objects.reshape import grow, join, shrink
from napari_sam.objects.segmented import Outline
from napari_sam.objects.splitting import Point, asked_at, split_plane
from napari_sam.types import Mask

Bools = NDArray[np.bool_]
SPLIT = ("dsb2018", "neuroblastoma_fluo")
SNAPPED = ("dsb2018", "axon_sem", "usiigaci_phase", "sunnybrook_cmr")
LEAST = 60
"""Pixels of the smallest nucleus of a pair."""
ALL_AROUND = np.ones((3, 3), bool)


def main() -> None:
    """Parse the command line, measure, print a table for each tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--images", type=int, default=16, help="of each source at most")
    parser.add_argument("--limit", type=int, default=6, help="pairs or objects of each image")
    args = parser.parse_args()
    session = Session(SamPredictor(load_model(args.model)))
    splits = [row for source in SPLIT for row in split_rows(session, source, args)]
    print(as_markdown([("clicks", "source", "pairs", "model", "shape", "nearer click"), *splits]))
    snaps = [row for source in SNAPPED for row in snap_rows(session, source, args)]
    print(as_markdown([("outline", "source", "objects", "rough", "snapped", "worse"), *snaps]))


def split_rows(session: Session, source: str, args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield rows of the table of splits: mean IoU of the parts, and the share below 0.8."""
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {"in the middle": [], "anywhere": []}
    for item in images(args.data, source, args.images):
        plane = Plane(item.image)
        ask = asking(session, plane)
        for one, other in touching(item.labels)[: args.limit]:
            whole = Mask.of(join(one, other, 2))
            for where, clicks in {
                "in the middle": (middle_of(one), middle_of(other)),
                "anywhere": (anywhere(one, rng), anywhere(other, rng)),
            }.items():
                answers = ask(plane.key, whole, *asked_at(whole, *clicks))
                parts = [
                    split_plane(whole, *clicks, answers),
                    split_plane(whole, *clicks),
                    nearer(whole, *clicks),
                ]
                found[where].append([(iou(a, one) + iou(b, other)) / 2 for a, b in parts])
    for where, scores in found.items():
        table = np.array(scores)
        cells = [f"{column.mean():.3f} ({np.mean(column < 0.8):.0%})" for column in table.T]
        yield [where, source, str(len(scores)), *cells]


def snap_rows(session: Session, source: str, args: argparse.Namespace) -> Iterator[list[str]]:
    """Yield rows of the table of snapped outlines: mean IoU before and after, share made worse."""
    found: dict[str, list[tuple[float, float]]] = {}
    for item in images(args.data, source, args.images):
        plane = Plane(item.image)
        ids, counts = np.unique(item.labels, return_counts=True)
        chosen = [k for k, n in zip(ids, counts, strict=True) if k and n >= LEAST]
        for label in chosen[:: max(1, len(chosen) // args.limit)][: args.limit]:
            truth = item.labels == label
            for name, change in ROUGH.items():
                rough = change(truth)
                if not rough.any():
                    continue
                before = Outline(Mask.of(rough))
                after = snapped(session, plane, before).mask
                found.setdefault(name, []).append((iou(rough, truth), iou(after, truth)))
    for name, scores in found.items():
        before, after = np.array(scores).T
        worse = np.mean(after < before - 0.02)
        cells = (f"{before.mean():.3f}", f"{after.mean():.3f}", f"{worse:.0%}")
        yield [name, source, str(len(scores)), *cells]


def images(data: Path, source: str, most: int) -> list:
    """Return some validation images of a source, evenly spaced."""
    items = load_source(data / f"{source}.npz", ["validation"])
    return [items[k] for k in np.unique(np.linspace(0, len(items) - 1, most).astype(int))]


def touching(labels: NDArray[np.int32]) -> list[tuple[Bools, Bools]]:
    """Return the pairs of objects that touch, or nearly, and are one piece when joined."""
    found = []
    for label in np.unique(labels)[1:]:
        one = labels == label
        ring = ndimage.binary_dilation(one, ALL_AROUND, iterations=3)
        beside, counts = np.unique(labels[ring], return_counts=True)
        for k in beside[(beside > label) & (counts >= 12)]:
            other = labels == k
            pieces = ndimage.label(join(one, other, 2), ALL_AROUND)[1]
            if min(one.sum(), other.sum()) >= LEAST and pieces == 1:
                found.append((one, other))
    return found


def anywhere(pixels: Bools, rng: np.random.Generator) -> Point:
    """Return a random pixel (x, y) in the inner half of an object."""
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    inside = np.argwhere(depth >= 0.5 * depth.max())
    row, column = inside[rng.integers(len(inside))]
    return float(column), float(row)


def nearer(whole: Mask, first: Point, second: Point) -> tuple[Mask, Mask]:
    """Return an object divided by the line between two points."""
    pixels = np.asarray(whole)
    rows, columns = np.indices(pixels.shape)
    away = [np.hypot(columns - x, rows - y) for x, y in (first, second)]
    return Mask.of(pixels & (away[0] <= away[1])), Mask.of(pixels & (away[0] > away[1]))


def radius_of(pixels: Bools) -> float:
    """Return the radius of the disc of the same area."""
    return float(np.sqrt(pixels.sum() / np.pi))


def few_corners(pixels: Bools) -> Bools:
    """Return the polygon of eight corners on the edge of an object, as drawn in a hurry."""
    x, y = middle_of(pixels)
    rows, columns = np.nonzero(pixels)
    angles = np.arctan2(rows - y, columns - x)
    away = np.hypot(rows - y, columns - x)
    corners = []
    for k in range(8):
        sector = np.abs(np.angle(np.exp(1j * (angles - k * np.pi / 4)))) < np.pi / 16
        reach = away[sector].max(initial=1.0)
        corners.append((y + reach * np.sin(k * np.pi / 4), x + reach * np.cos(k * np.pi / 4)))
    inside: Bools = polygon2mask(pixels.shape, corners)
    return inside


ROUGH: dict[str, Callable[[Bools], Bools]] = {
    "as it is": lambda pixels: pixels,
    "grown by 1/5 of its radius": lambda pixels: grow(pixels, max(1, radius_of(pixels) / 5)),
    "shrunk by 1/5": lambda pixels: shrink(pixels, max(1, radius_of(pixels) / 5)),
    "moved by 1/5": lambda pixels: ndimage.shift(pixels, max(1, radius_of(pixels) / 5), order=0),
    "polygon of 8 corners": few_corners,
}
"""What is done to true outlines, by its name."""


if __name__ == "__main__":
    main()
