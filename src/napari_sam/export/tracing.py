"""From a module to a graph: traced by torch, with sizes that stay free, and tidied."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.util import find_spec
from io import StringIO
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    import onnx_ir as ir

NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Inputs:
    """What a module is traced with.

    Attributes
    ----------
    example : mapping of str to Tensor
        By the name of the input, in the order of the module's arguments.
    free : mapping of str to tuple of int
        The axes of each that may be of any length; none by default.
    """

    example: Mapping[str, Tensor]
    free: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def require_packages() -> None:
    """Refuse to go on without the packages that export needs.

    Raises
    ------
    ValueError
        Telling what to install.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(
            f'export needs {", ".join(missing)}: pip install "napari-sam-stack[export]"'
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what torch and onnx say in between."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def traced(
    module: nn.Module,
    inputs: Inputs,
    outputs: Sequence[str],
    opset: int,
    fold_weights: bool = True,
) -> ir.Model:
    """Return the graph of a module.

    Parameters
    ----------
    module : nn.Module
    inputs : Inputs
    outputs : sequence of str
    opset : int
        Version of the operators.
    fold_weights : bool
        Whether transposed weights and the like are computed now. If not, every weight of the graph
        is one of the module.

    Returns
    -------
    onnx_ir.Model
    """
    import onnxscript.optimizer
    import torch

    example = inputs.example
    shapes = tuple(
        {
            axis: torch.export.Dim.DYNAMIC
            if axis in inputs.free.get(name, ())
            else torch.export.Dim.STATIC
            for axis in range(tensor.dim())
        }
        for name, tensor in example.items()
    )
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            dynamo=True,
            input_names=list(example),
            output_names=list(outputs),
            opset_version=opset,
            dynamic_shapes=shapes,
            optimize=False,
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch gave no graph")
        model: Any = program.model
        weights = set(module.state_dict())

        def should_fold(node: ir.Node) -> bool | None:
            known = any(value is not None and value.name in weights for value in node.inputs)
            if known:
                return fold_weights and (node.op_type == "Transpose" or None)
            return None

        onnxscript.optimizer.optimize_ir(model, should_fold=should_fold)
    _strip(model)
    return model  # type: ignore[no-any-return]


def _strip(model: ir.Model) -> None:
    """Remove what torch notes of the source: paths of this machine among it."""
    model.graph.metadata_props.clear()
    model.graph.doc_string = None
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
