"""What a click and a commit set off in the dock: prompts decoded, work submitted, functions called.

Needs a display. It uses mouse and keys only, so `--beside FOLDER` counts the same in an older
state's checkout. Two boxes and a point are committed; a click is given on a plane that is ready, as
are its neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.models.registry import load_model

FIRST = 12
PLACES = ((110, 70), (152, 177), (122, 190))
HALF = 12


class Counts:
    """Counts until it is closed.

    Attributes
    ----------
    decoded : int
        Prompts that the model answered.
    submitted : int
        Pieces of background work.
    calls : int
        Calls of this package's functions on the main thread.
    handled : int
        Those that came from outside it: events of napari's and Qt's.
    """

    def __init__(self, window: Window) -> None:
        self.decoded = self.submitted = self.calls = self.handled = 0
        self.window = window

    def __enter__(self) -> Counts:
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_: Any) -> None:
        self.window.rest(1.5)
        sys.setprofile(None)

    def _on_event(self, frame: Any, event: str, _: Any) -> None:
        if event == "call" and "napari_sam" in frame.f_code.co_filename:
            self.calls += 1
            caller = frame.f_back.f_code.co_filename if frame.f_back else ""
            self.handled += "napari_sam" not in caller
            self.submitted += frame.f_code.co_name == "submit"

    def as_dict(self) -> dict[str, int]:
        """Return the counts."""
        names = ("decoded", "submitted", "calls", "handled")
        return {name: getattr(self, name) for name in names}


def counted(window: Window, action: Any) -> dict[str, int]:
    """Return what an action sets off."""
    model = type(load_model("pocket"))
    decode, counts = model.decode, Counts(window)

    def noted(self: Any, features: Any, coords: Any, *rest: Any) -> Any:
        counts.decoded += len(coords)
        return decode(self, features, coords, *rest)

    model.decode = noted
    with counts:
        action()
    model.decode = decode
    return counts.as_dict()


def measured() -> dict[str, dict[str, int]]:
    """Open the sample stack and count."""
    try:
        from napari_sam.images.samples import STACK_SCALE, cells_stack
    except ImportError:  # an older state
        from napari_sam.samples import STACK_SCALE, cells_stack

    window = Window()
    window.viewer.add_image(cells_stack(), name="cells", scale=STACK_SCALE)
    window.open_dock()
    window.settle()
    window.viewer.dims.set_current_step(0, FIRST)
    window.settle()
    window.rest(2.0)
    boxes, points = window.viewer.layers["SAM boxes"], window.viewer.layers["SAM points"]
    click = lambda: points.add((FIRST, *PLACES[0]))  # noqa: E731
    found = {"click on a ready plane": counted(window, click)}
    for row, column in PLACES[1:]:
        low, high = (row - HALF, column - HALF), (row + HALF, column + HALF)
        corners = [low, (low[0], high[1]), high, (high[0], low[1])]
        boxes.add(np.array([(FIRST, *corner) for corner in corners]), shape_type="rectangle")
        window.rest(0.8)
    enter = lambda: QTest.keyClick(window.canvas, Qt.Key.Key_Return)  # noqa: E731
    QTest.mouseMove(window.canvas, QPoint(5, 5))
    found["commit of two boxes and a point"] = counted(window, enter)
    window.viewer.close()
    return found


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="an older state's checkout")
    args = parser.parse_args()
    result = {"now": measured()}
    if args.beside is not None:
        paths = (args.beside / "src", args.beside / "benchmarks")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-"],
            input=Path(__file__).read_text(),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
            capture_output=True,
            text=True,
            check=True,
        )
        result["before"] = json.loads(done.stdout)["now"]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
