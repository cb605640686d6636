"""How quick a training step is: crops a second, and what its parts take.

With `--old CHECKOUT --folder FOLDER` the same of an older state of this project whose step draws
crops in numpy (its `CropSampler`), in turns with ours: a ratio of one run.

    python benchmarks/train_speed.py --data pocket_data.pack [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

OLD = """
import json, sys, time
from pathlib import Path
import numpy as np, torch
from napari_sam.training.data import CropSampler, load_sources
from napari_sam.training.loop import Trainer, TrainParams
from napari_sam.training.synthetic import draw_many
torch.set_num_threads(int(sys.argv[2]))
sources = load_sources(Path(sys.argv[1]), ["train"])
rng = np.random.default_rng(0)
sources["synthetic"] = draw_many(rng, 2)
params = TrainParams(steps=10**9)
trainer = Trainer(CropSampler(sources, rng), params)
steps = iter(trainer.run())
next(steps)
for line in sys.stdin:
    start = time.perf_counter()
    area = sum(params.pixels for _ in range(int(line)) if next(steps))
    print(area / 128**2 / (time.perf_counter() - start), flush=True)
"""


def main() -> None:
    """Parse the command line, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a packed file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--crops", type=int, help="crops of 128 pixels in a step")
    parser.add_argument("--steps", type=int, default=20, help="steps of a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--profile", action="store_true", help="print what a step's time goes to")
    parser.add_argument("--old", type=Path, help="an older checkout, for comparison")
    parser.add_argument("--folder", type=Path, help="folder of `.npz` sources, for the older one")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trainer = prepared(args.data, args.device, args.crops)
    if args.profile:
        profile(trainer, args.steps)
    other = started(args.old, args.folder, args.threads) if args.old else None
    ours, theirs = [], []
    for _ in range(args.turns):
        ours.append(pace(trainer, args.steps))
        if other:
            other.stdin.write(f"{args.steps}\n")
            other.stdin.flush()
            theirs.append(float(other.stdout.readline()))
    result = {"device": args.device, "crops a second": round(float(np.median(ours)), 1)}
    if other:
        other.terminate()
        result["old, crops a second"] = round(float(np.median(theirs)), 1)
        result["ratio"] = round(float(np.median(ours) / np.median(theirs)), 2)
    print(json.dumps(result))


def prepared(data: Path, device: str, crops: int | None) -> object:
    """Return a trainer that has warmed up."""
    from train_pocket import crops_for

    from napari_sam.training.image_set import ImageSet
    from napari_sam.training.labelled_images import read_packed
    from napari_sam.training.loop import Trainer
    from napari_sam.training.params import TrainParams

    images = ImageSet.of(read_packed(data, ["train"]), device)
    trainer = Trainer(images, TrainParams(steps=10**9, crops=crops or crops_for(device)))
    pace(trainer, 10)
    return trainer


def pace(trainer: object, steps: int) -> float:
    """Return crops of 128 pixels a second over some steps."""
    run = trainer.run()
    start = time.perf_counter()
    for _ in range(steps):
        next(run)
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return steps * trainer.params.crops / (time.perf_counter() - start)


def profile(trainer: object, steps: int) -> None:
    """Print the operations that take most of the device's time."""
    kinds = torch.profiler.ProfilerActivity
    cuda = trainer.device.type == "cuda"
    with torch.profiler.profile(activities=[kinds.CPU, *([kinds.CUDA] if cuda else [])]) as found:
        pace(trainer, steps)
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    print(found.key_averages().table(sort_by=order, row_limit=25, max_name_column_width=60))


def started(checkout: Path, folder: Path, threads: int) -> subprocess.Popen[str]:
    """Start the older code in a process of its own; it times as many steps as it is told."""
    return subprocess.Popen(
        [sys.executable, "-c", OLD, str(folder), str(threads)],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    main()
