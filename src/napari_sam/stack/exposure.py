"""How bright planes are shown to the model: bright spots may leave other objects too dark."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ..everything.amg import AutomaticMaskGenerator
from ..predict.session import Session
from ..steps import mapped
from ..types import Plane, Progress

SHARES = (1.0, 0.7, 0.5, 0.35)
"""Ranges of contrast that are tried, as shares of a plane's own; what lies above is white."""

EVERY, MOST_PLANES = 8, 3
"""One plane in eight is looked at, and no more than three; none of a stack of fewer planes."""

SURE = 0.5
"""A predicted IoU that speaks neither for nor against an object."""

SURER = 0.03
"""So much larger than at the own range the mean predicted IoU has to be at a smaller one."""


def best_exposure(
    session: Session, planes: Sequence[Plane], generator: AutomaticMaskGenerator
) -> Generator[Progress, None, float]:
    """Find the range of contrast at which the model is surest of the objects of a stack.

    Some evenly spaced planes are looked at. A smaller range is taken where the mean predicted IoU
    is larger by `SURER`, and the sum of all, less `SURE` for each object, is larger, too; of
    several the one with the largest sum. Only objects of an instance head are compared: it is
    quick.

    Parameters
    ----------
    session : Session
    planes : sequence of Plane
        Those with limits of their own are shown as these say.
    generator : AutomaticMaskGenerator

    Yields
    ------
    Progress

    Returns
    -------
    float, one of `SHARES`; see `exposed`
    """
    count = min(MOST_PLANES, len(planes) // EVERY)
    looked = [planes[(2 * k + 1) * len(planes) // (2 * count)].whole for k in range(count)]
    for plane in looked:
        yield Progress(0, 0, f"contrast 1 of {len(SHARES)}")
        if not _is_free(session, plane, generator):
            return 1.0
    if not looked:
        return 1.0
    sums, means = {}, {}
    for number, share in enumerate(SHARES, start=1):
        text = f"contrast {number} of {len(SHARES)}"
        scores: list[float] = []
        for plane in looked:
            shown = exposed(session, plane, share)
            steps = generator.propose_on(
                plane.size, partial(session.crop_embedding, shown), plane.spacing
            )
            candidates = yield from mapped(steps, partial(_renamed, text))
            scores += [record.predicted_iou for record in generator.select(candidates)]
        means[share] = sum(scores) / max(len(scores), 1)
        sums[share] = sum(scores) - SURE * len(scores)
    surer = [share for share in SHARES if means[share] >= means[1.0] + SURER]
    return max([1.0, *surer], key=lambda share: sums[share])


def exposed(session: Session, plane: Plane, share: float) -> Plane:
    """Return a plane with limits that span a share of its own range, from the same black."""
    limits = session.read(plane)[1] if share < 1 else None
    if limits is None:
        return plane
    pairs = np.asarray(limits, np.float64).reshape(-1, 2)
    narrow = tuple((low, low + share * (high - low)) for low, high in pairs.tolist())
    return replace(plane, contrast=narrow if isinstance(limits[0], tuple) else narrow[0])


def _renamed(text: str, step: Progress) -> Progress:
    """Return how far it is, with another text."""
    return replace(step, text=text)


def _is_free(session: Session, plane: Plane, generator: AutomaticMaskGenerator) -> bool:
    """Tell whether the contrast of a plane may be chosen, and trying that is quick."""
    if plane.contrast is not None or generator.params.seeds != "auto":
        return False
    if generator.tiles(plane.size, plane.spacing) or session.read(plane)[1] is None:
        return False
    embedding = session.embedding(plane)
    return session.predictor.instance_fields(embedding) is not None
