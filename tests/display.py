"""A display of its own for each process that runs tests."""

from __future__ import annotations

import os
import shutil
import subprocess

# The shell ends the display when its input closes, so also when the tests crash.
SERVER = "Xvfb -displayfd 1 -screen 0 1400x1000x24 2>/dev/null & cat >/dev/null; kill $!"


class OwnDisplay:
    """A virtual X display that this process and those it starts use.

    Windows of two processes on one display would take the focus from each other.
    """

    def __init__(self):
        self.shell = subprocess.Popen(
            ["sh", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # an interrupt of the tests reaches them first
        )
        number = self.shell.stdout.readline().decode().strip()
        if not number:
            self.close()
            raise RuntimeError("Xvfb did not start; run it by hand to see why")
        os.environ["DISPLAY"] = f":{number}"
        os.environ["QT_QPA_PLATFORM"] = "xcb"

    @staticmethod
    def possible():
        return shutil.which("Xvfb") is not None

    def close(self):
        self.shell.stdin.close()
        self.shell.wait()
        self.shell.stdout.close()
