"""Candidates for objects like given ones: an instance head's and those of a grid of points."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..images.transforms import to_rgb8
from ..predict.session import Session
from ..steps import mapped
from ..types import ImageEmbedding, Mask, Plane, Progress, Window
from .amg import AutomaticMaskGenerator
from .amg_params import AmgParams
from .amg_select import Candidate
from .descriptors import Look, described
from .exemplars import Described, Exemplars, distinct
from .suppression import boxes_touch_edge
from .tiles import tiles_of

PITCH = 0.5
"""Distance of the points that are asked at, in roots of the area of an exemplar."""
MOST_POINTS = 20
"""Points along a side of a look at most."""
SURE = 0.7
"""Predicted IoU of a mask in which no point is asked at."""
FITS = 0.5
"""Share of a tile's side that the exemplars take at most, or larger tiles are looked at."""
MOST = 300
"""Candidates of a plane that are kept."""
HEAD_SHARE = 0.2
"""Part of the work on a look that the instance head is, for `Progress`."""


@dataclass(frozen=True, eq=False)
class PlaneCandidates:
    """What may be like the exemplars in a plane.

    Attributes
    ----------
    plane : Plane
    candidates : Described
        The likeliest, without duplicates of the same likeness.
    """

    plane: Plane
    candidates: Described


class OneLook(AutomaticMaskGenerator):
    """Looks at a plane as a whole, however large it is."""

    def tiles(
        self, size: tuple[int, int], spacing: tuple[float, float] = (1.0, 1.0)
    ) -> tuple[tuple[Window, ...], ...]:
        """Return no tiles."""
        return ()


def described_in(session: Session, plane: Plane, masks: Sequence[Mask]) -> NDArray[np.float32]:
    """Describe masks of a plane.

    Parameters
    ----------
    session : Session
    plane : Plane
    masks : N times Mask
        Of the whole plane; at least one, none is empty.

    Returns
    -------
    (N, F) float32
        See `descriptors.described`.
    """
    windows = windows_for(session, plane, masks)
    chosen = [_window_of(mask, windows) for mask in masks]
    rows: dict[int, NDArray[np.float32]] = {}
    for number in sorted(set(chosen)):
        window = windows[number]
        look = look_at(session, plane, window, _embedding(session, plane, window, windows))
        own = [k for k, other in enumerate(chosen) if other == number]
        features = described(look, [_cut(masks[k], window) for k in own])
        rows.update(zip(own, features, strict=True))
    return np.stack([rows[k] for k in range(len(masks))])


def candidates_in(
    session: Session,
    plane: Plane,
    exemplars: Exemplars,
    like: Sequence[Mask],
    labels: NDArray[np.integer],
    most: int = MOST,
) -> Generator[Progress | PlaneCandidates, None, PlaneCandidates]:
    """Find masks in a plane that may be like exemplars.

    Parameters
    ----------
    session : Session
    plane : Plane
        Its window is left aside.
    exemplars : Exemplars
    like : sequence of Mask
        The exemplars in any plane of the image: they say how large the objects are.
    labels : (H, W) int
        Kept objects of the plane; none is looked for there.
    most : int
        Candidates that are returned at most.

    Yields
    ------
    Progress
    PlaneCandidates
        What the instance head shows, when points are still to be asked at.

    Returns
    -------
    PlaneCandidates
    """
    plane = plane.whole
    windows = windows_for(session, plane, like)
    pitch = PITCH * float(np.median([mask.area for mask in like])) ** 0.5
    found: list[Described] = []
    for number, window in enumerate(windows):
        share = partial(_part_of, number, len(windows))
        embedding = _embedding(session, plane, window, windows)
        look = look_at(session, plane, window, embedding)
        steps = _from_head(session, embedding)
        first = yield from mapped(steps, partial(share, 0.0, HEAD_SHARE))
        head = _described(look, first, window, plane.size)
        if len(windows) == 1 and len(head):
            yield PlaneCandidates(plane, likeliest(head, exemplars, labels, most))
        x0, y0, x1, y1 = window
        taken = labels[y0:y1, x0:x1] > 0
        for one in first:
            if one.iou >= SURE:
                taken[one.mask.part] |= one.mask.bits
        steps = _at_points(session, embedding, _points(taken, pitch))
        more = yield from mapped(steps, partial(share, HEAD_SHARE, 1.0))
        found += [head, _described(look, more, window, plane.size)]
    together = Described.of(
        [mask for one in found for mask in one.masks],
        np.concatenate([one.features for one in found]),
        np.concatenate([one.iou for one in found]),
        np.concatenate([one.stability for one in found]),
    )
    return PlaneCandidates(plane, likeliest(together, exemplars, labels, most))


