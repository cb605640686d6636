"""Which object in work a new prompt belongs to; prompts keep their object from then on."""

from __future__ import annotations

from collections.abc import Sequence

from ....predict.grouping import owner_of
from ....predict.prompt_kinds import PlacedPrompt
from ....types import SliceKey
from ...layers import DrawnPrompt
from ...work.planes import InWork

Drawn = Sequence[DrawnPrompt]


class Owners:
    """Numbers the objects in work, and gives each new prompt of a plane to one of them.

    New objects have positive numbers; a kept object that was opened again has its label, negative.

    The first prompt on another plane goes on with the object in work. If there are several, it goes
    on with the one whose outline lies there, or else begins another one. On the same plane a box or
    a region is an object of its own. A foreground point or scribble belongs to the object in whose
    box it lies, or else to the object that points go to; one on the background belongs to the
    object that was prompted last.
    """

    def __init__(self) -> None:
        self._current: int | None = None
        self._of_points: dict[SliceKey, int] = {}
        self._beginning = False
        self._last = 0

    @property
    def current(self) -> int | None:
        """The object that was prompted last."""
        return self._current

    def begin(self, key: SliceKey) -> None:
        """Let the next prompt outside all boxes begin another object."""
        self._of_points.pop(key, None)
        self._beginning = True

    def take_up(self, number: int) -> None:
        """Go on with an object."""
        self._current = number
        self._beginning = False

    def forget(self, key: SliceKey) -> None:
        """Begin anew on a plane: its objects in work are gone."""
        self._of_points.pop(key, None)
        self._beginning = False

    def clear(self) -> None:
        """Begin anew: no object is in work."""
        self._current = None
        self._of_points.clear()
        self._beginning = False

    def own(self, drawn: Drawn, key: SliceKey, work: InWork) -> list[PlacedPrompt]:
        """Give the new ones among the prompts of a plane to objects, and return all of them.

        A copy of a box is new, and so is a background point whose object is gone, and what belonged
        to a kept object that is not there any more.
        """
        owned: list[DrawnPrompt] = []
        new: list[DrawnPrompt] = []
        taken: set[int | None] = {None}
        for one in drawn:
            owner = one.placed.owner
            alone = one.placed.kind.scope == "object"
            is_gone = owner is not None and owner < 0 and owner not in work.elsewhere
            is_new = owner is None or is_gone or (alone and owner in taken)
            (new if is_new else owned).append(one)
            if alone:
                taken.add(owner)
        begun = {one.placed.owner for one in owned if one.placed.kind.begins}
        begun |= {one.placed.owner for one in owned if (one.placed.owner or 0) < 0}
        begun |= set(work.outlined)
        new += [one for one in owned if one.placed.owner not in begun]
        owned = [one for one in owned if one.placed.owner in begun]
        self._last = max([self._last, *(one.placed.owner or 0 for one in owned), *work.elsewhere])
        choices = {"object": self._by_plane, "place": self._by_place, "plane": self._latest}
        for scope, choose in choices.items():
            for one in new:
                if one.placed.kind.scope == scope:
                    owned.append(one.given_to(choose(one.placed, owned, key, work)))
        return [one.placed for one in owned]

    def _new(self) -> int:
        self._last += 1
        self._current = self._last
        self._beginning = False
        return self._last

    def _gone_on(self, placed: PlacedPrompt, owned: Drawn, work: InWork) -> int | None:
        """Return the object of other planes that a prompt goes on with; None if with none."""
        here = {one.placed.owner for one in owned}
        candidates = [number for number in work.elsewhere if number not in here]
        if self._beginning or not candidates:
            return None
        if len(candidates) > 1 or here:
            candidates = [number for number in candidates if work.holds(number, placed.place)]
        if len(candidates) != 1:
            return None
        self._current = candidates[0]
        return candidates[0]

    def _by_plane(self, placed: PlacedPrompt, owned: Drawn, key: SliceKey, work: InWork) -> int:
        return self._gone_on(placed, owned, work) or self._new()

    def _by_place(self, placed: PlacedPrompt, owned: Drawn, key: SliceKey, work: InWork) -> int:
        boxes = {
            one.placed.owner: one.placed.box
            for one in owned
            if one.placed.owner is not None and one.placed.box is not None
        }
        owner = owner_of(placed.values, boxes)
        if owner is None and not self._beginning:
            free = {one.placed.owner for one in owned} - set(boxes) - {None}
            here = self._of_points.get(key)
            known = [number for number in free if number is not None]
            owner = here if here in free or here in boxes else max(known, default=None)
            owner = self._outlined(placed, work) or owner
        if owner is None:
            owner = self._gone_on(placed, owned, work) or self._new()
            self._of_points[key] = owner
        self._current = owner
        return owner

    def _latest(
        self, placed: PlacedPrompt, owned: Drawn, key: SliceKey, work: InWork
    ) -> int | None:
        here = {one.placed.owner for one in owned if one.placed.kind.begins} | set(work.outlined)
        outlined = self._outlined(placed, work)
        if outlined is not None:
            self._current = outlined
        if self._current in here:
            return self._current
        return max((number for number in here if number is not None), default=None)

    def _outlined(self, placed: PlacedPrompt, work: InWork) -> int | None:
        """Return the object in work whose outline on this plane a point corrects.

        That is the one prompted last, unless the point lies in the outline of one other.
        """
        over = [number for number in work.outlined if work.covers(number, placed.place)]
        is_kept = (self._current or 0) < 0
        if len(over) == 1 and not (is_kept and self._current in work.outlined):
            return over[0]
        return self._current if self._current in work.outlined else None
