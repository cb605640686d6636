"""Times to encode a 512 x 512 plane, to decode a click, and to find 100 discs on it."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from napari_sam import AutomaticMaskGenerator, Prompts, SamPredictor, load_model


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of an action in milliseconds, after two warm-up calls."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times[2:])), 1)


def discs(side: int = 512, count: int = 10) -> np.ndarray:
    """Return a plane of `count` x `count` bright discs under noise, (side, side) uint8."""
    rng = np.random.default_rng(0)
    plane = np.zeros((side, side))
    step = side / count
    y, x = np.mgrid[:side, :side]
    for row in range(count):
        for column in range(count):
            middle = (np.array([row, column]) + 0.5) * step + rng.uniform(-5, 5, 2)
            far = np.hypot(y - middle[0], x - middle[1])
            plane[far < rng.uniform(10, 20)] = rng.uniform(0.4, 1)
    plane = ndimage.gaussian_filter(plane, 1.5) + rng.normal(0.1, 0.03, plane.shape)
    return np.clip(plane * 200, 0, 255).astype(np.uint8)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--device", default="cpu", help="cuda adds the IoU with the processor's")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    predictor = SamPredictor(load_model(args.model, args.device))
    plane = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    embedding = predictor.encode(plane)
    click = Prompts([(250, 260)], [1])
    logits = predictor.predict(embedding, click).logits(0)
    correction = Prompts([(250, 260), (280, 250)], [1, 0], mask_input=logits)
    many = [Prompts([(x, y)], [1]) for x in range(32, 512, 64) for y in range(32, 512, 64)]
    generator = AutomaticMaskGenerator(predictor)
    nuclei = discs()
    result = {
        "model": args.model,
        "device": predictor.model.device,
        "threads": args.threads,
        "encode_ms": median_ms(lambda: predictor.encode(plane), args.repeats),
        "click_ms": median_ms(lambda: predictor.predict(embedding, click), args.repeats),
        "correction_ms": median_ms(lambda: predictor.predict(embedding, correction), args.repeats),
        "64_clicks_ms": median_ms(lambda: predictor.predict_many(embedding, many), 5),
        "everything_ms": median_ms(lambda: generator.generate(nuclei), 5),
        "everything_objects": len(generator.generate(nuclei)),
    }
    if args.device != "cpu":
        on_cpu = SamPredictor(load_model(args.model, "cpu"))
        own, other = (masks_of(p, nuclei, many) for p in (predictor, on_cpu))
        union = (own | other).sum((1, 2)).clip(min=1)
        result["iou_with_cpu"] = round(float(((own & other).sum((1, 2)) / union).mean()), 4)
    print(json.dumps(result))


def masks_of(predictor: SamPredictor, plane: np.ndarray, prompts: list[Prompts]) -> np.ndarray:
    """Return the best mask of each prompt, (P, H, W) bool."""
    answers = predictor.predict_many(predictor.encode(plane), prompts)
    return np.stack([answer.masks[answer.best] for answer in answers])


if __name__ == "__main__":
    main()
