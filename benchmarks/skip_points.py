"""What `skip_points="found"` saves of everything mode, and what it costs.

`pocket` on a grid, with its recommended thresholds, on the drawn stack, or with `--data` on the
validation images of sources whose objects are all labelled. Both ways take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from amg_parity import partners
from sources import load_source

from napari_sam import AmgParams, AutomaticMaskGenerator, SamPredictor, load_model, masks
from napari_sam.evaluate.scores import average_precision
from napari_sam.images.samples import cells_stack_with_labels

WAYS = ("nothing", "found")
PLANES = (8, 14, 20)
"""Of the drawn stack."""


def pictures(args: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield names, planes and the true labels."""
    if args.data is None:
        stack, labels = cells_stack_with_labels()
        yield from ((f"drawn stack, plane {z + 1}", stack[z], labels[z]) for z in PLANES)
    for source in args.sources if args.data else ():
        images = load_source(args.data / f"{source}.npz", ["validation"])
        yield from ((f"{source} {k}", one.image, one.labels) for k, one in enumerate(images))


def main() -> None:
    """Measure on each picture and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of .npz sources")
    parser.add_argument("--sources", nargs="*", default=["dsb2018"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    predictor = SamPredictor(load_model("pocket"))
    shape = {"seeds": "grid", "points_per_side": args.points_per_side}
    params = AmgParams(**predictor.model.amg_defaults | shape)
    rows = []
    for name, plane, truth in pictures(args):
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        records = {}
        for run in range(args.runs):
            for way in WAYS if run % 2 else reversed(WAYS):
                generator = AutomaticMaskGenerator(predictor, replace(params, skip_points=way))
                start = time.perf_counter()
                records[way] = generator.generate(plane)
                times[way].append(time.perf_counter() - start)
        found = {way: np.array([r.segmentation for r in records[way]]) for way in WAYS}
        kept = partners(found["nothing"], found["found"]) if all(map(len, found.values())) else [0]
        seconds = [float(np.median(times[way])) for way in WAYS]
        labels = [masks.to_labels(records[way], truth.shape) for way in WAYS]
        row = {
            "time ratio": seconds[1] / seconds[0],
            "masks, all points": len(found["nothing"]),
            "masks, points skipped": len(found["found"]),
            "with a partner of IoU 0.9": float((np.array(kept) >= 0.9).mean()),
            "AP50, all points": float(average_precision(labels[0], truth)[0]),
            "AP50, points skipped": float(average_precision(labels[1], truth)[0]),
        }
        rows.append(row)
        print(name, {key: round(value, 3) for key, value in row.items()}, flush=True)
    means = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}
    means["pictures"] = len(rows)
    print("mean", means)
    if args.json:
        args.json.write_text(json.dumps(means, indent=1) + "\n")


if __name__ == "__main__":
    main()
