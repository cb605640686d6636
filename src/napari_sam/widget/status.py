"""What the status line says: errors over progress over hints."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class Status(QObject):  # type: ignore[misc]
    """Three slots, of which the most important one that is filled is shown.

    Signals
    -------
    changed : str
        What is to be shown.
    """

    changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._error = ""
        self._progress: dict[str, str] = {}
        self._hint = ""

    @property
    def text(self) -> str:
        """What is to be shown."""
        running = list(self._progress.values())
        return self._error or (running[-1] if running else self._hint)

    def error(self, text: str) -> None:
        """Say what went wrong; it stays until the user does something."""
        self._error = text
        self.changed.emit(self.text)

    def progress(self, source: str, text: str = "") -> None:
        """Say how far some work is; without a text it has ended.

        Parameters
        ----------
        source : str
            Which work; what was begun last is shown.
        text : str
        """
        if text:
            self._progress[source] = text
        else:
            self._progress.pop(source, None)
        self.changed.emit(self.text)

    def hint(self, text: str) -> None:
        """Say what can be done next."""
        self._hint = text
        self.changed.emit(self.text)

    def acted(self) -> None:
        """Note that the user did something: an error has been read."""
        if self._error:
            self._error = ""
            self.changed.emit(self.text)
