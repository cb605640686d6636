"""How well the risk of a review finds wrong objects: those of everything mode, on labelled images.

    python benchmarks/review.py --data FOLDER
    python benchmarks/review.py --data FOLDER --clicks

The data are `.npz` sources as described in docs/models.md. The limits of `risk.CRITERIA` were
chosen on the part "train" of these sources and of bbbc039, emps_particles, usiigaci_phase and
bbbc010_worms. An object is wrong if its IoU with every true one is below 0.5 (or 0.7, 0.8). AUC is
the chance that a wrong object has a higher risk than a right one; 0.5 is chance. "in a fifth" is
the share of the wrong objects among the fifth with the highest risk of their image; 0.2 is chance.
With --clicks the objects are the answers to one click in the middle of each true object, and the
last column is the AUC of the risk without the stability that is kept with such an object.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import rankdata
from sources import load_source

from napari_sam import (
    AmgParams,
    AutomaticMaskGenerator,
    Plane,
    Prompts,
    SamPredictor,
    Session,
    load_model,
    masks,
)
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import overlap_counts
from napari_sam.objects import Outline, SegmentedObject
from napari_sam.objects.measured import measured
from napari_sam.objects.risk import assessed
from napari_sam.predict.batch import STABILITY_OFFSET
from napari_sam.types import Mask, SliceKey

SOURCES = ("dsb2018", "axon_sem", "neuroblastoma_fluo")
WRONG = (0.5, 0.7, 0.8)
PART = 0.2


def main() -> None:
    """Parse the command line, find objects, assess them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--images", type=int, default=10, help="of each source, at most")
    parser.add_argument("--sources", nargs="*", default=SOURCES)
    parser.add_argument("--part", default="validation", help="of the data: train, validation")
    parser.add_argument("--clicks", action="store_true", help="objects of a click each")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    generator = AutomaticMaskGenerator(predictor, AmgParams(**predictor.model.amg_defaults))
    rows, everything = [], []
    for source in args.sources:
        items = load_source(args.data / f"{source}.npz", [args.part])
        items = [item for item in items if item.exhaustive]
        chosen = np.unique(np.linspace(0, len(items) - 1, args.images).astype(int))
        find = partial(clicked, Session(predictor)) if args.clicks else partial(review, generator)
        found = [find(items[k].image, items[k].labels) for k in chosen if items]
        if found:
            everything += found
            rows.append((source, *cells(found, args.clicks)))
    rows.append(("all", *cells(everything, args.clicks)))
    head = [f"{name} < {limit}" for limit in WRONG for name in ("wrong", "AUC", "in a fifth")]
    last = "AUC < 0.7 without the stability" if args.clicks else "AUC of the score alone < 0.5"
    print(as_markdown([("source", "objects", *head, last), *rows]))


def review(
    generator: AutomaticMaskGenerator, image: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the risk, the predicted IoU and the true IoU of all objects found in an image."""
    records, key = generator.generate(image), SliceKey((0, 1))
    labels = masks.to_labels(records, truth.shape)
    objects = [
        SegmentedObject(
            k,
            {key: Outline(one.mask, score=one.predicted_iou, origin="everything", model="model")},
            attributes={"stability": one.stability_score},
        )
        for k, one in enumerate(records, 1)
    ]
    known = assessed([measured(one, labels) for one in objects], (1.0, 1.0))
    best = best_ious(labels, truth, len(objects))
    return (
        np.array([one.risk for one in known]),
        np.array([one.predicted_iou for one in records]),
        best,
    )


def clicked(
    session: Session, image: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the risk with and without the stability, and the IoU, of what clicks answer."""
    wanted = [Mask.of(truth == k) for k in np.flatnonzero(np.bincount(truth.ravel())) if k]
    asked = [Prompts([masks.middle_of(one)], [1]) for one in wanted]
    key, threshold = SliceKey((0, 1)), session.predictor.model.mask_threshold
    objects, ious = [], []
    for answer, prompts, one in zip(
        session.predict_many(Plane(image), asked), asked, wanted, strict=True
    ):
        best = answer.best
        if answer.masks[best]:
            score = float(answer.iou_predictions[best])
            logits = answer.low_res_logits[best]
            stability = masks.stability_score(logits, threshold, STABILITY_OFFSET)
            outline = Outline(answer.masks[best], prompts, best, score, model="model")
            kept = SegmentedObject(len(objects) + 1, {key: outline})
            objects.append(replace(kept, attributes={"stability": stability}))
            ious.append(masks.iou(answer.masks[best], one))
    risks = [
        np.array([one.risk for one in assessed([measured(one) for one in some], (1.0, 1.0))])
        for some in (objects, [replace(one, attributes={}) for one in objects])
    ]
    return risks[0], -risks[1], np.array(ious)


def best_ious(labels: np.ndarray, truth: np.ndarray, count: int) -> np.ndarray:
    """Return the largest IoU of each object with a true one."""
    found, real, counts = overlap_counts(labels, truth)
    table = counts.tocoo()
    row, column = table.coords
    overlap = table.data / (counts.sum(1)[row] + counts.sum(0)[column] - table.data)
    best = np.zeros(count + 1)
    inside = (found[row] > 0) & (real[column] > 0)
    np.maximum.at(best, found[row][inside], overlap[inside])
    return best[1:]


def cells(found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], clicks: bool) -> list[str]:
    """Return a row: objects, and for each limit the wrong ones, AUC, found in a fifth."""
    risk, score, true = (np.concatenate(one) for one in zip(*found, strict=True))
    row = [str(len(true))]
    for limit in WRONG:
        early = wrong = 0
        for risks, _, ious in found:
            first = np.argsort(-risks, kind="stable")[: round(PART * len(risks))]
            early += int((ious[first] < limit).sum())
            wrong += int((ious < limit).sum())
        row += [str(wrong), auc(risk, true < limit), f"{early / wrong:.2f}" if wrong else "-"]
    return [*row, auc(-score, true < WRONG[clicks])]


def auc(values: np.ndarray, positive: np.ndarray) -> str:
    """Return the area under the ROC curve (Mann-Whitney); "-" where one side is empty."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return "-"
    ranks = rankdata(values)
    return f"{(ranks[positive].sum() - n * (n + 1) / 2) / (n * m):.2f}"


if __name__ == "__main__":
    main()
