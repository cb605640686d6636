"""Whether a further click makes an outline worse, with and without the answer before it.

    python benchmarks/clicks.py --data FOLDER

A correcting click lies in the middle of the deepest error, as in `validate_pocket.py`. A confirming
one lies on the object and in its outline: it tells nothing new. "last answer" shows what the model
answers last; "kept" is the rule of the dock (`widget.work.candidates.best_of`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sources import load_source

from napari_sam import Plane, Prompts, SamPredictor, Session, SliceKey, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.masks import iou, middle_of, worst_click
from napari_sam.types import Mask
from napari_sam.widget.work.candidates import Candidate, best_of, candidates_of

SOURCES = ("dsb2018", "axon_sem", "usiigaci_phase", "hippocampus_mri", "isbi2012_em")
MIN_PIXELS = 12
WORSE = 0.02
"""A loss of IoU that counts as harm."""


def main() -> None:
    """Parse the command line, click, print a table for each kind of click."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--clicks", type=int, default=8)
    parser.add_argument("--images", type=int, default=10, help="images per source at most")
    parser.add_argument("--limit", type=int, default=6, help="objects per image at most")
    parser.add_argument("--sources", nargs="*", default=SOURCES)
    args = parser.parse_args()
    session = Session(SamPredictor(load_model(args.model)))
    for confirming in (False, True):
        head = ("source", "shown", *(f"{k + 1}" for k in range(args.clicks)), "worse")
        rows: list[Sequence[str]] = []
        means: dict[str, list[np.ndarray]] = {}
        for source in args.sources:
            items = load_source(args.data / f"{source}.npz", ["validation", "unseen"])
            places = np.linspace(0, len(items) - 1, min(args.images, len(items))).astype(int)
            for name, keep in (("last answer", False), ("kept", True)):
                rng = np.random.default_rng(0)
                scores = []
                for item in (items[k] for k in places):
                    plane = Plane(item.image, SliceKey((0, 1)))
                    for truth in objects(item.labels, args.limit):
                        scores.append(
                            clicked(session, plane, truth, args.clicks, keep, confirming, rng)
                        )
                table = np.array(scores)
                line = [*table.mean(axis=0), np.mean(np.diff(table) < -WORSE)]
                means.setdefault(name, []).append(np.array(line))
                rows.append((f"{source} ({len(table)})", name, *cells(line)))
        rows += [("mean", name, *cells(np.mean(lines, axis=0))) for name, lines in means.items()]
        print("confirming clicks" if confirming else "correcting clicks")
        print(as_markdown([head, *rows]), flush=True)


def cells(line: Sequence[float] | np.ndarray) -> list[str]:
    """Return figures as text."""
    return [f"{value:.3f}" for value in line]


def objects(labels: np.ndarray, limit: int) -> list[Mask]:
    """Return objects of a plane, spread evenly over its labels."""
    ids, counts = np.unique(labels, return_counts=True)
    chosen = [int(k) for k, n in zip(ids, counts, strict=True) if k and n >= MIN_PIXELS]
    if len(chosen) > limit:
        chosen = [chosen[k] for k in np.linspace(0, len(chosen) - 1, limit).astype(int)]
    return [Mask.of(labels == k) for k in chosen]


def clicked(
    session: Session,
    plane: Plane,
    truth: Mask,
    clicks: int,
    keep: bool,
    confirming: bool,
    rng: np.random.Generator,
) -> list[float]:
    """Return the IoU of an object after each click."""
    points, labels, scores = [middle_of(truth)], [1], []
    before: Candidate | None = None
    for _ in range(clicks):
        prompts = Prompts(points, labels)
        asked = prompts if before is None else prompts.with_mask(before.logits)
        (answer,) = session.predict_many(plane, [asked])
        found = candidates_of(answer, prompts, before if keep else None)
        first = before is None or not keep
        before = found[answer.best if first else best_of(found, prompts)]
        scores.append(iou(before.mask, truth))
        click = confirm(truth, before.mask, rng) if confirming else worst_click(truth, before.mask)
        if click is None:
            break
        points, labels = [*points, click[0]], [*labels, click[1]]
    return scores + scores[-1:] * (clicks - len(scores))


def confirm(
    truth: Mask, mask: Mask, rng: np.random.Generator
) -> tuple[tuple[float, float], int] | None:
    """Return a click on the object and in its outline; None if they share no pixel."""
    rows, columns = np.nonzero(np.asarray(truth) & np.asarray(mask))
    if not len(rows):
        return None
    k = int(rng.integers(len(rows)))
    return (float(columns[k]), float(rows[k])), 1


if __name__ == "__main__":
    main()
