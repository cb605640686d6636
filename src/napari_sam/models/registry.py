"""From a model's name or a file's path to a model; torch is loaded only if needed."""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module, resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import shown
from ..steps import drive
from ..types import Progress
from .cards import SUFFIX, Card, read_card, verify
from .families import (
    DEVICES,
    EXPORTED_RUNTIME,
    EXPORTED_SUFFIX,
    STATE_DICT_RUNTIME,
    runtime_of,
)
from .installed import has_torch, require_onnxruntime, require_torch
from .onnx_folder import ENCODER, is_exported
from .specs import BUNDLED, SPECS, ModelSpec

if TYPE_CHECKING:
    from .contract import FamilyModule, ModelFile, PromptableModel, Runtime

WORKING_MEMORY = 1_000_000_000
"""Bytes that everything mode takes beside the weights; `benchmarks/memory.py` measured 810 MB."""

MOST_TUNED = 8
"""Tuned files that are each based on the one before."""


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


def check_name(name: str | Path) -> None:
    """Refuse what is neither a name nor the path of a file or of an exported model's folder.

    Raises
    ------
    ValueError
        Telling what there is.
    """
    if not is_path(name):
        find_spec(str(name))
    elif Path(name).is_dir() and not is_exported(name):
        raise ValueError(
            f"{name} is a folder without an exported model; name one that napari-sam export wrote, "
            "or a file of weights"
        )
    elif not Path(name).exists():
        raise ValueError(f"there is no file of weights at {name}")


def check_trainable(name: str | Path) -> None:
    """Refuse a model that cannot be trained on this machine.

    Raises
    ------
    ValueError
        Without torch, or of an exported model.
    """
    require_torch("training")
    if _runtime_name(name) == EXPORTED_RUNTIME:
        raise ValueError(
            f"{label(name)} is an exported model, which cannot be trained; train the one that it "
            "was made of"
        )


def available(spec: ModelSpec) -> bool:
    """Tell whether a model's weights are on this machine."""
    return spec.bundled or _module("fetch").is_here(spec)


def needs_torch(spec: ModelSpec) -> bool:
    """Tell whether a model cannot be used here, as only torch runs it."""
    return not spec.bundled and not has_torch()


def state_text(spec: ModelSpec) -> str:
    """Return whether a model can be used on this machine, for a list."""
    if needs_torch(spec):
        return "needs torch"
    return "here" if available(spec) else "to download"


def check_runs(name: str | Path) -> None:
    """Refuse a model that nothing installed can run.

    Raises
    ------
    ValueError
        Telling what to install.
    """
    _runtime(name)


def fetching(
    spec: ModelSpec, device: str = "auto", offline: bool | None = None
) -> Generator[Progress, None, Path]:
    """Download a published model, after a check that this machine can run it.

    Yields
    ------
    Progress

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If the device's memory is too small for it, or the download fails.
    """
    runtime = _runtime(spec.name)
    chosen = runtime.choose_device(device)
    runtime.check_memory(spec.size, WORKING_MEMORY, chosen, spec.name)
    if spec.bundled:
        return bundled_path(spec)
    path: Path = yield from _module("fetch").fetch(spec, None, offline)
    return path


def reading(
    name: str | Path, device: str = "auto", offline: bool | None = None, above: int = 0
) -> Generator[Progress, None, ModelFile]:
    """Read the weights of a model; a tuned file's are merged into those of its base.

    Parameters
    ----------
    name : str or Path
    device : str
    offline : bool, optional
        As in `loading`.
    above : int
        How many tuned files are based on this model.

    Yields
    ------
    Progress

    Returns
    -------
    ModelFile

    Raises
    ------
    ValueError
        As in `loading`, or if the base is not there or another one.
    """
    check_name(name)
    published = None if is_path(name) else find_spec(str(name))
    path = (yield from fetching(published, device, offline)) if published else file_of(name)
    card = read_card(path)
    if card is not None:
        verify(path)
    if card is None or card.complete:
        return _runtime(name).read(path)
    if not has_torch():
        raise ValueError(_needs_torch(name))
    if above == MOST_TUNED:
        raise ValueError(f"{path} is the base of {above} tuned files; export one as a full model")
    base = yield from reading(_base_of(path, card), device, offline, above + 1)
    merged: ModelFile = _module("adapters").merged(base, path, card)
    return merged


