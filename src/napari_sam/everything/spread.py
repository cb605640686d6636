"""How the scores and sizes of the objects of a plane are spread, whatever the thresholds are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .amg_params import AmgParams
from .amg_select import Candidates, select


@dataclass(frozen=True, eq=False)
class Spread:
    """Scores and sizes of N distinct objects.

    Attributes
    ----------
    ious : (N,) float64
        Predicted IoU.
    stabilities : (N,) float64
    areas : (N,) float64
        Pixels.
    """

    ious: NDArray[np.float64]
    stabilities: NDArray[np.float64]
    areas: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ious)

    @classmethod
    def joined(cls, spreads: Iterable[Spread]) -> Spread:
        """Return the objects of several planes as one value."""
        parts = list(spreads)
        return cls(
            *(
                np.concatenate([np.zeros(0), *(getattr(one, field.name) for one in parts)])
                for field in fields(cls)
            )
        )


def spread_of(candidates: Candidates, params: AmgParams) -> Spread:
    """Return the scores and sizes of all objects that candidates show.

    Duplicates are left out, as `select` leaves them out; no threshold of score, stability or size
    counts.

    Parameters
    ----------
    candidates : Candidates
    params : AmgParams
        Says what a duplicate is.
    """
    loose = replace(params, pred_iou_thresh=0.0, stability_score_thresh=0.0, min_area=0, max_area=0)
    found = select(candidates, loose)
    return Spread(
        np.array([one.predicted_iou for one in found], np.float64),
        np.array([one.stability_score for one in found], np.float64),
        np.array([one.area for one in found], np.float64),
    )
