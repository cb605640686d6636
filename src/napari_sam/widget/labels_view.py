"""A Labels layer as the view of an object store: edits come from here, layers only show them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from ..formats.carried import METADATA, Carried, carried_by
from ..formats.image_reference import hash_in_memory
from ..formats.labels_store import check_there, stored_at
from ..objects import edits
from ..objects.canvas import Canvas
from ..objects.edit import Edit
from ..objects.locks import sentence, spare
from ..objects.patch import Patch
from ..objects.properties import locked_labels
from ..objects.recorder import TargetInfo, TargetKind
from ..objects.step import Step
from ..objects.store import ObjectStore
from ..types import Progress, SliceKey
from .frame import Frame
from .history import Happened, History
from .in_turn import in_turn
from .status import Status


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
    frame : Frame or None
        The image that the labels lie on; None if it is not known.
    kind : {"objects", "everything"}
        Whether objects are committed to it, or everything mode fills it.
    """

    def __init__(self, layer: Labels, history: History, status: Status, largest: int = 0) -> None:
        self.id = uuid4().hex
        self.layer = layer
        self.history, self.status = history, status
        check = partial(check_there, layer.data, layer.name)
        self.store = ObjectStore(Canvas(layer.data, layer.name, check), largest)
        self._adopt_carried()
        self.frame: Frame | None = None
        self.kind: TargetKind = "objects"
        self.on_edit: Callable[[Edit, Happened], None] = lambda edit, happened: None
        self.on_deleted: Callable[[int, SliceKey], None] = lambda label, key: None
        self.on_replaced: Callable[[], None] = lambda: None
        self._redrawn = False
        self._holders: set[str] = set()
        layer.events.paint.connect(self._on_layer_paint)
        layer.events.set_data.connect(self._on_layer_drawn)
        layer.events.data.connect(self._on_layer_data)

    @property
    def newest(self) -> Edit | None:
        """The newest edit of this layer; None if there is none in memory."""
        step = self.history.steps.newest_of(self)
        parts = [] if step is None or step.parts is None else step.parts
        return next((edit for target, edit in reversed(parts) if target is self), None)

    def close(self) -> None:
        """Stop listening to the layer, and forget what could be taken back."""
        self.layer.events.paint.disconnect(self._on_layer_paint)
        self.layer.events.data.disconnect(self._on_layer_data)
        self.layer.events.set_data.disconnect(self._on_layer_drawn)
        self.history.drop(self)

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
        self.history.steps.make(self, edit)
        self._shown(refresh)
        self.on_edit(edit, "made")

    def apply_in_pieces(
        self, edit: Edit, done: Callable[[], None] = lambda: None, refresh: bool = True
    ) -> None:
        """Make an edit that may be long: the window stays alive. It is shown in the next event.

        Parameters
        ----------
        edit : Edit
        done : callable
            Called when it is written; not if it cannot be, which is said in the status line.
        refresh : bool
            Whether the plane shown may have changed.

        Raises
        ------
        ValueError
            If the last change is still being written.
        """

        def written() -> None:
            in_turn(partial(self._shown, refresh))
            self.on_edit(edit, "made")
            done()

        self.history.write(self, self.history.steps.make_in_pieces(self, edit), written)

    def amend(self, edit: Edit, refresh: bool = True) -> None:
        """Make an edit part of the newest one, so that both are undone together."""
        step = self.history.steps.newest_of(self)
        if step is None:
            raise ValueError("there is nothing to amend")
        self.history.steps.join(self, edit, step)
        self._shown(refresh)

    def make_or_join(
        self, edit: Edit, step: Step | None, refresh: bool = True
    ) -> Generator[Progress, None, Step]:
        """Make an edit a piece at a time, as a part of a step or as a new one.

        Parameters
        ----------
        edit : Edit
        step : Step or None
            The one that it becomes a part of; None: a new one.
        refresh : bool
            Whether the plane shown may have changed.

        Returns
        -------
        Step
        """
        if step is None:
            step = yield from self.history.steps.make_in_pieces(self, edit)
        else:
            yield from self.history.steps.join_in_pieces(self, edit, step)
        self._shown(refresh)
        self.on_edit(edit, "made")
        return step

    def delete(self, label: int, key: SliceKey) -> None:
        """Delete an object that lies in a plane; see `edits.delete`."""
        edit = edits.delete(self.store, label, key)
        self.apply_in_pieces(edit, lambda: self.on_deleted(label, key))

    def _adopt_carried(self) -> None:
        """Take up the objects that the layer carries; from now on it carries those of the store."""
        carried = carried_by(self.layer.metadata)
        objects = {label: (None, one) for label, one in carried.objects.items()}
        properties = {name: (None, value) for name, value in carried.properties.items()}
        self.store.adopt(Edit("opening", objects=objects, properties=properties))
        self.layer.metadata[METADATA] = Carried(
            self.store.objects, self.store.properties, carried.prompts, carried.image
        )

    # -- as the history asks for it; see `ShownTarget` ------------------------------------------

    def info(self) -> TargetInfo:
        """Describe the labels and their image."""
        dtype = "" if self.frame is None else str(self.frame.pixels.dtype)
        canvas = self.store.canvas
        return TargetInfo(self.kind, canvas.shape, dtype, str(canvas.dtype), stored_at(canvas.data))

    def image_hash(self, key: SliceKey) -> str:
        """Return a hash of the pixels of a plane of the image; empty if they are not in memory."""
        return "" if self.image is None else hash_in_memory(self.image, key)

    @property
    def image(self) -> Any:
        """The pixels of the image; None if it is not known."""
        return None if self.frame is None else self.frame.pixels

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return an edit with the next label before and after it."""
        return self.store.completed(edit, whole)

    def adopt(self, edit: Edit) -> None:
        """Take up a stroke."""
        self.store.adopt(edit)

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Write an edit, all or nothing; of a long one the first piece is shown at once."""
        with closing(self.store.write_in_pieces(edit)) as pieces:
            for progress in pieces:
                if progress.done == 1 < progress.total:
                    self._shown()
                yield progress

    def hold(self, held: bool, by: str = "history") -> None:
        """Let nobody paint, or let them again when nobody else holds the layer."""
        (self._holders.add if held else self._holders.discard)(by)
        self.layer.editable = not self._holders

    def walked(self, edit: Edit, happened: Happened) -> None:
        """Show that an edit was taken back or made again."""
        self._shown()
        self.on_edit(edit, happened)

    def _shown(self, refresh: bool = True) -> None:
        if refresh:
            redrawn = self._redrawn
            self.layer.refresh(highlight=False, extent=False)
            self._redrawn = redrawn

    def _on_layer_paint(self, event: Any) -> None:
        edit = edits.stroke(self.store.canvas, event.value)
        spared = spare(edit, locked_labels(self.store))
        if spared.restored:
            edit = spared.edit
            self.status.error(sentence(spared.labels))
            self._restore(spared.restored)
            # napari tells of some strokes just before it paints them
            QTimer.singleShot(0, partial(self._restore, spared.restored))
        if edit.changes:
            self.history.note(self, edit)
        try:
            check_there(self.layer.data, self.layer.name)
        except ValueError as error:
            self.status.error(str(error))
        if edit.changes:
            self.on_edit(edit, "made")

    def _restore(self, patches: tuple[Patch, ...]) -> None:
        """Give finished objects their pixels back where a stroke has painted over them."""
        try:
            for patch in patches:
                self.store.canvas.write(patch)
        except (ValueError, OSError) as error:
            self.status.error(str(error))
        self._shown()

    def _on_layer_drawn(self, event: Any = None) -> None:
        self._redrawn = True

    def _on_layer_data(self, event: Any = None) -> None:
        if self.layer.data is not self.store.canvas.data:
            self.layer.metadata.pop(METADATA, None)  # its objects are those of the earlier data
            self.on_replaced()
