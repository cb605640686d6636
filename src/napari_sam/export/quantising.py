"""An exported encoder in int8: of a transformer, or of a network of convolutions."""

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
SENSITIVE = re.compile(r"\.(stem|out|instance_head)\.")
"""In names of weights that stay in float32: of the first and the last convolutions, which take
little of the time and see the image or give the answer."""

BLOCK = 64
INT8_PRODUCTS = 4
"""Accuracy level of `MatMulNBits`: its inputs are in int8, too."""


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


def of_transformer(path: Path, large: bool) -> ir.Model:
    """Return an encoder whose products with weight matrices are in int8, the rest in float32.

    Weights have a scale for each channel, and the range of a product's input is found when it runs.
    Products that narrow, the second ones of MLPs, have a scale for each `BLOCK` of a row instead,
    of weights and of inputs: with one for all inputs, masks of a ViT-B lose an IoU of 0.02.

    Parameters
    ----------
    path : Path
        A graph in float32. Files are made beside it and removed.
    large : bool
        Whether its weights are in a file of their own.

    Returns
    -------
    onnx_ir.Model
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization import matmul_nbits_quantizer as blocks

    narrowed, made = (path.with_name(f"{path.stem}_{part}.onnx") for part in ("blocks", "int8"))
    model = onnx.load(path)
    shapes = {one.name: tuple(one.dims) for one in model.graph.initializer}
    products = {
        node.name: shapes[node.input[1]]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in shapes
    }
    tables = [name for name, shape in products.items() if len(shape) != 2]
    others = [name for name, shape in products.items() if len(shape) != 2 or shape[0] <= shape[1]]
    config = blocks.DefaultWeightOnlyQuantConfig(
        block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_PRODUCTS, bits=8
    )
    with quiet():
        quantizer = blocks.MatMulNBitsQuantizer(model, nodes_to_exclude=others, algo_config=config)
        quantizer.process()
        quantizer.model.save_model_to_file(str(narrowed), large)
        del model, quantizer
        quantize_dynamic(
            narrowed, made, op_types_to_quantize=["MatMul"], per_channel=True,
            weight_type=QuantType.QInt8, nodes_to_exclude=tables, use_external_data_format=large,
            extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    return _taken(path, made)


def of_convolutions(path: Path, planes: Sequence[NDArray[np.uint8]]) -> ir.Model:
    """Return an encoder whose products with weights are in int8, around which it stays in float32.

    Weights have a scale for each channel, activations one each: from the least to the largest value
    on the planes.

    Parameters
    ----------
    path : Path
        A graph in float32. Files are made beside it and removed.
    planes : sequence of (h, w, 3) uint8
        As the encoder takes them.

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
        quant_pre_process(path, tidy, skip_onnx_shape=True, skip_symbolic_shape=True)
        sensitive = [
            node.name
            for node in onnx_ir.load(tidy).graph.all_nodes()
            if any(value and SENSITIVE.search(f".{value.name}") for value in node.inputs)
        ]
        quantize(
            tidy, made, Planes(planes), quant_format=QuantFormat.QDQ, op_types_to_quantize=KINDS,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=sensitive, extra_options={"MatMulConstBOnly": True},
        )  # fmt: skip
    return _taken(path, made)


def _taken(path: Path, made: Path) -> ir.Model:
    """Return a graph that was made beside another one, and remove its files."""
    import onnx_ir

    model = onnx_ir.load(made)
    onnx_ir.external_data.load_to_model(model)
    for file in path.parent.glob(f"{path.stem}_*"):
        file.unlink()
    return model
