"""Times of `pocket` on ONNX Runtime and on torch, side by side: encode, clicks, everything mode.

    python benchmarks/onnx_speed.py --threads 2

Both run in one process and take turns, so that what else runs on the machine slows both down. For
each the median time of all rounds is given, the least, and the least processor time of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

import numpy as np

THREADS = "OMP_NUM_THREADS"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exported", help="folder of an exported pocket; by default the bundled")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    os.environ[THREADS] = str(args.threads)  # both read it when they are loaded
    import torch

    from napari_sam import AutomaticMaskGenerator, Prompts, SamPredictor, load_model
    from napari_sam.images import samples
    from napari_sam.models import onnx_runtime, registry
    from napari_sam.models.threads import ThreadLimit

    torch.set_num_threads(args.threads)
    ThreadLimit.free = lambda self: args.threads  # type: ignore[method-assign]
    path = registry.file_of(args.exported or registry.bundled_path(registry.find_spec("pocket")))
    models = {
        "onnxruntime": onnx_runtime.build(onnx_runtime.read(path), "pocket", "cpu"),
        "torch": load_model("pocket", "cpu"),
    }
    predictors = {name: SamPredictor(model) for name, model in models.items()}
    plane = samples.cells_stack()[12]
    rgb = predictors["torch"].prepare(plane).rgb
    steps = range(16, 256, 32)
    click, clicks = [Prompts([(125, 130)])], [Prompts([(x, y)]) for x in steps for y in steps]

    def actions(predictor: SamPredictor) -> dict[str, Callable[[], object]]:
        embedding, generator = predictor.encode(plane), AutomaticMaskGenerator(predictor)
        decode = predictor.model.decode
        point = np.float32([[[250, 260]]]), np.ones((1, 1), np.int64), None, None, True
        return {
            "encode": lambda: predictor.model.encode(rgb),
            "click, model alone": lambda: decode(embedding.features, *point),
            "click": lambda: predictor.predict_many(embedding, click),
            "64 clicks": lambda: predictor.predict_many(embedding, clicks),
            "everything": lambda: generator.generate(plane),
        }

    todo = {name: actions(predictor) for name, predictor in predictors.items()}
    for what in todo["torch"]:
        rounds = args.rounds if "click" in what or what == "encode" else max(3, args.rounds // 4)
        took = {name: [] for name in todo}
        for _ in range(rounds + 2):
            for name, of in todo.items():
                start = np.array([time.perf_counter(), time.process_time()])
                of[what]()
                passed = np.array([time.perf_counter(), time.process_time()]) - start
                took[name].append(1000 * passed)
        row = {"what": what, "threads": args.threads}
        for name, times in took.items():
            kept = np.array(times[2:])
            figures = (np.median(kept[:, 0]), *kept.min(axis=0))
            names = ("median_ms", "least_ms", "processor_ms")
            row[name] = {n: round(float(f), 1) for n, f in zip(names, figures, strict=True)}
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
