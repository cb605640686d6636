"""Everything mode against segment-anything 1.0 on equal weights: how many masks have a partner.

Needs segment-anything (`pip install --no-deps segment-anything`); what it takes from torchvision
is stubbed. The weights are those of `reference_decoder.py` behind an encoder drawn from a seed.
SAM's default grid; the thresholds go down together from SAM's own until there are `--least` masks.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_decoder import load
from skimage import data
from sources import load_source

from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.everything.amg_params import AmgParams
from napari_sam.images.transforms import to_rgb8
from napari_sam.models.sam import Sam
from napari_sam.predict.predictor import SamPredictor
from napari_sam.steps import drive

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from stubs import stubbed_torchvision

with stubbed_torchvision():
    import segment_anything
    from segment_anything import modeling

PICTURES = ("coins", "immunohistochemistry", "hubble_deep_field")
"""Of scikit-image, where no labelled images are at hand."""
VALIDATION = (("dsb2018", 20), ("dsb2018", 45), ("emps_particles", 0))
"""Of a folder of labelled images, parts that the decoder was not trained on."""
STEP = 0.02
WHO, WANTED = ("ours", "theirs"), 0.99


def official(sam: Sam) -> Any:
    """Return segment-anything's model around our encoder, with our light half's weights."""
    other = modeling.Sam(
        sam.image_encoder,
        modeling.PromptEncoder(256, (64, 64), (1024, 1024), 16),
        modeling.MaskDecoder(
            num_multimask_outputs=3,
            transformer=modeling.TwoWayTransformer(2, 256, 8, 2048),
            transformer_dim=256,
        ),
    ).eval()
    sam.image_encoder.img_size = 1024
    own = sam.state_dict()
    other.load_state_dict(own)
    return other


def settings(step: int) -> dict[str, float]:
    """Return the thresholds after some steps down."""
    return {
        "pred_iou_thresh": round(max(0.0, 0.88 - STEP * step), 2),
        "stability_score_thresh": round(max(0.0, 0.95 - STEP * step), 2),
    }


def partners(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of each mask (N, H, W) with the most similar of the others (M, H, W)."""
    a, b = (m.reshape(len(m), -1).astype(np.float32) for m in (masks, others))
    shared = a @ b.T
    return (shared / (a.sum(1)[:, None] + b.sum(1)[None] - shared)).max(axis=1)


def compare(predictor: SamPredictor, other: Any, rgb: np.ndarray, least: int, side: int) -> dict:
    """Return counts, partners and times of both programs on one picture."""
    started = time.perf_counter()
    lowest = AmgParams(points_per_side=side, pred_iou_thresh=0.0)
    candidates = drive(AutomaticMaskGenerator(predictor, lowest).propose(rgb))
    middle = time.perf_counter()
    theirs: list[Any] = []
    for step in range(100):
        chosen = settings(step)
        params = AmgParams(points_per_side=side, **chosen)
        ours = AutomaticMaskGenerator(predictor, params).select(candidates)
        if len(ours) < 0.8 * least:  # the reference takes minutes: only where it may be enough
            continue
        began = time.perf_counter()
        generator = segment_anything.SamAutomaticMaskGenerator(
            other, points_per_side=side, **chosen
        )
        theirs = generator.generate(rgb)
        taken = time.perf_counter() - began
        if len(theirs) >= least:
            break
    else:
        raise SystemExit(f"the reference never returned {least} masks")
    a = np.array([record.segmentation for record in ours])
    b = np.array([record["segmentation"] for record in theirs])
    return {
        **chosen,
        "ours": len(ours),
        "theirs": len(theirs),
        "ours with a partner": int((partners(a, b) >= 0.95).sum()),
        "theirs with a partner": int((partners(b, a) >= 0.95).sum()),
        "least IoU": round(float(min(partners(a, b).min(), partners(b, a).min())), 4),
        "seconds ours": round(middle - started, 1),
        "seconds theirs": round(taken, 1),
    }


def pictures(folder: Path | None) -> list[tuple[str, np.ndarray]]:
    """Return three real pictures by name."""
    if folder is None:
        return [(name, getattr(data, name)()) for name in PICTURES]
    sources = {
        source: load_source(folder / f"{source}.npz", ["validation"]) for source, _ in VALIDATION
    }
    return [(f"{source} {index}", sources[source][index].image) for source, index in VALIDATION]


def main() -> None:
    """Compare on three pictures and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of .npz sources; else scikit-image's")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--least", type=int, default=30, help="masks wanted of each picture")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = load()
    other = official(model.sam)
    results = {}
    for name, picture in pictures(args.data):
        rgb = to_rgb8(picture)
        with torch.inference_mode():
            results[name] = compare(
                SamPredictor(model), other, rgb, args.least, args.points_per_side
            )
        print(name, results[name], flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    shares = [r[f"{who} with a partner"] / r[who] for r in results.values() for who in WHO]
    if min(shares) < WANTED:
        raise SystemExit(f"only {min(shares):.1%} have a partner, wanted are {WANTED:.0%}")


if __name__ == "__main__":
    main()
