"""How well an object of one plane is found in the next, and whether its end is noticed.

    python benchmarks/guide.py --stacks FOLDER

The folder holds pairs NAME.tif, NAME_labels.tif whose labels are constant along the first axis.
Prompts in the next plane come from the true outline in the plane before: nothing is carried on, so
that each step is judged by itself.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile

from napari_sam import PlaneGuide, Prompts, SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import box_of, iou, middle_of

MIN_PIXELS = 12
GROWN = 0.025


def main() -> None:
    """Parse the command line, measure, print a table per stack."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--planes", type=int, default=10, help="planes of each stack")
    parser.add_argument("--limit", type=int, default=8, help="objects of each plane")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    rows = []
    for path in sorted(args.stacks.glob("*_labels.tif")):
        name = path.stem.removesuffix("_labels")
        image, labels = tifffile.imread(path.with_name(f"{name}.tif")), tifffile.imread(path)
        chosen = np.unique(np.linspace(0, len(labels) - 2, args.planes).astype(int))
        found: dict[str, list[float]] = {}
        ended: list[tuple[bool, bool]] = []
        for z in chosen:
            step(predictor, image[z : z + 2], labels[z : z + 2], args.limit, found, ended)
        cells = [f"{np.mean(values):.3f}" for values in found.values()]
        gone = [there for was, there in ended if not was]
        stayed = [there for was, there in ended if was]
        noticed = f"{1 - np.mean(gone):.2f} of {len(gone)}" if gone else ""
        denied = f"{1 - np.mean(stayed):.2f} of {len(stayed)}" if stayed else ""
        rows.append((name, *cells, noticed, denied))
    head = ("stack", *found, "ends noticed", "denied")
    print(as_markdown([head, *rows]))


def step(
    predictor: SamPredictor,
    image: np.ndarray,
    labels: np.ndarray,
    limit: int,
    found: dict[str, list[float]],
    ended: list[tuple[bool, bool]],
) -> None:
    """Ask in the second of two planes for the objects of the first."""
    ids, counts = np.unique(labels[0], return_counts=True)
    ids = [int(k) for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS][:limit]
    if not ids:
        return
    before, now = predictor.encode(image[0]), predictor.encode(image[1])
    outlines = [labels[0] == k for k in ids]
    boxes = [box_of(outline) for outline in outlines]
    points = [[middle_of(outline)] for outline in outlines]
    sides = [np.tile(box[2:] - box[:2] + 1, 2) * (-1, -1, 1, 1) for box in boxes]
    grown = [box + GROWN * side for box, side in zip(boxes, sides, strict=True)]
    logits = [a.low_res_logits[0] for a in predictor.predict_many(before, boxed(boxes))]
    guides = [PlaneGuide(before, low) for low in logits]
    forms = {
        "point": [Prompts(p, [1]) for p in points],
        "box": boxed(grown),
        "mask": [Prompts(mask_input=low) for low in logits],
        "guide": [Prompts(guide=g) for g in guides],
        "point + guide": [Prompts(p, [1], guide=g) for p, g in zip(points, guides, strict=True)],
        "box + guide": [Prompts(box=b, guide=g) for b, g in zip(grown, guides, strict=True)],
    }
    for name, prompts in forms.items():
        for k, answer in zip(ids, predictor.predict_many(now, prompts), strict=True):
            truth = labels[1] == k
            if name == "guide":
                ended.append((bool(truth.any()), answer.present))
            if np.count_nonzero(truth) >= MIN_PIXELS:
                found.setdefault(name, []).append(iou(answer.masks[answer.best], truth))


def boxed(boxes: list[np.ndarray]) -> list[Prompts]:
    """Return prompts of boxes."""
    return [Prompts(box=box) for box in boxes]


if __name__ == "__main__":
    main()
