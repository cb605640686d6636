"""How many of the proposals are shown, and how their scores and sizes are spread."""

from __future__ import annotations

from collections import Counter
from weakref import WeakKeyDictionary

from ....everything.amg_params import AmgParams
from ....everything.amg_select import Candidates
from ....everything.spread import Spread, spread_of
from .filled_layer import FilledLayer


class Spreads:
    """The spread of each plane's candidates, looked for once, in the worker that found them."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Candidates, Spread] = WeakKeyDictionary()

    def look(self, candidates: Candidates, params: AmgParams) -> None:
        """Find out how candidates are spread, unless that is known; for workers."""
        if candidates not in self._known:
            self._known[candidates] = spread_of(candidates, params)

    def of(self, candidates: Candidates) -> Spread:
        """Return what is known of candidates; nothing if that is nothing."""
        return self._known.get(candidates) or Spread.joined(())

    def all_of(self, filled: FilledLayer) -> Spread:
        """Return the spread of all planes whose candidates are kept."""
        return Spread.joined(self.of(one) for one in filled.candidates.values())


def is_divided(filled: FilledLayer) -> bool:
    """Tell whether a plane was looked at in tiles or crops."""
    return any(
        one.tiles or len({candidate.crop for candidate in one.items}) > 1
        for one in filled.candidates.values()
    )


def count_text(filled: FilledLayer, total: int) -> str:
    """Return how many proposals are shown and what became of the others.

    Parameters
    ----------
    filled : FilledLayer
    total : int
        Objects that there are at any threshold.
    """
    shown = sum(filled.shown_in(key) for key in filled.candidates)
    where = ""
    if len(filled.candidates) > 1:
        where = f" outlines in {len(filled.candidates)} planes"
    text = f"{shown} of {max(total, shown)}{where} shown"
    verdicts = Counter(filled.verdicts.values())
    rest = [f"{verdicts[one]} {one}" for one in ("accepted", "rejected") if verdicts[one]]
    return ", ".join([text, *rest])
