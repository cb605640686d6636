"""A model as a folder of ONNX files, compared with torch before it takes its place."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .._version import __version__
from ..files import check_target, folder_written_beside
from ..models.contract import PromptableModel
from ..models.onnx_folder import DECODER, ENCODER, ExportedModel, is_exported, marks_of
from ..models.registry import loading
from ..models.specs import SPECS
from ..predict.predictor import SamPredictor
from ..types import Progress
from .comparing import Comparer
from .graphs import decoder_of, encoder_of, family_of, network_of
from .half import to_half
from .image_masks import ImageMaskComparer
from .params import ExportParams
from .planes import NamedPlane, read_planes
from .quantising import of_convolutions, of_transformer
from .report import Comparison, ExportReport
from .tracing import require_packages, traced

if TYPE_CHECKING:
    import onnx_ir as ir

INSIDE = 1_500_000_000
"""Bytes of weights that a graph may hold in itself; those of a larger one lie beside it, since a
protobuf ends at 2 GB."""
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime")
ROOM = {"fp32": 1.2, "fp16": 1.2, "int8": 3.6}
"""Free bytes on the disk, relative to those of the weights; int8 is made in three steps."""


class RefusedError(ValueError):
    """The export does not answer as torch does.

    Attributes
    ----------
    report : ExportReport
    """

    def __init__(self, message: str, report: ExportReport) -> None:
        super().__init__(message)
        self.report = report


def exporting(
    model: str | Path,
    folder: Path,
    params: ExportParams | None = None,
    overwrite: bool = False,
    offline: bool | None = None,
) -> Generator[Progress, None, ExportReport]:
    """Export a model, compare it with torch, and put it into its place.

    Parameters
    ----------
    model : str or Path
        A name, or the path of a checkpoint; a tuned file is exported with its base.
    folder : Path
        Of the exported model; nothing is there before the model is complete and was compared.
    params : ExportParams, optional
    overwrite : bool
        Replace an earlier export.
    offline : bool, optional
        Never download; see `registry.loading`.

    Yields
    ------
    Progress

    Returns
    -------
    ExportReport

    Raises
    ------
    ValueError
        If a package is missing, the model cannot be loaded or is an export, there is no room, or
        the folder holds something else or is called like a model; `RefusedError` if the export
        does not answer as torch does.
    """
    params = params or ExportParams()
    require_packages()
    check_folder(folder, overwrite)
    if is_exported(Path(model)):
        raise ValueError(f"{model} is an export already; name the model that it was made of")
    planes = read_planes(params.images)
    ours = yield from loading(model, "cpu", offline, "float32")
    report: ExportReport = yield from exporting_model(ours, folder, params, planes)
    return report


def exporting_model(
    ours: PromptableModel, folder: Path, params: ExportParams, planes: list[NamedPlane]
) -> Generator[Progress, None, ExportReport]:
    """Export a model that is loaded, in float32 on the processor; see `exporting`."""
    family = family_of(ours)
    _check_room(ours, folder, params.precision)
    with folder_written_beside(folder) as partial:
        graphs = {ENCODER: encoder_of(ours), DECODER: decoder_of(ours, params.single_mask)}
        for name, graph in graphs.items():
            yield Progress(0, 0, f"{name} is traced")
            model = traced(graph.module, graph.inputs, graph.outputs, params.opset)
            described(model, family, ours.name, ours.image_size)
            save(model, partial / name)
        del graphs, graph, model
        if params.precision != "fp32":
            yield from _lowering(partial, ours, params.precision, planes)
        names = sorted(path.name for path in partial.iterdir())
        exported = ExportedModel(
            family=family,
            name=ours.name,
            image_size=ours.image_size,
            precision=params.precision,
            opset=params.opset,
            masks=1 if params.single_mask and family == "sam" else 4,
            fingerprint=ours.fingerprint,
            files=marks_of(partial, names),
            made_with={"napari_sam": __version__, "torch": version("torch")},
        )
        exported.write(partial)
        theirs = yield from loading(partial, "cpu")
        masks = ImageMaskComparer(partial, ours.image_size) if family == "sam" else None
        comparer = Comparer(ours, theirs, not params.random_weights, exported.masks == 1, masks)
        comparison = yield from comparer.compare(planes)
        del theirs, masks, comparer  # files that are open cannot be renamed on Windows
        report = _report(exported, params, comparison)
        if fault := report.fault():
            raise RefusedError(f"{ours.name} was not exported: {fault}", report)
        report.write(partial)
    return report


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a place where an exported model cannot go; call it before the long work.

    Raises
    ------
    ValueError
        As `files.check_target`, or if what is there is no exported model and not empty, or if the
        folder could not be told from a model's name.
    """
    if str(folder) in {spec.name for spec in SPECS}:
        raise ValueError(f"{folder} is the name of a model; choose another one for the folder")
    if folder.is_dir():
        if any(folder.iterdir()) and not is_exported(folder):
            raise ValueError(f"{folder} holds no exported model and is not replaced; name another")
        if is_exported(folder) and not overwrite:
            raise ValueError(f"{folder} exists; choose another name or give --overwrite")
        check_target(folder.resolve().with_name(f".{folder.resolve().name[-200:]}"), None, True)
    else:
        check_target(folder, None, overwrite=False)


def described(model: ir.Model, family: str, name: str, image_size: int) -> None:
    """Note in a graph what it belongs to, so that it can be recognised by itself."""
    model.metadata_props.update(family=family, name=name, image_size=str(image_size))


def save(model: ir.Model, path: Path) -> None:
    """Write a graph; weights of more than `INSIDE` bytes lie in a file beside it."""
    import onnx_ir

    weights = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None
    )
    beside = f"{path.name}.data" if weights > INSIDE else None
    onnx_ir.save(model, path, external_data=beside)


def _lowering(
    folder: Path, ours: PromptableModel, precision: str, planes: Sequence[NamedPlane]
) -> Generator[Progress, None, None]:
    """Lower the precision of an exported model in its folder; see `half` and `quantising`."""
    import onnx_ir

    for name in (ENCODER, DECODER) if precision == "fp16" else (ENCODER,):
        yield Progress(0, 0, f"{name} is converted to {precision}")
        path = folder / name
        beside = folder / f"{name}.data"
        if precision == "fp16":
            model = onnx_ir.load(path)
            onnx_ir.external_data.load_to_model(model)
            to_half(model)
        else:
            if family_of(ours) == "pocket":
                prepare = SamPredictor(ours).prepare
                model = of_convolutions(path, [prepare(plane.image).rgb for plane in planes])
            else:
                model = of_transformer(path, beside.exists())
            described(model, family_of(ours), ours.name, ours.image_size)
        path.unlink()
        beside.unlink(missing_ok=True)
        save(model, path)


def _check_room(model: PromptableModel, folder: Path, precision: str) -> None:
    """Refuse to begin where the disk has no room for the weights."""
    weights = sum(tensor.nbytes for tensor in network_of(model).state_dict().values())
    needed = ROOM[precision] * weights
    free = shutil.disk_usage(folder.resolve().parent).free
    if free < needed:
        raise ValueError(
            f"{folder} needs {needed / 1e9:.1f} GB on the disk, where {free / 1e9:.1f} GB are "
            "free; make room or choose another folder"
        )


def _report(exported: ExportedModel, params: ExportParams, comparison: Comparison) -> ExportReport:
    return ExportReport(
        exported.name,
        exported.family,
        exported.precision,
        params.random_weights,
        comparison,
        {name: mark.bytes for name, mark in exported.files.items()},
        {"napari_sam": __version__, **{name: version(name) for name in PACKAGES}},
    )
