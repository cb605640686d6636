"""Everything mode from an instance head; the decoder is asked where the head is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ..images.transforms import scale_points
from ..masks import middle_of
from ..models.contract import InstanceFields
from ..predict.predictor import SamPredictor
from ..predict.upsampling import Upsampler
from ..types import ImageEmbedding, Prompts
from .closer import LARGEST, are_small
from .instance_fit import Part, fit_of
from .instances import FOREGROUND, FlowFields, instances_of

DOUBT = (0.6, 0.8)
"""Fits between which the decoder is asked for an object; below, its mask is rarely better."""
TRUSTED = 250.0
"""Longer side of an object, pixels of the input, at which two scales are trusted alike: training
shows larger ones whole only at the coarser scale."""
COARSE = 60.0
"""Longer side, pixels of the input, of the smallest object that only the coarser scale may show."""
SAME = 0.5
"""Two objects are duplicates if they share more than this part of the smaller one."""
SURE = 10.0
"""Largest logit that a mask of the head is given."""
SHARPNESS = 3.0
"""What logits of foreground are multiplied by: it is the share of a cell that is covered, so it
rises slower at an outline than a decoder's logits, and would count as unstable everywhere."""
EXPECTED = ((0.0, 0.3, 0.6, 0.675, 0.725, 0.775, 0.825, 0.875, 0.925, 1.0),
            (0.0, 0.1, 0.14, 0.22, 0.32, 0.46, 0.62, 0.76, 0.85, 0.95))  # fmt: skip
"""Fits, and the mean IoU of masks with them; measured on training images of six sources."""


