"""Steps of a history: edits of one or several targets that are undone and redone at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from .edit import Edit
from .recorder import Target

PATCH_BYTES = 1000
ROW_BYTES = 500
"""What a patch takes beside its pixels and what a prompt takes, about."""

Part = tuple[Target, Edit]


@dataclass(eq=False)
class Step:
    """What is undone and redone at once.

    Attributes
    ----------
    number : int
        Grows from step to step.
    text : str
        What it was, in words.
    targets : list of Target
        Of its parts.
    parts : list of (Target, Edit) or None
        In the order in which they were written; None where only the recorder has them.
    nbytes : int
        What the parts take in memory, about.
    is_recorded : bool
        Whether the recorder knows the number.
    refused : list of (Target, Edit)
        What is done and the recorder has not taken yet; it stays in memory.
    """

    number: int
    text: str
    targets: list[Target]
    parts: list[Part] | None
    nbytes: int = 0
    is_recorded: bool = False
    refused: list[Part] = field(default_factory=list)


def size_of(parts: list[Part]) -> int:
    """Return what edits take, about: pixels, outlines, prompts, and a sum for each patch."""
    total = 0
    for _, edit in parts:
        objects = (one for change in edit.objects.values() for one in change if one is not None)
        outlines = (outline for one in objects for outline in one.outlines.values())
        total += edit.nbytes + sum(outline.mask.packed.nbytes for outline in outlines)
        total += PATCH_BYTES * (1 + len(edit.patches))
        total += ROW_BYTES * (len(edit.removed) + len(edit.added))
    return total
