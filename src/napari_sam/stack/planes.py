"""Everything mode over the planes of a stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..everything.amg import AutomaticMaskGenerator, Candidates
from ..everything.amg_params import AmgParams
from ..masks import to_labels
from ..predict.predictor import SamPredictor
from ..types import Progress
from .join import Plane, linked


def everything(
    predictor: SamPredictor,
    volume: Any,
    params: AmgParams | None = None,
    axis: int = 0,
    planes: Sequence[int] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    out: Any = None,
    link: bool = True,
) -> Iterator[Plane | Progress]:
    """Find every object in every plane, then link the planes.

    Parameters
    ----------
    predictor : SamPredictor
    volume : (Z, H, W) or (Z, H, W, C), lazy or not
    params : AmgParams, optional
    axis : int
        The axis that is walked along.
    planes : sequence of int, optional
        Indices of the planes to do; all of them by default.
    contrast_limits : (low, high) float, optional
        By default each plane's own percentiles.
    out : array of (Z, H, W), optional
        Planes are written into it as well.
    link : bool
        Give an object that goes on in the next plane the same label there.

    Yields
    ------
    Progress while a plane is worked on, (z, labels) as soon as one is done, with labels that no
    other plane uses; and once more, in the end, each plane whose labels linking has changed.
    """
    generator = AutomaticMaskGenerator(predictor, params)
    wanted = range(volume.shape[axis]) if planes is None else planes
    done: dict[int, NDArray[np.int32]] = {}
    last = 0
    for count, z in enumerate(wanted):
        plane = np.asarray(volume[(slice(None),) * axis + (z,)])
        for step in generator.propose(plane, contrast_limits):
            if isinstance(step, Candidates):
                labels = to_labels(generator.select(step), step.size)
            else:
                fraction = step.done / max(step.total, 1)
                text = f"plane {z}: {step.text}"
                yield Progress(int(100 * (count + fraction)), 100 * len(wanted), text)
        labels[labels > 0] += last
        last = max(last, int(labels.max()))
        done[z] = labels
        _write(out, axis, z, labels)
        yield z, labels
    if link and len(done) > 1:
        for z, labels in linked(done):
            _write(out, axis, z, labels)
            yield z, labels


def run(steps: Iterator[Plane | Progress]) -> NDArray[np.int32]:
    """Drive a generator of planes to its end and return the stack (Z, H, W).

    Planes that were not worked on are empty.

    Raises
    ------
    ValueError
        If the generator yields no plane.
    """
    planes = {step[0]: step[1] for step in steps if not isinstance(step, Progress)}
    if not planes:
        raise ValueError("there was no plane to work on")
    shape = next(iter(planes.values())).shape
    volume = np.zeros((max(planes) + 1, *shape), np.int32)
    for z, labels in planes.items():
        volume[z] = labels
    return volume


def _write(out: Any, axis: int, z: int, labels: NDArray[np.int32]) -> None:
    if out is not None:
        out[(slice(None),) * axis + (z,)] = labels
