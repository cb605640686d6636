"""What the dock asks of each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QWidget

from ..context import Context

Keymap = Mapping[str, Callable[[], None]]


class Feature(QObject):  # type: ignore[misc]
    """One part of the dock; it uses the context and no other part.

    Parameters
    ----------
    context : Context

    Attributes
    ----------
    title : str
        Of a section that can be opened; empty for a part that is always seen.
    panel : QWidget or None
        What the dock shows of it.
    keys : mapping of str to callable
        By napari's names of keys; bound on the viewer and on our layers.
    """

    title: ClassVar[str] = ""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.panel: QWidget | None = None
        self.keys: Keymap = {}

    def start(self) -> None:
        """Begin: all parts are there and wired."""

    def opened(self) -> None:
        """Note that the user opened its section."""

    def close(self) -> None:
        """Disconnect from viewer and layers; background work has been cancelled already."""