@dataclass(frozen=True, eq=False)
class HeadObject:
    """One object that an instance head shows.

    Attributes
    ----------
    fields : FlowFields
        Of the scale that it was found at, on the grid of `labels`.
    labels : (h, w) int32
        All objects of that scale.
    label : int
    part : (slice, slice)
        Rows and columns of the object on that grid.
    fit : float
        How well it agrees with the fields (`instance_fit.fit_of`).
    """

    fields: FlowFields
    labels: NDArray[np.int32]
    label: int
    part: Part
    fit: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The object in its part of the grid."""
        return np.asarray(self.labels[self.part] == self.label)

    @property
    def area(self) -> float:
        """Pixels of the input that it covers."""
        return float(np.count_nonzero(self.mask)) * self.fields.stride**2

    @property
    def side(self) -> float:
        """Longer side of its box, pixels of the input."""
        return float(max(s.stop - s.start for s in self.part)) * self.fields.stride

    @property
    def middle(self) -> NDArray[np.float64]:
        """Its deepest place, (x, y) in pixels of the input."""
        rows, columns = self.part
        x, y = middle_of(self.mask)
        cell = np.array([x + columns.start, y + rows.start])
        return np.asarray((cell + 0.5) * self.fields.stride - 0.5)

    def logits(self) -> NDArray[np.float32]:
        """Return logits (h, w): those of foreground, negative where the object does not lie.

        So the outlines of neighbours meet halfway between their cells.
        """
        logits = np.full(self.labels.shape, -SURE, np.float32)
        rows, columns = (slice(max(s.start - 2, 0), s.stop + 2) for s in self.part)
        chance = np.clip(self.fields.foreground[rows, columns], 1e-3, 1 - 1e-3)
        odds = chance / (1 - chance) * (1 - FOREGROUND) / FOREGROUND
        sure = np.minimum(SHARPNESS * np.abs(np.log(odds)), SURE)
        logits[rows, columns] = np.where(self.labels[rows, columns] == self.label, sure, -sure)
        return logits


@dataclass(frozen=True, eq=False)
class InstanceAnswer:
    """The mask of one object.

    Attributes
    ----------
    logits : (h, w) float32, over `frame`
    frame : (h, w) int or None
        Pixels of the input, from its first one, that the logits cover; None is the padded input.
    iou : float
        Predicted IoU.
    point : (2,) float64, (x, y) in pixels of the plane
        The deepest place of the object.
    """

    logits: NDArray[np.float32]
    frame: tuple[int, int] | None
    iou: float
    point: NDArray[np.float64]


class InstanceProposer:
    """Finds every object of a plane with a model's instance head.

    Parameters
    ----------
    predictor : SamPredictor
    embedding : ImageEmbedding
    scales : sequence of InstanceFields
        What `SamPredictor.instance_fields` returns.

    Attributes
    ----------
    doubtful : list of HeadObject
        Those that agree badly with the head's own fields.
    shown : list of (side, fit) float
        All objects that the finest scale shows; see `closer.are_small`.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        embedding: ImageEmbedding,
        scales: Sequence[InstanceFields],
    ) -> None:
        self.predictor = predictor
        self.embedding = embedding
        levels = [objects_of(fields) for fields in scales]
        self.shown = [(found.side, found.fit) for found in levels[0]]
        sharp = embedding.input_size[1] <= LARGEST * embedding.original_size[1]
        # coarser scales show groups of small objects as one; of a blurred plane, specks are small
        objects = levels[0] if sharp and are_small(self.shown) else one_of_each(levels)
        self.doubtful = [found for found in objects if DOUBT[0] <= found.fit < DOUBT[1]]
        self._others = [found for found in objects if not DOUBT[0] <= found.fit < DOUBT[1]]

    def certain(self) -> Iterator[InstanceAnswer]:
        """Return the head's masks of the other objects."""
        return (self._own(found) for found in self._others)

    def decoded(self, objects: Sequence[HeadObject]) -> Iterator[InstanceAnswer]:
        """Ask the decoder for objects, with a point at the deepest place of each.

        Of its masks and the head's the one is returned of which most is to be expected.
        """
        prompts = [Prompts(self._plane(found.middle)[None], [1]) for found in objects]
        for index, logits, scores, _ in self.predictor.decode(self.embedding, prompts):
            yield self._best(objects[index], logits, scores)

    def _own(self, found: HeadObject) -> InstanceAnswer:
        """Return the head's own mask."""
        return InstanceAnswer(
            found.logits(), covered(found.fields), iou_of(found.fit), self._plane(found.middle)
        )

    def _best(
        self, found: HeadObject, logits: NDArray[np.float32], scores: NDArray[np.float32]
    ) -> InstanceAnswer:
        """Return the head's mask or one of the decoder's logits (C, h, w)."""
        h, w = found.labels.shape
        frame = self.predictor.model.padded_size(self.embedding.input_size)
        upsampler = Upsampler.between(logits.shape[1:], frame, covered(found.fields), (h, w))
        cut = self.predictor.model.mask_threshold
        best = self._own(found)
        for plane, score in zip(logits, scores, strict=True):
            part, fine = upsampler.within(plane, cut)
            mask = np.zeros((h, w), bool)
            mask[part] = fine > cut
            iou = float(np.sqrt(max(score, 0) * iou_of(fit_of(found.fields, mask))))
            if iou > best.iou:
                best = InstanceAnswer(plane, None, iou, best.point)
        return best

    def _plane(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move a point of the input to the plane; the last cells reach beyond it."""
        height, width = self.embedding.original_size
        frames = (self.embedding.input_size, self.embedding.original_size)
        moved = scale_points(point, *frames, self.predictor.model.half_pixel)
        return np.asarray(np.clip(moved, 0, (width - 1, height - 1)))


def one_of_each(levels: Sequence[list[HeadObject]]) -> list[HeadObject]:
    """Return each object of all scales, finest first, once."""
    objects = levels[-1]
    for finer in reversed(levels[:-1]):
        objects = resolved(finer, objects)
    return objects


def objects_of(fields: InstanceFields) -> list[HeadObject]:
    """Return the objects of one scale."""
    whole = FlowFields.of(fields)
    labels, fine = instances_of(whole), whole.finer
    return [
        HeadObject(fine, labels, label, part, fit_of(fine, labels == label))
        for label, part in enumerate(ndimage.find_objects(labels), start=1)
    ]


def resolved(finer: list[HeadObject], coarser: list[HeadObject]) -> list[HeadObject]:
    """Return the objects of two scales, each object from the scale that shows it better.

    Objects that share more than `SAME` of the smaller one are duplicates. Of each such
    group the objects of one scale stay: those of more fit times the root of area, where the
    coarser scale counts the more the larger its objects are.
    """
    if not finer or not coarser:
        return finer + [found for found in coarser if found.side >= COARSE]
    objects = finer + coarser
    _, groups = connected_components(linked(finer, coarser), directed=False)
    area = np.array([found.area for found in objects])
    fit = np.array([found.fit for found in objects])
    side = np.array([found.side for found in objects])
    worth = fit * area
    worth[len(finer) :] *= np.clip(side[len(finer) :] / TRUSTED, 0.3, 2) ** 2
    is_fine = np.arange(len(objects)) < len(finer)
    merit = {}
    for scale in (True, False):
        own = is_fine == scale
        total = np.bincount(groups, area * own)
        merit[scale] = np.bincount(groups, worth * own) / np.sqrt(np.maximum(total, 1))
    kept = (merit[True] >= merit[False])[groups] == is_fine
    kept &= is_fine | (merit[True] > 0)[groups] | (side >= COARSE)
    return [found for found, keep in zip(objects, kept, strict=True) if keep]


def linked(finer: list[HeadObject], coarser: list[HeadObject]) -> csr_array:
    """Return which objects share more than `SAME` of the smaller one, (N, N) bool.

    N counts the objects of the finer scale, then those of the coarser one.
    """
    labels = finer[0].labels
    areas = np.bincount(labels.ravel())
    rows, columns = [], []
    for index, found in enumerate(coarser, start=len(finer)):
        ratio = round(found.fields.stride / finer[0].fields.stride)
        mask = found.mask.repeat(ratio, 0).repeat(ratio, 1)
        y, x = (s.start * ratio for s in found.part)
        under = labels[y : y + mask.shape[0], x : x + mask.shape[1]]
        mask = mask[: under.shape[0], : under.shape[1]]
        shared = np.bincount(under[mask], minlength=len(areas))
        same = np.flatnonzero(shared > SAME * np.minimum(areas, np.count_nonzero(mask)))
        same = same[same > 0]
        rows += [index] * len(same)
        columns += (same - 1).tolist()
    count = len(finer) + len(coarser)
    return csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(count, count))


def covered(fields: InstanceFields) -> tuple[int, int]:
    """Return the pixels (h, w) of the input that cells cover."""
    h, w = (int(side * fields.stride) for side in fields.foreground.shape)
    return h, w


def iou_of(fit: float) -> float:
    """Return the IoU to be expected of a mask with a given fit."""
    return float(np.interp(fit, *EXPECTED))
