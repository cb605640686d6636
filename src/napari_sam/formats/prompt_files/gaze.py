"""Where a gaze rests: fixations of a track of points with times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fixations(
    xy: NDArray[np.float64], times: Sequence[float], dwell: float, dispersion: float
) -> list[tuple[int, int]]:
    """Return where a gaze rests, by dispersion-threshold identification (I-DT).

    A window that lasts `dwell` is moved along the track until its points lie close together; it
    then grows as long as they do, and is a fixation. The dispersion of points is the range of x
    and the range of y together. (Salvucci and Goldberg, Identifying fixations and saccades in
    eye-tracking protocols, ETRA 2000.)

    Parameters
    ----------
    xy : (N, 2) float
    times : sequence of float
        Seconds, ascending.
    dwell : float
        Seconds that a fixation lasts at least.
    dispersion : float
        At most, in the unit of `xy`.

    Returns
    -------
    list of (int, int)
        First and last point of each, in order.
    """
    found: list[tuple[int, int]] = []
    start, count = 0, len(xy)
    while start < count:
        stop = start
        while stop < count and times[stop] - times[start] < dwell - 1e-9:
            stop += 1
        if stop == count:
            break
        low, high = xy[start : stop + 1].min(axis=0), xy[start : stop + 1].max(axis=0)
        if float((high - low).sum()) > dispersion:
            start += 1
            continue
        while stop + 1 < count:
            wider = np.minimum(low, xy[stop + 1]), np.maximum(high, xy[stop + 1])
            if float((wider[1] - wider[0]).sum()) > dispersion:
                break
            low, high = wider
            stop += 1
        found.append((start, stop))
        start = stop + 1
    return found
