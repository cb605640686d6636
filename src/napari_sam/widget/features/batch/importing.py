"""Draws the prompts of another system's file in layers of their own."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from ....formats.prompt_files.contract import PromptChoice, PromptFile
from ....formats.prompt_files.known import PROMPT_FILES, read_prompt_file
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from ...unsaved import counted
from .file_layers import layers_of

ADVICE = "leave only those of this image in the file"
"""What a user does where a file has results of other images."""


class PromptImport(QObject):  # type: ignore[misc]
    """Asks for a file, reads it in the background, and adds its layers.

    Parameters
    ----------
    context : Context
    parent : QWidget

    Signals
    -------
    drawn : list of napari.layers.Layer
        The prompts of a file are in these layers now.
    """

    drawn = Signal(object)

    def __init__(self, context: Context, parent: QWidget) -> None:
        super().__init__(parent)
        self._context, self._parent = context, parent
        context.opening.prompts_asked.connect(self.read)

    def ask(self) -> None:
        """Let the user choose a file."""
        endings = " ".join(f"*{suffix}" for suffix in PROMPT_FILES)
        kinds = f"Prompts ({endings});;All files (*)"
        folder = str(self._context.saves.folder)
        dialog = QFileDialog(self._parent.window(), "Import prompts", folder, kinds)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: self.read(Path(name)))
        dialog.open()

    def read(self, path: Path) -> None:
        """Draw the prompts of a file; what is wrong with it goes to the status line."""
        context, frame = self._context, self._context.bench.frame
        context.status.acted()
        if frame is None:
            context.status.hint("open the image first, then import into it")
            return
        choice = PromptChoice(Path(frame.layer.source.path or "").name, advice=ADVICE)

        def steps() -> Generator[Progress, None, PromptFile]:
            yield Progress(0, 1, "importing")
            return read_prompt_file(path, frame.shape, choice)

        def done(found: PromptFile) -> None:
            if context.bench.frame is not frame:
                context.status.error("another image was chosen meanwhile; import them again")
                return
            layers = layers_of(found.prompts, path.stem, frame)
            if not layers:
                context.status.error(f"{path.name} holds no prompts for this image")
                return
            for layer in layers:
                context.viewer.add_layer(layer)
            self.drawn.emit(layers)
            left = f"; {found.notice} left out" if found.notice else ""
            count = counted(len(found.prompts), "prompt")
            context.status.hint(
                f"{count} of {path.name} drawn{left}; Prompts from a layer makes objects of them"
            )

        work = Work(steps, on_result=done, text=f"importing {path.name}")
        context.scheduler.submit(work, Lane.FILES)
