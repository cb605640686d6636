"""Peak memory of encoding a plane and of everything mode, beside the weights, for a size of SAM.

The weights are random: only their shapes count. Prints what `registry.WORKING_MEMORY` stands for.
"""

from __future__ import annotations

import argparse
import resource

import numpy as np
import torch

from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.everything.amg_params import AmgParams
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.mobile_sam import TinyViT
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer
from napari_sam.models.vit import ImageEncoderViT
from napari_sam.predict.predictor import SamPredictor
from napari_sam.steps import drive

SIZES = {
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}


def peak() -> float:
    """Return the largest resident memory so far, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def encoder(name: str) -> torch.nn.Module:
    """Return an encoder of random weights."""
    if name == "mobile_sam":
        return TinyViT()
    width, depth, heads, whole = SIZES[name]
    with torch.device("meta"):
        vit = ImageEncoderViT(
            embed_dim=width, depth=depth, num_heads=heads, mlp_dim=4 * width,
            global_attn_indexes=whole,
        )  # fmt: skip
    vit = vit.to_empty(device="cpu")
    with torch.no_grad():
        for value in vit.parameters():
            value.normal_(0, 0.02)
    return vit


def main() -> None:
    """Load, encode, decode, and print the peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=["mobile_sam", *SIZES])
    args = parser.parse_args()
    light = MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048))
    sam = Sam(encoder(args.model), PromptEncoder(256, (64, 64), (1024, 1024), 16), light)
    predictor = SamPredictor(SamModel(sam, args.model))
    loaded = peak()
    plane = np.random.default_rng(0).integers(0, 256, (1024, 1024)).astype(np.uint8)
    predictor.encode(plane)
    encoded = peak()
    drive(AutomaticMaskGenerator(predictor, AmgParams(points_per_side=8)).propose(plane))
    weights = sum(value.numel() for value in sam.parameters()) * 4 / 1e9
    print(f"{args.model}: weights {weights:.2f} GB, loaded {loaded:.2f} GB, "
          f"encoding +{encoded - loaded:.2f} GB, everything +{peak() - loaded:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
