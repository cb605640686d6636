"""An exported graph with weights, and the products with them, in float16.

Everything else stays in float32: sums, normalisations, softmax, and coordinates, some of which grow
beyond float16's 65504.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LEAST = 1024
"""Numbers of a weight that is worth the conversion."""


def to_half(model: ir.Model) -> None:
    """Convert a graph in place; its inputs and outputs stay in float32."""
    stored: dict[str, ir.Value] = {}  # by the name of the weight
    lowered: dict[tuple[int, str], ir.Value] = {}  # by graph and name of the activation
    for node in list(model.graph.all_nodes()):
        if node.op_type not in PRODUCTS or not _has_weight(node):
            continue
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            if value.const_value is not None:
                name = str(value.name)
                if name not in stored:
                    stored[name] = _stored(model, value)
                node.replace_input_with(index, stored[name])
            else:
                key = id(node.graph), str(value.name)
                if key not in lowered:
                    lowered[key] = _lowered(node, value)
                node.replace_input_with(index, lowered[key])
        _raise_output(node)
    for name in stored:
        value = model.graph.initializers[name]
        if not value.uses():
            model.graph.initializers.pop(name)


def _has_weight(node: ir.Node) -> bool:
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if weight is None or weight.const_value is None or weight.is_graph_input():
        return False
    return weight.const_value.size >= LEAST and weight.const_value.dtype.name == "FLOAT"


def _stored(model: ir.Model, value: ir.Value) -> ir.Value:
    """Return a weight or a bias as a float16 initializer."""
    import onnx_ir as ir

    if value.const_value is None:
        raise ValueError(f"{value.name} is no weight")
    limit = np.finfo(np.float16).max
    numbers = value.const_value.numpy().clip(-limit, limit).astype(np.float16)
    tensor = ir.Tensor(numbers, name=f"{value.name}.half")
    half = ir.Value(
        name=tensor.name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT16),
        const_value=tensor,
    )  # fmt: skip
    model.graph.register_initializer(half)
    return half


def _lowered(node: ir.Node, value: ir.Value) -> ir.Value:
    """Return a value in float16, converted in front of a node."""
    import onnx_ir as ir

    half = ir.Value(
        name=f"{value.name}.half.{id(node.graph)}", shape=value.shape,
        type=ir.TensorType(ir.DataType.FLOAT16),
    )  # fmt: skip
    to = ir.AttrInt64("to", ir.DataType.FLOAT16)
    node.prepend(ir.Node("", "Cast", [value], [to], outputs=[half]))
    return half


def _raise_output(node: ir.Node) -> None:
    """Convert what a node gives back to float32."""
    import onnx_ir as ir

    (value,) = node.outputs
    name, kind = value.name, value.type
    to = ir.AttrInt64("to", ir.DataType.FLOAT)
    back = ir.Node("", "Cast", [value], [to], num_outputs=1)
    (raised,) = back.outputs
    raised.shape, raised.type = value.shape, kind
    ir.convenience.replace_all_uses_with(value, raised, replace_graph_outputs=True)
    back.replace_input_with(0, value)
    value.name, value.type = f"{name}.half", ir.TensorType(ir.DataType.FLOAT16)
    raised.name = name
    node.append(back)
