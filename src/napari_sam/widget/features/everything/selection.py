"""Objects chosen among candidates while thresholds may move; runs in a worker."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from ....everything.amg_params import SELECT_FIELDS, AmgParams
from ....everything.amg_select import Candidates
from ....predict.session import Session
from ....stack.planes import PlaneResult, best_share, everything_in
from ....types import Plane, Progress, SliceKey

KEPT_PLANES = 200
"""So many planes keep their candidates, of some 100 kB each; thresholds move only these."""


class LiveSelection:
    """Labels of planes at the newest thresholds.

    Parameters
    ----------
    image : array
        Of which the planes are.
    candidates : mapping of SliceKey to Candidates
        What was found so far.
    thresholds : callable
        Returns the newest parameters.
    first : int
        The labels begin after it.

    Attributes
    ----------
    share : float or None
        At which the planes are shown to the model, see `exposed`; None until it was chosen.

    Notes
    -----
    Planes get new labels one after the other. Until all have them, no new label may be one that is
    still in use elsewhere; so each selection on several planes begins after the one before.
    """

    def __init__(
        self,
        image: Any,
        candidates: Mapping[SliceKey, Candidates],
        thresholds: Callable[[], AmgParams],
        first: int,
    ) -> None:
        self._image = image
        self._candidates = dict(candidates)
        self._thresholds = thresholds
        self._first = self._largest = first
        self._chosen = thresholds()
        self.share: float | None = None

    def anew(self) -> Iterator[PlaneResult]:
        """Select on all planes; begin again whenever a threshold moves."""
        done = False
        while not done:
            self._chosen = self._thresholds()
            if len(self._candidates) == 1:
                self._largest = self._first
            for key, candidates in list(self._candidates.items()):
                plane = Plane(self._image, key)
                yield self._select(plane, candidates)
                if self._moved:
                    break
            done = not self._moved

    def found(
        self, session: Session, planes: Sequence[Plane]
    ) -> Generator[Progress | PlaneResult, None, bool]:
        """Find every object in planes; a threshold that moves counts for all planes at once.

        Returns
        -------
        bool
            Whether one has moved.
        """
        moved = False
        if self.share is None:
            self.share = yield from best_share(session, planes, self._chosen)
        steps = everything_in(session, planes, self._chosen, self._first, True, self.share)
        for step in steps:
            if isinstance(step, Progress):
                yield step
            elif step.candidates is not None:
                remember(self._candidates, step.plane.key, step.candidates)
                found = self._select(step.plane, step.candidates) if moved else step
                self._largest = max(self._largest, found.largest)
                yield found
            if self._moved:
                moved = True
                yield from self.anew()
        return moved

    @property
    def _moved(self) -> bool:
        now = self._thresholds()
        return any(getattr(now, name) != getattr(self._chosen, name) for name in SELECT_FIELDS)

    def _select(self, plane: Plane, candidates: Candidates) -> PlaneResult:
        found = PlaneResult.selected(plane, candidates, self._chosen, self._largest)
        self._largest = max(self._largest, found.largest)
        return found


def remember(kept: dict[SliceKey, Candidates], key: SliceKey, candidates: Candidates) -> None:
    """Keep the candidates of a plane as the newest ones, and drop the oldest of too many."""
    kept.pop(key, None)
    kept[key] = candidates
    while len(kept) > KEPT_PLANES:
        del kept[next(iter(kept))]
