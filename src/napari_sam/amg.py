"""Everything mode: a grid of points, their masks, and what is worth keeping of them.

`AutomaticMaskGenerator.propose` is the slow half (encoder and decoder); its candidates are kept,
so that `select` answers new thresholds at once. The method and its parameters are those of the
published SAM (Kirillov et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from . import masks
from .amg_params import AmgParams, crop_boxes
from .predictor import SamPredictor, Upsampler
from .transforms import to_rgb8
from .types import ImageEmbedding, MaskRecord, Progress, Prompts, Window

IOU_FLOOR = 0.5
"""Candidates with a lower predicted IoU are not kept, unless the threshold asks for them."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposed mask.

    Attributes
    ----------
    box : (x0, y0, x1, y1) int, inclusive pixels of the plane
    packed : (n,) uint8
        The mask inside its box, eight pixels a byte.
    iou, stability : float
    point : (x, y) float, pixels of the plane
    crop : (x0, y0, x1, y1) int, end exclusive
    """

    box: tuple[int, int, int, int]
    packed: NDArray[np.uint8]
    iou: float
    stability: float
    point: tuple[float, float]
    crop: Window

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask inside its box."""
        shape = (self.box[3] - self.box[1] + 1, self.box[2] - self.box[0] + 1)
        flat = np.unpackbits(self.packed, count=shape[0] * shape[1])
        return flat.reshape(shape).astype(bool)


@dataclass(frozen=True, eq=False)
class Candidates:
    """All that `propose` found on one plane.

    Attributes
    ----------
    size : (H, W) int
    items : tuple of Candidate
    floor : float
        Lowest predicted IoU that was kept.
    """

    size: tuple[int, int]
    items: tuple[Candidate, ...]
    floor: float


