"""Segmented objects, with their outline in each plane."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..types import Mask, Prompts, SliceKey

Origin = Literal["prompted", "propagated", "everything", "painted", "imported"]
Status = Literal["", "finished", "to check"]
"""Of an object; "" is in progress. The pixels of a finished object are locked."""


@dataclass(frozen=True, eq=False)
class Outline:
    """One object in one plane.

    Attributes
    ----------
    mask : Mask
        As answered, in displayed orientation; other objects may own some of its pixels.
    prompts : Prompts or None
        The prompts of the object in this plane; None if there are none.
    candidate : int
        Which of the model's masks it is.
    score : float
        Predicted IoU.
    origin : {"prompted", "propagated", "everything", "painted", "imported"}
    model : str
        Name of the model; empty if none was used.
    model_hash : str
        `PromptableModel.fingerprint`: which weights answered; empty if unknown.
    """

    mask: Mask
    prompts: Prompts | None = None
    candidate: int = 0
    score: float = 1.0
    origin: Origin = "prompted"
    model: str = ""
    model_hash: str = ""

    def turned(self) -> Outline:
        """Return the same outline with rows and columns swapped."""
        (x0, y0, _, _), (height, width) = self.mask.box, self.mask.size
        mask = Mask.of(self.mask.bits.T, (y0, x0), (width, height))
        prompts = self.prompts
        return replace(self, mask=mask, prompts=None if prompts is None else prompts.turned())


def upright(key: SliceKey) -> SliceKey:
    """Return the same plane with its axes in the order of the array; objects are kept so."""
    rows, columns = sorted(key.displayed)
    return replace(key, displayed=(rows, columns))


def largest_outline(
    outlines: Mapping[SliceKey, Outline], shown: SliceKey
) -> tuple[SliceKey, Outline] | None:
    """Return the largest outline along the axes of a plane, turned as that one is.

    Parameters
    ----------
    outlines : mapping of SliceKey to Outline
        Of one object, in upright planes.
    shown : SliceKey

    Returns
    -------
    (SliceKey, Outline) or None
        Where it lies, with the orientation and the level of `shown`; None if there is none.
    """
    axes = upright(shown).displayed
    fitting = [key for key, one in outlines.items() if one.mask and key.displayed == axes]
    if not fitting:
        return None
    key = max(fitting, key=lambda key: outlines[key].mask.area)
    outline = outlines[key] if shown.displayed == axes else outlines[key].turned()
    return replace(key, displayed=shown.displayed, level=shown.level), outline


@dataclass(frozen=True, eq=False)
class SegmentedObject:
    """One object, possibly over several planes.

    Attributes
    ----------
    label : int
        Its value in the labels.
    outlines : mapping of SliceKey to Outline
    category : str
        Name of its class; empty if it has none.
    status : {"", "finished", "to check"}
    annotator : str
    time : float
        Seconds since 1970; 0 if unknown.
    attributes : mapping of str
        Whatever else is known of it.
    """

    label: int
    outlines: Mapping[SliceKey, Outline]
    category: str = ""
    status: Status = ""
    annotator: str = ""
    time: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def locked(self) -> bool:
        """Whether its pixels stay as they are whatever is done to others."""
        return self.status == "finished"

    @property
    def keyframes(self) -> tuple[SliceKey, ...]:
        """The planes in which the object has prompts."""
        return tuple(key for key, one in self.outlines.items() if one.prompts is not None)
