"""Objects listed, classed, finished and found again; planes marked complete."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from qtpy.QtCore import QTimer

from ....objects import Edit, ObjectStore, SegmentedObject, properties
from ....objects.boxes import box_around
from ....objects.classes import (
    ObjectClass,
    add_class,
    classes_of,
    define_classes,
    remove_class,
    rename_class,
)
from ....objects.complete import (
    Region,
    complete_boxes,
    complete_planes,
    is_complete,
    mark_complete,
    mark_incomplete,
)
from ....objects.risk import Assessed
from ....objects.search import Found, outlines_in, search
from ....objects.segmented import Origin, Status, upright
from ....stack.planes import all_planes
from ....types import SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...places import bring_into_view, show_place
from ...scheduler import Lane, Work
from ..feature import Feature
from .assessing import Assessing
from .class_list import KEYS, NO_CLASS_KEY
from .colours import ClassColours, swatch
from .naming import Naming
from .panel import ObjectsPanel
from .region import RegionDrag
from .review import Review
from .table import ObjectTable

LOOK_MS = 150
"""How often the list is compared with the objects, whoever changed them."""
NO_TARGET = "point at an object, or select some in the list"
COMMIT_FIRST = "open an image and commit an object first"
Make = Callable[[ObjectStore, list[int], Found], Edit]


class Objects(Feature):
    """The objects of the layer in use: the active Labels layer of ours, or that of commits."""

    title = "Objects"
    panel: ObjectsPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.table = ObjectTable(self._colour_of)
        self.panel = ObjectsPanel(self.table)
        self.panel.set_rule(context.overlap)
        context.selected = lambda: self.panel.selected
        self.colours = ClassColours()
        self.region = RegionDrag(context, self._on_region_drawn)
        self.assessing = Assessing(context, self._on_assessed)
        self.review = Review(context, self.assessing, self._on_looked_at, self.panel.set_review)
        self.naming = Naming(context, self.panel, self.table, self._point_out, self._show_colours)
        self.keys = {
            "K": self.finish,
            "Q": self.check,
            "R": self.review.go_on,
            "Shift-R": self.review.go_back,
            "Shift-F": self.naming.propose_classes,
            "Y": self.toggle_complete,
            NO_CLASS_KEY: partial(self.press_class_key, NO_CLASS_KEY),
            **{key: partial(self.press_class_key, key) for key in KEYS},
        }
        self._seen: Mapping[int, SegmentedObject] = {}
        self._seen_view: LabelsView | None = None
        self._classes: tuple[ObjectClass, ...] = ()
        self._coloured: tuple[object, ...] = (None,)  # what the colours were chosen for
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._connect()

    @property
    def view(self) -> LabelsView | None:
        """The layer whose objects are listed; None if there is none."""
        return self.context.listed

    @property
    def _class_view(self) -> LabelsView | None:
        """The layer that the classes are defined with: one list for all layers of an image."""
        return self.bench.results or self.view

    def start(self) -> None:
        """Begin to follow the objects."""
        self._timer.start(LOOK_MS)

    def opened(self) -> None:
        """Show the objects as they are now."""
        self.look()

    def close(self) -> None:
        """Give the layer its colours back, and follow no more."""
        self._timer.stop()
        self.region.end()
        self.naming.end()
        self.review.close()
        self.assessing.leave()
        self.colours.hide()

    # -- what the user does -------------------------------------------------------------------

    def finish(self) -> None:
        """Lock the objects under the pointer or selected; unlock them if all are locked."""
        self._set_status("finished")

    def check(self) -> None:
        """Mark objects to be looked at again, or take the mark back."""
        self._set_status("to check")

    def set_class(self, name: str) -> None:
        """Give the objects under the pointer or selected a class; empty: none."""
        self._change(
            lambda store, labels, found: properties.set_category(store, labels, name, found)
        )

    def press_class_key(self, key: str) -> None:
        """Class of the object under the pointer or of the selected ones, else of the next ones."""
        one = next((one for one in self._classes if one.key == key), None)
        if one is None and key != NO_CLASS_KEY:
            self.status.hint("no class has this key; give it one in the list of classes")
            return
        name = "" if one is None else one.name
        if self._targets()[1]:
            self.set_class(name)
        else:
            self.set_next_class(name)

    def set_next_class(self, name: str) -> None:
        """Let the next objects be of a class; empty: none."""
        self.context.category = name
        self.panel.set_next_class(name)
        self.status.hint(f"the next objects are of {f'the class {name}' if name else 'no class'}")

    def delete(self) -> None:
        """Delete the selected objects from all their planes."""
        view, labels = self.view, self.panel.selected
        if view is None or not labels:
            self.status.hint("select objects in the list to delete them")
            return
        self.status.acted()
        try:
            edit = properties.delete_objects(view.store, labels)
            view.apply_in_pieces(edit, partial(self._on_deleted, edit.text))
        except ValueError as error:
            self.status.error(str(error))

    def toggle_complete(self) -> None:
        """Mark the plane shown complete, or take that back."""
        view, plane = self.bench.results, self.context.shown()
        if view is None or plane is None:
            self.status.hint(self.context.hindrance() or COMMIT_FIRST)
            return
        store = view.store
        mark = mark_incomplete if is_complete(store, plane.key) else mark_complete
        self._apply(view, lambda: mark(store, plane.key))

    def show(self, label: int) -> None:
        """Show a plane of an object, and select its label."""
        view = self.view
        one = None if view is None else view.store.objects.get(label)
        if view is None or one is None:
            return
        view.layer.selected_label = label
        plane = self.context.shown()
        boxes = [
            box_around(key, outline.mask) for key, outline in one.outlines.items() if outline.mask
        ]
        if plane is not None:  # the nearest of its planes
            here = dict(plane.key.fixed)
            boxes.sort(key=lambda box: sum(abs(box[axis][0] - here[axis]) for axis in here))
        show_place(self.context, boxes)

    def reopen(self, label: int) -> None:
        """Ask for an object to be worked on again."""
        view = self.view
        if view is not None and label in view.store.objects:
            self.show(label)
            self.context.reopen_asked.emit(label, view)
        else:
            self.status.hint("select an object in the list to work on it again")

    # -- following the objects ------------------------------------------------------------------

    def look(self) -> None:
        """Compare the list with the objects, and show what differs."""
        view = self.view
        objects: Mapping[int, SegmentedObject] = {} if view is None else dict(view.store.objects)
        named = self._class_view
        classes = () if named is None else classes_of(named.store.properties)
        if classes != self._classes:
            self._classes = classes
            self.panel.set_classes(classes)
            if self.context.category not in {one.name for one in classes}:
                self.context.category = ""
        if view is not self._seen_view or objects != self._seen:
            if view is self._seen_view and view is not None:
                self._tell_of_complete(view, objects)
            else:
                self.colours.hide()
            self._show(objects)
            self._seen_view, self._seen = view, objects
        self.assessing.follow(view, self._seen)
        self.review.follow(view, self._seen)
        self.naming.follow(view, self._seen)
        self._show_colours()
        self._show_complete()

    def _show(self, objects: Mapping[int, SegmentedObject]) -> None:
        self.table.set_objects(objects)
        finished = sum(one.locked for one in objects.values())
        count = "1 object" if len(objects) == 1 else f"{len(objects):,} objects"
        self.panel.set_count(f"{count}, {finished:,} finished" if objects else "no objects yet")

    def _show_colours(self) -> None:
        """Show the labels in the colours of their classes, if that is wanted."""
        view, proposals = self._seen_view, self.naming.proposals
        wanted = bool(proposals) or self.panel.by_class.isChecked()
        shown = view, self._seen, self._classes, proposals, wanted
        if all(one is other for one, other in zip(shown, self._coloured, strict=False)):
            return  # looked at many times a second
        self._coloured = shown
        proposed = {label: one.name for label, one in proposals.items()}
        if view is None or not wanted:
            changed = self.colours.hide()
        else:
            changed = self.colours.show(view.layer, view.store.objects, self._classes, proposed)
        if changed:
            self.table.recolour()

    def _tell_of_complete(self, view: LabelsView, objects: Mapping[int, SegmentedObject]) -> None:
        """Say so where a new object lies in a plane that was said to have all of its objects."""
        complete = set(complete_planes(view.store))
        for label in objects.keys() - self._seen.keys() if complete else ():
            if complete.intersection(objects[label].outlines):
                self.status.hint(f"object {label} is new in a plane that is marked complete")
                return

    def _show_complete(self) -> None:
        view, plane, frame = self.bench.results, self.context.shown(), self.bench.frame
        if view is None or plane is None or frame is None:
            self.panel.set_complete("")
            return
        done = len(complete_planes(view.store))
        boxes = len(complete_boxes(view.store, plane.key))
        whole = math.prod(frame.shape[axis] for axis, _ in plane.key.fixed)
        name = "plane " + ", ".join(str(place) for _, place in plane.key.fixed)
        state = "complete" if is_complete(view.store, plane.key) else "not complete"
        if state != "complete" and boxes:
            state = f"{boxes} complete region{'' if boxes == 1 else 's'}"
        text = f"{name if plane.key.fixed else 'the image'}: {state}"
        self.panel.set_complete(f"{text}; {done} of {whole} planes complete" if whole > 1 else text)

    # -- changes ----------------------------------------------------------------------------------

    def _targets(self) -> tuple[LabelsView | None, list[int]]:
        """Return what is meant: the object under the pointer or of a review, or selected rows."""
        bench = self.bench
        if not self.context.viewer.mouse_over_canvas:
            return self.view, self.panel.selected
        view, label = self.context.object_meant(self.view, bench.results, bench.everything)
        return (self.view, []) if view is None else (view, [label])

    def _set_status(self, status: Status) -> None:
        def make(store: ObjectStore, labels: list[int], found: Found) -> Edit:
            there = (store.objects.get(label) for label in labels)
            all_set = all(one is not None and one.status == status for one in there)
            return properties.set_status(store, labels, "" if all_set else status, found)

        self._change(make)

    def _change(self, make: Make) -> None:
        self.status.acted()
        view, labels = self._targets()
        plane = self.context.shown()
        if view is None or plane is None or not labels:
            self.status.hint(self.context.hindrance() or NO_TARGET)
            return
        new = [label for label in labels if label not in view.store.objects]
        origin: Origin = "everything" if view is self.bench.everything else "painted"
        found: Found = {}
        if new:
            key = upright(plane.key)
            here = outlines_in(view.layer.data, key, new, origin)
            found = {label: {key: outline} for label, outline in here.items()}
        edit = self._apply(view, lambda: make(view.store, labels, found))
        if edit is not None and found and plane.key.fixed:
            self._search(view, upright(plane.key), list(found), origin)

    def _search(self, view: LabelsView, key: SliceKey, labels: list[int], origin: Origin) -> None:
        """Find the other planes of new objects, where the labels are in memory."""
        data = view.layer.data
        if not isinstance(data, np.ndarray):
            return
        keys = [one for one in all_planes(data.shape, key) if one != key]

        def done(found: Found) -> None:
            edit = properties.add_planes(view.store, found)
            if edit.changes and data is view.layer.data:
                try:
                    view.amend(edit, refresh=False)
                except (ValueError, OSError) as error:
                    self.status.error(str(error))
                self.look()

        work = Work(
            partial(search, data, keys, labels, origin),
            on_result=done,
            text="looking for the planes of objects",
        )
        self.context.scheduler.submit(work, Lane.LABELS)

    def _apply(
        self, view: LabelsView, make: Callable[[], Edit], refresh: bool = False
    ) -> Edit | None:
        """Make an edit, or say why not."""
        self.status.acted()
        if self.context.history.walking:
            self.status.hint("labels are being written; try again in a moment")
            return None
        try:
            edit = make()
            view.apply(edit, refresh=refresh)
        except (ValueError, OSError) as error:
            self.status.error(str(error))
            return None
        self.status.hint(f"{edit.text} (Ctrl+Z undoes it)")
        self.look()
        return edit

    def _on_deleted(self, text: str) -> None:
        self.status.hint(f"{text} (Ctrl+Z undoes it)")
        self.look()

    def _with_classes(self, make: Callable[[ObjectStore], Edit]) -> None:
        self.bench.ensure_layers()
        view = self._class_view
        if view is None:
            self.status.hint("open an image first")
            return
        self._apply(view, lambda: make(view.store))

    def _changed_class(self, changed: ObjectClass) -> None:
        classes = [changed if one.name == changed.name else one for one in self._classes]
        self._with_classes(lambda store: define_classes(store, classes))

    # -- events -----------------------------------------------------------------------------------

    def _connect(self) -> None:
        panel, classes = self.panel, self.panel.classes
        panel.show_asked.connect(self._on_show_asked)
        panel.review_asked.connect(
            lambda back: self.review.go_back() if back else self.review.go_on()
        )
        panel.reopen_asked.connect(self.reopen)
        panel.class_picked.connect(self.set_class)
        panel.next_class_picked.connect(self.set_next_class)
        panel.finish_asked.connect(self.finish)
        panel.check_asked.connect(self.check)
        panel.delete_asked.connect(self.delete)
        panel.complete_asked.connect(self.toggle_complete)
        panel.region_asked.connect(self._on_region_asked)
        panel.rule_picked.connect(self._on_rule_picked)
        panel.colours_asked.connect(lambda _: self.look())
        classes.add_asked.connect(
            lambda name: self._with_classes(lambda store: add_class(store, name))
        )
        classes.remove_asked.connect(
            lambda name: self._with_classes(lambda store: remove_class(store, name))
        )
        classes.rename_asked.connect(
            lambda old, new: self._with_classes(lambda store: rename_class(store, old, new))
        )
        classes.change_asked.connect(self._changed_class)
        self.context.plane_changed.connect(self._show_complete)

    def _on_show_asked(self, label: int) -> None:
        self.review.leave()
        self.show(label)

    def _point_out(self, one: SegmentedObject | None) -> None:
        """Show an object whose class is proposed, and let keys mean it."""
        view = self.view
        if one is None or view is None:
            self.review.leave()
        else:
            self.show(one.label)
            plane = self.context.shown()
            outline = None if plane is None else one.outlines.get(upright(plane.key))
            if plane is not None and outline is not None:
                here = outline if upright(plane.key) == plane.key else outline.turned()
                bring_into_view(self.context, here.mask.box)
            self.panel.select([one.label])
            self.review.point_out(view, one)

    def _on_looked_at(self, one: Assessed) -> None:
        self.panel.select([one.measured.one.label])
        self.panel.pictures.show_among(one, list(self.assessing.assessed.values()))

    def _on_assessed(self) -> None:
        self.table.set_assessed(self.assessing.assessed, self.assessing.units)
        self.review.follow(self._seen_view, self._seen)

    def _on_rule_picked(self, name: str) -> None:
        self.context.overlap = name
        self.context.preferences.set(overlap=name)

    def _on_region_asked(self) -> None:
        if self.bench.results is None or self.context.shown() is None:
            self.status.hint(self.context.hindrance() or COMMIT_FIRST)
            return
        self.region.begin()
        self.status.hint("drag a box around a region in which all objects are labelled")

    def _on_region_drawn(self, key: SliceKey, box: Region) -> None:
        view = self.bench.results
        if view is not None:
            self._apply(view, lambda: mark_complete(view.store, key, box))

    def _colour_of(self, label: int) -> tuple[int, int, int]:
        view = self._seen_view
        return (0, 0, 0) if view is None else swatch(view.layer, label)