class AutomaticMaskGenerator:
    """Finds every object of a plane.

    Parameters
    ----------
    predictor : SamPredictor
    params : AmgParams
    """

    def __init__(self, predictor: SamPredictor, params: AmgParams | None = None) -> None:
        self.predictor = predictor
        self.params = params or AmgParams()

    def generate(
        self, plane: ArrayLike, contrast_limits: tuple[float, float] | None = None
    ) -> list[MaskRecord]:
        """Return the masks of a plane, best first; see `propose` and `select`."""
        return self.select(finish(self.propose(plane, contrast_limits)))

    def propose(
        self, plane: ArrayLike, contrast_limits: tuple[float, float] | None = None
    ) -> Iterator[Progress | Candidates]:
        """Ask the model at every point; the slow half.

        Parameters
        ----------
        plane : (H, W) or (H, W, C) real
        contrast_limits : (low, high) float, optional

        Yields
        ------
        Progress after each batch of points, and Candidates at the end.
        """
        rgb = to_rgb8(plane, contrast_limits)

        def embed(crop: Window) -> ImageEmbedding:
            x0, y0, x1, y1 = crop
            return self.predictor.encode(rgb[y0:y1, x0:x1])

        yield from self.propose_on((rgb.shape[0], rgb.shape[1]), embed)

    def propose_on(
        self, size: tuple[int, int], embed: Callable[[Window], ImageEmbedding]
    ) -> Iterator[Progress | Candidates]:
        """Ask the model at every point of a plane whose embeddings come from elsewhere.

        Parameters
        ----------
        size : (H, W) int
        embed : callable
            Returns the embedding of a crop (x0, y0, x1, y1), end exclusive; the first is the
            whole plane.

        Yields
        ------
        As `propose`.
        """
        grids = self.params.grids()
        crops, layers = crop_boxes(size, self.params.crop_n_layers, self.params.crop_overlap_ratio)
        total = sum(len(grids[layer]) for layer in layers)
        floor = min(IOU_FLOOR, _least(self.params.pred_iou_thresh))
        found: list[Candidate] = []
        done = 0
        yield Progress(0, total, "encoding")
        for crop, layer in zip(crops, layers, strict=True):
            x0, y0, x1, y1 = crop
            embedding = embed(crop)
            points = grids[layer] * (x1 - x0, y1 - y0)
            seeds = self.predictor.seeds(embedding) if self.params.seeds == "auto" else None
            if seeds is not None:
                total += len(seeds) - len(points)
                points = seeds
            while len(points):
                batch, waiting = np.split(points, [self.params.points_per_batch])
                prompts = [Prompts(point[None], [1]) for point in batch]
                upsampler: Upsampler | None = None
                latest: list[Candidate] = []
                for index, logits, scores in self.predictor.decode(embedding, prompts):
                    upsampler = upsampler or self.predictor.upsampler(embedding, logits.shape[-2:])
                    latest += self._candidates(upsampler, logits, scores, batch[index], crop, floor)
                found += latest
                if self.params.skip_points == "found":
                    waiting = waiting[~self._inside(waiting + np.array(crop[:2]), latest)]
                done += len(points) - len(waiting)
                points = waiting
                yield Progress(done, total, f"point {done} of {total}")
        yield Candidates(size, tuple(found), floor)

    def _inside(self, points: NDArray[np.float64], found: Sequence[Candidate]) -> NDArray[np.bool_]:
        """Tell which points (N, 2) of the plane lie in a mask that passes the thresholds."""
        hit = np.zeros(len(points), bool)
        for candidate in found:
            if _passes(candidate, self.params):
                x0, y0, x1, y1 = candidate.box
                x, y = (points - (x0, y0)).round().astype(int).T
                near = (x >= 0) & (y >= 0) & (x <= x1 - x0) & (y <= y1 - y0)
                hit[near] |= candidate.mask()[y[near], x[near]]
        return hit

    def _candidates(
        self,
        upsampler: Upsampler,
        logits: NDArray[np.float32],
        scores: NDArray[np.float32],
        point: NDArray[np.float64],
        crop: Window,
        floor: float,
    ) -> Iterator[Candidate]:
        offset = self.params.stability_score_offset
        cut = self.predictor.model.mask_threshold
        for plane, score in zip(logits, scores, strict=True):
            if score <= floor:
                continue
            (rows, columns), fine = upsampler.within(plane, cut - offset)
            mask = fine > cut
            if not mask.any():
                continue
            x0, y0, x1, y1 = (int(v) for v in masks.box_of(mask))
            x, y = columns.start + crop[0], rows.start + crop[1]
            yield Candidate(
                box=(x0 + x, y0 + y, x1 + x, y1 + y),
                packed=np.packbits(mask[y0 : y1 + 1, x0 : x1 + 1]),
                iou=float(score),
                stability=masks.stability_score(fine, cut, offset),
                point=(float(point[0] + crop[0]), float(point[1] + crop[1])),
                crop=crop,
            )

    def select(self, candidates: Candidates, params: AmgParams | None = None) -> list[MaskRecord]:
        """Choose among the candidates; takes no time to speak of.

        Parameters
        ----------
        candidates : Candidates
        params : AmgParams, optional
            Other thresholds than those of this generator; only `SELECT_FIELDS` are read.

        Returns
        -------
        list of MaskRecord
        """
        params = params or self.params
        good = [c for c in candidates.items if _passes(c, params)]
        if not good:
            return []
        boxes = np.array([c.box for c in good], np.float64)
        crops = np.array([c.crop for c in good])
        whole = np.ones(len(good), bool)
        kept: list[int] = []
        for crop in np.unique(crops, axis=0):
            own = np.flatnonzero((crops == crop).all(axis=1))
            x0, y0, x1, y1 = (int(v) for v in crop)
            whole[own] = ~masks.boxes_touch_edge(boxes[own], (x0, y0, x1, y1), candidates.size)
            own = own[whole[own]]
            scores = np.array([good[i].iou for i in own])
            kept += own[masks.box_nms(boxes[own], scores, params.box_nms_thresh)].tolist()
        if len(np.unique(crops, axis=0)) > 1:  # between crops the smaller, sharper one wins
            area = np.prod(crops[kept, 2:] - crops[kept, :2], axis=1)
            chosen = masks.box_nms(boxes[kept], 1.0 / area, params.crop_nms_thresh)
            kept = [kept[i] for i in chosen]
        records = [_record(good[i], candidates.size) for i in kept]
        if params.min_mask_region_area:
            nms = max(params.box_nms_thresh, params.crop_nms_thresh)
            records = _cleaned(records, params.min_mask_region_area, nms)
        return records


