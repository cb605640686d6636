"""Which models can be loaded: names, places, licences. Loads torch only to load a model."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sam import PromptableModel

BUNDLED = "pocket"


@dataclass(frozen=True)
class ModelSpec:
    """One checkpoint.

    Attributes
    ----------
    name : str
    family : str
        Module of this package whose `build(weights, name, device)` makes the model.
    url : str
        Where the file comes from; empty for a file of this package.
    hash : str
        `algorithm:digest`; empty for a file of this package.
    size : int
        Bytes.
    licence : str
    image_size : int
        Length of the longer side that the model sees, in pixels.
    note : str
        One line on what it is good for.
    amg : tuple of (name, value)
        Fields of `AmgParams` that suit this model better than the defaults.
    """

    name: str
    family: str
    url: str
    hash: str
    size: int
    licence: str
    image_size: int
    note: str
    amg: tuple[tuple[str, float], ...] = ()


SPECS = (
    ModelSpec(
        name=BUNDLED,
        family="pocket",
        url="",
        hash="",
        size=13_460_578,
        licence="BSD-3-Clause",
        image_size=512,
        note="bundled; cells, nuclei, organelles, organs; quick without a GPU",
        amg=(
            ("pred_iou_thresh", 0.7),
            ("stability_score_thresh", 0.85),
            ("points_per_side", 20),
        ),
    ),
)


def find_spec(name: str) -> ModelSpec:
    """Return the spec of a name.

    Raises
    ------
    ValueError
        If there is none.
    """
    for spec in SPECS:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in SPECS)
    raise ValueError(f"no model is called {name!r}; choose one of {known}, or give a file's path")


def spec_for(name: str | Path) -> ModelSpec:
    """Return the spec that a name or the path of a checkpoint is loaded with.

    Raises
    ------
    ValueError
        If it is neither.
    """
    return SPECS[0] if _is_path(name) else find_spec(str(name))


def recommended_params(name: str | Path = BUNDLED) -> dict[str, float]:
    """Return the fields of `AmgParams` that suit a model better than the defaults.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return dict(spec_for(name).amg)


def bundled_path(spec: ModelSpec) -> Path:
    """Return where the package keeps the weights of a bundled model."""
    return Path(str(resources.files("napari_sam") / "weights" / f"{spec.name}.safetensors"))


def available(spec: ModelSpec) -> bool:
    """Tell whether a model's weights are on this machine."""
    return bundled_path(spec).is_file()


def load_model(name: str | Path = BUNDLED, device: str = "auto") -> PromptableModel:
    """Load a model by its name or from a file.

    Parameters
    ----------
    name : str or Path
        A name of `SPECS`, or the path of a `.safetensors` file.
    device : str
        "auto" takes the fastest there is; else "cpu", "cuda", "cuda:1", "mps".

    Returns
    -------
    PromptableModel

    Raises
    ------
    ValueError
        If the name is unknown, the file is missing or holds something else, or the device is not
        there.
    """
    weights = import_module("napari_sam.models.weights")
    spec = spec_for(name)
    path, label = Path(name), Path(name).stem
    if not _is_path(name):
        path, label = bundled_path(spec), spec.name
    chosen = weights.choose_device(device)
    tensors = weights.read(path)
    model: PromptableModel = import_module(f"napari_sam.models.{spec.family}").build(
        tensors, label, chosen
    )
    return model


def _is_path(name: str | Path) -> bool:
    """Tell a checkpoint's path from a name; a known name wins over a file that is called so."""
    if any(spec.name == str(name) for spec in SPECS):
        return False
    return bool(Path(name).suffix) or Path(name).exists()
