"""The object of a review that keys act on."""

from __future__ import annotations

from dataclasses import dataclass

from .labels_view import LabelsView


@dataclass
class LookedAt:
    """The object that a review shows.

    Attributes
    ----------
    view : LabelsView
    label : int
    resting : bool
        Whether the pointer has not been moved since: what lies under it is not what is meant.
    """

    view: LabelsView
    label: int
    resting: bool = True
