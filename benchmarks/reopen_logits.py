"""What a correction makes of an object that was kept without its logits, on held-out images.

An object is prompted as a person does it, kept, and corrected by one click into its largest error.
The click goes on from the logits of the answer (own), from logits made of the kept mask
(`predict.kept_masks`), from those of the kept prompts asked again one after the other (replayed),
or from nothing: all prompts are asked together (afresh). Once more after a stroke of the brush has
put the largest error right; of that mask there are no own logits.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sources import load_source

from napari_sam import SamPredictor, Session, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import MIN_PIXELS
from napari_sam.masks import iou, middle_of, worst_click
from napari_sam.predict.kept_masks import logits_of
from napari_sam.types import Mask, MaskLogits, Plane, Prediction, Prompts

T = TypeVar("T")
PARTS = ("validation", "unseen", "apart")
DECENT = 0.7
"""IoU from which a mask is one that somebody keeps."""
DRAWS = 1000
"""Bootstrap samples, over images."""
ARMS = ("own", "kept mask", "replayed", "afresh")


@dataclass(frozen=True)
class Correction:
    """IoU before and after one correction.

    Attributes
    ----------
    image : str
    prompts : str
        What the object was made of.
    painted : bool
        Whether a stroke changed the mask after that.
    kept : float
        IoU of the kept mask.
    after : dict of str to float
        IoU of the corrected mask, for each of `ARMS` that there is.
    """

    image: str
    prompts: str
    painted: bool
    kept: float
    after: dict[str, float]


def main() -> None:
    """Parse the command line, correct, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--images", type=int, default=4, help="images per source at most")
    parser.add_argument("--objects", type=int, default=3, help="objects per image at most")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    found: list[Correction] = []
    start = time.perf_counter()
    for path in sorted(args.data.glob("*.npz")):
        for item in _spread(load_source(path, PARTS), args.images):
            name = f"{path.stem} {item.name}"
            session, plane = Session(predictor), Plane(item.image)
            for truth in _objects(item.labels, args.objects):
                for first in (Prompts([middle_of(truth)]), Prompts(box=truth.box)):
                    found += corrections(session, plane, truth, first, name)
        print(f"{path.stem}: {len(found)} so far", file=sys.stderr)
    print(table(found))
    images = len({one.image for one in found})
    print(f"{len(found)} corrections, {images} images, {time.perf_counter() - start:.0f} s")


def corrections(
    session: Session, plane: Plane, truth: Mask, first: Prompts, image: str
) -> Iterator[Correction]:
    """Yield the corrections of one object after one prompt, two and three."""
    asked: list[Prompts] = [first]
    answer = session.predict_many(plane, asked)[0]
    while True:
        name = _in_words(asked[-1])
        mask, own = answer.masks[answer.best], answer.logits(answer.best)
        better = painted(mask, truth)
        for kept, logits in ((mask, own), (better, None)):
            click = worst_click(truth, kept)
            if click is None or not kept:
                continue
            prompts = _with_click(asked[-1], click)
            arms: dict[str, MaskLogits | None] = {
                "kept mask": logits_of(kept, session.predictor.model, prompts, plane.spacing),
                "replayed": replayed(session, plane, asked),
                "afresh": None,
            }
            if logits is not None:
                arms["own"] = logits
            answers = {
                arm: session.predict_many(plane, [prompts.with_mask(given)])[0]
                for arm, given in arms.items()
            }
            after = {arm: iou(one.masks[one.best], truth) for arm, one in answers.items()}
            yield Correction(image, name, logits is None, iou(kept, truth), after)
        click = worst_click(truth, mask)
        if click is None or len(asked) == 3:
            return
        asked.append(_with_click(asked[-1], click))
        answer = session.predict_many(plane, [asked[-1].with_mask(own)])[0]


def replayed(session: Session, plane: Plane, asked: Sequence[Prompts]) -> MaskLogits:
    """Return the logits of prompts that are asked one after the other."""
    logits: MaskLogits | None = None
    answer: Prediction
    for prompts in asked:
        answer = session.predict_many(plane, [prompts.with_mask(logits)])[0]
        logits = answer.logits(answer.best)
    if logits is None:
        raise ValueError("there is nothing to ask again")
    return logits


def painted(mask: Mask, truth: Mask) -> Mask:
    """Return a mask whose largest connected error was put right with the brush."""
    wrong, _ = ndimage.label(np.asarray(mask) != np.asarray(truth))
    sizes = np.bincount(wrong.ravel())[1:]
    if not len(sizes):
        return mask
    return Mask.of(np.where(wrong == 1 + sizes.argmax(), np.asarray(truth), np.asarray(mask)))


def table(found: Sequence[Correction]) -> str:
    """Return means and paired differences, with 95 % intervals of a bootstrap over images."""
    rows = [("kept after", "objects", "kept", *ARMS)]
    names = list(dict.fromkeys(one.prompts for one in found))
    for is_painted in (False, True):
        group = [one for one in found if one.painted == is_painted]
        parts = [] if is_painted else [(n, [o for o in group if o.prompts == n]) for n in names]
        parts += [
            ("all", group),
            (f"all, kept at {DECENT} or more", [one for one in group if one.kept >= DECENT]),
        ]
        for name, part in parts:
            if part:
                rows.append(_row(f"{name}, then the brush" if is_painted else name, part))
    return as_markdown(rows)


def _row(name: str, group: Sequence[Correction]) -> tuple[str, ...]:
    reference = next(arm for arm in ARMS if arm in group[0].after)
    base = np.array([one.after[reference] for one in group])
    cells = []
    for arm in ARMS:
        if arm not in group[0].after:
            cells.append("")
        elif arm == reference:
            cells.append(f"{base.mean():.3f}")
        else:
            gained = np.array([one.after[arm] for one in group]) - base
            low, high = _interval(gained, [one.image for one in group])
            cells.append(f"{gained.mean():+.3f} ({low:+.3f} to {high:+.3f})")
    kept = float(np.mean([one.kept for one in group]))
    return name, str(len(group)), f"{kept:.3f}", *cells


def _interval(values: NDArray[np.float64], images: Sequence[str]) -> tuple[float, float]:
    """Return the 95 % interval of a mean; objects of one image are alike."""
    _, place = np.unique(images, return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    drawn = np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def _with_click(prompts: Prompts, click: tuple[tuple[float, float], int]) -> Prompts:
    point, label = click
    return Prompts([*prompts.point_coords, point], [*prompts.point_labels, label], prompts.box)


def _in_words(prompts: Prompts) -> str:
    clicks = len(prompts.point_coords)
    words = [] if prompts.box is None else ["a box"]
    if clicks:
        words.append("a click" if clicks == 1 else f"{clicks} clicks")
    return " and ".join(words)


def _objects(labels: NDArray[np.integer], limit: int) -> list[Mask]:
    ids, counts = np.unique(labels, return_counts=True)
    chosen = [k for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS]
    return [Mask.of(labels == k) for k in _spread(chosen, limit)]


def _spread(values: Sequence[T], limit: int) -> list[T]:
    """Return at most so many values, spread evenly."""
    if len(values) <= limit:
        return list(values)
    return [values[i] for i in np.linspace(0, len(values) - 1, limit).astype(int)]


if __name__ == "__main__":
    main()
