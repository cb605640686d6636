"""How many clicks *learn as I go* saves on objects that are annotated after the model has learnt.

    python benchmarks/learn_as_i_go.py --data FOLDER [--train-at 20 50] [--seeds 0 1 2]

An annotator labels objects of isbi2012_em, which `pocket` never saw, with the mouse alone: the
first click lies in the middle of the object, each further one in the middle of the deepest error,
and what is shown follows the rules of the dock. An object is done at an IoU of 0.85, or after 20
clicks. Kept is its true outline in any case, as a person would finish it by brush.

The first objects are those of the first sections. Then the model is trained as the dock does it by
itself: only the kept objects are known, for two minutes, with the dock's held-out part and proof,
and the tuned model is put in use only if it is proven better. The next objects lie in sections at
least three away. With several numbers after `--train-at` it is trained again, from `pocket` and on
all objects up to there, which the annotator waits for.

Minutes are the processor's, of one thread, so that a busy machine does not matter. "forced" is what
the tuned model would need, proven or not.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from sources import load_source

from napari_sam import Plane, Prompts, SamPredictor, Session, SliceKey, load_model
from napari_sam.evaluate.paired import Bootstrap
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import MIN_PIXELS, WANTED
from napari_sam.masks import iou, middle_of, worst_click
from napari_sam.steps import drive
from napari_sam.training.finetune.layers import each_plane, gathered
from napari_sam.training.finetune.proven import Proven, halves, proving
from napari_sam.training.finetune.split import split
from napari_sam.training.finetune.tuning import TuneParams, tuning
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.types import Mask
from napari_sam.widget.features.learning.logic import JUDGES, MOST_MINUTES, SHARE
from napari_sam.widget.work.candidates import Candidate, best_of, candidates_of

SOURCE = "isbi2012_em"
MODEL = "pocket"
MOST_CLICKS = 20
FAILED = MOST_CLICKS + 1
"""In place of the clicks of an object that is not good after `MOST_CLICKS`, which it counts as."""
APART = 3
"""Sections from the last one of the first objects to the first one of the others, and from one of
the others to the next."""


@dataclass(frozen=True, eq=False)
class Object:
    """An object of a section, and its true outline."""

    section: int
    truth: Mask


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of a training on the first objects.

    Attributes
    ----------
    divided : str
        How they were divided.
    proven : Proven
    minutes : float
        Of the processor, the proof included.
    """

    divided: str
    proven: Proven
    minutes: float


