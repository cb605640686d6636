"""What the dock shows of propagation: the axis, the strip, the plane that is gone to."""

from __future__ import annotations

from ....objects.segmented import Outline
from ....stack.planes import linking_axis
from ....types import Mask, Plane, SliceKey
from ...context import Context
from ...places import show_place
from .following import Line
from .panel import StackPanel
from .strip import PlaceMark

KEYFRAME, ENDED = PlaceMark("keyframe"), PlaceMark("ended", 0.0)


class StackView:
    """Knows along which axis objects are followed, and shows how far they are.

    Parameters
    ----------
    context : Context
    panel : StackPanel
    """

    def __init__(self, context: Context, panel: StackPanel) -> None:
        self.context, self.work, self.panel = context, context.work, panel
        self._axis: int | None = None  # chosen, or of the slider that was moved last
        self._before: SliceKey | None = None

    def line(self) -> Line | None:
        """Return the planes along the axis through the one shown; None if there is one only."""
        plane = self.context.shown()
        axis = None if plane is None else self._axis_of(plane)
        return None if plane is None or axis is None else Line(plane, axis)

    def marks(self, number: int, line: Line) -> dict[int, PlaceMark]:
        """Return what is known of an object in work along a line."""
        outlines: dict[SliceKey, Outline] = {}
        if number < 0:
            outlines |= self.work.reopened.outlines(-number)
        outlines |= self.work.outlines(number)
        places = {line.place(key): outline for key, outline in outlines.items()}
        marks = {
            place: PlaceMark("found", outline.score) if outline.mask else ENDED
            for place, outline in places.items()
            if place is not None
        }
        keyframes: dict[int, Mask] = line.masks(self.work.keyframes(number))
        return marks | {place: KEYFRAME if one else ENDED for place, one in keyframes.items()}

    def show(self) -> None:
        """Show the object in work along the line, and the plane shown."""
        line, number = self.line(), self.work.current
        if line is None:
            self.panel.strip.set_marks({}, 0, 0)
            return
        marks = {} if number is None else self.marks(number, line)
        self.panel.strip.set_marks(marks, line.count, line.place(line.plane.key) or 0)

    def show_axes(self) -> None:
        """Show the axes to choose from."""
        plane = self.context.shown()
        axes = [] if plane is None else self._axes(plane)
        labels, frame = self.context.viewer.dims.axis_labels, self.context.bench.frame
        offset = 0 if frame is None else len(labels) - len(frame.shape)
        names = [f"along {labels[axis + offset]}" for axis in axes]
        self.panel.set_axes(names, axes, None if plane is None else self._axis_of(plane))

    def use_axis(self, axis: int | None) -> None:
        """Follow along another axis; None: along the slider that is moved next."""
        self._axis = axis
        self.show()

    def follow_slider(self) -> None:
        """Take the axis of the slider that was moved."""
        plane, before = self.context.shown(), self._before
        self._before = None if plane is None else plane.key
        if plane is not None and before is not None and plane.key.displayed == before.displayed:
            there = dict(before.fixed)
            moved = [axis for axis, place in plane.key.fixed if there.get(axis) != place]
            if len(moved) == 1:
                self._axis = moved[0]
        self.show_axes()
        self.show()

    def go_to(self, place: int) -> None:
        """Show another plane of the line."""
        line, frame = self.line(), self.context.bench.frame
        if line is None or frame is None:
            return
        fixed = dict(line.key(place).fixed)
        sides = enumerate(frame.shape)
        box = tuple((fixed[k], fixed[k] + 1) if k in fixed else (0, side) for k, side in sides)
        show_place(self.context, [box])

    def _axis_of(self, plane: Plane) -> int | None:
        axes = self._axes(plane)
        if self._axis in axes:
            return self._axis
        shape = plane.key.array_of(plane.image).shape
        return linking_axis(shape, plane.key) if axes else None

    def _axes(self, plane: Plane) -> list[int]:
        shape = plane.key.array_of(plane.image).shape
        return [axis for axis, _ in plane.key.fixed if shape[axis] > 1]
