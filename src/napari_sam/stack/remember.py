"""Objects are followed from one plane into the next by what a model remembers of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from ..models.remembering import RememberingModel
from ..predict.session import Session
from ..predict.upsampling import coverage
from ..types import ImageEmbedding, Plane
from .evidence import Evidence, apart
from .keyframes import CERTAIN
from .sweep import LEAST_AREA, Sweep

PRESENT = 0.5
"""Probability that an object is in a plane, below which it is not."""


def follow(
    session: Session,
    planes: Sequence[Plane],
    sweeps: Sequence[Sweep],
    forbidden: NDArray[np.int32] | None = None,
) -> list[Evidence | None]:
    """Look for objects in the next plane, and move the sweeps on.

    The model is shown the outline in the keyframe of the sweep and nothing of other keyframes, so
    each sweep is a pass of its own. It remembers its own answers; the outlines that are returned
    may have fewer pixels, since objects of one call do not overlap.

    Parameters
    ----------
    session : Session
        Its model remembers objects (`PromptableModel.remembers`).
    planes : sequence of Plane
    sweeps : sequence of Sweep
        All come to the same plane from the same side. A sweep whose object has ended has no
        places afterwards. A plane in which the object is not seen is its end, unless another
        keyframe follows, or the plane shows nothing at all and the one before showed something.
    forbidden : (H, W) int32, optional
        Labels of others; 0 is free.

    Returns
    -------
    list of Evidence or None
        None where an object has ended, or is not seen.
    """
    place = sweeps[0].next
    embedding = session.embedding(planes[place])
    stopping.check()
    evidence: list[Evidence | None] = [None] * len(sweeps)
    if not embedding.blank:
        for sweep in sweeps:
            if sweep.origin.memory is None:
                sweep.origin.memory = _begun(session, planes, sweep)
            if sweep.memory is None:
                sweep.memory = sweep.origin.memory
        evidence = _seen(session, embedding, sweeps, place)
    seen = [one for one in evidence if one is not None]
    masks = iter(apart(seen, planes[place].size, forbidden))
    for at, sweep in enumerate(sweeps):
        mask = None if evidence[at] is None else next(masks)
        if mask is None or mask.area < LEAST_AREA:
            evidence[at] = None
            passed = sweep.held or (embedding.blank and not sweep.in_gap)
            del sweep.places[: 1 if passed else None]
        else:
            sweep.mask = mask
            sweep.place = sweep.places.pop(0)
    return evidence


def _seen(
    session: Session, embedding: ImageEmbedding, sweeps: Sequence[Sweep], place: int
) -> list[Evidence | None]:
    """Ask the model for objects in a plane, and let it remember what it says."""
    predictor, model = session.predictor, cast(RememberingModel, session.predictor.model)
    known = [sweep.memory for sweep in sweeps]
    answers, memories = model.follow(embedding.features, known, place)
    evidence: list[Evidence | None] = []
    for at, (sweep, memory) in enumerate(zip(sweeps, memories, strict=True)):
        sweep.memory = memory
        logits = answers.low_res_logits[at, 0] - np.float32(model.mask_threshold)
        present = 1.0 if answers.presence is None else float(answers.presence[at])
        if present < PRESENT or not (logits > 0).any():
            evidence.append(None)
            continue
        part, fine = predictor.upsampler(embedding, logits.shape).within(logits, -CERTAIN)
        score = min(max(float(answers.iou_predictions[at, 0]), 0.0), present)
        corner = part[1].start, part[0].start
        evidence.append(Evidence(corner, bounded(fine), np.asarray(sweep.mask)[part], score))
    return evidence


def bounded(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits between -`CERTAIN` and `CERTAIN` + 1, their order kept above 0.

    Where two objects are certain, as a cell and its nucleus are, the higher logit still tells whose
    a pixel is, while a certain answer from one keyframe hardly outweighs one from the other.
    """
    excess = np.maximum(logits - np.float32(CERTAIN), 0)
    return np.asarray(np.clip(logits, -CERTAIN, CERTAIN) + excess / (1 + excess), np.float32)


def _begun(session: Session, planes: Sequence[Plane], sweep: Sweep) -> object:
    """Return what the model remembers of an object in its keyframe."""
    model = cast(RememberingModel, session.predictor.model)
    embedding = session.embedding(planes[sweep.start])
    stopping.check()
    size = model.padded_size(embedding.input_size)
    covered = coverage(sweep.mask, session.predictor.logits_frame(embedding), size)
    most = covered.max()
    # half covered; of an object that is narrower than a pixel of the input, the best of it
    outline = covered >= (0.5 if most >= 0.5 else most / 2)
    masks = outline[None].astype(np.float32)
    return model.memory_of(embedding.features, masks, sweep.start, len(planes))[0]
