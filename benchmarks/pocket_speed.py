"""Seconds to encode a 512 x 512 plane and to decode a click with a model, on this machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_sam import Prompts, SamPredictor, load_model


def median_ms(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of an action in milliseconds, after two warm-up calls."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(1000 * float(np.median(times[2:])), 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    predictor = SamPredictor(load_model(args.model, "cpu"))
    plane = np.random.default_rng(0).integers(0, 255, (512, 512), dtype=np.uint8)
    embedding = predictor.encode(plane)
    click = Prompts([(250, 260)], [1])
    logits = predictor.predict(embedding, click).low_res_logits[0]
    correction = Prompts([(250, 260), (280, 250)], [1, 0], mask_input=logits)
    many = [Prompts([(x, y)], [1]) for x in range(32, 512, 64) for y in range(32, 512, 64)]
    result = {
        "model": args.model,
        "threads": args.threads,
        "encode_ms": median_ms(lambda: predictor.encode(plane), args.repeats),
        "click_ms": median_ms(lambda: predictor.predict(embedding, click), args.repeats),
        "correction_ms": median_ms(lambda: predictor.predict(embedding, correction), args.repeats),
        "64_clicks_ms": median_ms(lambda: predictor.predict_many(embedding, many), 5),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
