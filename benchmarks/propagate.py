"""How well objects are found in a whole stack from a box in one plane.

    python benchmarks/propagate.py --stacks FOLDER

The folder holds pairs NAME.tif, NAME_labels.tif whose labels are constant along the first axis.
Each object gets its box in its middle plane. It is compared with a watershed that carries the same
outline on, and corrected once: the true outline of the worst plane is a second keyframe.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from skimage.filters import sobel
from skimage.segmentation import watershed

from napari_sam import Prompts, SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import box_of, iou
from napari_sam.predict.session import Session
from napari_sam.stack.propagate import FoundPlane, propagate, stale_places
from napari_sam.types import Mask, Plane, SliceKey

MIN_PIXELS = 12
MIN_PLANES = 3
MANY = 10
"""Objects that are timed together."""

Outlines = dict[int, Mask]


def main() -> None:
    """Parse the command line, measure, print a table per kind of stack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--only", help="stacks whose name begins so")
    parser.add_argument("--limit", type=int, default=1000, help="objects of each stack")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    rows: dict[str, list[tuple[float, ...]]] = {}
    many = [("stack", f"s a plane and object, {MANY} together")]
    for path in sorted(args.stacks.glob(f"{args.only or ''}*_labels.tif")):
        name = path.stem.removesuffix("_labels")
        image, labels = tifffile.imread(path.with_name(f"{name}.tif")), tifffile.imread(path)
        session = Session(predictor)
        planes = [Plane(image, SliceKey((1, 2), ((0, z),))) for z in range(len(image))]
        for plane in planes:
            session.embedding(plane)
        kind = name if "hippocampus" not in name and "mito" not in name else name.split("_")[0]
        rows.setdefault(kind, []).extend(measured(session, planes, labels, args.limit))
        if args.limit >= MANY and (seconds := together(session, planes, labels)):
            many.append((name, f"{seconds:.4f}"))
    table = [
        (kind, str(len(r)), *(f"{v:.3f}" for v in np.mean(r, axis=0))) for kind, r in rows.items()
    ]
    means = np.mean([np.mean(r, axis=0) for r in rows.values()], axis=0)
    head = (
        "stack", "objects", "first plane", "IoU", "watershed", "least alike plane corrected",
        "most wrong plane corrected",
        "planes beyond an end", "planes missed at an end", "s a plane",
    )  # fmt: skip
    print(as_markdown([head, *table, ("mean over sources", "", *(f"{v:.3f}" for v in means))]))
    if len(many) > 1:
        print("\n" + as_markdown(many))


def measured(
    session: Session, planes: list[Plane], labels: np.ndarray, limit: int
) -> list[tuple[float, ...]]:
    """Follow each object of a stack by itself."""
    rows, nothing = [], Mask.of(np.zeros(planes[0].size, bool))
    for k in [int(k) for k in np.unique(labels) if k][:limit]:
        truth = {z: Mask.of(plane == k) for z, plane in enumerate(labels) if (plane == k).any()}
        places = sorted(truth)
        middle = places[len(places) // 2]
        if len(places) < MIN_PLANES or truth[middle].area < MIN_PIXELS:
            continue
        answer = session.predict_many(planes[middle], [Prompts(box=box_of(truth[middle]))])[0]
        first = answer.masks[answer.best]
        if not first:
            continue
        start = time.perf_counter()
        found = followed(session, planes, {middle: first})
        seconds = (time.perf_counter() - start) / max(len(found) - 1, 1)
        score = volume_iou(found, truth)
        corrected = []
        for worst in (least_alike(found, truth), most_wrong(found, truth)):
            known = {middle: first, worst: truth.get(worst, nothing)}
            again = stale_places(known, worst, len(planes))
            corrected.append(volume_iou(followed(session, planes, known, again, found), truth))
        carried = by_watershed(planes[0].image, first, middle)
        ends = min(found), max(found)
        beyond = (max(0, places[0] - ends[0]) + max(0, ends[1] - places[-1])) / 2
        missed = (max(0, ends[0] - places[0]) + max(0, places[-1] - ends[1])) / 2
        rows.append((
            iou(first, truth[middle]), score, volume_iou(carried, truth), *corrected,
            beyond, missed, seconds,
        ))  # fmt: skip
    return rows


def together(session: Session, planes: list[Plane], labels: np.ndarray) -> float | None:
    """Return the seconds that a plane of an object takes where `MANY` start in one plane."""
    seen = [np.unique(plane[plane > 0])[:MANY] for plane in labels]
    place = max(range(len(seen)), key=lambda z: len(seen[z]))
    if len(seen[place]) < MANY:
        return None
    known = {int(k): {place: Mask.of(labels[place] == k)} for k in seen[place]}
    start, count = time.perf_counter(), 0
    for step in propagate(session, planes, known):
        if isinstance(step, FoundPlane):
            count += len(step.found)
    return (time.perf_counter() - start) / count


def followed(
    session: Session,
    planes: list[Plane],
    keyframes: Outlines,
    only: range | None = None,
    before: Mapping[int, Mask] | None = None,
) -> Outlines:
    """Return the outlines of one object, given some of them."""
    kept = {z: m for z, m in (before or {}).items() if only is not None and z not in only}
    found = {**kept, **keyframes}
    for step in propagate(session, planes, {1: keyframes}, only):
        if isinstance(step, FoundPlane) and step.place not in keyframes:
            found[step.place] = step.found[1].mask
    return found


def least_alike(found: Outlines, truth: Outlines) -> int:
    """Return the plane of the object whose outline has the lowest IoU."""
    return min(truth, key=lambda z: iou(found[z], truth[z]) if z in found else 0.0)


def most_wrong(found: Outlines, truth: Outlines) -> int:
    """Return the plane with most wrong pixels."""
    nothing = np.array(False)

    def wrong(z: int) -> int:
        a, b = (np.asarray(one[z]) if z in one else nothing for one in (found, truth))
        return int(np.count_nonzero(a != b))

    return max({*found, *truth}, key=wrong)


def by_watershed(image: np.ndarray, first: Mask, start: int) -> Outlines:
    """Carry an outline on: its eroded inside and its far outside are the markers of the next."""
    found = {start: first}
    for step in (-1, 1):
        mask = np.asarray(first)
        for z in range(start + step, len(image) * (step > 0) - (step < 0), step):
            depth = ndimage.distance_transform_edt(mask)
            markers = np.where(depth > 0.4 * depth.max(), 1, 0)
            reach = max(2.0, 0.4 * depth.max())
            markers[ndimage.distance_transform_edt(~mask) > reach] = 2
            mask = watershed(sobel(image[z].astype(float)), markers) == 1
            if not mask.any():
                break
            found[z] = Mask.of(mask)
    return found


def volume_iou(found: Mapping[int, Mask], truth: Mapping[int, Mask]) -> float:
    """Return the 3-D IoU of outlines by plane."""
    shared = union = 0
    for z in {*found, *truth}:
        a, b = (np.asarray(one[z]) if z in one else False for one in (found, truth))
        shared, union = shared + np.count_nonzero(a & b), union + np.count_nonzero(a | b)
    return shared / union


if __name__ == "__main__":
    main()
