"""What two models answer in a plane, as outlines in two colours."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....everything.amg import AutomaticMaskGenerator
from ....everything.amg_params import AmgParams
from ....masks import edge_of, middle_of
from ....models.contract import PromptableModel
from ....models.registry import loading
from ....objects.segmented import upright
from ....predict.predictor import SamPredictor
from ....predict.session import Session
from ....types import Mask, Plane, Progress, Prompts, SliceKey
from ...context import Context
from ...frame import Frame
from ...plane_overlay import PlaneOverlay, empty_plane

BEFORE, AFTER, BOTH = (0.25, 0.6, 1.0, 1.0), (1.0, 0.35, 0.75, 1.0), (1.0, 1.0, 1.0, 1.0)
"""Colours of the outlines of the earlier model, of the later one, and where they agree."""
WIDTH = 500
"""Pixels of a plane's longer side for each pixel of an outline's width."""
MOST_OBJECTS = 100
"""Kept objects of a plane whose middles are clicked on."""


@dataclass(frozen=True, eq=False)
class Compared:
    """Two models' answers in a plane.

    Attributes
    ----------
    key : SliceKey
    pixels : (H + 1, W + 1) uint8
        1 at outlines of the earlier model, 2 at those of the later one, 3 where they agree.
    what : str
        What they were asked.
    """

    key: SliceKey
    pixels: NDArray[np.uint8]
    what: str


def comparing_here(
    session: Session,
    other: str,
    device: str,
    session_is_later: bool,
    plane: Plane,
    prompts: Sequence[Prompts],
    there: Callable[[SliceKey], NDArray[np.integer[Any]]],
) -> Generator[Progress, None, Compared]:
    """Ask the model in use and another one; in the worker.

    Parameters
    ----------
    session : Session
        Of the model in use.
    other : str
        Name or path of the other one.
    device : str
    session_is_later : bool
        Whether the one in use is the later one.
    plane : Plane
    prompts : sequence of Prompts
        Of objects in work. Without any, kept objects get a click in their middle; without these,
        both models look for everything.
    there : callable
        Returns the kept labels of a plane.

    Raises
    ------
    ValueError
        If the other model cannot be loaded, or there is nothing to ask and everything mode would
        take too long.
    """
    asked, what = list(prompts), "your prompts"
    if not asked:
        asked, what = _clicks(there(upright(plane.key)), plane.key), "a click on each kept object"
    model: PromptableModel = yield from loading(other, device)
    sessions = [session, Session(SamPredictor(model), closer_look=session.closer_look)]
    found: list[list[Mask]] = []
    for one in sessions:
        yield Progress(len(found), 2, "comparing both models on this plane")
        if asked:
            answers = one.predict_many(plane, asked)
            found.append([answer.masks[answer.best] for answer in answers])
        else:
            what = "everything"
            found.append((yield from _everything(one, plane)))
    before, after = found[::-1] if session_is_later else found
    return Compared(plane.key, _drawn(plane.size, before, after), what)


def _clicks(labels: NDArray[np.integer[Any]], key: SliceKey) -> list[Prompts]:
    """Return a click in the middle of each object of an upright plane."""
    if key.displayed[0] > key.displayed[1]:
        labels = labels.T
    values = [int(value) for value in np.unique(labels) if value][:MOST_OBJECTS]
    return [Prompts([middle_of(Mask.of(labels == value))], [1]) for value in values]


def _everything(session: Session, plane: Plane) -> Generator[Progress, None, list[Mask]]:
    model = session.predictor.model
    if model.amg_defaults.get("seeds") != "auto":
        raise ValueError(
            "everything takes too long with this model; click on an object or keep one, then "
            "compare again"
        )
    generator = AutomaticMaskGenerator(session.predictor, AmgParams(**model.amg_defaults))
    embed = partial(session.crop_embedding, plane)
    candidates = yield from generator.propose_on(plane.size, embed, plane.spacing)
    return [record.mask for record in generator.select(candidates)]


def _drawn(
    size: tuple[int, int], before: Sequence[Mask], after: Sequence[Mask]
) -> NDArray[np.uint8]:
    pixels = empty_plane(size)
    width = max(1, round(max(size) / WIDTH))
    for bit, masks in ((1, before), (2, after)):
        for mask in masks:
            if mask:
                pixels[mask.part][edge_of(mask, width)] |= bit
    return pixels


class ShownOutlines(PlaneOverlay):
    """Shows outlines in its layer.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context, "SAM comparison", (BEFORE, AFTER, BOTH), 1.0)
        self._shown: Compared | None = None

    def show(self, frame: Frame, compared: Compared) -> None:
        """Show the outlines in their plane, in a later event where the layer has to be made."""
        self._shown = compared
        self.make(frame, partial(self._put, frame, compared))

    def hide(self) -> None:
        """Show nothing."""
        self._shown = None
        self.set_visible(False)

    def _put(self, frame: Frame, compared: Compared) -> None:
        if self._shown is compared:
            self.paint(frame, compared.key, compared.pixels)
            self.set_visible(True)
