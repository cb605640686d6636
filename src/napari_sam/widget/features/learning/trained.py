"""Which model is trained, which one came of it, and which one was in use before."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from ....models.cards import read_card
from ....models.registry import label
from ....steps import single
from ...context import Context
from ...scheduler import Lane, Work
from .folders import is_kept, keep
from .rest import Rest
from .training import Job, Training


class TrainedModels(QObject):  # type: ignore[misc]
    """Keeps a better model and puts it in use as soon as that interrupts nothing.

    Parameters
    ----------
    context : Context
    training : Training
    rest : Rest

    Signals
    -------
    used : str
        A better model is put in use; the name of the one before.
    failed : str
    """

    used = Signal(str)
    failed = Signal(str)

    def __init__(self, context: Context, training: Training, rest: Rest) -> None:
        super().__init__()
        self._context, self._training, self._rest = context, training, rest
        self._former = ""  # in use before the newest one
        self._to_keep: Job | None = None  # whose result is better
        self._better = ""  # what is to be used
        rest.looked.connect(self.look)

    @property
    def base(self) -> str:
        """What is trained: the model in use, or what that was trained from by us."""
        model = self._context.model
        card = read_card(model) if is_kept(model) else None
        return model if card is None else card.base

    @property
    def trained(self) -> str:
        """The file of the trained model: of the last training, or the one in use; or nothing."""
        result = self._training.result
        if result is not None:
            return str(result)
        return self._context.model if is_kept(self._context.model) else ""

    @property
    def before(self) -> str:
        """What was in use before the trained model that is in use; empty if none is."""
        model = self._context.model
        if not is_kept(model):
            return ""
        if self._former and self._former != model:
            return self._former
        card = read_card(model)
        return "" if card is None else card.base

    def take(self, job: Job) -> None:
        """Put the result of a job in use, soon."""
        self._to_keep = job
        self.look()

    def drop(self) -> None:
        """Put nothing in use."""
        self._to_keep, self._better = None, ""

    def back(self) -> None:
        """Use the model again that was in use before."""
        before = self.before
        self.drop()
        if before:
            self._context.model_asked.emit(before)

    def look(self) -> None:
        """Keep a better model, and use it, where nothing else runs.

        One that the user did not ask for has to wait until the user rests.
        """
        context, job = self._context, self._to_keep
        if job is None or context.session is None or not self._rest.free:
            return
        if not self._better:
            self._keep(job)
        elif self._rest.rests or not job.automatic:
            better, self._former = self._better, context.model
            self.drop()
            context.model_asked.emit(better)
            self.used.emit(label(self._former))

    def _keep(self, job: Job) -> None:
        result = self._training.result
        if result is None:
            self.drop()
            return
        in_use = {self._context.model, self._former, self._context.preferences.chosen.model}

        def kept(path: Path) -> None:
            if self._to_keep is job:
                self._better = str(path)
                self.look()

        def failed(text: str) -> None:
            self.drop()
            self.failed.emit(text)

        work = Work(
            lambda: single(partial(keep, result, label(job.request.base), in_use)),
            on_result=kept,
            on_error=failed,
            text="keeping the trained model",
        )
        self._context.scheduler.submit(work, Lane.LEARN)
