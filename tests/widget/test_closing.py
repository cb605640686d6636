"""A napari of its own that is closed in the middle of work ends at once and without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from signal import SIGSEGV

import pytest

SCRIPT = """
import sys
import time

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtCore import QTimer
from tiny import SlowBlocks

from napari_sam.types import Progress
from napari_sam.widget.commands import everything_stack, find_dock
from napari_sam.widget.features.source import model_loader
from napari_sam.widget.scheduler import Lane

way, work = sys.argv[1:]
get_settings().application.confirm_close_window = False


def loading(name, device):
    for step in range(100 if work == "model" else 1):
        yield Progress(step, 100, "loading")
        time.sleep(0.02)
    return SlowBlocks()


model_loader.loading = loading
viewer = napari.Viewer()
viewer.add_image(np.full((9, 64, 64), 20, np.uint8) + np.arange(9, dtype=np.uint8)[:, None, None])
context = find_dock(viewer).context
lane = {"model": Lane.MODEL, "plane": Lane.PLANE, "everything": Lane.BULK}[work]


def close():
    if not context.scheduler.is_busy(lane):
        if work == "everything" and context.session is not None:
            everything_stack(viewer)
        return
    timer.stop()
    print("busy", flush=True)
    if way == "window":
        viewer.close()
    elif way == "quit":
        napari.qt.get_qapp().quit()
    else:
        sys.exit(0)


timer = QTimer()
timer.timeout.connect(close)
timer.start(50)
napari.run()
"""


def run(environment, way, work):
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "ignore", "-c", SCRIPT, way, work],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,  # on a loaded machine napari takes a minute to open
    )


@pytest.mark.parametrize("work", ["model", "plane", "everything"])
@pytest.mark.parametrize("way", ["window", "quit", "exit"])
@pytest.mark.slow  # each starts napari
def test_closing_in_the_middle_of_work(tmp_path, way, work):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
        "NAPARI_CONFIG": str(tmp_path / "settings.yaml"),
        "NAPARI_SAM_CACHE_DIR": str(tmp_path / "planes"),
    }
    done = run(environment, way, work)
    if way == "exit" and done.returncode == -SIGSEGV:
        # Python ends inside Qt's event loop then, and Qt crashed once in some hundred times while
        # it was taken down; no code of ours may be running at that time
        assert "napari_sam" not in done.stderr
        done = run(environment, way, work)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "busy\n"
    for word in ("Error", "Traceback", "Aborted", "deleted", "QThread"):
        assert word not in done.stderr
