"""The layers that prompts are drawn in, and the layer that shows the answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from napari.layers import Labels, Layer, Points, Shapes
from napari.viewer import Viewer
from qtpy.QtCore import QObject, QTimer, Signal

from ..objects.drawn import Drawing
from ..predict.prompt_kinds import PROMPT_KINDS
from ..types import SliceKey
from . import layers
from .box_display import BoxDisplay
from .drag_box import DragBox
from .drawing import read_drawing, redraw
from .frame import Frame
from .image_watch import TRANSFORM

ADDING, ADDED = "adding", "added"
DONE_ACTIONS = (ADDED, "changed", "removed")
"""Of a layer's `data` event; those of a drag in progress are not among them."""

BRUSH = "the brush adds to the object, the eraser takes away; choose prompt in the dock to click"
"""What strokes in the preview do."""


class PromptLayers(QObject):  # type: ignore[misc]
    """Points, boxes and preview on the image that is worked on; regions and scribbles are boxes'.

    The user may delete each of them at any time; `ensure` makes it again. Iteration gives those
    that are there.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Attributes
    ----------
    points : napari.layers.Points or None
    boxes : napari.layers.Shapes or None
    preview : napari.layers.Labels or None
    kind : str
        Of the next point or scribble; one of `layers.POINT_KINDS`.
    region : str
        Shape of the next region; one of `layers.REGION_MODES`.
    opens_objects : bool
        Whether clicks open kept objects instead of making prompts.

    Signals
    -------
    changed : no argument
        A prompt was added, moved or removed by the user.
    pasted : no argument
        Prompts may have been pasted, or be of another kind: napari emits no `data` event then.
    clicks_changed : no argument
        The layer that clicks go to was shown or hidden, or has another mode.
    """

    changed = Signal()
    pasted = Signal()
    clicks_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.points: Points | None = None
        self.boxes: Shapes | None = None
        self.preview: Labels | None = None
        self.kind = layers.OBJECT
        self.region = next(iter(layers.REGION_MODES))
        self.opens_objects = False
        self._display = BoxDisplay(viewer)
        self._drags: DragBox | None = None
        self._seen: tuple[Sequence[str], int] = ((), 0)  # kinds of the points, number of boxes
        self._drawing = False
        self._tool = "boxes"  # of those of the layer of boxes
        self._frame: Frame | None = None  # that they lie on
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    def __iter__(self) -> Iterator[Layer]:
        ours = (self.points, self.boxes, self.preview)
        return iter([layer for layer in ours if layer is not None])

    @property
    def are_complete(self) -> bool:
        """Whether all three are there."""
        return None not in (self.points, self.boxes, self.preview)

    @property
    def is_drawing(self) -> bool:
        """Whether the user is drawing a box, a region or a scribble."""
        return self._drawing

    def ensure(self, frame: Frame) -> bool:
        """Make the layers that are missing; clicks go where they went before.

        Parameters
        ----------
        frame : Frame
            That they lie on.

        Returns
        -------
        bool
            Whether one was missing.
        """
        if self.are_complete:
            return False
        self._frame = frame
        active = self.viewer.layers.selection.active
        if self.preview is None:
            self.preview = self._add(layers.make_preview(frame))
        if self.boxes is None:
            self.boxes = self._add(layers.make_boxes(frame))
            self._connect(self.boxes)
            self.boxes.events.mode.connect(self._on_boxes_mode)
            self._drawing = False
            self._display.follow(self.boxes)
        if self.points is None:
            self.points = self._add(layers.make_points(frame))
            self._connect(self.points)
            self.points.events.mode.connect(self._on_points_mode)
            self.points.events.set_data.connect(self._on_drawn)
            layers.set_label_kind(self.points, self.kind)
        if self._drags is None:
            self._drags = DragBox(self.points, self.boxes, self._display)
        if active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        self._display.update_visibility()
        return True

    def place(self, frame: Frame) -> None:
        """Put the layers where a frame lies."""
        self._frame = frame
        for layer in self:
            layers.set_transform(layer, frame.drawing)
        self._display.update_width()

    @property
    def tool(self) -> str:
        """What is drawn in the layer that clicks go to, see `activate`; empty if nothing is."""
        active = self.viewer.layers.selection.active
        if active is None or active not in (self.points, self.boxes):
            return ""
        if active is self.points:
            return "points"
        mode = str(active.mode)
        regions = mode in layers.REGION_MODES.values()
        return "region" if regions else "scribble" if mode in layers.STROKE_MODES else "boxes"

    def activate(self, tool: str) -> None:
        """Choose what clicks draw.

        Parameters
        ----------
        tool : {"points", "boxes", "region", "scribble"}
            With points, a drag draws a box.
        """
        layer = self.points if tool == "points" else self.boxes
        if layer is None:
            return
        self.viewer.layers.selection.active = layer
        modes = {
            "points": layers.POINT_KINDS[self.kind].mode,
            "boxes": PROMPT_KINDS["box"].mode,
            "region": layers.REGION_MODES[self.region],
            "scribble": PROMPT_KINDS["scribble"].mode,
        }
        layer.mode = modes[tool] if self.viewer.dims.ndisplay == 2 else "pan_zoom"
        if layer is self.boxes:
            self._tool = tool

    def set_kind(self, kind: str) -> None:
        """Let the next points and scribbles lie on the object or the background."""
        self.kind = kind
        if self.points is not None:
            layers.set_label_kind(self.points, kind)
        if self.boxes is not None and not self._drawing:
            layers.set_shape_kind(self.boxes, kind)

    def hindrance(self) -> str:
        """Return why a click on the image makes no prompt, in one sentence; empty if it does."""
        active = self.viewer.layers.selection.active
        if self.points is None or self.boxes is None:
            return ""
        if active is not self.points and active is not self.boxes:
            if active is self.preview and self.preview is not None:
                return BRUSH
            where = "no layer" if active is None else active.name
            return f"{where} is selected, so a click makes no prompt; choose prompt in the dock"
        if not active.visible:
            return f"the layer {active.name} is hidden; show it to prompt"
        if not self.opens_objects and not str(active.mode).startswith("add"):
            return f"{active.name} does not take clicks now; choose prompt in the dock"
        return ""

    def drawn(self, key: SliceKey) -> list[layers.DrawnPrompt]:
        """Return the prompts of one plane, but for one in progress; see `layers.drawn_prompts`."""
        if self.points is None or self.boxes is None:
            return []
        drawn = layers.drawn_prompts(self.points, self.boxes, key)
        begun = self.boxes.nshapes - 1 if self._drawing else None
        return [one for one in drawn if one.layer is self.points or one.row != begun]

    def drawing(self) -> Drawing:
        """Return all prompts as they are drawn, on all planes, but for one in progress."""
        if self.points is None or self.boxes is None:
            return ()
        drawn = read_drawing(self.points, self.boxes)  # shapes last, in their order
        return drawn[:-1] if self._drawing and self.boxes.nshapes else drawn

    def end_drawing(self) -> bool:
        """End a box or polygon that the user is drawing, as it is; tells whether there was one."""
        if self.boxes is None or not self._drawing:
            return False
        mode = self.boxes.mode
        self.boxes.mode = "select"  # napari ends the drawing then
        self.boxes.mode = mode
        self._drawing = False
        return True

    def redraw(self, remove: Drawing, add: Drawing = ()) -> None:
        """Remove prompts, and draw others; `changed` is not emitted for them."""
        if add:
            self.end_drawing()  # what the user draws is the last shape
        if self.points is None or self.boxes is None:
            return
        with layers.quiet(self.points, self.boxes, self._on_data):
            redraw(self.points, self.boxes, remove, add)
        self._settle()

    def clear(self, key: SliceKey) -> None:
        """Remove the prompts of one plane; `changed` is not emitted."""
        if self.points is None or self.boxes is None:
            return
        with layers.quiet(self.points, self.boxes, self._on_data):
            layers.remove_prompts(self.points, self.boxes, key)
        self._settle()

    def remove(self, soon: bool = False) -> None:
        """Take the layers out of the viewer.

        Parameters
        ----------
        soon : bool
            When napari has handled its events: it may be removing them itself now.
        """
        ours = list(self)
        for layer in ours:
            self.let_go(layer)
        self._frame = None  # which would keep the image in memory
        if soon:
            QTimer.singleShot(0, partial(self._remove, ours))
        else:
            self._remove(ours)

    def let_go(self, layer: Layer) -> None:
        """Stop using a layer, if it is one of ours; it stays in the viewer if it is there."""
        if layer is self.preview:
            self.preview = None
        if self._drags is not None and layer in (self.points, self.boxes):
            self._drags.close()
            self._drags = None
        if self.points is not None and layer is self.points:
            self.points.events.data.disconnect(self._on_data)
            self.points = None
        if self.boxes is not None and layer is self.boxes:
            self.boxes.events.data.disconnect(self._on_data)
            self.boxes = None
            self._display.follow(None)

    def close(self) -> None:
        """Remove the layers and disconnect from the viewer."""
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._display.close()
        self.remove()

    def _connect(self, layer: Points | Shapes) -> None:
        layer.events.data.connect(self._on_data)
        layer.events.features.connect(self._on_drawn)
        layer.events.visible.connect(self._on_clicks_changed)
        layer.events.mode.connect(self._on_clicks_changed)
        for name in TRANSFORM:
            getattr(layer.events, name).connect(self._on_moved)

    def _add(self, layer: Any) -> Any:
        self.viewer.add_layer(layer)
        return layer

    def _remove(self, ours: list[Layer]) -> None:
        for layer in ours:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _settle(self) -> None:
        """Show what was drawn by us, and go on with the kind chosen: napari took another one."""
        self.set_kind(self.kind)
        self._display.update_visibility()

    def _on_data(self, event: Any) -> None:
        self._display.update_visibility()
        action = str(getattr(event.action, "value", event.action))
        if event.source is self.boxes:
            self._drawing = action == ADDING or (self._drawing and action not in DONE_ACTIONS)
        if action in DONE_ACTIONS:
            layers.mend_features(event.source)
        given_up = event.source is self.boxes and layers.has_stray_colours(event.source)
        if event.source is self.boxes and (given_up or action == ADDED):
            QTimer.singleShot(0, self._end_shape)  # napari has not done with it
        if action == ADDED and len(event.source.data) and not given_up:
            layers.disown(event.source, event.data_indices)
        if action in DONE_ACTIONS:
            self.changed.emit()

    def _on_drawn(self, event: Any = None) -> None:
        """Look for pasted and changed prompts when napari has done with them."""
        if self.points is None or self.boxes is None or self._drawing:
            return
        if event is not None and event.type == "features":
            layers.mend_features(event.source)
        seen = tuple(self.points.features.get("label", ())), self.boxes.nshapes
        if seen != self._seen:
            self._seen = seen
            QTimer.singleShot(0, self._tell_pasted)

    def _end_shape(self) -> None:
        """Deselect what was drawn, or handles hide it; draw the next shape of the kind of now."""
        if self.boxes is not None and not self._drawing:
            layers.mend_colours(self.boxes)
            layers.set_shape_kind(self.boxes, self.kind)

    def _tell_pasted(self) -> None:
        if not self._drawing:
            self.pasted.emit()

    def _on_moved(self, event: Any) -> None:
        """Put a layer back that the user moved: what is drawn in it would be asked elsewhere."""
        if self._frame is not None and any(event.source is layer for layer in self):
            layers.set_transform(event.source, self._frame.drawing)

    def _on_clicks_changed(self, event: Any) -> None:
        if event.source is self.viewer.layers.selection.active:
            self.clicks_changed.emit()

    def _on_ndisplay(self, event: Any = None) -> None:
        """Take no clicks in the 3-D view, where they would lie in some plane; then again."""
        active = self.viewer.layers.selection.active
        if self.points is not None and self.viewer.dims.ndisplay == 3:
            self.points.mode = "pan_zoom"
        elif active is not None and not self.opens_objects and active in (self.points, self.boxes):
            self.activate("points" if active is self.points else self._tool)

    def _on_points_mode(self, event: Any = None) -> None:
        """Begin to add points of the kind chosen, not of that of points selected meanwhile."""
        if self.points is not None and str(self.points.mode) == layers.POINT_KINDS[self.kind].mode:
            self.set_kind(self.kind)

    def _on_boxes_mode(self, event: Any = None) -> None:
        """Begin to draw in the colour of the tool, not in that of shapes selected meanwhile."""
        boxes = self.boxes
        if boxes is not None and not self._drawing and str(boxes.mode).startswith("add"):
            layers.set_shape_kind(boxes, self.kind)
