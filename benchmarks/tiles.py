"""Everything mode on a plane far larger than the model's input: objects on seams, memory, time.

    python benchmarks/tiles.py --side 8192

The plane is drawn: bright blobs that do not touch, on noise. An object lies on a seam if the edge
of a tile cuts it. Memory is the peak beyond that of everything mode on a single tile.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam import SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.masks import overlap_counts, to_labels
from napari_sam.predict.session import Session
from napari_sam.stack.planes import PlaneResult, everything_in
from napari_sam.types import Mask, Plane, Window

SPARSE = 110
"""Side of the square in which one blob is drawn, pixels."""
RADII = (7.0, 24.0)
LARGE_SPARSE, LARGE_RADII = 1000, (100.0, 230.0)
"""The same of the few blobs that are larger than the overlap of two tiles."""
GREY, NOISE = 30, 8
BLOCK = 256
"""Rows of noise made at once."""


def main() -> None:
    """Parse the command line, draw, run, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--side", type=int, default=8192, help="of the plane, pixels")
    parser.add_argument("--large", action="store_true", help="draw a few large blobs as well")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    image, truth = draw(args.side, args.seed, args.large)
    session = Session(SamPredictor(load_model(args.model)))
    side = session.predictor.model.image_size
    run(session, np.array(image[:side, :side]))
    before, start = peak(), time.perf_counter()
    labels = run(session, image)
    seconds, used = time.perf_counter() - start, peak() - before
    levels = AutomaticMaskGenerator(session.predictor).tiles(image.shape)
    count = sum(len(level) for level in levels)
    print(f"{args.side} x {args.side}: {count} tiles, {seconds:.0f} s, {used:.2f} GB more")
    print(as_markdown(table(labels, truth, levels[0])))


def run(session: Session, image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the labels of everything mode."""
    found = [step for step in everything_in(session, [Plane(image)]) if type(step) is PlaneResult]
    return found[0].labels


def draw(side: int, seed: int, large: bool) -> tuple[NDArray[np.uint8], list[Mask]]:
    """Return a plane (side, side) and the blobs in it."""
    rng = np.random.default_rng(seed)
    image = np.empty((side, side), np.uint8)
    for start in range(0, side, BLOCK):
        rows = image[start : start + BLOCK]
        rows[:] = np.clip(GREY + NOISE * rng.standard_normal(rows.shape, np.float32), 0, 255)
    taken = np.zeros((side, side), bool)
    masks = []
    kinds = [(LARGE_SPARSE, LARGE_RADII)] * large + [(SPARSE, RADII)]
    for sparse, radii in kinds:
        for _ in range((side // sparse) ** 2):
            radius = rng.uniform(*radii)
            blob = wobbly(radius, rng)
            reach = blob.shape[0] // 2
            if side <= 2 * reach:
                continue
            y, x = rng.integers(reach, side - reach, 2).tolist()
            part = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
            if (taken[part] & (blob > 0)).any():
                continue
            taken[part] |= blob > 0
            light = rng.uniform(60, 170) * blob
            image[part] = np.clip(image[part] + light, 0, 255)
            masks.append(Mask.of(blob > 0.5, (x - reach, y - reach), (side, side)))
    return image, masks


def wobbly(radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how bright a blob with a soft edge is, 0..1, in a square about it."""
    reach = int(1.8 * radius) + 4
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    angle = np.arctan2(y, x) + rng.uniform(0, 2 * np.pi)
    outline = radius * (1 + 0.25 * np.cos(2 * angle) + rng.uniform(0, 0.15) * np.cos(3 * angle))
    return np.clip((outline - np.hypot(x, y)) / 2 + 0.5, 0, 1)


def table(
    labels: NDArray[np.int32], truth: list[Mask], tiles: tuple[Window, ...]
) -> list[tuple[str, ...]]:
    """Return AP50 of the objects that the edge of a tile cuts, and of the others."""
    real = to_labels(truth, labels.shape)
    found, wanted, counts = overlap_counts(labels, real)
    pairs = counts.tocoo()
    row, column = pairs.coords
    overlap = pairs.data / (counts.sum(1)[row] + counts.sum(0)[column] - pairs.data)
    good = (overlap > 0.5) & (found[row] > 0) & (wanted[column] > 0)
    hit, met = set(found[row[good]].tolist()), set(wanted[column[good]].tolist())
    edges = cuts(tiles, labels.shape)
    found_boxes = boxes(labels)
    rows: list[tuple[str, ...]] = [("objects", "number", "found", "wrong", "AP50")]
    for name in ("inside", "on seams", "large"):
        own = [k + 1 for k, mask in enumerate(truth) if kind(mask.box, edges) == name]
        others = (box for label, box in found_boxes.items() if label not in hit)
        wrong = sum(kind(box, edges) == name for box in others)
        right = sum(label in met for label in own)
        precision = right / max(len(own) + wrong, 1)
        rows.append((name, f"{len(own)}", f"{right}", f"{wrong}", f"{precision:.3f}"))
    return rows


def boxes(labels: NDArray[np.int32]) -> dict[int, tuple[int, int, int, int]]:
    """Return the box (x0, y0, x1, y1) of each label."""
    found = enumerate(ndimage.find_objects(labels), start=1)
    return {
        label: (x.start, y.start, x.stop - 1, y.stop - 1)
        for label, (y, x) in ((k, part) for k, part in found if part is not None)
    }


def cuts(tiles: tuple[Window, ...], size: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """Return where tiles end inside the plane: columns (N,) and rows (M,)."""
    ends = np.array(tiles).reshape(-1, 2, 2)
    columns, rows = (np.setdiff1d(ends[..., axis], (0, size[1 - axis])) for axis in (0, 1))
    return columns, rows


def kind(box: tuple[int, int, int, int], edges: tuple[NDArray, NDArray]) -> str:
    """Tell whether a box is large, or the edge of a tile goes through it."""
    x0, y0, x1, y1 = box
    if max(x1 - x0, y1 - y0) > LARGE_RADII[0]:
        return "large"
    columns, rows = edges
    cut = ((columns > x0) & (columns <= x1)).any() or ((rows > y0) & (rows <= y1)).any()
    return "on seams" if cut else "inside"


def peak() -> float:
    """Return the largest resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
