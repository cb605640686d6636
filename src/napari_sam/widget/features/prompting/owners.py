"""Which object in work a new prompt belongs to; prompts keep their object from then on."""

from __future__ import annotations

from collections.abc import Sequence

from ....predict.grouping import owner_of
from ....predict.prompt_kinds import PlacedPrompt
from ....types import SliceKey
from ...layers import DrawnPrompt

Drawn = Sequence[DrawnPrompt]


class Owners:
    """Numbers the objects in work, and gives each new prompt of a plane to one of them.

    A box is an object of its own. A foreground point belongs to the object in whose box it lies, or
    else to the object that points go to; a background point belongs to the object that was
    prompted last.
    """

    def __init__(self) -> None:
        self._current: dict[SliceKey, int] = {}
        self._of_points: dict[SliceKey, int | None] = {}
        self._last = 0

    def current(self, key: SliceKey) -> int | None:
        """Return the object of a plane that was prompted last."""
        return self._current.get(key)

    def begin(self, key: SliceKey) -> None:
        """Let the next foreground point outside all boxes of a plane begin another object."""
        self._of_points[key] = None

    def forget(self, key: SliceKey) -> None:
        """Begin anew on a plane: its objects in work are gone."""
        self._current.pop(key, None)
        self._of_points.pop(key, None)

    def own(self, drawn: Drawn, key: SliceKey) -> list[PlacedPrompt]:
        """Give the new ones among the prompts of a plane to objects, and return all of them.

        A copy of a box is new, and so is a background point whose object is gone.
        """
        owned: list[DrawnPrompt] = []
        new: list[DrawnPrompt] = []
        taken: set[int | None] = {None}
        for one in drawn:
            alone = one.placed.kind.scope == "object"
            is_new = one.placed.owner is None or (alone and one.placed.owner in taken)
            (new if is_new else owned).append(one)
            if alone:
                taken.add(one.placed.owner)
        begun = {one.placed.owner for one in owned if one.placed.kind.begins}
        new += [one for one in owned if one.placed.owner not in begun]
        owned = [one for one in owned if one.placed.owner in begun]
        choices = {"object": self._of_its_own, "place": self._by_place, "plane": self._latest}
        for scope, choose in choices.items():
            for one in new:
                if one.placed.kind.scope == scope:
                    owned.append(one.given_to(choose(one.placed, owned, key)))
        return [one.placed for one in owned]

    def _of_its_own(self, placed: PlacedPrompt, owned: Drawn, key: SliceKey) -> int:
        self._last += 1
        self._current[key] = self._last
        return self._last

    def _by_place(self, placed: PlacedPrompt, owned: Drawn, key: SliceKey) -> int:
        boxes = {
            one.placed.owner: one.placed.box
            for one in owned
            if one.placed.owner is not None and one.placed.box is not None
        }
        owner = owner_of(placed.values, boxes)
        if owner is None:
            free = [one.placed.owner for one in owned if one.placed.owner not in boxes]
            known = [number for number in free if number is not None]
            owner = self._of_points.setdefault(key, max(known, default=None))
        if owner is None:
            owner = self._of_points[key] = self._of_its_own(placed, owned, key)
        self._current[key] = owner
        return owner

    def _latest(self, placed: PlacedPrompt, owned: Drawn, key: SliceKey) -> int | None:
        here = [one.placed.owner for one in owned if one.placed.kind.begins]
        current = self._current.get(key)
        if current in here:
            return current
        return max((number for number in here if number is not None), default=None)
