"""What everything mode has found in a plane so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..types import Progress, Window
from .amg_select import Candidate, Candidates
from .tiles import Levels


@dataclass(frozen=True)
class FoundSoFar(Progress):
    """Progress in a plane that is divided into tiles.

    Attributes
    ----------
    candidates : Candidates or None
        Those of the tiles that are done; objects at their edge are cut.
    """

    candidates: Candidates | None = None


@dataclass
class Look:
    """What is found in crops of a plane; it grows crop by crop.

    Attributes
    ----------
    size : (H, W) int
    levels : see `tiles.tiles_of`
        Empty where the crops are no tiles.
    crops : sequence of (x0, y0, x1, y1) int, end exclusive
    layers : sequence of int
        The grid of points that each crop gets.
    floor : float
        Masks of a predicted IoU up to this are left out.
    found : list of Candidate
    told_apart : bool
        See `Candidates.told_apart`.
    shown : list of (side, fit) float
        What an instance head shows at the finest level; see `closer.are_small`.
    """

    size: tuple[int, int]
    levels: Levels
    crops: Sequence[Window]
    layers: Sequence[int]
    floor: float
    found: list[Candidate] = field(default_factory=list)
    told_apart: bool = False
    shown: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def at(cls, size: tuple[int, int], levels: Levels, floor: float) -> Look:
        """Return an empty one at tiles."""
        tiles = [tile for level in levels for tile in level]
        return cls(size, levels, tiles, [0] * len(tiles), floor)

    @property
    def candidates(self) -> Candidates:
        """What was found so far."""
        return Candidates(self.size, tuple(self.found), self.floor, self.told_apart, self.levels)
