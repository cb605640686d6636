"""Which object in work a new prompt belongs to; prompts keep their object from then on."""

from __future__ import annotations

from collections.abc import Sequence

from ....predict.grouping import owner_of
from ....predict.prompt_kinds import PlacedPrompt
from ...layers import DrawnPrompt


class Owners:
    """Numbers the objects in work, and gives each new prompt to one of them.

    A box is an object of its own. A foreground point belongs to the object in whose box it lies, or
    else to the object that points go to; a background point belongs to the object that was
    prompted last.

    Attributes
    ----------
    current : int or None
        The object that was prompted last.
    """

    def __init__(self) -> None:
        self.current: int | None = None
        self._of_points: int | None = None
        self._last = 0

    def begin(self) -> None:
        """Let the next foreground point outside all boxes begin another object."""
        self._of_points = None

    def forget(self) -> None:
        """Begin anew: the objects in work are gone."""
        self.current = self._of_points = None

    def own(self, drawn: Sequence[DrawnPrompt]) -> list[PlacedPrompt]:
        """Give the new ones among the prompts of a plane to objects, and return all of them."""
        owned = [one for one in drawn if one.placed.owner is not None]
        new = [one for one in drawn if one.placed.owner is None]
        for scope, choose in (
            ("object", self._of_its_own),
            ("place", self._by_place),
            ("plane", self._latest),
        ):
            for one in new:
                if one.placed.kind.scope == scope:
                    owned.append(one.given_to(choose(one.placed, owned)))
        return [one.placed for one in owned]

    def _of_its_own(self, placed: PlacedPrompt, owned: Sequence[DrawnPrompt]) -> int:
        self._last += 1
        self.current = self._last
        return self._last

    def _by_place(self, placed: PlacedPrompt, owned: Sequence[DrawnPrompt]) -> int:
        boxes = {
            one.placed.owner: one.placed.box
            for one in owned
            if one.placed.owner is not None and one.placed.box is not None
        }
        owner = owner_of(placed.values, boxes)
        if owner is None:
            if self._of_points is None:
                self._of_points = self._of_its_own(placed, owned)
            owner = self._of_points
        self.current = owner
        return owner

    def _latest(self, placed: PlacedPrompt, owned: Sequence[DrawnPrompt]) -> int | None:
        here = [one.placed.owner for one in owned if one.placed.owner is not None]
        return self.current if self.current in here else max(here, default=None)
