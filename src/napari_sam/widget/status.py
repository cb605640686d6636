"""What the status line says: errors over progress over hints; and how far long work is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qtpy.QtCore import QObject, Signal

from .time_left import TimeLeft


@dataclass(eq=False)
class Running:
    """Some work that goes on.

    Attributes
    ----------
    text : str
        What it does.
    done, total : int
        How far it is; the total is 0 where it is not known.
    cancel : callable or None
        Stops it.
    """

    text: str
    done: int = 0
    total: int = 0
    cancel: Callable[[], object] | None = None
    time_left: TimeLeft = field(default_factory=TimeLeft)


class Status(QObject):  # type: ignore[misc]
    """Three slots, of which the most important one that is filled is shown.

    Signals
    -------
    changed : str
        What is to be shown.
    progressed : no argument
        How far long work is may have changed; see `measured`.
    """

    changed = Signal(str)
    progressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._error = ""
        self._running: dict[str, Running] = {}
        self._hint = ""

    @property
    def text(self) -> str:
        """What is to be shown."""
        running = [one.text for one in self._running.values()]
        return self._error or (running[-1] if running else self._hint)

    @property
    def measured(self) -> Running | None:
        """The work of a known total that was begun last; None if there is none."""
        known = [one for one in self._running.values() if one.total > 0]
        return known[-1] if known else None

    def error(self, text: str) -> None:
        """Say what went wrong; it stays until the user does something."""
        self._error = text
        self.changed.emit(self.text)

    def progress(
        self,
        source: str,
        text: str = "",
        done: int = 0,
        total: int = 0,
        cancel: Callable[[], object] | None = None,
    ) -> None:
        """Say how far some work is; without a text it has ended.

        Parameters
        ----------
        source : str
            Which work; what was begun last is shown.
        text : str
            The time left is added to it, once that is known.
        done, total : int
            How far it is, for the progress bar; a total of 0: nobody knows.
        cancel : callable, optional
            Stops it.
        """
        if text:
            before = self._running.get(source)
            one = self._running[source] = Running(text, done, total, cancel)
            if before is not None:
                one.time_left = before.time_left
            if total > 0:
                one.text += one.time_left.text(done, total)
        else:
            self._running.pop(source, None)
        self.changed.emit(self.text)
        self.progressed.emit()

    def hint(self, text: str) -> None:
        """Say what can be done next."""
        self._hint = text
        self.changed.emit(self.text)

    def acted(self) -> None:
        """Note that the user did something: an error has been read."""
        if self._error:
            self._error = ""
            self.changed.emit(self.text)