def likeliest(
    candidates: Described, exemplars: Exemplars, labels: NDArray[np.integer], most: int = MOST
) -> Described:
    """Return the candidates that are worth keeping until the exemplars have changed.

    Their features are float16: many planes are kept.
    """
    likeness = exemplars.likeness(candidates)
    best = distinct(candidates.masks, likeness, np.zeros_like(labels), most // 2)
    others = np.setdiff1d(np.argsort(-likeness)[:most], best)[: most - len(best)]
    kept = candidates.some([*best, *others.tolist()])
    return replace(kept, features=kept.features.astype(np.float16))


def look_at(session: Session, plane: Plane, window: Window, embedding: ImageEmbedding) -> Look:
    """Return a look at a part (x0, y0, x1, y1), end exclusive, of a plane."""
    model = session.predictor.model
    pixels, contrast = session.read(plane.within(window))
    grey = to_rgb8(pixels, contrast, plane.channels).mean(axis=2, dtype=np.float32) / 255
    padded = model.padded_size(embedding.input_size)
    rows, columns = (
        side * whole / own
        for side, whole, own in zip(
            embedding.original_size, padded, embedding.input_size, strict=True
        )
    )
    return Look(model.feature_maps(embedding.features), (rows, columns), grey)


def windows_for(session: Session, plane: Plane, like: Sequence[Mask]) -> tuple[Window, ...]:
    """Return the parts of a plane that are looked at: all of it, or tiles that suit the objects."""
    size = session.predictor.model.image_size
    levels = tiles_of(plane.size, size, plane.spacing)
    if not levels:
        return ((0, 0, plane.size[1], plane.size[0]),)
    boxes = np.array([mask.box for mask in like])
    side = float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1))) + 1
    for tiles in levels:
        x0, y0, x1, y1 = tiles[0]
        if side <= FITS * max(x1 - x0, y1 - y0):
            return tiles
    return levels[-1]


def _embedding(
    session: Session, plane: Plane, window: Window, windows: Sequence[Window]
) -> ImageEmbedding:
    # hundreds of tiles would take the place of what is clicked on
    return session.crop_embedding(plane, window, keep=len(windows) == 1)


def _from_head(
    session: Session, embedding: ImageEmbedding
) -> Generator[Progress, None, tuple[Candidate, ...]]:
    """Return what an instance head shows, also what it is not sure of; nothing without a head."""
    if embedding.blank or session.predictor.instance_fields(embedding) is None:
        return ()
    options = {"seeds": "auto", "pred_iou_thresh": 0.0}
    return (yield from _proposed(session, embedding, options))


def _at_points(
    session: Session, embedding: ImageEmbedding, points: NDArray[np.float64]
) -> Generator[Progress, None, tuple[Candidate, ...]]:
    """Return the masks at points (N, 2), (x, y) in 0..1."""
    if embedding.blank or not len(points):
        return ()
    options = {"seeds": "grid", "pred_iou_thresh": 0.0, "point_grids": (points,)}
    return (yield from _proposed(session, embedding, options))


def _proposed(
    session: Session, embedding: ImageEmbedding, options: dict[str, object]
) -> Generator[Progress, None, tuple[Candidate, ...]]:
    defaults = {**session.predictor.model.amg_defaults, "crop_n_layers": 0, "look_closer": "never"}
    generator = OneLook(session.predictor, AmgParams(**{**defaults, **options}))
    size = embedding.original_size
    return (yield from generator.propose_on(size, lambda crop: embedding)).items


def _described(
    look: Look, found: Sequence[Candidate], window: Window, size: tuple[int, int]
) -> Described:
    """Describe the candidates of a look; those that the border of a tile cuts are left out."""
    x0, y0, x1, y1 = window
    boxes = np.array([one.mask.box for one in found]).reshape(-1, 4) + np.array((x0, y0) * 2)
    whole = ~boxes_touch_edge(boxes, (x0, y0, x1 - 1, y1 - 1), size, tolerance=1)
    found = [one for one, is_whole in zip(found, whole, strict=True) if is_whole]
    features = described(look, [one.mask for one in found])
    return Described.of(
        [one.mask.moved(x0, y0, size) for one in found],
        features,
        np.array([one.iou for one in found], np.float32),
        np.array([one.stability for one in found], np.float32),
    )


def _points(taken: NDArray[np.bool_], pitch: float) -> NDArray[np.float64]:
    """Return the points (N, 2), (x, y) in 0..1, of a regular grid that are not taken."""
    height, width = taken.shape
    pitch = max(pitch, height / MOST_POINTS, width / MOST_POINTS)
    rows, columns = (
        (np.arange(count) + 0.5) / count
        for count in (max(1, round(side / pitch)) for side in (height, width))
    )
    y, x = np.meshgrid(rows, columns, indexing="ij")
    free = ~taken[(y * height).astype(int), (x * width).astype(int)]
    return np.stack([x[free], y[free]], axis=1)


def _window_of(mask: Mask, windows: Sequence[Window]) -> int:
    """Return the number of the window in which a mask lies, and farthest from its border."""
    x0, y0, x1, y1 = mask.box
    edges = np.array(windows)
    room = np.stack([x0 - edges[:, 0], y0 - edges[:, 1], edges[:, 2] - x1, edges[:, 3] - y1])
    return int(room.min(axis=0).argmax())


def _cut(mask: Mask, window: Window) -> Mask:
    """Return a mask in pixels of a window; what lies beyond is left out."""
    x0, y0, x1, y1 = window
    if window == (0, 0, mask.size[1], mask.size[0]):
        return mask
    left, top = max(mask.box[0], x0), max(mask.box[1], y0)
    own = mask.bits[top - mask.box[1] : y1 - mask.box[1], left - mask.box[0] : x1 - mask.box[0]]
    return Mask.of(own, (left - x0, top - y0), (y1 - y0, x1 - x0))


def _part_of(number: int, looks: int, begin: float, end: float, step: Progress) -> Progress:
    """Return a step of a part of the work on one look as one of the work on all."""
    done = begin + (end - begin) * step.done / max(step.total, 1)
    text = f"look {number + 1} of {looks}" if looks > 1 else ""
    return replace(step, done=int(1000 * (number + done) / looks), total=1000, text=text)
