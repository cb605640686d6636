"""What choosing among everything mode's masks takes: bytes and seconds of `select`.

Blobs of 200 to 400 pixels across, each with a few holes and islands, in a plane of 4096 x 4096:
with and without the removal of small regions. With `--beside CHECKOUT` the same of an older state
of this project, on the same masks.

    python benchmarks/masks.py [--beside CHECKOUT]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 250
"""Pixels: holes and islands of fewer are removed."""


def main() -> None:
    """Parse the command line, measure, print a line for each state."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="of the plane, pixels")
    parser.add_argument("--count", type=int, default=100, help="masks")
    parser.add_argument("--runs", type=int, default=5, help="the shortest counts")
    parser.add_argument("--beside", type=Path, help="an older checkout, for comparison; one run")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(measured(args.worker, args.side, args.runs)))
        return
    here = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "masks.npz"
        np.savez(path, **drawn(args.side, args.count))
        print("here", started(here, path, args.side, args.runs))
        if args.beside:
            print("beside", started(args.beside, path, args.side, 1))


def drawn(side: int, count: int) -> dict[str, NDArray[Any]]:
    """Return the tight boxes (N, 4), xyxy, of masks, and the packed pixels of each."""
    rng = np.random.default_rng(0)
    per_row = int(np.ceil(np.sqrt(count)))
    cell = side / per_row
    boxes, parts = [], {}
    for k in range(count):
        mask = blob(rng, int(rng.integers(200, 401)))
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        tight = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        h, w = tight.shape
        x = min(int(cell * (k % per_row)), side - w)
        y = min(int(cell * (k // per_row)), side - h)
        boxes.append((x, y, x + w - 1, y + h - 1))
        parts[f"packed_{k}"] = np.packbits(tight)
    return {"boxes": np.array(boxes), **parts}


def blob(rng: np.random.Generator, across: int) -> NDArray[np.bool_]:
    """Return a wavy disc with three to six small holes and as many small islands about it."""
    y, x = np.mgrid[:across, :across] - (across - 1) / 2
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    waves = sum(
        rng.uniform(0, 0.08) * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7)
    )
    mask = distance < across / 2 * (0.75 + waves)
    for value, reach in ((False, 0.45), (True, 0.97)):
        for _ in range(rng.integers(3, 7)):
            turn, radius = rng.uniform(0, 2 * np.pi), rng.uniform(2, 8)
            place = reach * across / 2 * np.array([np.cos(turn), np.sin(turn)])
            mask[np.hypot(x - place[0], y - place[1]) < radius] = value
    return np.asarray(mask)


def started(checkout: Path, path: Path, side: int, runs: int) -> dict[str, float]:
    """Measure the code of a checkout in a process of its own."""
    options = ["--worker", str(path), "--side", str(side), "--runs", str(runs)]
    answer = subprocess.run(
        [sys.executable, __file__, *options],
        env=os.environ | {"PYTHONPATH": str(checkout / "src")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(answer.stdout)
    return found


def measured(path: Path, side: int, runs: int) -> dict[str, float]:
    """Return MB (peak) and seconds of `select` on the masks of a file."""
    candidates = read(path, side)
    select, params_of = module("amg_select").select, module("amg_params").AmgParams
    result: dict[str, float] = {}
    for name, area in (("plain", 0), ("regions removed", SMALL)):
        params = params_of(min_mask_region_area=area)
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            records = select(candidates, params)
            seconds.append(time.perf_counter() - start)
        tracemalloc.start()
        records = select(candidates, params)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        result |= {
            f"{name}: masks": len(records),
            f"{name}: pixels": sum(record.area for record in records),
            f"{name}: MB": round(peak / 1e6, 2),
            f"{name}: seconds": round(min(seconds), 4),
        }
    return result


def module(name: str) -> Any:
    """Return a module of everything mode; older states have no folder for it."""
    try:
        return import_module(f"napari_sam.everything.{name}")
    except ModuleNotFoundError:
        return import_module(f"napari_sam.{name}")


def read(path: Path, side: int) -> Any:
    """Return the candidates of a file as this state, or an older one, has them."""
    amg_select = module("amg_select")
    stored = np.load(path)
    items = []
    for k, numbers in enumerate(stored["boxes"].tolist()):
        box = tuple(numbers)
        own = {"box": box, "packed": stored[f"packed_{k}"]}
        if "mask" in amg_select.Candidate.__dataclass_fields__:
            from napari_sam.types import Mask

            own = {"mask": Mask(**own, size=(side, side))}
        items.append(
            amg_select.Candidate(
                **own, iou=0.95, stability=1.0, point=box[:2], crop=(0, 0, side, side)
            )
        )
    return amg_select.Candidates((side, side), tuple(items), 0.5)


if __name__ == "__main__":
    main()
