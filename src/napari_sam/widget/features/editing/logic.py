"""Tools that change kept objects: the model splits and refines them, shapes are cleaned up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ....objects.asking import snapping
from ....objects.overlap import RULES, OverlapRule, free_pixels
from ....objects.reshape import Bools, fill_holes, grow, reach, shrink, smooth, within
from ....objects.reshape_edits import Reshape, each_plane, removing_islands
from ....objects.segmented import upright
from ...context import Context
from ..feature import Feature
from .clicks import Clicks
from .jobs import Jobs
from .lengths import PixelSize, pixel_size
from .panel import EditingPanel
from .targets import meant

SMOOTHING = 2
"""Pixels over which outlines are smoothed if nothing else is chosen."""
NO_TARGET = "point at an object, or select some in the list"


class Editing(Feature):
    """Changes kept objects by keys, buttons and clicks; each change is one step."""

    title = "Edit"
    panel: EditingPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = EditingPanel()
        self.jobs = Jobs(context)
        self.clicks = Clicks(context, self.panel, self.jobs)
        self.keys = {
            "I": self.clicks.split,
            "M": self.merge,
            "J": self.smooth,
            "H": self.fill_holes,
            ".": self.grow,
            ",": self.shrink,
        }
        self._actions: dict[str, Callable[[], None]] = {
            "split": self.clicks.split,
            "merge": self.merge,
            "absorb": self.clicks.absorb,
            "delete": self.clicks.delete,
            "grow": self.grow,
            "shrink": self.shrink,
            "smooth": self.smooth,
            "fill": self.fill_holes,
            "islands": self.remove_islands,
            "snap": self.snap,
        }
        self.panel.asked.connect(lambda name: self._actions[name]())
        self.bench.changed.connect(self._on_bench_changed)
        self.bench.moved.connect(self._show_pixel)
        context.plane_changed.connect(self._on_plane_changed)

    def start(self) -> None:
        """Let Escape end the tools and what they compute."""
        end_others = self.context.end_tool
        self.context.end_tool = lambda: self._end() or end_others()

    def close(self) -> None:
        """Let clicks be for prompts."""
        self.clicks.tool.end()

    def merge(self) -> None:
        """Make the selected objects one, with the object under the pointer."""
        self.status.acted()
        here = meant(self.context)
        if here is None:
            self._say_no_target()
            return
        selected = self.context.selected()
        if selected and here.view is not self.context.listed:
            self.status.hint(
                f"the selected objects are not in {here.view.layer.name}; choose that layer first"
            )
            return
        labels = tuple(dict.fromkeys((*selected, *here.labels)))
        if len(labels) < 2:
            self.status.hint(
                "select two objects in the list, or one and point at the other; then press M"
            )
            return
        self.jobs.merge(replace(here, labels=labels))

    def grow(self) -> None:
        """Make the object larger all around."""
        sides, radius = self.panel.length(self.panel.radius, 1)
        change = partial(grow, radius=radius, sides=sides)
        words = "growing", "grown"
        self._change_each(change, words, self._rule, reach(radius, sides))

    def shrink(self) -> None:
        """Make the object smaller all around."""
        sides, radius = self.panel.length(self.panel.radius, 1)
        self._change_each(partial(shrink, radius=radius, sides=sides), ("shrinking", "shrunk"))

    def smooth(self) -> None:
        """Smooth the outline of the object."""
        sides, radius = self.panel.length(self.panel.smoothing, SMOOTHING)
        change = partial(smooth, radius=radius, sides=sides)
        words = "smoothing", "smoothed"
        self._change_each(change, words, self._rule, reach(3 * radius, sides))

    def fill_holes(self) -> None:
        """Fill the holes of the object."""
        area = self.panel.area(self.panel.hole)
        change = fill_holes if area is None else partial(fill_holes, area=area)
        self._change_each(change, ("filling", "filled"), self._rule)

    def remove_islands(self) -> None:
        """Remove what lies apart from the largest piece of the object."""
        size = self.panel.area(self.panel.island)
        self._change(removing_islands(size), ("removing islands of", "freed of islands"))

    def snap(self) -> None:
        """Replace a rough outline by the one that the model sees there."""
        session, plane = self.context.session, self.context.shown()
        if session is None or plane is None:
            self.status.hint(self.context.hindrance() or self.context.absence)
            return
        words = "snapping", "snapped to what the model sees"
        self._change(snapping(session, plane), words, self._rule)

    @property
    def _rule(self) -> OverlapRule:
        """Which pixels of others an object gets."""
        return RULES[self.context.overlap].rule

    def _change_each(
        self,
        change: Callable[[Bools], Bools],
        words: tuple[str, str],
        rule: OverlapRule = free_pixels,
        margin: int = 1,
    ) -> None:
        """Change the objects that are meant, in each plane by itself."""
        self._change(each_plane(lambda mask: within(mask, change, margin)), words, rule)

    def _change(
        self, reshape: Reshape, words: tuple[str, str], rule: OverlapRule = free_pixels
    ) -> None:
        """Change the objects that are meant; see `Jobs.reshape`."""
        self.status.acted()
        targets = meant(self.context, bool(self.panel.everywhere.isChecked()))
        if targets is None:
            self._say_no_target()
        else:
            self.jobs.reshape(targets, reshape, rule, words)

    def _say_no_target(self) -> None:
        self.status.hint(self.context.hindrance() or NO_TARGET)

    def _end(self) -> bool:
        """Stop what is being computed, else end the tool that clicks are for."""
        return self.jobs.runs.stop() or self.clicks.end()

    # -- events -----------------------------------------------------------------------------------

    def _on_bench_changed(self) -> None:
        frame = self.bench.frame
        if self.clicks.tool.is_on and (frame is None or self.bench.results is None):
            self.clicks.tool.end()
        self.panel.set_stack(frame is not None and len(frame.shape) > 2)
        self._show_pixel()

    def _on_plane_changed(self) -> None:
        self.clicks.forget_first()
        self._show_pixel()

    def _show_pixel(self) -> None:
        frame, plane = self.bench.frame, self.context.shown()
        if frame is None or plane is None:
            self.panel.set_pixel(PixelSize())
        else:
            self.panel.set_pixel(pixel_size(frame, upright(plane.key)))
