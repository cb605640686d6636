"""The training process as the window sees it: events come in, commands go out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, Signal

LAST_WORDS = 2000
"""Letters of its error output that are kept, to say why it ended."""
END_MS = 3000
"""How long the end of a killed process is waited for."""


def command(folder: Path) -> list[str]:
    """Return the program and its arguments."""
    # with -P Python takes no module for its own that lies where napari was started
    return [sys.executable, "-P", "-m", "napari_sam.training.finetune.process", str(folder)]


class Child(QObject):  # type: ignore[misc]
    """One training process at most; Qt reads what it writes without waiting.

    Signals
    -------
    told : dict
        An event; see `training.finetune.process`.
    ended : str
        It ended by itself, and why, if that was no success: one sentence, or nothing.
    """

    told = Signal(object)
    ended = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._process: QProcess | None = None
        self._rest = b""
        self._words = ""

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def start(self, folder: Path) -> None:
        """Begin a process that works in a folder; one that runs is ended."""
        self.kill()
        self._rest, self._words = b"", ""
        process = self._process = QProcess(self)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        program, *arguments = command(folder)
        process.start(program, arguments)

    def say(self, word: str) -> None:
        """Give a command; see `request.COMMANDS`."""
        if self._process is not None:
            self._process.write(f"{word}\n".encode())

    def kill(self) -> None:
        """End the process; it tells nothing more."""
        process, self._process = self._process, None
        if process is None:
            return
        for signal in (process.finished, process.errorOccurred):
            signal.disconnect()
        process.finished.connect(process.deleteLater)
        process.kill()

    def close(self) -> None:
        """End the process and wait until it has ended."""
        self.kill()
        for process in self.findChildren(QProcess):
            process.waitForFinished(END_MS)

    def _on_output(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + bytes(self._process.readAllStandardOutput())).split(
            b"\n"
        )
        for line in lines:
            event = _event(line)
            if event is not None:
                self.told.emit(event)

    def _on_error_output(self) -> None:
        if self._process is not None:
            words = bytes(self._process.readAllStandardError()).decode("utf-8", "replace")
            self._words = (self._words + words)[-LAST_WORDS:]

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._on_output()
        if self._process is None:  # what it told has led to its end
            return
        self._process.deleteLater()
        self._process = None
        crashed = status == QProcess.ExitStatus.CrashExit
        if not code and not crashed:
            self.ended.emit("")
            return
        last = self._words.strip().splitlines()[-1:]
        why = "it was killed" if crashed else ": ".join([f"exit code {code}", *last])
        self.ended.emit(f"the training process has ended unexpectedly ({why})")

    def _on_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            reason = self._process.errorString()
            self._process.deleteLater()
            self._process = None
            self.ended.emit(f"the training process cannot be started: {reason}")


def _event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line; None if a library wrote something else."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None
