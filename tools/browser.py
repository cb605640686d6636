"""Drive a Chromium without a window: the Chrome DevTools Protocol over its pipe.

https://chromedevtools.github.io/devtools-protocol/ describes the methods. Messages are JSON, each
ended by a zero byte; the browser reads them from its file descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT = 60.0
"""Seconds that the browser may take to answer."""
FIRST_FREE = 10
"""File descriptors from here on cannot be those that the browser reads and writes."""


class Browser:
    """One page in a browser with a new profile; a context manager.

    Parameters
    ----------
    size : (width, height) int
        Of the page, pixels.

    Raises
    ------
    ValueError
        If there is no Chromium.
    """

    def __init__(self, size: tuple[int, int] = (1100, 1000)) -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise ValueError(
                "there is no Chromium: install it, on Debian by `apt-get install chromium`"
            )
        self.errors: list[str] = []
        self._profile = tempfile.mkdtemp(prefix="napari-sam-browser-")
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self._start(program, size)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    def _start(self, program: str, size: tuple[int, int]) -> None:
        ends = [*os.pipe(), *os.pipe()]
        there_read, self._write, self._read, there_write = (
            fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in ends
        )
        for end in ends:
            os.close(end)
        arguments = [
            program,
            "--headless=new",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile}",
            f"--window-size={size[0]},{size[1]}",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
        ]
        if os.geteuid() == 0:  # Chromium's sandbox refuses root
            arguments.append("--no-sandbox")
        self._pid = os.posix_spawn(
            program,
            arguments,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, there_read, 3),
                (os.POSIX_SPAWN_DUP2, there_write, 4),
            ],
            setpgroup=0,
        )
        for end in (there_read, there_write):
            os.close(end)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result.

        Raises
        ------
        RuntimeError
            If the browser reports an error, ends or does not answer.
        """
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._count:
            self._note(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], TIMEOUT)
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser has ended, or does not answer")
            self._buffer += part
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what a page reports as an error."""
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for.

        Raises
        ------
        RuntimeError
            If it throws.
        """
        answer = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']['exception']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = TIMEOUT) -> Any:
        """Wait until an expression is true, and return its value.

        Raises
        ------
        RuntimeError
            If that takes too long.
        """
        end = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            if time.monotonic() > end:
                raise RuntimeError(f"{seconds:.0f} s have passed without {expression}")
            time.sleep(0.005)
        return value

    def open(self, address: str) -> None:
        """Begin to load a page, which may be the one that is open."""
        self.call("Page.navigate", url=address)

    def move(self, place: tuple[float, float], button: str = "none") -> None:
        """Move the pointer to a place, (x, y) in pixels of the page, maybe with a button down."""
        self._mouse("mouseMoved", place, button=button)

    def press(self, place: tuple[float, float], button: str = "left", shift: bool = False) -> None:
        """Press a button of the mouse at a place."""
        self._mouse("mousePressed", place, button=button, clickCount=1, modifiers=8 * shift)

    def release(self, place: tuple[float, float], button: str = "left") -> None:
        """Release a button of the mouse at a place."""
        self._mouse("mouseReleased", place, button=button, clickCount=1)

    def _mouse(self, kind: str, place: tuple[float, float], **params: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **params)

    def key(self, key: str) -> None:
        """Press and release a key, by its name in JavaScript."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path: Path) -> None:
        """Write a picture of the page, a PNG file."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
