"""Objects and prompts of files of other programs, and the edit that brings them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..objects import Edit, ObjectStore, OverlapRule, SegmentedObject, free_pixels
from ..objects.drawn import Drawing
from ..objects.edits import keep
from ..objects.overlap import sparing
from .coco_files import found_in_coco
from .found import Found, box_row
from .imagej_roi import found_in_rois

Finder = Callable[[Path, tuple[int, ...] | None], Found]
FINDERS: Mapping[str, Finder] = {
    ".json": found_in_coco,
    ".roi": found_in_rois,
    ".zip": found_in_rois,
}
"""By the ending of the file."""


def imported(
    path: str | Path, shape: tuple[int, ...], as_prompts: bool = False
) -> tuple[tuple[SegmentedObject, ...], Drawing]:
    """Return the objects and prompts of a file of another program.

    Parameters
    ----------
    path : path
    shape : tuple of int
        Of the image, without colours.
    as_prompts : bool
        Whether objects become boxes around them, each in each of its planes.

    Returns
    -------
    tuple of SegmentedObject, tuple of DrawnRow

    Raises
    ------
    ValueError
        If the file cannot be read, or does not fit the image.
    """
    path = Path(path)
    finder = FINDERS.get(path.suffix.lower())
    if finder is None:
        raise ValueError(f"objects are read of {', '.join(FINDERS)}, but this is {path.name}")
    found = finder(path, shape)
    if not as_prompts:
        return found.objects, found.prompts
    boxes = [
        box_row(key, outline.mask.box)
        for one in found.objects
        for key, outline in one.outlines.items()
        if outline.mask
    ]
    return (), (*found.prompts, *boxes)


def import_objects(
    store: ObjectStore, objects: Sequence[SegmentedObject], rule: OverlapRule = free_pixels
) -> Edit:
    """Make one edit that adds objects under new labels; finished ones lose no pixel to them.

    Parameters
    ----------
    store : ObjectStore
    objects : sequence of SegmentedObject
        Their own labels do not matter.
    rule : OverlapRule

    Raises
    ------
    ValueError
        If nothing would be written, or an outline is of another size than the planes.
    """
    locked = [label for label, one in store.objects.items() if one.locked]
    edit = keep(store, [one.outlines for one in objects], sparing(rule, locked))
    sources = {id(outline): one for one in objects for outline in one.outlines.values()}
    changes = {}
    for label, (before, after) in edit.objects.items():
        if after is None:
            continue
        source = sources[id(next(iter(after.outlines.values())))]
        changes[label] = before, replace(source, label=label, outlines=after.outlines)
    return replace(edit, text=f"the import of {len(changes)} objects", objects=changes)
