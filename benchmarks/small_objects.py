"""What a closer look at planes of small objects adds to everything mode, and what it costs.

    python benchmarks/small_objects.py --data FOLDER

Every image is looked at with `look_closer` "auto", and where that looked closer with "never", too;
elsewhere there is no difference. AP50 is that of
`validate_pocket.py`; where not every object is labelled, the share of labelled objects is given
that are found at an IoU above 0.5. "Looked" are images that were looked at again in magnified
tiles, "kept" those of which that counted. "reduced" images are 2 x 2 of one kind, at half their
size, in one plane. Times are ratios of what both settings take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.transform import resize
from sources import load_source

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, load_model, masks
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import average_precision
from napari_sam.everything.amg import CLOSER
from napari_sam.masks import overlap_counts
from napari_sam.training.labelled_images import LabelledImage

SIDE = 512
"""Of the planes of reduced images, pixels."""


@dataclass(frozen=True)
class Found:
    """What one setting finds on an image: a score, seconds, and whether it looked closer."""

    score: float
    seconds: float
    looked: bool = False
    kept: bool = False


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--sources", nargs="*", help="only these")
    parser.add_argument("--images", type=int, default=20, help="of each source at most")
    parser.add_argument("--parts", nargs="*", default=["validation", "unseen"])
    parser.add_argument("--reduced", action="store_true", help="2 x 2 images in one plane")
    args = parser.parse_args()
    predictor = SamPredictor(load_model(args.model))
    defaults = AmgParams(**predictor.model.amg_defaults)
    generators = [
        AutomaticMaskGenerator(predictor, replace(defaults, look_closer=setting))
        for setting in ("never", "auto")
    ]
    head = ("source", "images", "looked", "kept", "score", "never", "auto", "never, looked")
    rows = [(*head, "auto, looked", "time", "time, looked")]
    for path in sorted(args.data.glob("*.npz")):
        if args.sources and path.stem not in args.sources:
            continue
        items = load_source(path, args.parts)
        items = reduced(items) if args.reduced else items
        if not items:
            continue
        chosen = np.unique(np.linspace(0, len(items) - 1, args.images).astype(int))
        results = []
        for k in chosen:
            auto = measured(generators[1], items[k])
            never = measured(generators[0], items[k]) if auto.looked else auto
            results.append([never, auto])
            print(path.stem, items[k].name, *results[-1], file=sys.stderr, flush=True)
        kind = "AP50" if items[0].exhaustive else "found"
        rows.append((path.stem, str(len(chosen)), *row(results, kind)))
    print(as_markdown(rows))


def row(results: Sequence[list[Found]], kind: str) -> tuple[str, ...]:
    """Return the cells of a source."""
    looked = [pair for pair in results if pair[1].looked]
    scores = [[one.score for one in pair] for pair in results]
    times = [[one.seconds for one in pair] for pair in results]
    closer = [place for place, pair in enumerate(results) if pair[1].looked]
    cells = [f"{len(looked)}", f"{sum(pair[1].kept for pair in looked)}", kind]
    cells += [f"{value:.3f}" for value in np.nanmean(scores, axis=0)]
    near = [scores[place] for place in closer]
    cells += [f"{value:.3f}" for value in np.nanmean(near, axis=0)] if near else ["", ""]
    cells.append(f"{ratio(times):.2f}")
    cells.append(f"{ratio([times[place] for place in closer]):.2f}" if near else "")
    return tuple(cells)


def ratio(times: Sequence[Sequence[float]]) -> float:
    """Return how many times as long the second setting takes in all."""
    before, after = np.sum(times, axis=0)
    return float(after / before)


def measured(generator: AutomaticMaskGenerator, item: LabelledImage) -> Found:
    """Find every object of an image."""
    start, looked = time.process_time(), False
    steps = generator.propose(item.image)
    while True:
        try:
            looked |= next(steps).text.startswith(CLOSER)
        except StopIteration as end:
            candidates = end.value
            break
    labels = masks.to_labels(generator.select(candidates), candidates.size)
    seconds = time.process_time() - start
    if item.exhaustive:
        score = float(average_precision(labels, item.labels)[0])
    else:
        score = share_found(labels, item.labels)
    kept = looked and len(candidates.tiles) > 0
    return Found(score, seconds, looked, kept)


def share_found(labels: NDArray[np.int32], truth: NDArray[np.int32]) -> float:
    """Return the share of true objects of which a label has an IoU above 0.5."""
    found, real, counts = overlap_counts(labels, truth)
    pairs = counts.tocoo()
    row, column = pairs.coords
    overlap = pairs.data / (counts.sum(1)[row] + counts.sum(0)[column] - pairs.data)
    right = (overlap > 0.5) & (found[row] > 0) & (real[column] > 0)
    return len(np.unique(column[right])) / max(np.count_nonzero(real), 1)


def reduced(items: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Return planes that show 2 x 2 square images of one kind, each at a quarter of the area."""
    groups: dict[tuple[str, tuple[int, ...]], list[LabelledImage]] = {}
    for item in items:
        if item.image.shape[0] == item.image.shape[1] >= SIDE // 2:
            groups.setdefault((item.kind, item.image.shape), []).append(item)
    return [
        joined(group[start : start + 4])
        for group in groups.values()
        for start in range(0, len(group) - 3, 4)
    ]


def joined(four: Sequence[LabelledImage]) -> LabelledImage:
    """Return four images as one, each stretched to its own range."""
    images, labels, largest = [], [], 0
    for item in four:
        side = SIDE // 2
        image = resize(item.image / 1.0, (side, side, *item.image.shape[2:]), anti_aliasing=True)
        if image.ndim == 2:
            low, high = np.percentile(image, (1, 99.5))
            image = (255 * (image - low) / max(high - low, 1)).clip(0, 255)
        images.append(image.astype(np.uint8))
        own = resize(item.labels, (side, side), order=0, preserve_range=True, anti_aliasing=False)
        own = own.astype(np.int32)
        labels.append(np.where(own > 0, own + largest, 0))
        largest = int(labels[-1].max(initial=largest))
    image, label = (
        np.concatenate([np.concatenate(some[:2], 1), np.concatenate(some[2:], 1)])
        for some in (images, labels)
    )
    return replace(four[0], image=image, labels=label)


if __name__ == "__main__":
    main()
