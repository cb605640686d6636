"""The tools that wait for clicks: an object is split, gets fragments, or is deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ....objects.splitting import Point
from ... import layers
from ...context import Context
from .click_tool import ClickTool
from .jobs import Jobs
from .panel import EditingPanel
from .targets import Targets, meant, object_at, refusal

ENDED = "clicks prompt again"


class Clicks:
    """Lets clicks be for a tool, and does what they ask for.

    Parameters
    ----------
    context : Context
    panel : EditingPanel
        Shows which tool it is.
    jobs : Jobs
    """

    def __init__(self, context: Context, panel: EditingPanel, jobs: Jobs) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.panel, self.jobs = panel, jobs
        self.tool = ClickTool(context, self._on_tool_ended)
        self._first: tuple[Targets, Point] | None = None  # of a split
        self._absorbing: Targets | None = None

    def split(self) -> None:
        """Split the object that is clicked twice."""
        if self._begin("split", self._on_split_clicked):
            self.status.hint("click in one part of an object, then in the other; Esc ends it")

    def absorb(self) -> None:
        """Add fragments that are clicked to an object."""
        if not self._begin("absorb", self._on_absorb_clicked):
            return
        here, selected = meant(self.context), tuple(self.context.selected())
        if here is None or here.view is not self.context.listed:
            selected = ()
        if here is not None and len(selected) == 1 and here.labels == selected:
            self._absorbing = here
        self._say_absorb()

    def delete(self) -> None:
        """Delete the objects that are clicked."""
        if self._begin("delete", self._on_delete_clicked):
            self.status.hint("click each object that is to go; Esc ends it")

    def end(self) -> bool:
        """Let clicks prompt again; tells whether they did something else."""
        if not self.tool.is_on:
            return False
        self.tool.end()
        self.status.hint(ENDED)
        return True

    def forget_first(self) -> None:
        """Begin a split anew: another plane is shown."""
        self._first = None

    def _begin(self, name: str, clicked: Callable[[Any], None]) -> bool:
        """Let clicks be for a tool, or no longer if they are already; tells whether they are."""
        self.status.acted()
        pressed_again = self.tool.is_on and self.panel.tool == name
        self.tool.end()
        if pressed_again:
            self.status.hint(ENDED)
            return False
        if self.context.shown() is None or self.bench.results is None:
            self.panel.set_tool("")
            self.status.hint(self.context.hindrance() or "there are no objects to edit yet")
            return False
        self.tool.begin(clicked)
        self.panel.set_tool(name)
        return True

    def _clicked(self, position: Any) -> Targets | None:
        """Return the object that was clicked, if there is one that may be changed."""
        self.status.acted()
        here = object_at(self.context, position)
        if here is None:
            self.status.hint("there is no object here; click on one, Esc ends it")
            return None
        why = refusal(self.context, here)
        if why:
            self.status.error(why)
            return None
        return here

    def _on_split_clicked(self, position: Any) -> None:
        here, points = self._clicked(position), self.bench.prompts.points
        if here is None or points is None:
            return
        point = layers.place_in_plane(points, position, here.key)
        label = here.labels[0]
        if self._first is None:
            self._first = here, point
            here.view.layer.selected_label = label
            self.status.hint(f"now click in the other part of object {label}; Esc ends it")
            return
        targets, first = self._first
        if targets.labels != here.labels or targets.view is not here.view:
            other = targets.labels[0]
            self.status.hint(f"this is object {label}; click in the other part of object {other}")
            return
        self.tool.end()
        everywhere = self.panel.everywhere.isChecked()
        self.jobs.split(replace(targets, everywhere=everywhere), first, point)

    def _on_absorb_clicked(self, position: Any) -> None:
        here = self._clicked(position)
        if here is None:
            return
        whole = self._absorbing
        if whole is None or whole.view is not here.view or whole.labels == here.labels:
            self._absorbing = here
            self._say_absorb()
            return
        self.jobs.merge(replace(here, labels=(*whole.labels, *here.labels)))

    def _on_delete_clicked(self, position: Any) -> None:
        here = self._clicked(position)
        if here is None:
            return
        label, view = here.labels[0], here.view
        everywhere = label in view.store.objects or len(view.store.canvas.shape) == 2
        where = "" if everywhere else " in this plane"
        try:
            view.delete(label, here.plane.key)
        except (ValueError, OSError) as error:
            self.status.error(str(error))
            return
        self.status.hint(f"object {label} deleted{where} (Ctrl+Z undoes it)")

    def _say_absorb(self) -> None:
        whole = self._absorbing
        if whole is None:
            self.status.hint("click the object, then each fragment of it; Esc ends it")
        else:
            self.status.hint(f"click what belongs to {whole.name}; Esc ends it")

    def _on_tool_ended(self) -> None:
        self._first = self._absorbing = None
        self.panel.set_tool("")
