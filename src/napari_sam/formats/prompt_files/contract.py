"""What a file of prompts says, whoever wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...masks import middle_of
from ...types import Mask, Prompts

SCORE = "prompt score"
"""The attribute of an object with the score that the other system gave it."""


@dataclass(frozen=True, eq=False)
class FilePrompt:
    """What a file says of one object in one plane.

    Attributes
    ----------
    number : int
        Of the object, from 1; what it says of the same object elsewhere has the same one.
    place : tuple of int
        Of the plane on the leading axes of the image; empty in a plane.
    prompts : Prompts
    outline : Mask or None
        A rough outline, which the answer starts from.
    category : str
        Its class; empty if it has none.
    score : float or None
        How sure the other system was; None if it does not say.
    where : str
        Where it stands in the file: "line 3".
    """

    number: int
    place: tuple[int, ...]
    prompts: Prompts
    outline: Mask | None = None
    category: str = ""
    score: float | None = None
    where: str = ""


@dataclass(frozen=True)
class PromptChoice:
    """What has to be known to read a file.

    Attributes
    ----------
    image : str
        Name of the image file, which tells its results from those of others.
    image_id : str
        The id of the image in COCO results; empty where its name is its id.
    dwell : float
        Seconds that a gaze rests at least where it makes a click.
    dispersion : float
        Pixels of width and height together that it moves meanwhile, at most.
    least_score : float or None
        What is less sure is left out; None takes all.
    advice : str
        What a user does where it is not known which results are those of the image; empty: the
        command line's flag.
    axes : str
        Letters of the leading axes of the image, "Z", "T" or "TZ"; empty if unknown.
    """

    image: str = ""
    image_id: str = ""
    dwell: float = 0.1
    dispersion: float = 25.0
    least_score: float | None = None
    advice: str = ""
    axes: str = ""

    def __post_init__(self) -> None:
        if not (self.dwell > 0 and np.isfinite(self.dwell)):
            raise ValueError(f"a gaze rests longer than 0 seconds, but dwell is {self.dwell}")
        if not (self.dispersion > 0 and np.isfinite(self.dispersion)):
            raise ValueError(f"the dispersion is above 0 pixels, but is {self.dispersion}")
        if self.least_score is not None and not np.isfinite(self.least_score):
            raise ValueError(f"the least score is a finite number, but is {self.least_score}")


@dataclass(frozen=True, eq=False)
class PromptFile:
    """What a file says.

    Attributes
    ----------
    prompts : tuple of FilePrompt
    notice : str
        What was left out, a clause; empty if nothing was.
    """

    prompts: tuple[FilePrompt, ...]
    notice: str = ""

    def surer_than(self, least: float | None) -> PromptFile:
        """Return it without what has a lower score; what has none stays, and all where it is None.

        Clauses of what is left out are joined.
        """
        if least is None:
            return self
        kept = tuple(one for one in self.prompts if one.score is None or one.score >= least)
        left = len(self.prompts) - len(kept)
        clauses = [self.notice] if self.notice else []
        clauses += [f"{several(left, 'prompt')} with a score below {least:g}"] if left else []
        return replace(self, prompts=kept, notice=", ".join(clauses))


def several(count: int, thing: str) -> str:
    """Return a number and a noun: "1 point", "2 points"."""
    return f"{count} {thing}{'s' * (count != 1)}"


def checked_score(value: float) -> float:
    """Return a score; ValueError unless it lies between 0 and 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"a score is a number from 0 to 1, but is {value:g}")
    return value


def of_mask(mask: Mask) -> tuple[Prompts, Mask | None]:
    """Return the prompts of an area: its box, and if that is not all of it, its outline."""
    x0, y0, x1, y1 = mask.box
    if mask.area == (x1 - x0 + 1) * (y1 - y0 + 1):
        return Prompts(box=mask.box), None
    return Prompts([middle_of(mask)], [1], mask.box), mask


def box_of_edges(x0: float, y0: float, x1: float, y1: float) -> tuple[float, ...]:
    """Return the box around the centres of pixels whose outer edges are given, (0, 0) a corner."""
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def points_of(xy: NDArray[np.float64] | Sequence[Sequence[float]]) -> Prompts:
    """Return clicks on an object."""
    return Prompts(np.asarray(xy, np.float64).reshape(-1, 2))
