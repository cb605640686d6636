"""Times to encode and to click, alone and beside busy programs.

Workers hold one model each and take turns: "all threads" computes with as many threads as torch
takes by itself, "free threads" with those that other programs leave (`models.threads`). The busy
programs are loops that take a core each. What else runs on the machine is load too, also where
"alone" stands: the line at the end says how many processors it took while nothing of ours ran.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from itertools import product
from pathlib import Path

import numpy as np
import psutil
import torch

from napari_sam import Prompts, SamPredictor, load_model
from napari_sam.models import vit
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam
from napari_sam.models.threads import ThreadLimit
from napari_sam.models.two_way import TwoWayTransformer

SIDES = ("all threads", "free threads")
SPINS = (None, "0", "1000")
"""Of GOMP_SPINCOUNT: how often a waiting thread looks before it sleeps; None is libgomp's own."""
CLICKS = 3  # after each encoding
SETTLE = 0.5
"""Seconds from the start or the end of the busy programs to a measurement."""
BUSY = "while True: pass"


def work(model: str, side: str) -> None:
    """Measure whenever a line asks for it; answer with seconds as JSON."""
    if side == "all threads":
        ThreadLimit.applied = lambda self: nullcontext()
    predictor = SamPredictor(load_model(model, "cpu"))
    plane = np.random.default_rng(0).integers(0, 255, (1024, 1024), dtype=np.uint8)
    click = Prompts([(500, 520)], [1])
    predictor.predict(predictor.encode(plane), click)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        embedding = predictor.encode(plane)
        encoded = time.perf_counter() - start
        clicks = []
        for _ in range(CLICKS):
            start = time.perf_counter()
            predictor.predict(embedding, click)
            clicks.append(time.perf_counter() - start)
        print(json.dumps({"encode": [encoded], "click": clicks}), flush=True)


def random_vit_b(path: Path) -> None:
    """Write a ViT-B of random weights."""
    decoder = MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048))
    prompts = PromptEncoder(256, (64, 64), (1024, 1024), 16)
    torch.save(Sam(vit.ImageEncoderViT(), prompts, decoder).state_dict(), path)


def started(model: str, side: str, spin: str | None) -> subprocess.Popen[str]:
    """Return a worker that is ready."""
    environment = {key: value for key, value in os.environ.items() if "OMP_" not in key}
    if spin is not None:
        environment["GOMP_SPINCOUNT"] = spin
    worker = subprocess.Popen(
        [sys.executable, __file__, "--model", model, "--work", side],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    worker.stdout.readline()
    return worker


def asked(worker: subprocess.Popen[str]) -> dict[str, list[float]]:
    """Return what a worker measures."""
    worker.stdin.write("\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def other_load() -> float:
    """Return how many processors are in use while nothing of ours computes."""
    return psutil.cpu_percent(1.0) / 100 * psutil.cpu_count()


def measure(model: str, rounds: int, busy: int, spins: tuple[str | None, ...]) -> None:
    """Print a table of one model."""
    kinds = list(product(SIDES, spins))
    workers = {kind: started(model, *kind) for kind in kinds}
    found: dict[tuple, list[float]] = {}
    others = []
    for turn in range(rounds):
        others.append(other_load())
        for count in (0, busy):
            programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
            time.sleep(SETTLE)
            for kind in kinds if turn % 2 else reversed(kinds):
                for what, seconds in asked(workers[kind]).items():
                    found.setdefault((kind, count, what), []).extend(seconds)
            for program in programs:
                program.kill()
                program.wait()
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    print(f"{model}, ms: least, median and most; {busy} busy programs")
    print("| threads | GOMP_SPINCOUNT | what | alone | loaded | median loaded / least alone |")
    print("|---|---|---|---|---|---|")
    for (side, spin), what in product(kinds, ("encode", "click")):
        alone, loaded = (1000 * np.array(found[(side, spin), count, what]) for count in (0, busy))
        best = min(min(found[kind, 0, what]) for kind in kinds) * 1000
        cells = [
            f"{part.min():.0f}, {np.median(part):.0f}, {part.max():.0f}" for part in (alone, loaded)
        ]
        print(
            f"| {side} | {spin or 'unset'} | {what} | {cells[0]} | {cells[1]} | "
            f"{np.median(loaded) / best:.1f} |"
        )
    print(f"others took {min(others):.2f} to {max(others):.2f} processors\n", flush=True)


def main() -> None:
    """Measure the models that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--vit-b", action="store_true", help="a ViT-B of random weights too")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--spins", nargs="*", help="values of GOMP_SPINCOUNT beside the default")
    parser.add_argument("--work", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.model, args.work)
        return
    spins = SPINS if args.spins is None else (None, *args.spins)
    measure(args.model, args.rounds, args.busy, spins)
    if args.vit_b:
        with tempfile.TemporaryDirectory() as folder:
            random_vit_b(Path(folder) / "vit_b.pt")
            measure(str(Path(folder) / "vit_b.pt"), args.rounds, args.busy, spins)


if __name__ == "__main__":
    main()
