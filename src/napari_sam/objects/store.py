"""The objects of one canvas: a target of edits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from ..types import Progress, SliceKey
from .canvas import Canvas
from .edit import Edit
from .recorder import TargetInfo
from .segmented import SegmentedObject

NEXT_LABEL = "next_label"
"""The property of an edit that holds the next label before and after it."""


class ObjectStore:
    """Objects by label; every change is an edit, which a `History` makes and takes back.

    Parameters
    ----------
    canvas : Canvas
    largest : int
        The largest label in it.

    Attributes
    ----------
    id : str
        Unique over all sessions.
    canvas : Canvas
    next_label : int
        Above all labels that were kept or painted; taking an edit back gives its labels free again.
    watchers : list of callable
        Each is called with an edit before its pixels are written, and after, also by somebody else.
    """

    def __init__(self, canvas: Canvas, largest: int = 0) -> None:
        self.id = uuid4().hex
        self.canvas = canvas
        self.next_label = largest + 1
        self.watchers: list[Callable[[Edit], None]] = []
        self._objects: dict[int, SegmentedObject] = {}
        self._properties: dict[str, Any] = {}

    @property
    def objects(self) -> Mapping[int, SegmentedObject]:
        """Objects by label, to be read."""
        return MappingProxyType(self._objects)

    @property
    def properties(self) -> Mapping[str, Any]:
        """What holds for the whole annotation, to be read; see `Edit`."""
        return MappingProxyType(self._properties)

    # -- as a history asks for it; see `recorder.Target` ----------------------------------------

    def info(self) -> TargetInfo:
        """Describe the labels; the image is unknown here."""
        return TargetInfo("objects", self.canvas.shape, "", str(self.canvas.dtype))

    def image_hash(self, key: SliceKey) -> str:
        """Return nothing: the image is unknown here."""
        return ""

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return an edit with the next label before and after it."""
        properties = {name: pair for name, pair in edit.properties.items() if name != NEXT_LABEL}
        first = whole.properties.get(NEXT_LABEL, (self.next_label,))[0]
        following = max(first, whole.largest + 1)
        if following != self.next_label:
            properties[NEXT_LABEL] = (self.next_label, following)
        return replace(edit, properties=properties)

    def adopt(self, edit: Edit) -> None:
        """Take up an edit whose pixels are already written, such as a stroke."""
        self._check(edit)
        self._tell(edit)
        self._replace_objects(edit)
        if NEXT_LABEL not in edit.properties:
            self.next_label = max(self.next_label, edit.largest + 1)
            return
        before, after = edit.properties[NEXT_LABEL]
        # somebody else may have raised it meanwhile
        self.next_label = after if before == self.next_label else max(self.next_label, after)

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Write an edit, all or nothing, a piece at a time."""
        self._check(edit)
        self._tell(edit)
        yield from self.canvas.write_all(edit.patches, edit.text)
        self.adopt(edit)

    def _tell(self, edit: Edit) -> None:
        for watcher in tuple(self.watchers):
            watcher(edit)

    def _check(self, edit: Edit) -> None:
        for label, (before, _) in edit.objects.items():
            if (before is None) == (label in self._objects):
                there = "is no longer there" if before is not None else "is there already"
                raise ValueError(f"object {label} {there}; make the change anew")

    def _replace_objects(self, edit: Edit) -> None:
        for label, (_, after) in edit.objects.items():
            if after is None:
                del self._objects[label]
            else:
                self._objects[label] = after
        for name, (_, value) in edit.properties.items():
            if name == NEXT_LABEL:
                continue
            if value is None:
                self._properties.pop(name, None)
            else:
                self._properties[name] = value