def loading(
    name: str | Path = BUNDLED,
    device: str = "auto",
    offline: bool | None = None,
    precision: str = "auto",
) -> Generator[Progress, None, PromptableModel]:
    """Load a model, yielding progress; a published one is downloaded if necessary.

    Parameters
    ----------
    name : str or Path
        A name of `specs.SPECS`, the path of a checkpoint, or the folder of an exported model.
    device : str
        "auto" takes the fastest there is; else "cpu", "cuda", "cuda:1", "mps"; for ONNX Runtime
        "coreml" and "directml" in place of "mps".
    offline : bool, optional
        Never download; by default the environment variable `NAPARI_SAM_OFFLINE` decides.
    precision : {"auto", "float32", "bfloat16"}
        Of the model's products; "auto" takes bfloat16 where the family has it and it pays.

    Yields
    ------
    Progress
        Of the download and of loading. To stop, close the generator: what was received is kept.

    Returns
    -------
    PromptableModel
        On the CPU, with a `notice`, where the device fails or computes something else.

    Raises
    ------
    ValueError
        If the name is unknown, the file is missing, damaged or holds something else, the download
        fails, the device is not there or its memory too small.
    """
    check_name(name)
    called = label(name)
    yield Progress(0, 0, f"loading {called}")
    runtime = _runtime(name)
    chosen = runtime.choose_device(device)
    file = yield from reading(name, device, offline)
    yield Progress(0, 0, f"loading {called}")  # here it can be stopped
    runtime.check_memory(file.nbytes, WORKING_MEMORY, chosen, called)
    family: FamilyModule = _module(file.family)

    def build(device: str, precision: str) -> PromptableModel:
        try:
            model = family.build(file, called, device)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        model.set_precision(precision)
        return model

    def check_memory() -> None:
        runtime.check_memory(file.nbytes, WORKING_MEMORY, "cpu", called)

    model: PromptableModel = _module("device_check").build_on(
        build, chosen, precision, check_memory, runtime.SOFTWARE, runtime.REFERENCE
    )
    return model


def load_model(
    name: str | Path = BUNDLED,
    device: str = "auto",
    offline: bool | None = None,
    precision: str = "auto",
) -> PromptableModel:
    """Load a model by its name or from a file; see `loading`.

    Returns
    -------
    PromptableModel

    Raises
    ------
    ValueError
        As `loading`.
    """
    return drive(loading(name, device, offline, precision))


def bundled_path(spec: ModelSpec) -> Path:
    """Return where the package keeps the weights of a bundled model."""
    return Path(str(resources.files("napari_sam") / "weights" / spec.file_name))


def label(name: str | Path) -> str:
    """Return the display name of a model: its name, or that of its file."""
    if not is_path(name):
        return str(name)
    path = file_of(name)
    if path.suffix.lower() == EXPORTED_SUFFIX:
        return f"{path.resolve().parent.name} (ONNX)"
    return path.name if any(spec.name == path.stem for spec in SPECS) else path.stem


def file_of(name: str | Path) -> Path:
    """Return the file that stands for a model's path: of a folder, the encoder in it."""
    path = Path(name)
    return path / ENCODER if path.is_dir() else path


def devices_of(name: str | Path) -> tuple[str, ...]:
    """Return the devices that can be asked for with a model; not all are on each machine."""
    return DEVICES.get(_runtime_name(name), DEVICES[STATE_DICT_RUNTIME])


def is_path(name: str | Path) -> bool:
    """Tell a checkpoint's path from a name; a known name wins over a file that is called so.

    A folder that holds an exported model is such a path, too.
    """
    if not isinstance(name, str | PathLike):
        raise ValueError(f"a model is a name or a path, but this one is {shown(name)}")
    if not str(name) or any(spec.name == str(name) for spec in SPECS):
        return False
    return bool(Path(name).suffix) or Path(name).exists()


def _runtime_name(name: str | Path) -> str:
    """Return the module that is the runtime of a model; without torch there is but one."""
    file = file_of(name) if is_path(name) else find_spec(str(name)).file_name
    runtime = runtime_of(file)
    return EXPORTED_RUNTIME if runtime == STATE_DICT_RUNTIME and not has_torch() else runtime


def _runtime(name: str | Path) -> Runtime:
    """Return the runtime of a model.

    Raises
    ------
    ValueError
        If what it needs is not installed.
    """
    module = _runtime_name(name)
    if module == EXPORTED_RUNTIME:
        suffix = file_of(name).suffix.lower() if is_path(name) else ""
        if suffix not in (SUFFIX, EXPORTED_SUFFIX) and str(name) != BUNDLED:
            raise ValueError(_needs_torch(name))
        require_onnxruntime(label(name))
    runtime: Runtime = _module(module)
    return runtime


def _needs_torch(name: str | Path) -> str:
    return (
        f"{name} needs torch, which is not installed: pip install torch, or export it with "
        "napari-sam export where torch is"
    )


def _base_of(path: Path, card: Card) -> str | Path:
    """Return the model that a file was tuned on: where it was, or beside the file."""
    if not is_path(card.base) or Path(card.base).is_file():
        return card.base
    beside = path.with_name(Path(card.base).name)
    if beside.is_file() and beside != path:
        return beside
    raise ValueError(
        f"{path} was tuned on {card.base}, which is not there; put {beside.name} beside it"
    )


def _module(name: str) -> Any:
    """Return a module of this package, loaded when it is needed."""
    return import_module(f"{__package__}.{name}")
