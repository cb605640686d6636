"""Time and memory against segment-anything 1.0 on equal weights, side by side in one run.

Needs segment-anything (`pip install --no-deps segment-anything`); what it takes from torchvision
is stubbed. The decoder is that of `reference_decoder.py`; the ViT-B is drawn from a seed. The
programs take turns, and a figure is the ratio of their medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from amg_parity import official, partners
from reference_decoder import load
from skimage import data
from stubs import stubbed_torchvision

from napari_sam.amg import AmgParams, AutomaticMaskGenerator
from napari_sam.masks import iou
from napari_sam.models.vit import ImageEncoderViT
from napari_sam.predictor import SamPredictor
from napari_sam.transforms import to_rgb8
from napari_sam.types import Prompts

with stubbed_torchvision():
    import segment_anything
    from segment_anything import modeling

SIDES = ("ours", "theirs")
GRID = [(x, y) for y in range(30, 300, 36) for x in range(30, 380, 46)][:64]
"""Points of the picture asked at once."""
THRESHOLDS = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.3}
"""Of everything mode: the reference decoder's scores are low."""


@dataclass
class Programs:
    """Both programs around one model and one picture.

    Attributes
    ----------
    ours : SamPredictor
    theirs : segment_anything.SamPredictor
    rgb : (H, W, 3) uint8
    """

    ours: SamPredictor
    theirs: Any
    rgb: np.ndarray

    @classmethod
    def make(cls) -> Programs:
        """Load the reference model into both."""
        model = load()
        return cls(
            SamPredictor(model),
            segment_anything.SamPredictor(official(model.sam)),
            to_rgb8(data.coins()),
        )

    def click(self, points: list[tuple[int, int]]) -> dict[str, Callable[[], np.ndarray]]:
        """Return what answers points (each an object of its own) with masks (P, 3, H, W)."""
        embedding = self.ours.encode(self.rgb)
        self.theirs.set_image(self.rgb)
        prompts = [Prompts([point], [1]) for point in points]
        coords = self.theirs.transform.apply_coords_torch(
            torch.tensor(points, dtype=torch.float32)[:, None], self.rgb.shape[:2]
        )
        labels = torch.ones(len(points), 1, dtype=torch.int64)

        def theirs() -> np.ndarray:
            return self.theirs.predict_torch(coords, labels)[0].numpy()

        def ours() -> np.ndarray:
            return np.stack([p.masks for p in self.ours.predict_many(embedding, prompts)])

        return {"ours": ours, "theirs": theirs}

    def everything(self, side: int) -> dict[str, Callable[[], np.ndarray]]:
        """Return what runs the grid generator and returns its masks (N, H, W)."""
        params = AmgParams(points_per_side=side, **THRESHOLDS)
        generator = segment_anything.SamAutomaticMaskGenerator(
            self.theirs.model, points_per_side=side, **THRESHOLDS
        )

        def ours() -> np.ndarray:
            records = AutomaticMaskGenerator(self.ours, params).generate(self.rgb)
            return np.array([record.segmentation for record in records])

        def theirs() -> np.ndarray:
            return np.array([r["segmentation"] for r in generator.generate(self.rgb)])

        return {"ours": ours, "theirs": theirs}


def vit_b(precision: torch.dtype) -> dict[str, Callable[[], torch.Tensor]]:
    """Return what encodes one 1024 x 1024 input with ViT-B, drawn from a seed."""
    torch.manual_seed(0)
    ours = ImageEncoderViT().eval()
    for name, value in ours.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(value, std=0.02)
    theirs = modeling.ImageEncoderViT(
        embed_dim=768, depth=12, num_heads=12, window_size=14, global_attn_indexes=(2, 5, 8, 11),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    ours.lower(precision)
    image = torch.randn(1, 3, 1024, 1024)
    return {"ours": lambda: ours(image), "theirs": lambda: theirs(image)}


def alternate(actions: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, Any], dict]:
    """Let the programs take turns; return the ratio with its times, and the last answers."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    answers: dict[str, Any] = {}
    for run in range(runs + 1):  # the first one warms up
        for side in SIDES if run % 2 else SIDES[::-1]:
            start = time.perf_counter()
            answers[side] = actions[side]()
            if run:
                times[side].append(time.perf_counter() - start)
    median = {side: float(np.median(taken)) for side, taken in times.items()}
    figures = {f"seconds {side}": round(median[side], 4) for side in SIDES}
    return {"ratio": round(median["ours"] / median["theirs"], 3), **figures}, answers


def likeness(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return mean and least IoU of masks (..., H, W) with their counterparts."""
    pairs = zip(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]), strict=True)
    values = [iou(one, other) for one, other in pairs]
    return {"mean IoU": round(float(np.mean(values)), 4), "least IoU": round(min(values), 4)}


def shared(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Return how many masks there are, and how many have a partner of IoU 0.95."""
    share = [float((partners(*pair) >= 0.95).mean()) for pair in ((a, b), (b, a))]
    return {"masks ours": len(a), "masks theirs": len(b), "partners": round(min(share), 4)}


def peak(side: str, points: int) -> float:
    """Return how much everything mode adds to the memory of a process of its own, MB."""
    command = [sys.executable, __file__, "--peak", side, "--points-per-side", str(points)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def grown(action: Callable[[], Any]) -> float:
    """Return by how much the memory of this process rises at most during an action, MB."""
    process, over = psutil.Process(), threading.Event()
    before = most = process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not over.wait(0.005):
            most = max(most, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    action()
    over.set()
    watcher.join()
    return (most - before) / 1e6


def measure(figure: str, runs: int, points: int) -> dict[str, Any]:
    """Return one figure by its name."""
    if figure.startswith("encode"):
        dtype = torch.bfloat16 if figure.endswith("bfloat16") else torch.float32
        found, answers = alternate(vit_b(dtype), runs)
        off = (answers["ours"] - answers["theirs"]).abs().mean() / answers["theirs"].abs().mean()
        return found | {"relative difference": float(f"{float(off):.2e}")}
    programs = Programs.make()
    if figure == "everything":
        found, answers = alternate(programs.everything(points), runs)
        memory = {side: peak(side, points) for side in SIDES}
        found["memory ratio"] = round(memory["ours"] / memory["theirs"], 3)
        return found | {f"MB {side}": memory[side] for side in SIDES} | shared(*answers.values())
    found, answers = alternate(programs.click(GRID[:1] if figure == "click" else GRID), runs)
    return found | likeness(answers["ours"], answers["theirs"])


def main() -> None:
    """Measure the figures that are asked for."""
    figures = ("encode float32", "encode bfloat16", "click", "64 clicks", "everything")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figures", nargs="*", default=figures, choices=figures)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--peak", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with torch.inference_mode():
        if args.peak:
            print(round(grown(Programs.make().everything(args.points_per_side)[args.peak])))
            return
        results = {}
        for figure in args.figures:
            results[figure] = measure(figure, args.runs, args.points_per_side)
            print(figure, results[figure], flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