def main() -> None:
    """Parse the command line, annotate with and without learning, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--train-at", type=int, nargs="+", default=[20], help="kept objects")
    parser.add_argument("--next", type=int, default=100, help="objects after the first training")
    parser.add_argument("--sections", type=int, default=2, help="that the first objects lie in")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the objects")
    parser.add_argument("--minutes", type=float, default=MOST_MINUTES, help="of each training")
    parser.add_argument("--steps", type=int, help="in place of minutes")
    parser.add_argument("--keep", type=Path, help="folder for the tuned models")
    args = parser.parse_args()
    torch.set_num_threads(1)
    items = load_source(args.data / f"{SOURCE}.npz", ["unseen"])
    rows = []
    for seed in args.seeds:
        objects = drawn(items, args.train_at[0], args.next, args.sections, seed)
        with TemporaryDirectory() as name:
            folder = (args.keep or Path(name)) / str(seed)
            rows += compared(args, items, objects, folder, f"seed {seed}")
    head = (
        "", "objects", "off", "on", "fewer", "95 % interval", "forced", "fewer", "95 % interval",
        "failed off, on, forced",
    )  # fmt: skip
    print(f"NoC@{100 * WANTED:.0f}, at most {MOST_CLICKS}; load {os.getloadavg()[0]:.1f}")
    print(as_markdown([head, *rows]))


def drawn(
    items: Sequence[LabelledImage], first: int, others: int, sections: int, seed: int
) -> list[Object]:
    """Return objects in the order of annotation: `first` of some sections, then the others."""
    rng = np.random.default_rng(seed)
    early, later = range(sections), range(sections - 1 + APART, len(items), APART)
    found = []
    for count, places in ((first, early), (others, later)):
        for place, part in zip(places, np.array_split(range(count), len(places)), strict=True):
            labels = items[place].labels
            ids, sizes = np.unique(labels[labels > 0], return_counts=True)
            chosen = rng.choice(ids[sizes >= MIN_PIXELS], len(part), replace=False)
            found += [Object(place, Mask.of(labels == label)) for label in chosen]
    return found


def compared(
    args: argparse.Namespace,
    items: Sequence[LabelledImage],
    objects: Sequence[Object],
    folder: Path,
    name: str,
) -> list[tuple[str, ...]]:
    """Annotate with and without learning; returns rows of the table."""
    first = args.train_at[0]
    off = clicks_of(MODEL, items, objects)
    print(
        f"{name}: the first {first} objects take "
        f"{np.minimum(off[:first], MOST_CLICKS).mean():.2f} clicks",
        flush=True,
    )
    used: str | Path = MODEL
    on, forced, rows = [], [], []
    sections = [one.section for one in objects]
    for at, until in pairwise([*args.train_at, len(objects)]):
        run = trained(args, items, objects[:at], folder / str(at))
        versus, part = run.proven.versus, objects[at:until]
        print(f"{name}: {at} objects, {run.divided}, {run.minutes:.1f} min", flush=True)
        print(f"{versus.as_text()} {run.proven.remark}", flush=True)
        forced.append(clicks_of(run.proven.path, items, part))
        if versus.better:
            used = run.proven.path
            on.append(forced[-1])
        else:
            on.append(off[at:until] if used == MODEL else clicks_of(used, items, part))
        title = f"{name}, from {at}"
        rows.append(row(title, sections[at:until], off[at:until], on[-1], forced[-1]))
        print(" | ".join(rows[-1]), flush=True)
    if len(on) > 1:
        whole = off[first:], np.concatenate(on), np.concatenate(forced)
        rows.append(row(f"{name}, all", sections[first:], *whole))
    return rows


def trained(
    args: argparse.Namespace, items: Sequence[LabelledImage], kept: Sequence[Object], folder: Path
) -> Trained:
    """Train on kept objects and prove it, with the dock's settings of a training by itself."""
    images = np.stack([item.image for item in items])
    labels = np.zeros(images.shape, np.int32)
    for number, one in enumerate(kept, 1):
        labels[one.section][np.asarray(one.truth)] = number
    examples = drive(gathered(each_plane(images, labels, name=SOURCE)))
    params = TuneParams(args.minutes, args.steps, threads=1)
    start = time.process_time()
    divided = split(examples, max(SHARE, min(0.5, JUDGES / len(kept))), params.seed)
    choosing, judging = halves(divided.held_out)
    path = drive(tuning(MODEL, divided.learn, choosing, params, folder, time.process_time))
    proven = drive(proving(MODEL, path, judging, seed=params.seed))
    learnt = sum(len(one.objects) for one in divided.learn)
    sentence = f"{learnt} learnt from, {divided.sentence}"
    return Trained(sentence, proven, (time.process_time() - start) / 60)


def clicks_of(
    model: str | Path, items: Sequence[LabelledImage], objects: Sequence[Object]
) -> NDArray[np.float64]:
    """Return how many clicks each object takes with a model; `FAILED` where none are enough."""
    session = Session(SamPredictor(load_model(model)))
    planes = [Plane(item.image, SliceKey((0, 1))) for item in items]
    return np.array([clicked(session, planes[one.section], one.truth) for one in objects], float)


def clicked(session: Session, plane: Plane, truth: Mask) -> int:
    """Return the clicks until an outline is good, or `FAILED`."""
    points, labels = [middle_of(truth)], [1]
    before: Candidate | None = None
    for count in range(1, MOST_CLICKS + 1):
        prompts = Prompts(points, labels)
        asked = prompts if before is None else prompts.with_mask(before.logits)
        (answer,) = session.predict_many(plane, [asked])
        found = candidates_of(answer, prompts, before)
        before = found[answer.best if before is None else best_of(found, prompts)]
        click = worst_click(truth, before.mask)
        if iou(before.mask, truth) >= WANTED or click is None:
            return count
        points, labels = [*points, click[0]], [*labels, click[1]]
    return FAILED


def row(
    name: str,
    sections: Sequence[int],
    off: NDArray[np.float64],
    on: NDArray[np.float64],
    forced: NDArray[np.float64],
) -> tuple[str, ...]:
    """Return a row of the table; intervals are those of a bootstrap over sections and objects."""
    failed = ", ".join(str(np.count_nonzero(part == FAILED)) for part in (off, on, forced))
    off, on, forced = (np.minimum(part, MOST_CLICKS) for part in (off, on, forced))
    draws = Bootstrap(sections, range(len(sections)), np.random.default_rng(0))
    cells = []
    for values in (on, forced):
        found = draws.difference("clicks", off, values, rises=False)
        fewer, low, high = (
            round(-100 * value / found.before)
            for value in (found.difference, found.high, found.low)
        )
        cells += [f"{found.after:.2f}", f"{fewer} %", f"{low} to {high} %"]
    return (name, str(len(off)), f"{off.mean():.2f}", *cells, failed)


if __name__ == "__main__":
    main()
