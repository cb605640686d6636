"""A Labels layer as the view of an object store: edits come from here, layers only show them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import QTimer

from ..objects import edits
from ..objects.canvas import Canvas
from ..objects.edit import Edit
from ..objects.store import ObjectStore, Pieces
from .history import Done, History
from .status import Status

SLICE = 0.03
"""Seconds that a long edit is written for before the window gets its turn."""


class LabelsView:
    """Applies edits to one Labels layer; strokes of the user's become edits, too.

    Parameters
    ----------
    layer : napari.layers.Labels
    history : History
        Notes every edit.
    status : Status
        Told where something cannot be taken back.
    largest : int
        The largest label in the layer.

    Attributes
    ----------
    on_other_edit : callable
        Called after a stroke of the user's, and after something was taken back or made again.
    on_replaced : callable
        Called when the layer was given other data.
    """

    def __init__(self, layer: Labels, history: History, status: Status, largest: int = 0) -> None:
        self.layer = layer
        self.history, self.status = history, status
        self.store = ObjectStore(Canvas(layer.data, layer.name), largest)
        self.on_other_edit: Callable[[], None] = lambda: None
        self.on_replaced: Callable[[], None] = lambda: None
        self._pieces: Pieces | None = None
        layer.events.paint.connect(self._on_layer_paint)
        layer.events.data.connect(self._on_layer_data)

    def close(self) -> None:
        """Stop listening to the layer, and forget what could be taken back."""
        self.layer.events.paint.disconnect(self._on_layer_paint)
        self.layer.events.data.disconnect(self._on_layer_data)
        self.history.drop(self)
        if self._pieces is not None:
            self._pieces.close()

    def apply(self, edit: Edit, refresh: bool = True) -> None:
        """Make an edit.

        Parameters
        ----------
        edit : Edit
        refresh : bool
            Whether the plane shown may have changed.
        """
        self.store.apply(edit)
        self.history.note(self)
        self._shown(refresh)

    def amend(self, edit: Edit, refresh: bool = True) -> None:
        """Make an edit part of the newest one, so that both are taken back together."""
        self.store.amend(edit)
        self._shown(refresh)

    def undo(self, done: Done) -> None:
        """Take back the newest edit of this layer; see `History`."""
        self._walk(self.store.undo_in_pieces(), done)

    def redo(self, done: Done) -> None:
        """Make the edit again that was taken back last; see `History`."""
        self._walk(self.store.redo_in_pieces(), done)

    def _walk(self, pieces: Pieces, done: Done) -> None:
        """Write for a moment; go on after the window had its turn, until all is written."""
        self._pieces = pieces
        end = time.perf_counter() + SLICE
        try:
            next(pieces)
            while time.perf_counter() < end:
                next(pieces)
        except StopIteration as stop:
            self._end_walk()
            if stop.value is None:
                return  # closed meanwhile
            self._shown()
            self.on_other_edit()
            done(stop.value.text)
        except (ValueError, OSError) as error:
            self._end_walk()
            self.history.stop_walking()
            self.status.error(str(error))
        else:
            self.layer.editable = False  # nobody paints where it is still being written
            QTimer.singleShot(0, lambda: self._walk(pieces, done))

    def _end_walk(self) -> None:
        self._pieces = None
        self.layer.editable = True

    def _shown(self, refresh: bool = True) -> None:
        if refresh:
            self.layer.refresh(highlight=False, extent=False)

    def _on_layer_paint(self, event: Any) -> None:
        self.store.record(edits.stroke(self.store.canvas, event.value))
        self.history.note(self)
        self.on_other_edit()

    def _on_layer_data(self, event: Any = None) -> None:
        if self.layer.data is not self.store.canvas.data:
            self.on_replaced()
