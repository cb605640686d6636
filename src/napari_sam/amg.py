"""Everything mode: a grid of points, their masks, and what is worth keeping of them.

`AutomaticMaskGenerator.propose` is the slow half (encoder and decoder); its candidates are kept,
so that `select` answers new thresholds at once. The method and its parameters are those of the
published SAM (Kirillov et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from . import masks
from .predictor import SamPredictor, Upsampler
from .transforms import to_rgb8
from .types import MaskRecord, Progress, Prompts, Window

IOU_FLOOR = 0.5
"""Candidates with a lower predicted IoU are not kept, unless the threshold asks for them."""

SELECT_FIELDS = (
    "pred_iou_thresh",
    "stability_score_thresh",
    "box_nms_thresh",
    "crop_nms_thresh",
    "min_mask_region_area",
)
"""Parameters that `select` reads; the others need a new run of `propose`."""


def _option(default: Any, low: float, high: float, step: float, text: str) -> Any:
    return field(default=default, metadata={"min": low, "max": high, "step": step, "help": text})


@dataclass(frozen=True)
class AmgParams:
    """Parameters of everything mode, under SAM's names; see each field's `help`."""

    points_per_side: int = _option(32, 1, 128, 1, "points along each side of the grid")
    points_per_batch: int = _option(64, 1, 1024, 1, "points decoded together")
    pred_iou_thresh: float = _option(0.88, 0.0, 1.0, 0.01, "keep masks of at least this score")
    stability_score_thresh: float = _option(
        0.95, 0.0, 1.0, 0.01, "keep masks that hardly change when the cut is moved"
    )
    stability_score_offset: float = _option(1.0, 0.0, 10.0, 0.1, "how far the cut is moved")
    box_nms_thresh: float = _option(0.7, 0.0, 1.0, 0.01, "overlap of boxes that are duplicates")
    crop_n_layers: int = _option(0, 0, 4, 1, "layers of ever smaller crops to run on as well")
    crop_nms_thresh: float = _option(0.7, 0.0, 1.0, 0.01, "the same overlap, between crops")
    crop_overlap_ratio: float = _option(512 / 1500, 0.0, 0.9, 0.01, "how far crops overlap")
    crop_n_points_downscale_factor: int = _option(
        1, 1, 8, 1, "how much sparser the grid gets with each layer of crops"
    )
    min_mask_region_area: int = _option(
        0, 0, 100_000, 10, "fill holes and drop islands of fewer pixels"
    )
    seeds: str = field(
        default="grid",
        metadata={"choices": ("grid", "auto"), "help": "a grid of points, or where objects are"},
    )
    skip_points: str = field(
        default="nothing",
        metadata={
            "choices": ("nothing", "found"),
            "help": "do not ask at points inside masks that were found and pass both thresholds",
        },
    )
    point_grids: tuple[NDArray[np.float64], ...] | None = None
    """Own grids (N, 2), (x, y) in 0..1, one for each layer, in place of `points_per_side`."""

    def __post_init__(self) -> None:
        for name, option in type(self).__dataclass_fields__.items():
            value, limits = getattr(self, name), option.metadata
            if "choices" in limits:
                if value not in limits["choices"]:
                    raise ValueError(f"{name} is one of {limits['choices']}, but is {value!r}")
            elif limits and not limits["min"] <= value <= limits["max"]:
                raise ValueError(
                    f"{name} lies between {limits['min']} and {limits['max']}, but is {value}"
                )
        layers = self.crop_n_layers + 1
        if self.point_grids is not None and len(self.point_grids) != layers:
            raise ValueError(
                f"{layers} layers need {layers} point_grids, but there are {len(self.point_grids)}"
            )

    def grids(self) -> list[NDArray[np.float64]]:
        """Return the points of each layer, (N, 2), (x, y) in 0..1."""
        if self.point_grids is not None:
            return [np.asarray(grid, np.float64).reshape(-1, 2) for grid in self.point_grids]
        factor = self.crop_n_points_downscale_factor
        return [
            point_grid(max(1, int(self.points_per_side / factor**layer)))
            for layer in range(self.crop_n_layers + 1)
        ]


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
        size = (rgb.shape[0], rgb.shape[1])
        grids = self.params.grids()
        crops, layers = crop_boxes(size, self.params.crop_n_layers, self.params.crop_overlap_ratio)
        total = sum(len(grids[layer]) for layer in layers)
        floor = min(IOU_FLOOR, _least(self.params.pred_iou_thresh))
        found: list[Candidate] = []
        done = 0
        yield Progress(0, total, "encoding")
        for crop, layer in zip(crops, layers, strict=True):
            x0, y0, x1, y1 = crop
            embedding = self.predictor.encode(rgb[y0:y1, x0:x1])
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


def point_grid(side: int) -> NDArray[np.float64]:
    """Return the centres of `side` x `side` cells, (side * side, 2), (x, y) in 0..1."""
    centres = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def crop_boxes(
    size: tuple[int, int], layers: int, overlap_ratio: float
) -> tuple[list[Window], list[int]]:
    """Return the crops of every layer: 1, 4, 16, ... overlapping tiles of the plane.

    Parameters
    ----------
    size : (H, W) int
    layers : int
        Layers beyond the whole plane.
    overlap_ratio : float
        Overlap of the first layer's crops, of the shorter side.

    Returns
    -------
    boxes : list of (x0, y0, x1, y1) int, end exclusive
    layers : list of int
    """
    height, width = size
    boxes: list[Window] = [(0, 0, width, height)]
    index = [0]
    for layer in range(1, layers + 1):
        tiles = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / tiles))
        w, h = (int(np.ceil((overlap * (tiles - 1) + side) / tiles)) for side in (width, height))
        starts = [[int((length - overlap) * i) for i in range(tiles)] for length in (w, h)]
        for x0, y0 in product(*starts):
            if x0 >= width or y0 >= height:
                continue  # a plane of a few pixels has no room for so many tiles
            boxes.append((x0, y0, min(x0 + w, width), min(y0 + h, height)))
            index.append(layer)
    return boxes, index


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
