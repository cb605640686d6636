"""A Labels layer as the view of an object store: edits come from here, layers only show them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from ..formats.labels_store import check_there
from ..objects import edits
from ..objects.canvas import Canvas
from ..objects.edit import Edit
from ..objects.store import ObjectStore, Pieces
from ..types import SliceKey
from .history import Done, History
from .status import Status

Happened = Literal["made", "undone", "redone"]
"""What became of an edit."""
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
        Shows a sentence if something cannot be undone.
    largest : int
        The largest label in the layer.

    Attributes
    ----------
    on_edit : callable
        Called with each edit that was made, taken back or made again, and which of these; not for
        parts that are amended.
    on_deleted : callable
        Called with the label and the plane of an object that the user deleted.
    on_replaced : callable
        Called when the layer was given other data.
    """

    def __init__(self, layer: Labels, history: History, status: Status, largest: int = 0) -> None:
        self.layer = layer
        self.history, self.status = history, status
        check = partial(check_there, layer.data, layer.name)
        self.store = ObjectStore(Canvas(layer.data, layer.name, check), largest)
        self.on_edit: Callable[[Edit, Happened], None] = lambda edit, happened: None
        self.on_deleted: Callable[[int, SliceKey], None] = lambda label, key: None
        self.on_replaced: Callable[[], None] = lambda: None
        self._pieces: Pieces | None = None
        self._redrawn = False
        layer.events.paint.connect(self._on_layer_paint)
        layer.events.set_data.connect(self._on_layer_drawn)
        layer.events.data.connect(self._on_layer_data)

    @property
    def nbytes(self) -> int:
        """Bytes that the steps take; see `History`."""
        return self.store.nbytes

    def forget_oldest(self) -> None:
        """Drop the first step; see `History`."""
        self.store.forget_oldest()

    def forget_undone(self) -> None:
        """Drop what was taken back; see `History`."""
        self.store.forget_undone()

    def close(self) -> None:
        """Stop listening to the layer, and forget what could be taken back."""
        self.layer.events.paint.disconnect(self._on_layer_paint)
        self.layer.events.data.disconnect(self._on_layer_data)
        self.layer.events.set_data.disconnect(self._on_layer_drawn)
        self.history.drop(self)
        if self._pieces is not None:
            self._pieces.close()

    def look_again(self) -> None:
        """Look for larger labels that were written into the array in place, from outside.

        Only an array in memory is read, and only if the layer was drawn anew since the last time.
        """
        data = self.layer.data
        if self._redrawn and isinstance(data, np.ndarray) and data.size:
            self.store.next_label = max(self.store.next_label, int(data.max()) + 1)
        self._redrawn = False

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
        self.on_edit(edit, "made")

    def amend(self, edit: Edit, refresh: bool = True) -> None:
        """Make an edit part of the newest one, so that both are undone together."""
        self.store.amend(edit)
        self._shown(refresh)

    def delete(self, label: int, key: SliceKey) -> None:
        """Delete an object that lies in a plane; see `edits.delete`."""
        self.apply(edits.delete(self.store, label, key))
        self.on_deleted(label, key)

    def undo(self, done: Done) -> None:
        """Undo the newest edit of this layer; see `History`."""
        self._walk(self.store.undo_in_pieces(), "undone", done)

    def redo(self, done: Done) -> None:
        """Redo the edit that was undone last; see `History`."""
        self._walk(self.store.redo_in_pieces(), "redone", done)

    def _walk(self, pieces: Pieces, happened: Happened, done: Done) -> None:
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
            self.on_edit(stop.value, happened)
            done(stop.value.text, stop.value.boxes)
        except (ValueError, OSError) as error:
            self._end_walk()
            self.history.stop_walking()
            self.status.error(str(error))
        else:
            self.layer.editable = False  # nobody paints where it is still being written
            QTimer.singleShot(0, lambda: self._walk(pieces, happened, done))

    def _end_walk(self) -> None:
        self._pieces = None
        self.layer.editable = True

    def _shown(self, refresh: bool = True) -> None:
        if refresh:
            redrawn = self._redrawn
            self.layer.refresh(highlight=False, extent=False)
            self._redrawn = redrawn

    def _on_layer_paint(self, event: Any) -> None:
        edit = edits.stroke(self.store.canvas, event.value)
        self.store.record(edit)
        self.history.note(self)
        try:
            check_there(self.layer.data, self.layer.name)
        except ValueError as error:
            self.status.error(str(error))
        self.on_edit(edit, "made")

    def _on_layer_drawn(self, event: Any = None) -> None:
        self._redrawn = True

    def _on_layer_data(self, event: Any = None) -> None:
        if self.layer.data is not self.store.canvas.data:
            self.on_replaced()
