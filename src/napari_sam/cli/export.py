"""`napari-sam export`: a model as ONNX files, compared with torch."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..export.params import MAX_OPSET, OPSET, ExportParams
from ..models.installed import require_torch
from ..models.onnx_folder import PRECISIONS
from ..models.registry import check_name
from ..steps import drive

if TYPE_CHECKING:
    from .commands import Say


def add_export(parser: ArgumentParser) -> None:
    """Declare what `export` takes."""
    parser.add_argument("model", metavar="MODEL", help="a name, or the path of a checkpoint")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR",
        help="folder of the exported model",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32",
        help="fp16 and int8 make smaller files; int8 is quicker on a processor (default fp32)",
    )  # fmt: skip
    parser.add_argument(
        "--opset", type=int, default=OPSET, metavar="N",
        help=f"version of ONNX's operators, {OPSET} to {MAX_OPSET} (default {OPSET})",
    )  # fmt: skip
    parser.add_argument(
        "--images", type=Path, nargs="+", default=[], metavar="PATH",
        help="images, or folders of them, to compare with torch on, and for ranges of a pocket in "
        "int8; best those that the model is meant for (default: samples)",
    )  # fmt: skip
    parser.add_argument(
        "--single-mask", action="store_true",
        help="one mask from the decoder of a SAM, chosen as in the published export, not four",
    )  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="never download a model")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")


def export(args: Namespace, say: Say) -> str:
    """Export a model; return where it is and how it agrees with torch."""
    params = ExportParams(args.precision, args.opset, tuple(args.images), args.single_mask)
    check_name(args.model)
    require_torch("export")
    from ..export.tracing import require_packages  # torch takes its time

    require_packages()
    from ..export.exporting import RefusedError, exporting

    steps = exporting(args.model, args.output, params, args.overwrite, args.offline or None)
    try:
        report = drive(steps, say)
    except RefusedError as error:
        raise ValueError(f"{error}\n\n{error.report.as_text()}") from error
    size = sum(report.bytes.values()) / 1e6
    overlaps = [kind.mean_iou for kind in report.comparison.kinds.values() if kind.masks]
    return (
        f"{args.output}: {size:.1f} MB; IoU with torch's masks at least "
        f"{min(overlaps):.4f} by kind of prompt, see "
        f"{args.output / 'report.md'}; use it with --model {args.output}"
    )
