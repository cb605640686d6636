"""Settings of an export; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..models.onnx_folder import PRECISIONS

OPSET = 18
"""Least version of ONNX's operators that the graphs need."""
MAX_OPSET = 23


@dataclass(frozen=True)
class ExportParams:
    """Settings of an export.

    Attributes
    ----------
    precision : {"fp32", "fp16", "int8"}
        Of the weights and most products.
    opset : int
        Version of ONNX's operators.
    images : tuple of Path
        Files, or folders of them, to compare with torch on, and to find the range of int8 on; by
        default the samples of this package and of scikit-image.
    single_mask : bool
        The decoder of a SAM answers with one mask, chosen as the published export does.
    random_weights : bool
        The model was not trained, and its masks mean nothing: what counts is the difference of the
        logits. For tests and benchmarks.

    Raises
    ------
    ValueError
        If a setting is unknown or out of range.
    """

    precision: str = "fp32"
    opset: int = OPSET
    images: tuple[Path, ...] = ()
    single_mask: bool = False
    random_weights: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"the precision is one of {', '.join(PRECISIONS)}, but is {self.precision!r}"
            )
        if not OPSET <= self.opset <= MAX_OPSET:
            raise ValueError(f"the opset is {OPSET} to {MAX_OPSET}, but is {self.opset}")
