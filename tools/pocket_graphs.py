"""Write the graphs of the bundled `pocket`: its weights stay in `pocket.safetensors`.

The graphs name each tensor of that file by its place, so that the weights exist once; new weights
of the same structure need new graphs only if a tensor has moved. `tests/export` tells.

    python tools/pocket_graphs.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import onnx_ir as ir

from napari_sam.export.exporting import described
from napari_sam.export.graphs import decoder_of, encoder_of
from napari_sam.export.tracing import traced
from napari_sam.models.registry import bundled_path, find_spec, load_model
from napari_sam.models.specs import BUNDLED

OPSET = 18
TYPES = {"F16": ir.DataType.FLOAT16, "F32": ir.DataType.FLOAT}


def main() -> None:
    """Write the graphs into the package, or into another folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=bundled_path(find_spec(BUNDLED)).parent)
    args = parser.parse_args()
    for path in write_graphs(bundled_path(find_spec(BUNDLED)), args.folder):
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")  # noqa: T201


def write_graphs(weights: Path, folder: Path) -> list[Path]:
    """Write both graphs of a `pocket` into a folder, where its weights must lie as well.

    Parameters
    ----------
    weights : Path
        A .safetensors file.
    folder : Path

    Returns
    -------
    list of Path
        `pocket_encoder.onnx` and `pocket_decoder.onnx`.
    """
    model = load_model(weights, "cpu")
    written = []
    for part, graph in (("encoder", encoder_of(model)), ("decoder", decoder_of(model))):
        onnx_model = traced(graph.module, graph.inputs, graph.outputs, OPSET, fold_weights=False)
        link(onnx_model, weights)
        described(onnx_model, "pocket", BUNDLED, model.image_size)
        written.append(folder / f"{BUNDLED}_{part}.onnx")
        ir.save(onnx_model, written[-1])
    return written


def link(model: ir.Model, weights: Path) -> None:
    """Let a graph's weights be those in a file, and convert them to float32 where it is read."""
    places = _places(weights)
    for name, value in list(model.graph.initializers.items()):
        if name not in places:
            continue
        kind, shape, offset, length = places[name]
        tensor = ir.ExternalTensor(
            weights.name, offset, length, TYPES[kind], shape=ir.Shape(shape), name=name,
            base_dir=str(weights.parent),
        )  # fmt: skip
        if value.shape is None or list(value.shape) != shape:
            raise ValueError(f"{name} is {shape} in {weights}, but {value.shape} in the graph")
        if kind == "F32":
            value.const_value = tensor
            continue
        model.graph.initializers.pop(name)
        value.name, value.const_value = f"{name}.float32", None
        stored = ir.Value(
            name=name, shape=ir.Shape(shape), type=ir.TensorType(TYPES[kind]), const_value=tensor
        )
        model.graph.register_initializer(stored)
        cast = ir.Node(
            "", "Cast", [stored], [ir.AttrInt64("to", ir.DataType.FLOAT)], outputs=[value]
        )
        model.graph.insert_before(model.graph[0], cast)


def _places(weights: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """Return type, shape, offset and length, in bytes, of each tensor of a safetensors file."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: (entry["dtype"], entry["shape"], 8 + length + begin, end - begin)
        for name, entry in header.items()
        for begin, end in [entry["data_offsets"]]
    }


if __name__ == "__main__":
    main()
