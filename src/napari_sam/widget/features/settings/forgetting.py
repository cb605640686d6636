"""Deletes what is kept of images outside the user's own files: journals and encoded planes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from ....objects.journal_folder import (
    journal_folder,
    left_over,
    read_unchanged,
    remove,
    size,
)
from ....objects.journal_reader import has_unsaved
from ....predict.cache import DiskCache
from ....training.finetune.request import remove_left_over
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from ...unsaved import counted


class Forgetting(QObject):  # type: ignore[misc]
    """Says what there is, asks, deletes; nothing here waits for the disk.

    The journal of a program that runs stays.

    Parameters
    ----------
    context : Context
    parent : QWidget
        What the question is shown over.

    Signals
    -------
    done : no argument
        All of it was deleted.
    """

    done = Signal()

    def __init__(self, context: Context, parent: QWidget) -> None:
        super().__init__()
        self.context, self.parent_widget = context, parent
        self.question: QMessageBox | None = None

    def ask(self) -> None:
        """Count what there is, then ask whether it is to go."""
        try:
            folder = journal_folder()
        except ValueError as error:
            self.context.status.error(str(error))
            return
        steps = partial(_described, folder, self.context.disk)
        self._submit(steps, partial(self._ask, folder), "counting what is kept")

    def close(self) -> None:
        """Ask no more."""
        if self.question is not None:
            self.question.reject()

    def _ask(self, folder: Path, text: str) -> None:
        self.question = question = QMessageBox(
            QMessageBox.Icon.Question, "Delete journals and encoded planes", text
        )
        question.setParent(self.parent_widget.window(), question.windowFlags())
        delete = question.addButton("Delete", QMessageBox.ButtonRole.DestructiveRole)
        question.addButton(QMessageBox.StandardButton.Cancel)

        def answered() -> None:
            self.question = None
            if question.clickedButton() is delete:
                self._delete(folder)
            question.deleteLater()

        question.finished.connect(answered)
        question.open()

    def _delete(self, folder: Path) -> None:
        def done(text: str) -> None:
            self.context.status.hint(text)
            self.done.emit()

        steps = partial(_deleted, folder, self.context.disk)
        self._submit(steps, done, "deleting journals and planes")

    def _submit(
        self,
        steps: Callable[[], Generator[Progress, None, str]],
        done: Callable[[str], None],
        text: str,
    ) -> None:
        work = Work(steps, on_result=done, text=text)
        self.context.scheduler.submit(work, Lane.CACHE)


def _described(folder: Path, disk: DiskCache) -> Generator[Progress, None, str]:
    """Say what there is, and how much of it is in no other file."""
    paths = left_over(folder)
    unsaved = nbytes = 0
    for done, path in enumerate(paths):
        yield Progress(done, len(paths), "counting what is kept")
        nbytes += size(path)
        try:
            unsaved += bool(read_unchanged(path, has_unsaved))
        except ValueError:
            continue  # damaged: nobody can restore it
    planes = disk.usage()
    text = (
        f"Delete {counted(len(paths), 'journal')} ({nbytes / 1e6:,.1f} MB) and "
        f"{counted(planes.planes, 'encoded plane')} ({planes.nbytes / 1e6:,.1f} MB)?"
    )
    if unsaved:
        text += f" {counted(unsaved, 'journal')} with unsaved work cannot be restored then."
    return text


def _deleted(folder: Path, disk: DiskCache) -> Generator[Progress, None, str]:
    paths = left_over(folder)
    sizes = []
    for done, path in enumerate(paths):
        yield Progress(done, len(paths), "deleting journals")
        sizes.append(remove(path))
    planes = disk.clear()
    remove_left_over(disk.folder)
    if disk.notice:
        raise ValueError(disk.notice)
    return (
        f"{counted(len(sizes), 'journal')} and {counted(planes.planes, 'encoded plane')} deleted, "
        f"{(sum(sizes) + planes.nbytes) / 1e6:,.1f} MB"
    )
