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
    """

    name: str
    family: str
    url: str
    hash: str
    size: int
    licence: str
    image_size: int
    note: str


SPECS = (
    ModelSpec(
        name=BUNDLED,
        family="pocket",
        url="",
        hash="",
        size=13_500_000,
        licence="BSD-3-Clause",
        image_size=512,
        note="bundled; cells, nuclei, organelles, organs; quick without a GPU",
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
    path = Path(name)
    if path.suffix or path.exists():
        spec, label = SPECS[0], path.stem
    else:
        spec = find_spec(str(name))
        path, label = bundled_path(spec), spec.name
    chosen = weights.choose_device(device)
    tensors = weights.read(path)
    model: PromptableModel = import_module(f"napari_sam.models.{spec.family}").build(
        tensors, label, chosen
    )
    return model
