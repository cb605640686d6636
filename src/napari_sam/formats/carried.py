"""What a layer carries in its metadata: the objects of its labels, for napari's Save and Open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..objects import SegmentedObject
from ..objects.drawn import Drawing
from .annotation import ImageReference

METADATA = "napari_sam"
"""The key in `layer.metadata`."""


@dataclass(frozen=True, eq=False)
class Carried:
    """The objects of a layer; those of an open view change with its store.

    Attributes
    ----------
    objects : mapping of int to SegmentedObject
    properties : mapping of str
        See `objects.edit.Edit`.
    prompts : tuple of DrawnRow
        Of objects in work, as they were read, until they are drawn.
    image : ImageReference or None
        The image that was annotated.
    drawn : callable or None
        Returns the prompts that are drawn now, where a dock works on the layer.
    """

    objects: Mapping[int, SegmentedObject]
    properties: Mapping[str, Any] = field(default_factory=dict)
    prompts: Drawing = ()
    image: ImageReference | None = None
    drawn: Callable[[], Drawing] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Carried:
        """Return the objects as they are now: napari copies metadata with a layer."""
        return Carried(dict(self.objects), dict(self.properties), self.all_prompts, self.image)

    @property
    def all_prompts(self) -> Drawing:
        """The prompts that were read and those that are drawn now."""
        return self.prompts if self.drawn is None else (*self.prompts, *self.drawn())


def carried_by(metadata: Mapping[str, Any]) -> Carried:
    """Return what a layer carries; nothing if it carries none."""
    found = metadata.get(METADATA)
    if not isinstance(found, Carried):
        return Carried({})
    return Carried(found.objects, found.properties, found.all_prompts, found.image)
