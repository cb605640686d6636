"""Objects measured and assessed in the background, whoever changes them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels

from ....objects import Edit, SegmentedObject
from ....objects.boxes import Box, enclosing
from ....objects.measured import Measured, measure_all
from ....objects.risk import Assessed, assessed
from ....types import Progress
from ...context import Context
from ...labels_view import LabelsView
from ...placement import pixel_sides
from ...scheduler import Lane, Work

MOST_BOXES = 64
"""So many changed places are kept apart; more of them become one box around them."""

Assessments = Mapping[int, Assessed]
Found = tuple[dict[int, Measured], Assessments]


class Assessing:
    """Keeps what is known of the objects of one layer up to date.

    What was measured of an object stays until the object is another one, or pixels change there.
    Labels that are not in memory are not read: what others have of an object is unknown then.

    Parameters
    ----------
    context : Context
    told : callable
        Called when more is known.

    Attributes
    ----------
    assessed : mapping of int to Assessed
        By label.
    units : (str, str)
        Of areas and volumes.
    """

    def __init__(self, context: Context, told: Callable[[], None]) -> None:
        self.context, self._told = context, told
        self.assessed: Assessments = {}
        self.units = "px", "voxels"
        self._view: LabelsView | None = None
        self._objects: Mapping[int, SegmentedObject] = {}
        self._wanted: Mapping[int, SegmentedObject] = self._objects
        self._known: Mapping[int, Measured] = {}
        self._spacing: tuple[float, ...] = ()
        self._touched: list[Box] = []

    @property
    def is_ready(self) -> bool:
        """Whether all objects are assessed as they are now."""
        return self._objects is self._wanted and not self._touched

    def follow(self, view: LabelsView | None, objects: Mapping[int, SegmentedObject]) -> None:
        """Assess the objects of a layer, if they are others or something changed.

        Parameters
        ----------
        view : LabelsView or None
        objects : mapping of int to SegmentedObject
            Another mapping if one of them is another one.
        """
        scheduler = self.context.scheduler
        if view is not self._view:
            scheduler.cancel(Lane.REVIEW)
            self.leave()
            self._view = view
            self._told()
            if view is not None:
                view.store.watchers.append(self._on_touched)
        self._wanted = objects
        if view is None or scheduler.is_busy(Lane.REVIEW):
            return
        spacing, self.units = sides_and_units(view.layer)
        if self.is_ready and spacing == self._spacing:
            return
        data = view.layer.data if isinstance(view.layer.data, np.ndarray) else None
        touched, self._touched = self._touched, []
        if len(touched) > MOST_BOXES:
            touched = [enclosing(touched)]
        steps = partial(_steps, objects, self._known, data, touched, spacing)
        done = partial(self._on_assessed, objects, spacing)
        failed = partial(self._on_failed, objects, spacing)
        work = Work(steps, on_result=done, on_error=failed, text="measuring objects")
        scheduler.submit(work, Lane.REVIEW)

    def leave(self) -> None:
        """Forget the layer."""
        if self._view is not None:
            self._view.store.watchers.remove(self._on_touched)
        self._view = None
        self._objects, self._known, self.assessed = {}, {}, {}
        self._touched = []

    def _on_assessed(
        self, objects: Mapping[int, SegmentedObject], spacing: tuple[float, ...], found: Found
    ) -> None:
        self._objects, self._spacing = objects, spacing
        self._known, self.assessed = found
        self._told()

    def _on_failed(
        self, objects: Mapping[int, SegmentedObject], spacing: tuple[float, ...], text: str
    ) -> None:
        """Say why, and measure all objects again when something changes."""
        self._objects, self._spacing, self._known = objects, spacing, {}
        self.context.status.error(text)

    def _on_touched(self, edit: Edit) -> None:
        self._touched.extend(patch.box for patch in edit.patches)


def sides_and_units(layer: Labels) -> tuple[tuple[float, ...], tuple[str, str]]:
    """Return the sides of a pixel, and the units of areas and volumes; without units, in pixels."""
    unit = layer.units[0]
    if str(unit) == "pixel" or any(one != unit for one in layer.units):
        return (1.0,) * layer.ndim, ("px", "voxels")
    names = ("scale", "translate", "rotate", "shear")
    transform = {name: getattr(layer, name) for name in names}
    sides = pixel_sides({**transform, "affine": layer.affine.affine_matrix})
    return sides, (f"{unit:~}²", f"{unit:~}³")


def _steps(
    objects: Mapping[int, SegmentedObject],
    known: Mapping[int, Measured],
    labels: Any,
    touched: list[Box],
    spacing: tuple[float, ...],
) -> Generator[Progress, None, Found]:
    measured = yield from measure_all(objects, known, labels, touched)
    results = assessed(list(measured.values()), spacing)
    return measured, {one.measured.one.label: one for one in results}
