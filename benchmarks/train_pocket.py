"""Train `pocket`, from random or given weights; resumable.

One command on a machine with torch, numpy, pillow and this package:

    python benchmarks/train_pocket.py --data pocket_data.pack --run RUN --minutes 10 --device cuda

The data are a file that `pack_data.py` wrote, or the folder that it was written from. State, curve
(a CSV line per 20 steps), the averaged weights and, at the end, a table of validation go to the
run's folder; the state and the weights every minute. A run that finds its state there goes on.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_sam.training.image_set import ImageSet
from napari_sam.training.labelled_images import LabelledImage, read_packed
from napari_sam.training.loop import Step, Trainer
from napari_sam.training.params import TrainParams
from napari_sam.training.validation import as_table, validate


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a packed file, or a folder")
    parser.add_argument("--run", type=Path, required=True, help="folder for state and results")
    parser.add_argument("--minutes", type=float, help="how long, in place of --steps")
    parser.add_argument("--steps", type=int, default=TrainParams.steps)
    parser.add_argument("--learning-rate", type=float, default=TrainParams.learning_rate)
    parser.add_argument("--crops", type=int, help="crops of 128 pixels in a step")
    parser.add_argument(
        "--earlier", type=float, default=TrainParams.earlier, help="share of crops with one"
    )
    parser.add_argument("--weights", type=Path, help="start from these weights")
    parser.add_argument("--exclude", nargs="*", default=[], help="sources to leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of the processor")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    args.run.mkdir(parents=True, exist_ok=True)
    params = TrainParams(
        steps=args.steps,
        learning_rate=args.learning_rate,
        crops=args.crops or crops_for(args.device),
        earlier=args.earlier,
        seed=args.seed,
    )
    images = [i for i in read(args.data) if i.source not in args.exclude]
    training = ImageSet.of([i for i in images if i.part == "train"], args.device)
    trainer = Trainer(training, params)
    state = args.run / "state.pt"
    if state.exists():
        trainer.resume(state)
    elif args.weights:
        fresh = trainer.load_weights({k: v.float() for k, v in load_file(args.weights).items()})
        print(f"{len(fresh)} tensors start from random values", flush=True)
    print(f"{len(images)} images, from step {trainer.done}", flush=True)
    train(trainer, args.run, args.minutes)
    seen = [i for i in images if i.part in ("validation", "unseen")]
    if seen:
        table = as_table(validate(trainer.averaged, seen, training.device))
        (args.run / "validation.md").write_text(table)
        print(table)


def crops_for(device: str) -> int:
    """Return how many crops of 128 pixels a step takes: a graphics card wants many."""
    return 384 if device.startswith("cuda") else TrainParams.crops


def read(data: Path) -> list[LabelledImage]:
    """Read a packed file, or every source of a folder."""
    parts = ("train", "validation", "unseen")
    if data.is_file():
        return read_packed(data, parts)
    from sources import load_sources

    return [item for items in load_sources(data, parts).values() for item in items]


def train(trainer: Trainer, run: Path, minutes: float | None) -> None:
    """Train to the end, writing the curve, and state and weights every minute."""
    window: list[tuple[float, ...]] = []
    saved = time.monotonic()
    for step in steps(trainer, minutes):
        window.append((step.crops, step.loss, *step.iou, step.seconds))
        if step.index % 20 == 0:
            row = [step.index, *np.mean(window, axis=0).round(4).tolist()]
            window.clear()
            with open(run / "curve.csv", "a", newline="") as file:
                csv.writer(file).writerow(row)
            if step.index % 100 == 0:
                print(*row, flush=True)
        if time.monotonic() - saved > 60:
            save(trainer, run)
            saved = time.monotonic()
    save(trainer, run)


def steps(trainer: Trainer, minutes: float | None) -> Iterator[Step]:
    """Run, with fewer crops from where the memory of a card does not hold them."""
    while True:
        try:
            yield from trainer.run(minutes)
        except torch.OutOfMemoryError:
            fewer = int(trainer.params.crops * 0.7)
            if not fewer:
                raise
            trainer.params = replace(trainer.params, crops=fewer)
            torch.cuda.empty_cache()
            print(f"not enough memory: {fewer} crops in a step from now on", flush=True)
        else:
            return


def save(trainer: Trainer, run: Path) -> None:
    """Write state and averaged weights."""
    trainer.save(run / "state.pt")
    averaged = {k: v.half().contiguous().cpu() for k, v in trainer.averaged.state_dict().items()}
    save_file(averaged, run / "pocket.part")
    (run / "pocket.part").replace(run / "pocket.safetensors")


if __name__ == "__main__":
    main()
