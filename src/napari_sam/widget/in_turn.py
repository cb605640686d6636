"""Several things one after the other, each in an event of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QTimer


def in_turn(*steps: Callable[[], object]) -> None:
    """Call functions one after the other; the window handles other events in between.

    What napari does with a layer on a large plane takes up to 70 ms, so two of these are not done
    in one event.

    Parameters
    ----------
    *steps : callable
        The first is called when the event that is handled now is done.
    """
    if steps:
        QTimer.singleShot(0, partial(_take, *steps))


def _take(step: Callable[[], object], *others: Callable[[], object]) -> None:
    step()
    in_turn(*others)
