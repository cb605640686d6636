"""How often proposals that are like five accepted objects are right, and what corrections add.

    python benchmarks/similar.py --data FOLDER

Five random objects of an image are accepted as the model answers to their boxes. A proposal is
right if its IoU with an object that is not accepted yet is 0.5 or more; each object counts once.
The first 30 are judged, or as many as there are objects left. "Proposed" are those of them that
the dock proposes at first: their similarity is 0.65 or more. Images of at least 20 objects of the
validation part are used. Where not every object is labelled (usiigaci_phase), a proposal of which
less than a tenth lies on labelled objects is not judged; the strict columns count it as wrong.
Then the next proposal is accepted or rejected, ten times, as its truth says; the following 20 are
judged after none, five and ten, with the ranking of the first five objects and with the new one.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sources import load_source

from napari_sam import Plane, Prompts, SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.everything.exemplars import LIKELY, Described, Exemplars, distinct
from napari_sam.everything.similar import candidates_in, described_in
from napari_sam.masks import box_of
from napari_sam.steps import drive
from napari_sam.types import Mask

SOURCES = ("dsb2018", "axon_sem", "usiigaci_phase", "neuroblastoma_fluo", "isbi2012_em")
GIVEN, FIRST, FOLLOWING = 5, 30, 20
FEWEST, SMALLEST = 20, 12
CORRECTIONS = (0, 5, 10)


@dataclass
class Truth:
    """Candidates of an image, and which object each of them shows."""

    candidates: Described
    labels: NDArray[np.int32]
    ids: list[int]
    exhaustive: bool
    whose: NDArray[np.int64] = field(init=False)
    judged: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        areas = np.bincount(self.labels.ravel())
        whose, judged = [], []
        for mask in self.candidates.masks:
            shared = np.bincount(self.labels[mask.part][mask.bits], minlength=len(areas))
            iou = shared[1:] / (areas[1:] + mask.area - shared[1:])
            best = int(iou.argmax())
            whose.append(best + 1 if iou[best] >= 0.5 else 0)
            judged.append(self.exhaustive or shared[1:].sum() >= 0.1 * mask.area)
        self.whose, self.judged = np.array(whose), np.array(judged)


@dataclass
class State:
    """What is accepted and rejected."""

    canvas: NDArray[np.int64]
    known: set[int]
    accepted: NDArray[np.float32]
    rejected: list[int] = field(default_factory=list)

    def exemplars(self, truth: Truth) -> Exemplars:
        """Return what is looked for."""
        if not self.rejected:
            return Exemplars(self.accepted)
        return Exemplars(self.accepted, truth.candidates.features[self.rejected])

    def next(self, truth: Truth, exemplars: Exemplars, most: int) -> list[int]:
        """Return the first proposals."""
        left = np.setdiff1d(np.arange(len(truth.candidates)), self.rejected)
        some = truth.candidates.some(left)
        chosen = distinct(some.masks, exemplars.likeness(some), self.canvas, most)
        return left[chosen].tolist()

    def right(self, truth: Truth, proposals: list[int]) -> list[bool]:
        """Tell which proposals show an object that is not accepted yet."""
        seen, right = set(self.known), []
        for place in proposals:
            label = int(truth.whose[place])
            right.append(label > 0 and label not in seen)
            seen.add(label)
        return right

    def correct(self, truth: Truth) -> None:
        """Accept or reject the next proposal."""
        for place in self.next(truth, self.exemplars(truth), 1):
            if not self.right(truth, [place])[0]:
                self.rejected.append(place)
                continue
            mask = truth.candidates.masks[place]
            self.canvas[mask.part][mask.bits] = self.canvas.max() + 1
            self.known.add(int(truth.whose[place]))
            self.accepted = np.vstack([self.accepted, truth.candidates.features[place]])


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--sources", nargs="*", default=SOURCES)
    parser.add_argument("--images", type=int, default=10, help="of each source at most")
    parser.add_argument("--seeds", type=int, default=2, help="choices of five objects")
    args = parser.parse_args()
    session = Session(SamPredictor(load_model(args.model)))
    rows = []
    for source in args.sources:
        items = load_source(args.data / f"{source}.npz", ["validation", "unseen"])
        items = [item for item in items if len(objects_of(item.labels)) >= FEWEST]
        chosen = np.unique(np.linspace(0, len(items) - 1, args.images).astype(int))
        found = []
        for k in chosen:
            for seed in range(args.seeds):
                item = items[k]
                found.append(measured(session, item.image, item.labels, item.exhaustive, seed))
                print(source, item.name, seed, np.round(found[-1], 2), file=sys.stderr, flush=True)
        means = np.nanmean(found, axis=0)
        rows.append((source, str(len(chosen)), *(f"{value:.2f}" for value in means)))
    head = ["source", "images", "first 30", "strict", "strict, proposed", "proposed"]
    head += [f"{kind}, {n} corrections" for n in CORRECTIONS for kind in ("fixed", "learnt")]
    print(as_markdown([(*head, "s"), *rows]))


def objects_of(labels: NDArray[np.int32]) -> list[int]:
    """Return the labels of objects that are not tiny."""
    areas = np.bincount(labels.ravel())
    return [int(k) for k in np.flatnonzero(areas >= SMALLEST) if k]


def measured(
    session: Session, image: np.ndarray, labels: NDArray[np.int32], exhaustive: bool, seed: int
) -> list[float]:
    """Return the precisions of one image, and seconds until all candidates are there."""
    ids, plane = objects_of(labels), Plane(image)
    given = np.random.default_rng(seed).choice(ids, GIVEN, replace=False).tolist()
    outlines = [labels == k for k in given]
    embedding = session.embedding(plane)
    start = time.perf_counter()
    asked = [Prompts(box=box_of(outline)) for outline in outlines]
    answers = session.predictor.predict_many(embedding, asked)
    masks = [one.masks[one.best] or Mask.of(o) for one, o in zip(answers, outlines, strict=True)]
    canvas = np.zeros(labels.shape, np.int64)
    for number, mask in enumerate(masks, 1):
        canvas[mask.part][mask.bits] = number
    features = described_in(session, plane, masks)
    first = Exemplars(features)
    found = drive(candidates_in(session, plane, first, masks, canvas)).candidates
    seconds = time.perf_counter() - start
    truth, state = Truth(found, labels, ids, exhaustive), State(canvas, set(given), features)
    proposals = state.next(truth, first, min(FIRST, len(ids) - GIVEN))
    right = np.array(state.right(truth, proposals))
    judged = truth.judged[proposals]
    likely = first.likeness(found)[proposals] >= LIKELY
    result = [mean(right[judged]), mean(right), mean(right[likely]), float(likely.sum())]
    for number in range(CORRECTIONS[-1] + 1):
        if number in CORRECTIONS:
            for exemplars in (first, state.exemplars(truth)):
                most = min(FOLLOWING, len(ids) - len(state.known))
                proposals = state.next(truth, exemplars, most) if most > 0 else []
                right = np.array(state.right(truth, proposals), bool)[truth.judged[proposals]]
                result.append(mean(right))
        state.correct(truth)
    return [*result, seconds]


def mean(right: NDArray[np.bool_]) -> float:
    """Return the share of proposals that are right; not a number if there is none."""
    return float(right.mean()) if len(right) else np.nan


if __name__ == "__main__":
    main()