def finish(steps: Iterator[Progress | Candidates]) -> Candidates:
    """Drive `propose` to its end and return what it found."""
    for step in steps:
        if isinstance(step, Candidates):
            return step
    raise ValueError("the run was stopped before it had an answer")


def as_annotations(
    records: Sequence[MaskRecord], segmentation: Literal["mask", "rle"] = "rle"
) -> list[dict[str, Any]]:
    """Return records as the dictionaries of the published SAM.

    Parameters
    ----------
    records : sequence of MaskRecord
    segmentation : {"mask", "rle"}
        As arrays (H, W), or as uncompressed COCO run lengths that JSON can hold.

    Returns
    -------
    list of dict
    """
    return [
        {
            "segmentation": masks.to_rle(r.segmentation)
            if segmentation == "rle"
            else r.segmentation,
            "area": r.area,
            "bbox": list(r.bbox),
            "predicted_iou": r.predicted_iou,
            "point_coords": [list(r.point_coords)],
            "stability_score": r.stability_score,
            "crop_box": list(r.crop_box),
        }
        for r in records
    ]


def _least(threshold: float) -> float:
    """Return what a predicted IoU must exceed; as in the published SAM, 0 lets all pass."""
    return threshold if threshold > 0 else -np.inf


def _passes(candidate: Candidate, params: AmgParams) -> bool:
    sure = candidate.iou > _least(params.pred_iou_thresh)
    return sure and candidate.stability >= params.stability_score_thresh


def _record(candidate: Candidate, size: tuple[int, int]) -> MaskRecord:
    mask = candidate.mask()
    x0, y0, x1, y1 = candidate.box
    whole = np.zeros(size, bool)
    whole[y0 : y1 + 1, x0 : x1 + 1] = mask
    left, top, right, bottom = candidate.crop
    return MaskRecord(
        segmentation=whole,
        area=int(np.count_nonzero(mask)),
        bbox=(x0, y0, x1 - x0 + 1, y1 - y0 + 1),
        predicted_iou=candidate.iou,
        stability_score=candidate.stability,
        point_coords=candidate.point,
        crop_box=(left, top, right - left, bottom - top),
    )


def _cleaned(records: list[MaskRecord], area: int, nms: float) -> list[MaskRecord]:
    """Fill small holes, drop small islands and suppress what became a duplicate."""
    changed, untouched = [], []
    for record in records:
        mask, filled = masks.remove_small_regions(record.segmentation, area, "holes")
        mask, dropped = masks.remove_small_regions(mask, area, "islands")
        rows, columns = ndimage.find_objects(mask.astype(np.uint8))[0]
        box = (columns.start, rows.start, columns.stop, rows.stop)
        changed.append(
            MaskRecord(
                mask,
                int(np.count_nonzero(mask)),
                (box[0], box[1], box[2] - box[0], box[3] - box[1]),
                record.predicted_iou,
                record.stability_score,
                record.point_coords,
                record.crop_box,
            )
        )
        untouched.append(float(not (filled or dropped)))
    boxes = np.array([(x, y, x + w - 1, y + h - 1) for x, y, w, h in (r.bbox for r in changed)])
    return [changed[i] for i in masks.box_nms(boxes, np.array(untouched), nms)]
