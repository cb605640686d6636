"""Train `pocket` from the labelled images of a folder; resumable.

The data are `.npz` sources as described in docs/models.md. Checkpoints, the curve (a CSV line
per 20 steps) and the averaged weights go to the run's folder.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from napari_sam.training.data import CropSampler, load_sources
from napari_sam.training.loop import Trainer, TrainParams
from napari_sam.training.synthetic import draw_many


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=TrainParams.steps)
    parser.add_argument("--learning-rate", type=float, default=TrainParams.learning_rate)
    parser.add_argument("--weights", type=Path, help="start from these weights")
    parser.add_argument("--exclude", nargs="*", default=[], help="sources to leave out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this long")
    args = parser.parse_args()
    args.run.mkdir(parents=True, exist_ok=True)

    params = TrainParams(steps=args.steps, learning_rate=args.learning_rate, seed=args.seed)
    sources = load_sources(args.data, ["train"], args.exclude)
    rng = np.random.default_rng(args.seed)
    sources["synthetic"] = draw_many(rng, 2)
    weights = {"dsb2018": 16.0, "bbbc039": 4.0, "hippocampus_mri": 6.0, "sunnybrook_cmr": 6.0}
    others = [s for s in sources if s not in weights and s != "synthetic"]
    weights |= dict.fromkeys(others, 4.0)
    total = sum(w for s, w in weights.items() if s in sources)
    weights["synthetic"] = total * params.synthetic / (1 - params.synthetic)
    trainer = Trainer(CropSampler(sources, rng, weights), params, args.device)
    state = args.run / "state.pt"
    if state.exists():
        trainer.resume(state)
    elif args.weights:
        half = load_file(args.weights)
        trainer.load_weights({k: v.float() for k, v in half.items()})
    print(f"{sum(len(v) for v in sources.values())} images, from step {trainer.done}", flush=True)

    window = []
    saved = started = time.monotonic()
    for step in trainer.run():
        window.append((step.loss, step.iou[0], step.iou[-1], step.seconds))
        if step.index % 20 == 0:
            row = [step.index, *np.mean(window, axis=0).round(4)]
            window.clear()
            with open(args.run / "curve.csv", "a", newline="") as file:
                csv.writer(file).writerow(row)
            print(*row, flush=True)
        now = time.monotonic()
        last = step.index == params.steps or now - started > 60 * args.minutes
        if last or now - saved > 180:
            trainer.save(state)
            averaged = {k: v.half().contiguous() for k, v in trainer.averaged.state_dict().items()}
            save_file(averaged, args.run / "pocket.safetensors")
            saved = now
        if last:
            break


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
