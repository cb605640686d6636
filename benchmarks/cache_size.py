"""What a plane takes on disk, how far its masks are from uncached ones, and how long it takes.

The prompts are a grid of points and a box of two sizes about every other point, whatever is there;
compared are the masks that are shown. Prompts with two answers of nearly the same score can change
from one to the other: that is what the least IoU shows. The planes are ours and scikit-image's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pocket_speed import median_ms
from skimage import data

from napari_sam import Prompts, SamPredictor, load_model, masks
from napari_sam.images import samples
from napari_sam.models import packing
from napari_sam.predict.cache import DiskCache
from napari_sam.predict.session import disk_key

LEAST_AREA = 20  # pixels of a mask that is compared


def planes() -> dict[str, NDArray[np.generic]]:
    """Return pictures of several kinds, and one that has nothing in it but noise."""
    return {
        "immunohistochemistry": data.immunohistochemistry(),
        "nuclei (drawn)": samples.cells_stack()[12],
        "camera": data.camera(),
        "cell": data.cell(),
        "coins": data.coins(),
        "noise": np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8),
    }


def questions(size: tuple[int, int], side: int) -> list[Prompts]:
    """Return the prompts for a plane of `size` (H, W)."""
    h, w = size
    grid = np.linspace(0.06, 0.94, side)
    points = [(x * w, y * h) for x in grid for y in grid]
    boxes = [
        (max(0, x - r), max(0, y - r), min(w - 1, x + r), min(h - 1, y + r))
        for x, y in points[::2]
        for r in (w / 20, w / 6)
    ]
    return [Prompts([point]) for point in points] + [Prompts(box=box) for box in boxes]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--side", type=int, default=8, help="points along a side of the grid")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    predictor = SamPredictor(load_model(args.model, "cpu"))
    model = predictor.model
    found = []
    with tempfile.TemporaryDirectory() as folder:
        disk = DiskCache(Path(folder))
        for name, plane in planes().items():
            prepared = predictor.prepare(plane)
            key = disk_key(model.fingerprint, prepared.rgb)
            exact = predictor.encode(plane)
            disk.put(key, model.pack(exact.features))
            size = (Path(folder) / f"{key}.safetensors").stat().st_size
            kept = predictor.embedding(model.unpack(disk.get(key) or {}), prepared)
            prompts = questions(exact.original_size, args.side)
            answers = [predictor.predict_many(e, prompts) for e in (exact, kept)]
            shown = [(a.masks[a.best], b.masks[b.best]) for a, b in zip(*answers, strict=True)]
            ious = np.array([masks.iou(a, b) for a, b in shown if a.area > LEAST_AREA])
            found.append(ious)
            print(f"{name}: {prepared.rgb.shape[:2]}, {size / 1e6:.3f} MB; {describe(ious)}")
        print(f"all: {describe(np.concatenate(found))}")
        encode = median_ms(lambda: model.encode(prepared.rgb), 10)
        write = median_ms(lambda: disk.put(key, model.pack(exact.features)), 10)
        read = median_ms(lambda: model.unpack(disk.get(key) or {}), 10)
        describing = median_ms(lambda: disk_key(model.fingerprint, prepared.rgb), 10)
        print(f"encode {encode} ms, write {write} ms, read {read} ms, key {describing} ms")
        normal = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
        disk.put("0" * 64, packing.pack(normal))
        size = (Path(folder) / f"{'0' * 64}.safetensors").stat().st_size
        print(f"an embedding of SAM's size, normal numbers: {size / 1e6:.3f} MB")


def describe(ious: NDArray[np.float64]) -> str:
    """Return the figures of a sample of IoUs."""
    return (
        f"IoU of {len(ious)} masks: mean {ious.mean():.4f}, median {np.median(ious):.4f}, 5th "
        f"percentile {np.quantile(ious, 0.05):.4f}, least {ious.min():.4f}, "
        f"{np.mean(ious >= 0.99):.1%} at least 0.99"
    )


if __name__ == "__main__":
    main()
