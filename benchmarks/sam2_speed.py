"""SAM 2 beside transformers' writing of it: the encoder and a step of memory attention.

Sizes are equal, weights random.

The two run in turns, so that what else runs on the machine slows both. Wall and processor times
are given: on a machine that is busy the quotient of the processor times is the fairer one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import Sam2VideoConfig, Sam2VisionConfig
from transformers.models.sam2.modeling_sam2 import Sam2VisionModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMemoryAttention

from napari_sam.models.sam2_memory_attention import Memories
from napari_sam.models.sam2_net import Sam2Net, Sam2Sizes

SIDE = 1024
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def in_turns(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Return the median seconds of actions, wall and processor time, after one warm-up call."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in actions}
    for _ in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter(), time.process_time()
            action()
            end = time.perf_counter(), time.process_time()
            times[name].append((end[0] - start[0], end[1] - start[1]))
    return {
        name: [round(float(x), 3) for x in np.median(found[1:], axis=0)]
        for name, found in times.items()
    }


@torch.inference_mode()
def encoder(repeats: int) -> dict[str, list[float]]:
    """Return the times of the encoder of `sam2.1_hiera_tiny` for 1024 x 1024 pixels."""
    torch.manual_seed(0)
    pixels = torch.randn(1, 3, SIDE, SIDE)
    actions: dict[str, Callable[[], object]] = {}
    for name, dtype in PRECISIONS.items():
        own = Sam2Net(Sam2Sizes(), SIDE).eval()
        own.image_encoder.trunk.set_precision(dtype)
        other = Sam2VisionModel(Sam2VisionConfig()).eval().to(dtype)
        converted = pixels.to(dtype)
        actions[f"napari_sam {name}"] = lambda own=own: own.encode(pixels)
        actions[f"transformers {name}"] = lambda other=other, given=converted: other(given)
    return in_turns(actions, repeats)


@torch.inference_mode()
def memory_step(repeats: int) -> dict[str, list[float]]:
    """Return the times of memory attention at 1024 px: seven frames and sixteen pointers."""
    torch.manual_seed(0)
    cells, pointers = (SIDE // 16) ** 2, 16 * 256 // 64
    image, positions = torch.randn(2, cells, 256)
    values, places = torch.randn(2, 7 * cells + pointers, 64)
    actions: dict[str, Callable[[], object]] = {}
    for name, dtype in PRECISIONS.items():
        own = Sam2Net(Sam2Sizes(), SIDE).eval().memory_attention
        own.set_precision(dtype)
        config = Sam2VideoConfig()
        config._attn_implementation = "sdpa"  # as in its whole model
        other = Sam2VideoMemoryAttention(config).eval().to(dtype)
        given = [x[:, None].to(dtype) for x in (image, values, positions, places)]
        known = [Memories(values, places, pointers)]
        size = (SIDE // 16, SIDE // 16)
        actions[f"napari_sam {name}"] = lambda own=own, size=size, known=known: own(
            image, positions, size, known
        )
        actions[f"transformers {name}"] = lambda other=other, given=given: other(*given, pointers)
    return in_turns(actions, repeats)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-only", action="store_true", help="leave the encoder out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.memory_only:
        print(json.dumps({"encoder, s (wall, processor)": encoder(args.repeats)}, indent=1))
    print(
        json.dumps({"memory attention, s (wall, processor)": memory_step(args.repeats)}, indent=1)
    )


if __name__ == "__main__":
    main()
