"""What a roughly drawn region, and a scribble, are best turned into for a model.

    python benchmarks/prompt_forms.py --data FOLDER

The folder holds `.npz` sources (docs/models.md); their validation images are used. Of each object a
polygon is drawn from its true outline: too large, too small, or with vertices that miss it, as by
hand. A scribble is a line along the object's longest axis. Each is given to the model in several
forms, once, without corrections, through a session as the dock does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours
from sources import load_source

from napari_sam import Plane, Prompts, SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import box_of, iou
from napari_sam.predict.kept_masks import logits_of
from napari_sam.predict.lowering import blurred, region_mask, stroke_points
from napari_sam.types import Mask, Stroke

SOURCES = ("dsb2018", "axon_sem", "usiigaci_phase", "sunnybrook_cmr")
VERTICES = 20
"""Of a drawn polygon."""
FORMS = (
    (True, None, 0), (True, 0.0, 0), (True, None, 1), (True, 0.0, 1), (True, 0.0, 3),
    (True, 0.15, 0), (True, 0.25, 0), (True, 0.35, 0), (True, 0.25, 1),
    (False, 0.0, 0), (False, 0.25, 0), (False, 0.0, 1), (False, None, 1),
)  # fmt: skip
"""Whether the box is given, how much logits are blurred (None: they are not given), and how many of
the deepest points are."""
MIN_PIXELS = 30
WAYS = {"too large": (0.15, 0.03), "too small": (-0.1, 0.03), "unsteady": (0.0, 0.1)}
"""By how much an outline is moved outwards, and how far its vertices miss it, in square roots of
the object's area."""


def main() -> None:
    """Parse the command line, measure, print a table for each way to draw and one of scribbles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--sources", nargs="*", default=SOURCES)
    parser.add_argument("--images", type=int, default=12, help="of each source at most")
    parser.add_argument("--limit", type=int, default=12, help="objects of each image at most")
    args = parser.parse_args()
    session = Session(SamPredictor(load_model(args.model)))
    tables: dict[str, dict[str, dict[str, list[float]]]] = {}
    for source in args.sources:
        items = load_source(args.data / f"{source}.npz", ["validation"])
        chosen = np.unique(np.linspace(0, len(items) - 1, args.images).astype(int))
        for place in chosen:
            rng = np.random.default_rng(int(place))
            image, labels = items[place].image, items[place].labels
            for way, form, scores in scored(session, image, labels, args.limit, rng):
                table = tables.setdefault(way, {}).setdefault(form, {})
                table.setdefault(source, []).extend(scores)
    for way, forms in tables.items():
        count = [str(len(scores)) for scores in next(iter(forms.values())).values()]
        rows = [("form", *args.sources, "mean"), ("objects", *count, "")]
        for form, found in forms.items():
            means = [float(np.mean(scores)) for scores in found.values()]
            rows.append((form, *(f"{mean:.3f}" for mean in [*means, float(np.mean(means))])))
        print(f"\n**{way}**: mean IoU\n\n{as_markdown(rows)}")


def scored(
    session: Session, image: np.ndarray, labels: np.ndarray, limit: int, rng: np.random.Generator
) -> Iterator[tuple[str, str, list[float]]]:
    """Yield (way to draw, form, IoU of each object) of one image."""
    ids, counts = np.unique(labels, return_counts=True)
    ids = [int(k) for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS]
    ids = list(rng.permutation(ids)[:limit])
    truths = [labels == k for k in ids]
    if not truths:
        return
    plane = Plane(image)

    def ask(give: Callable[[int], Prompts]) -> list[float]:
        answers = session.predict_many(plane, [give(k) for k in range(len(truths))])
        return [iou(one.masks[one.best], truth) for one, truth in zip(answers, truths, strict=True)]

    size, model = plane.size, session.predictor.model
    for way, (grown, unsteady) in WAYS.items():
        regions = [drawn(truth, grown, unsteady, rng) for truth in truths]
        masks = [region_mask(region, size) for region in regions]
        boxes = [np.concatenate([region.min(0), region.max(0)]) for region in regions]

        def form(
            k: int, boxed: bool, blur: float | None, count: int, masks=masks, boxes=boxes
        ) -> Prompts:
            points = deepest_points(masks[k], count)
            given = Prompts(points, box=boxes[k] if boxed else None)
            if blur is None:
                return given
            return given.with_mask(blurred(logits_of(masks[k], model, given), blur))

        yield way, "as drawn", [iou(m, t) for m, t in zip(masks, truths, strict=True)]
        yield way, "true box", ask(lambda k: Prompts(box=box_of(truths[k])))
        for given in FORMS:
            boxed, blur, count = given
            mask = "" if blur is None else f"mask, blurred by {blur}" if blur else "mask"
            names = ("box" * boxed, mask, f"{count} points" * bool(count))
            scores = ask(lambda k, given=given, form=form: form(k, *given))
            yield way, " + ".join(filter(None, names)), scores
        regions_given = [Prompts(region=region) for region in regions]
        yield way, "region, as the package asks it", ask(regions_given.__getitem__)
    strokes = [Stroke(scribble(truth)) for truth in truths]
    for most in (1, 2, 3, 4, 6, 8):
        yield (
            "scribble",
            f"{most} points",
            ask(lambda k, most=most: Prompts(stroke_points(strokes[k], size, most))),
        )


def deepest_points(mask: Mask, count: int = 1) -> NDArray[np.float64]:
    """Return the pixels (x, y) of a mask that lie farthest from its edge, well apart."""
    if not mask:
        return np.zeros((0, 2))
    depth = ndimage.distance_transform_edt(np.pad(mask.bits, 1))[1:-1, 1:-1]
    y, x = np.indices(depth.shape)
    points = []
    while len(points) < count and depth.max() > 0:
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        points.append((mask.box[0] + column, mask.box[1] + row))
        near = np.hypot(y - row, x - column) < 2 * depth[row, column]
        depth = np.where(near, 0, depth)
    return np.array(points, np.float64)


def drawn(truth: np.ndarray, grown: float, unsteady: float, rng: np.random.Generator) -> np.ndarray:
    """Return a polygon (N, 2), (x, y), that is drawn about an object."""
    side = np.sqrt(np.count_nonzero(truth))
    padded = np.pad(truth, 20 + int(side))
    inner, outer = (ndimage.distance_transform_edt(one) for one in (padded, ~padded))
    depth = np.where(padded, inner - 0.5, 0.5 - outer)
    level = min(-grown * side, depth.max() - 1)
    ring = max(find_contours(depth, level), key=len)[:, ::-1] - (20 + int(side))
    places = np.linspace(0, len(ring) - 1, VERTICES, endpoint=False).astype(int)
    return ring[places] + rng.normal(0, unsteady * side, (VERTICES, 2))


def scribble(truth: np.ndarray) -> np.ndarray:
    """Return a line (N, 2), (x, y), along the longest axis of an object, where it lies inside."""
    xy = np.argwhere(truth)[:, ::-1].astype(float)
    middle = xy.mean(0)
    axis = np.linalg.svd(xy - middle, full_matrices=False)[2][0]
    reach = np.ptp((xy - middle) @ axis) * 0.35
    path = middle + np.linspace(-reach, reach, 41)[:, None] * axis
    inside = ndimage.map_coordinates(truth.astype(float), path[:, ::-1].T, order=0) > 0
    pieces, count = ndimage.label(inside)
    if not count:
        return deepest_points(Mask.of(truth))
    longest = np.bincount(pieces)[1:].argmax() + 1
    return path[pieces == longest]


if __name__ == "__main__":
    main()
