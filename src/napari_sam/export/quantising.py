"""An exported encoder in int8, with ranges found on real planes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .tracing import quiet

if TYPE_CHECKING:
    import onnx_ir as ir

KINDS = ("Conv", "Gemm", "MatMul")
SENSITIVE = re.compile(r"\.(stem|out|instance_head|patch_embed|neck)\.")
"""In names of weights that stay in float32: of the first and the last convolutions, which take
little of the time and see the image or give the answer."""


class Planes:
    """What onnxruntime reads planes for calibration from.

    Parameters
    ----------
    planes : sequence of (h, w, 3) uint8
    """

    def __init__(self, planes: Sequence[NDArray[np.uint8]]) -> None:
        self._left = iter(planes)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next input, or None after the last."""
        plane = next(self._left, None)
        return None if plane is None else {"image": np.ascontiguousarray(plane)}


def quantised(path: Path, planes: Sequence[NDArray[np.uint8]], large: bool) -> ir.Model:
    """Return an encoder whose products with weights are in int8, around which it stays in float32.

    Weights have a scale for each channel, activations one each: from the least to the largest value
    on the planes.

    Parameters
    ----------
    path : Path
        A graph in float32. Files are made beside it and removed.
    planes : sequence of (h, w, 3) uint8
        As the encoder takes them.
    large : bool
        Whether its weights are in a file of their own.

    Returns
    -------
    onnx_ir.Model
    """
    import onnx_ir
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
    from onnxruntime.quantization import quantize_static as quantize
    from onnxruntime.quantization.shape_inference import quant_pre_process

    CalibrationDataReader.register(Planes)
    tidy, made = (path.with_name(f"{path.stem}_{part}.onnx") for part in ("tidy", "int8"))
    with quiet():
        quant_pre_process(
            path, tidy, skip_onnx_shape=True, skip_symbolic_shape=True,
            save_as_external_data=large, external_data_location=f"{tidy.name}.data",
        )  # fmt: skip
        graph = onnx_ir.load(tidy).graph
        sensitive = [
            node.name for node in graph.all_nodes() if node.op_type in KINDS and _is_sensitive(node)
        ]
        quantize(
            tidy, made, Planes(planes), quant_format=QuantFormat.QDQ, op_types_to_quantize=KINDS,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=sensitive, use_external_data_format=large,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    model = onnx_ir.load(made)
    onnx_ir.external_data.load_to_model(model)
    for file in path.parent.glob(f"{path.stem}_*"):
        file.unlink()
    return model


def _is_sensitive(node: ir.Node) -> bool:
    """Tell whether a product stays in float32: see `SENSITIVE`, and relative positions.

    The latter are tables of three axes. They take little of the time and are added to the scores of
    attention.
    """
    weight = node.inputs[1]
    table = node.op_type == "MatMul" and weight is not None and len(weight.shape or ()) != 2
    return table or any(
        value is not None and SENSITIVE.search(f".{value.name}") for value in node.inputs
    )
