"""The models of images and words that the user can choose from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget

from ....models.text_models import TEXT_SPECS, text_models_here


def on_this_machine(model: str | Path) -> str | Path:
    """Return the folder of a known model if it was downloaded; else what was given."""
    if isinstance(model, Path):
        return model
    return next((one for one in text_models_here() if one.name == model), model)


def models_to_choose(current: str | Path | None) -> tuple[list[str], list[str | Path]]:
    """Return what models are called, and the models: folders, and names of those to download.

    Parameters
    ----------
    current : str, Path or None
        The model in use, which is among them.
    """
    here = text_models_here()
    things: list[str | Path] = [*here]
    names = [one.name for one in here]
    for spec in TEXT_SPECS:
        if spec.name not in names:
            things.append(spec.name)
            names.append(f"{spec.name}: download {spec.size_text}, {spec.licence}")
    if current is not None and current not in things:
        things.insert(0, current)
        names.insert(0, Path(current).name)
    return names, things


def ask_for_folder(parent: QWidget, named: Callable[[Path], None]) -> None:
    """Open a dialog and call `named` with the folder that the user chooses."""
    dialog = QFileDialog(parent, "The folder of a CLIP or SigLIP model")
    dialog.setFileMode(QFileDialog.FileMode.Directory)
    dialog.setOption(QFileDialog.Option.ShowDirsOnly)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda name: named(Path(name)))
    dialog.open()
