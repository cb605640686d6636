"""How much `pocket` gains from a few labelled images of an unseen source, and what it forgets.

    python benchmarks/finetune.py --data FOLDER --source isbi2012_em --images 1 5 20

The IoU after one click on other images of the source, before and after, and the same on validation
images of sources that the model was trained on. isbi2012_em is one stack: the images to learn from
and those to test on are apart by at least two sections. A quarter of the images to learn from is
held out to choose the best weights, where there are four or more.

On a busy machine minutes mean nothing: `--processor` counts the processor's time of the process,
so that N minutes are what one thread alone computes in N quiet minutes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sources import load_source

from napari_sam import SamPredictor, load_model
from napari_sam.evaluate.report import as_markdown
from napari_sam.evaluate.scores import MIN_PIXELS
from napari_sam.masks import iou, middle_of
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.held_out import in_colour, spread
from napari_sam.training.finetune.tuning import TuneParams, TuneStep, tuning
from napari_sam.training.labelled_images import LabelledImage
from napari_sam.types import Prompts

MINUTES = {1: 2.0, 5: 5.0, 20: 10.0}
"""Of training with so many images."""
SEEN = (
    "dsb2018", "neuroblastoma_fluo", "axon_sem", "nuinsseg_oesophagus_he", "hippocampus_mri",
    "spider_spine_mri", "nerve_vessel_us", "bbbc010_worms", "msd_spleen_ct", "emps_particles",
)  # fmt: skip
"""Sources in training, and how well they are still answered."""
FIRST_TEST, GAP = 22, 2
"""Of isbi2012_em: the first section that is tested on, and sections before it that are unused."""


def main() -> None:
    """Parse the command line, tune, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--source", default="isbi2012_em", help="a source never trained on")
    parser.add_argument("--images", type=int, nargs="*", default=[1, 5, 20], help="to learn from")
    parser.add_argument("--minutes", type=float, help="in place of 2, 5 and 10")
    parser.add_argument("--steps", type=int, help="in place of minutes")
    parser.add_argument("--processor", action="store_true", help="count the processor's time")
    parser.add_argument("--part", choices=("heads", "all"), default="all")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--replay", type=float, default=TuneParams.replay)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=25, help="objects of each tested image")
    parser.add_argument("--seen-images", type=int, default=4, help="of each source in training")
    parser.add_argument("--keep", type=Path, help="folder for the tuned models")
    args = parser.parse_args()
    seen = {
        name: spread(load_source(args.data / f"{name}.npz", ["validation"]), args.seen_images)
        for name in SEEN
    }
    rows = []
    before: dict[str, np.ndarray] = {}
    for count in args.images:
        learn, test = divided(args.data / f"{args.source}.npz", count)
        if not before:
            before = figures("pocket", {args.source: test, **seen}, args.limit)
            print(json.dumps({"images": 0, **rounded(before)}), flush=True)
        params = TuneParams(
            minutes=args.minutes or MINUTES.get(count, 5.0),
            steps=args.steps,
            part=args.part,
            learning_rate=args.learning_rate,
            replay=args.replay,
            threads=args.threads,
        )
        with TemporaryDirectory() as folder:
            path, steps = tuned(learn, params, args.keep or Path(folder), count, args.processor)
            after = figures(path, {args.source: test, **seen}, args.limit)
        print(json.dumps({"images": count, "steps": steps, **rounded(after)}), flush=True)
        lost = {name: after[name].mean() - before[name].mean() for name in seen}
        worst = min(lost, key=lambda name: lost[name])
        rows.append(
            (
                f"{args.source}, {count}",
                str(steps),
                f"{before[args.source].mean():.3f}",
                f"{after[args.source].mean():.3f}",
                f"{after[args.source].mean() - before[args.source].mean():+.3f}",
                f"{np.mean(list(lost.values())):+.3f}",
                f"{lost[worst]:+.3f} ({worst})",
            )
        )
    head = ("images", "steps", "before", "after", "gain", "sources in training", "worst of them")
    print(as_markdown([head, *rows]))


def tuned(
    learn: list[LabelledImage], params: TuneParams, folder: Path, count: int, processor: bool
) -> tuple[Path, int]:
    """Tune `pocket`; returns the file and the steps that it took."""
    examples = [example(item) for item in learn]
    held_out = examples[2::4] if count >= 4 else []
    learning = [one for one in examples if one not in held_out]
    clock = time.process_time if processor else time.perf_counter
    steps = 0
    run = tuning("pocket", learning, held_out, params, folder / str(count), clock)
    while True:
        try:
            step = next(run)
        except StopIteration as end:
            return end.value, steps
        if isinstance(step, TuneStep):
            steps = step.index
            if step.held_out is not None:
                print(
                    f"step {steps}: {step.held_out:.3f} held out, {step.left:.0f} s left",
                    flush=True,
                )


def divided(path: Path, count: int) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Return images to learn from, and others to test on."""
    items = load_source(path, ["unseen"])
    if path.stem == "isbi2012_em":
        return spread(items[: FIRST_TEST - GAP], count) if count > 1 else [items[8]], items[
            FIRST_TEST::3
        ]
    order = np.random.default_rng(0).permutation(len(items))
    return [items[k] for k in order[:count]], [items[k] for k in order[40:75]]


def example(item: LabelledImage) -> Example:
    """Return an image with what is known of it."""
    complete = None if item.exhaustive else np.zeros(item.labels.shape, bool)
    return Example(item.name, item.image, item.labels, complete, group=item.name)


def figures(
    model: str | Path, sources: dict[str, list[LabelledImage]], limit: int
) -> dict[str, np.ndarray]:
    """Return the IoU after one click of the objects of each source."""
    predictor = SamPredictor(load_model(model))
    found = {}
    for source, items in sources.items():
        values = []
        for item in items:
            labels, counts = np.unique(item.labels[item.labels > 0], return_counts=True)
            masks = [item.labels == k for k in spread(labels[counts >= MIN_PIXELS], limit)]
            if masks:
                embedding = predictor.encode(in_colour(item.image))
                answers = predictor.predict_many(
                    embedding, [Prompts([middle_of(mask)], [1]) for mask in masks]
                )
                values += [iou(a.masks[a.best], m) for a, m in zip(answers, masks, strict=True)]
        found[source] = np.array(values)
    return found


def rounded(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the means of figures."""
    return {name: round(float(values.mean()), 3) for name, values in found.items()}


if __name__ == "__main__":
    main()
