"""The dock's actions as commands: for the command palette, menus and the user's own keys."""

from __future__ import annotations

from inspect import unwrap

import napari.viewer

from .dock import DOCK_NAME, SegmentAnything, open_dock
from .features.everything.logic import Everything
from .features.objects.logic import Objects
from .features.prompting.logic import Prompting
from .features.saving.logic import Saving
from .features.stack.logic import Stack


def find_dock(viewer: napari.viewer.Viewer) -> SegmentAnything:
    """Return the viewer's dock; opens it if there is none."""
    dock = open_dock(viewer)
    if dock is None:
        dock = SegmentAnything(viewer)
        unwrap(viewer).window.add_dock_widget(dock, name=DOCK_NAME)
    return dock


def commit(viewer: napari.viewer.Viewer) -> None:
    """Write the shown objects into the Labels layer."""
    find_dock(viewer).feature(Prompting).commit()


def clear(viewer: napari.viewer.Viewer) -> None:
    """Remove the prompts of this plane."""
    find_dock(viewer).feature(Prompting).clear()


def next_candidate(viewer: napari.viewer.Viewer) -> None:
    """Show another mask for the same prompts."""
    find_dock(viewer).feature(Prompting).candidates.next_candidate()


def begin_object(viewer: napari.viewer.Viewer) -> None:
    """Let the next point begin another object."""
    find_dock(viewer).feature(Prompting).begin_object()


def undo(viewer: napari.viewer.Viewer) -> None:
    """Undo the last step."""
    find_dock(viewer).feature(Prompting).changes.undo()


def redo(viewer: napari.viewer.Viewer) -> None:
    """Redo the step undone last."""
    find_dock(viewer).feature(Prompting).changes.redo()


def reopen(viewer: napari.viewer.Viewer) -> None:
    """Work again on the object under the pointer, or the one that is selected."""
    find_dock(viewer).feature(Prompting).reopener.reopen_here()


def delete(viewer: napari.viewer.Viewer) -> None:
    """Remove the kept object under the pointer."""
    find_dock(viewer).feature(Prompting).changes.delete()


def toggle_kind(viewer: napari.viewer.Viewer) -> None:
    """Swap object and background points."""
    find_dock(viewer).feature(Prompting).tools.toggle_kind()


def toggle_tool(viewer: napari.viewer.Viewer) -> None:
    """Draw points and boxes, regions, or scribbles in turn."""
    find_dock(viewer).feature(Prompting).tools.toggle()


def save(viewer: napari.viewer.Viewer) -> None:
    """Save the labels, objects and prompts of the image."""
    find_dock(viewer).context.saves.save()


def open_project(viewer: napari.viewer.Viewer) -> None:
    """Ask for a project or labels and go on with them."""
    find_dock(viewer).feature(Saving).open_project()


def propagate(viewer: napari.viewer.Viewer) -> None:
    """Follow the objects in work through the stack, or stop that."""
    find_dock(viewer).feature(Stack).propagate()


def mark_absent(viewer: napari.viewer.Viewer) -> None:
    """Say that the object in work is not in this plane."""
    find_dock(viewer).feature(Stack).mark_absent()


def least_certain(viewer: napari.viewer.Viewer) -> None:
    """Go to the plane in which the object in work is least certain."""
    find_dock(viewer).feature(Stack).go_to_uncertain()


def everything_plane(viewer: napari.viewer.Viewer) -> None:
    """Find every object of the plane shown."""
    find_dock(viewer).feature(Everything).run(all_planes=False)


def everything_stack(viewer: napari.viewer.Viewer) -> None:
    """Find every object of every plane."""
    find_dock(viewer).feature(Everything).run(all_planes=True)


def propose_classes(viewer: napari.viewer.Viewer) -> None:
    """Propose classes for the objects that have none."""
    find_dock(viewer).feature(Objects).naming.propose_classes()


def cancel(viewer: napari.viewer.Viewer) -> None:
    """Stop everything mode."""
    find_dock(viewer).feature(Everything).cancel()
