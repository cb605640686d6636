"""What is wrong with labelled images, a sentence each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Box = tuple[int, int, int, int]
"""(x0, y0, x1, y1), end exclusive."""
Kind = Literal[
    "unreadable",
    "converted",
    "empty",
    "tiny",
    "pieces",
    "merged",
    "unlabelled",
    "shifted",
    "duplicate",
    "balance",
]
KINDS: dict[Kind, str] = {
    "unreadable": "a file that cannot be used; it is not among the examples",
    "converted": "labels that were changed when they were read, or planes left out",
    "empty": "an image without a labelled object",
    "tiny": "objects too small for the model to see",
    "pieces": "labels that lie in several separate pieces",
    "merged": "labels that look like several objects in one",
    "unlabelled": "ground that looks like the labelled objects",
    "shifted": "labels that do not lie on what the image shows",
    "duplicate": "an image that occurs twice",
    "balance": "few objects of a class, or most objects in one image",
}
"""What each kind of finding is about."""
REMOVABLE: tuple[Kind, ...] = (
    "empty",
    "tiny",
    "pieces",
    "merged",
    "unlabelled",
    "shifted",
    "duplicate",
)
"""Kinds of findings that can be left out of the examples."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at before training.

    Attributes
    ----------
    kind : str
        A key of `KINDS`.
    sentence : str
        What was found, and what to do about it.
    example : int or None
        Which of the examples; None where it is of none, or of all.
    labels : tuple of int
        The objects that it is about.
    boxes : tuple of (x0, y0, x1, y1)
        Where it is, end exclusive: of each label, or of each part of the ground.
    """

    kind: Kind
    sentence: str
    example: int | None = None
    labels: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
