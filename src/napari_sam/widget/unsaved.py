"""What of an annotation is not in its file yet, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..objects import SegmentedObject
from ..objects.drawn import Drawing, without


@dataclass(frozen=True, eq=False)
class State:
    """An annotation at one moment, without its pixels.

    Attributes
    ----------
    step : int
        Number of the newest step; 0 if there is none.
    objects : mapping of int to SegmentedObject
    properties : mapping of str
    prompts : tuple of DrawnRow
    """

    step: int = 0
    objects: Mapping[int, SegmentedObject] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=dict)
    prompts: Drawing = ()


def unsaved_text(saved: State, now: State) -> str:
    """Return what differs: "3 objects, 2 prompts"; empty if nothing does.

    Parameters
    ----------
    saved : State
        What the file holds; that of an empty annotation where there is none.
    now : State
    """
    labels = saved.objects.keys() | now.objects.keys()
    changed = sum(saved.objects.get(one) is not now.objects.get(one) for one in labels)
    prompts = len(without(now.prompts, saved.prompts)) + len(without(saved.prompts, now.prompts))
    parts = [counted(changed, "object")] if changed else []
    if prompts:
        parts.append(counted(prompts, "prompt"))
    if not parts and (saved.step != now.step or dict(saved.properties) != dict(now.properties)):
        parts.append("other changes")
    return ", ".join(parts)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 object", "2 objects"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
