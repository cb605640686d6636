"""How exported models agree with torch, and how fast they are beside it; a table in Markdown.

Trained weights: `pocket`, and the decoders of `reference_decoder.py` behind their drawn encoders of
MobileSAM's and ViT-B's shape. With `--random` the weights of a ViT-B, ViT-L or ViT-H are drawn, and
what counts is the difference of the logits. An export that is refused is in the table as well.

    python benchmarks/onnx_parity.py --models pocket mobile_sam vit_b
    python benchmarks/onnx_parity.py --random vit_h --precisions fp32
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from reference_decoder import ENCODERS, GAIN, load
from torch import nn

from napari_sam.export.exporting import RefusedError, exporting_model
from napari_sam.export.params import ExportParams
from napari_sam.export.planes import NamedPlane, read_planes
from napari_sam.export.report import ExportReport
from napari_sam.models.contract import PromptableModel
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.onnx_folder import PRECISIONS
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.registry import load_model
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer
from napari_sam.models.vit import ImageEncoderViT
from napari_sam.predict.predictor import SamPredictor
from napari_sam.steps import drive

VITS = {  # width, blocks, heads, blocks without windows
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
HEAD = (
    "model", "precision", "IoU, mean by kind, least", "IoU, worst", "largest difference of logits",
    "encode, share of torch", "share of torch with bfloat16", "click, share of torch", "MB",
    "passes",
)  # fmt: skip
REPEATS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="*", default=[], choices=["pocket", *ENCODERS])
    parser.add_argument("--random", nargs="*", default=[], choices=sorted(VITS))
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    parser.add_argument("--images", nargs="*", type=Path, default=[], help="by default samples")
    parser.add_argument("--keep", type=Path, help="folder that the exported models stay in")
    args = parser.parse_args()
    planes = read_planes(args.images)
    print(_row(HEAD), _row(["---"] * len(HEAD)), sep="\n", flush=True)
    for random, name in [*((False, n) for n in args.models), *((True, n) for n in args.random)]:
        for precision in args.precisions:
            model = drawn(name) if random else trained(name)
            with tempfile.TemporaryDirectory(dir=args.keep) as scratch:
                folder = (args.keep or Path(scratch)) / f"{name}_{precision}"
                params = ExportParams(precision, random_weights=random)
                print(_row(_figures(model, folder, params, planes, random)), flush=True)
            del model
            gc.collect()


def trained(name: str) -> PromptableModel:
    """Return a trained model, or one whose decoder is trained, in float32."""
    if name == "pocket":
        return load_model(name, "cpu")
    model = load(name)
    model.name = f"{name}, reference decoder"
    return model


def drawn(name: str) -> SamModel:
    """Return a SAM of the published size whose weights are drawn from a seed."""
    width, depth, heads, whole = VITS[name]
    generator = torch.Generator().manual_seed(0)
    encoder = ImageEncoderViT(
        embed_dim=width, depth=depth, num_heads=heads, mlp_dim=4 * width, global_attn_indexes=whole
    )
    decoder = MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048))
    sam = Sam(encoder, PromptEncoder(256, (64, 64), (1024, 1024), 16), decoder)
    with torch.no_grad():
        for parameter in sam.parameters():
            if parameter.ndim > 1:
                scale = GAIN / parameter[0].numel() ** 0.5
                nn.init.normal_(parameter, std=scale, generator=generator)
    return SamModel(sam, f"{name}, random")


def _figures(
    model: PromptableModel,
    folder: Path,
    params: ExportParams,
    planes: list[NamedPlane],
    random: bool,
) -> list[str]:
    try:
        report = drive(exporting_model(model, folder, params, planes))
    except RefusedError as error:
        return _of_report(error.report, "-")
    lower = "-"
    if isinstance(model, SamModel) and isinstance(model.sam.image_encoder, ImageEncoderViT):
        lower = f"{_beside_bfloat16(model, folder, planes[0]):.2f}"
    return _of_report(report, lower)


def _of_report(report: ExportReport, lower: str) -> list[str]:
    compared = report.comparison
    kinds = [kind for kind in compared.kinds.values() if kind.masks]
    least = min((kind.mean_iou for kind in kinds), default=float("nan"))
    worst = min((kind.worst_iou for kind in kinds), default=float("nan"))
    return [
        report.name,
        report.precision,
        "-" if report.random_weights else f"{least:.4f}",
        "-" if report.random_weights else f"{worst:.4f}",
        f"{compared.difference:.2g}",
        f"{compared.encode.ratio:.2f}",
        lower,
        f"{compared.click.ratio:.2f}",
        f"{sum(report.bytes.values()) / 1e6:.1f}",
        "no" if report.fault() else "yes",
    ]


def _beside_bfloat16(model: SamModel, folder: Path, plane: NamedPlane) -> float:
    """Return the exported encoder's share of the time of torch's with bfloat16, in turn."""
    exported = load_model(folder, "cpu")
    model.set_precision("bfloat16")
    rgb = SamPredictor(model).prepare(plane.image).rgb
    times = []
    for _ in range(REPEATS):
        for one in (model, exported):
            start = time.perf_counter()
            one.encode(rgb)
            times.append(time.perf_counter() - start)
    pairs = np.array(times).reshape(-1, 2).min(axis=0)
    return float(pairs[1] / pairs[0])


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
