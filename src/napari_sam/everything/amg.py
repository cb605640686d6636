"""Everything mode: a grid of points, their masks, and the selection of those to keep.

`AutomaticMaskGenerator.propose` is the slow part (encoder and decoder); its candidates are kept,
so that `select` answers new thresholds at once. The method and its parameters are those of the
published SAM (Kirillov et al., ICCV 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..images.transforms import contrast_of, real_plane
from ..masks import stability_score
from ..predict.predictor import SamPredictor
from ..predict.upsampling import Upsampler
from ..steps import drive
from ..types import ImageEmbedding, Mask, MaskRecord, Progress, Prompts, Window
from .amg_instances import InstanceAnswer, InstanceProposer
from .amg_params import AmgParams, crop_boxes
from .amg_select import Candidate, Candidates, least_iou, passes, select
from .closer import are_small, closer_tiles, is_better
from .looks import FoundSoFar, Look
from .tiles import Levels, tiles_of

__all__ = ["AutomaticMaskGenerator", "Candidate", "Candidates", "FoundSoFar"]

IOU_FLOOR = 0.5
"""Candidates with a lower predicted IoU are not kept, unless the threshold asks for them."""


TILES = 64
"""Tiles of a large plane after which it is told what was found so far, and again after twice,
four times as many and so on: each time all that was found is selected anew."""
CLOSER = "closer look, "
"""How the text of progress in a closer look begins."""


@dataclass(frozen=True)
class _Frame:
    """Where masks come from: the crop (x0, y0, x1, y1) of a plane of `size` (H, W).

    Masks of a predicted IoU up to `floor` are left out.
    """

    size: tuple[int, int]
    crop: Window
    floor: float


class AutomaticMaskGenerator:
    """Finds every object of a plane.

    Parameters
    ----------
    predictor : SamPredictor
    params : AmgParams, optional
        By default those that suit the model.
    """

    def __init__(self, predictor: SamPredictor, params: AmgParams | None = None) -> None:
        self.predictor = predictor
        self.params = params or AmgParams(**predictor.model.amg_defaults)

    def generate(
        self, plane: ArrayLike, contrast_limits: tuple[float, float] | None = None
    ) -> list[MaskRecord]:
        """Return the masks of a plane, best first; see `propose` and `select`."""
        return self.select(drive(self.propose(plane, contrast_limits)))

    def propose(
        self, plane: ArrayLike, contrast_limits: tuple[float, float] | None = None
    ) -> Generator[Progress, None, Candidates]:
        """Ask the model at every point; the slow part. `steps.drive` runs it.

        Parameters
        ----------
        plane : (H, W) or (H, W, C) real
        contrast_limits : (low, high) float, optional
            Crops are stretched as the whole plane is.

        Yields
        ------
        Progress
            After each batch of points.

        Returns
        -------
        Candidates
        """
        pixels = real_plane(plane)
        limits = contrast_of(pixels) if contrast_limits is None else contrast_limits
        size = pixels.shape[0], pixels.shape[1]

        def embed(crop: Window) -> ImageEmbedding:
            x0, y0, x1, y1 = crop
            return self.predictor.encode(pixels[y0:y1, x0:x1], limits)

        return (yield from self.propose_on(size, embed))

    def propose_on(
        self,
        size: tuple[int, int],
        embed: Callable[[Window], ImageEmbedding],
        spacing: tuple[float, float] = (1.0, 1.0),
    ) -> Generator[Progress, None, Candidates]:
        """Ask the model at every point of a plane whose embeddings come from elsewhere.

        Parameters
        ----------
        size : (H, W) int
        embed : callable
            Returns the embedding of a crop (x0, y0, x1, y1), end exclusive. The first is the whole
            plane, unless `tiles` divides it.
        spacing : (float, float)
            See `Plane.spacing`.

        Yields
        ------
        Progress
            After each batch of points; `FoundSoFar` now and then, if there are many tiles.

        Returns
        -------
        Candidates
        """
        levels, floor = self.tiles(size, spacing), least_iou(self.params.pred_iou_thresh)
        look = Look.at(size, levels, min(IOU_FLOOR, floor))
        if not levels:
            layers, overlap = self.params.crop_n_layers, self.params.crop_overlap_ratio
            look.crops, look.layers = crop_boxes(size, layers, overlap)
        yield from self._looked(look, embed, "")
        candidates = look.candidates
        while tiles := self._closer(look, spacing):
            if look.levels:
                yield FoundSoFar(0, len(tiles), f"{CLOSER}encoding", candidates)
            look = Look.at(size, (tiles,), look.floor)
            yield from self._looked(look, embed, CLOSER)
            before = candidates.tiles or (((0, 0, size[1], size[0]),),)
            items = (*look.found, *candidates.items)
            levels, closer = (tiles, *before), candidates.closer + 1
            both = Candidates(size, items, look.floor, look.told_apart, levels, closer)
            if not is_better(self.select(both), self.select(candidates)):
                break
            candidates = both
        return candidates

    def _closer(self, look: Look, spacing: tuple[float, float]) -> tuple[Window, ...]:
        """Return where to look closer after a look; nowhere if that shows no small objects."""
        if self.params.look_closer != "auto" or self.params.crop_n_layers:
            return ()
        if not are_small(look.shown):
            return ()
        model = self.predictor.model
        return closer_tiles(look.size, look.levels, model.image_size, model.largest_scale, spacing)

    def _looked(
        self, look: Look, embed: Callable[[Window], ImageEmbedding], name: str
    ) -> Generator[Progress, None, None]:
        """Ask the model at every point of the crops of a look."""
        grids = self.params.grids()
        total = sum(len(grids[layer]) for layer in look.layers)
        done, told = 0, TILES
        finest = set(look.levels[0] if look.levels else look.crops)

        def step(number: int, text: str) -> Progress:
            """Return how far it is: in tiles, where there are any."""
            if not look.levels:
                return Progress(done, total, text)
            count = len(look.crops)
            return Progress(number, count, f"{name}tile {number + 1} of {count}")

        yield Progress(0, len(look.crops) if look.levels else total, f"{name}encoding")
        for number, (crop, layer) in enumerate(zip(look.crops, look.layers, strict=True)):
            if look.levels and number == told and not name:
                told *= 2
                so_far = look.candidates
                yield FoundSoFar(number, len(look.crops), step(number, "").text, so_far)
            x0, y0, x1, y1 = crop
            embedding = embed(crop)
            points = grids[layer] * (x1 - x0, y1 - y0)
            if embedding.blank:  # models find objects there all the same
                done += len(points)
                yield step(number, "blank")
                continue
            head = None
            if self.params.seeds == "auto":
                head = self.predictor.instance_fields(embedding)
            frame = _Frame(look.size, crop, look.floor)
            if head is None:
                steps = self._at_points(embedding, points, frame)
            else:
                look.told_apart = True
                proposer = InstanceProposer(self.predictor, embedding, head)
                look.shown += proposer.shown if crop in finest else []
                total += len(proposer.doubtful) - len(points)
                steps = self._from_head(proposer, frame)
            for answered, latest in steps:
                look.found += latest
                done += answered
                yield step(number, f"point {done} of {total}")

    def tiles(self, size: tuple[int, int], spacing: tuple[float, float] = (1.0, 1.0)) -> Levels:
        """Return the tiles that a plane is divided into; see `tiles.tiles_of`.

        Where layers of crops are asked for, there are none.
        """
        if self.params.crop_n_layers:
            return ()
        return tiles_of(size, self.predictor.model.image_size, spacing)

    def _at_points(
        self, embedding: ImageEmbedding, points: NDArray[np.float64], frame: _Frame
    ) -> Iterator[tuple[int, list[Candidate]]]:
        """Ask at points (N, 2) of a crop; yield how many points are done with, and their masks."""
        while len(points):
            batch, waiting = np.split(points, [self.params.points_per_batch])
            prompts = [Prompts(point[None], [1]) for point in batch]
            upsampler: Upsampler | None = None
            latest: list[Candidate] = []
            for index, logits, scores, _ in self.predictor.decode(embedding, prompts):
                upsampler = upsampler or self.predictor.upsampler(embedding, logits.shape[-2:])
                latest += self._candidates(upsampler, logits, scores, batch[index], frame)
            if self.params.skip_points == "found":
                waiting = waiting[~self._inside(waiting + np.array(frame.crop[:2]), latest)]
            yield len(points) - len(waiting), latest
            points = waiting

    def _from_head(
        self, proposer: InstanceProposer, frame: _Frame
    ) -> Iterator[tuple[int, list[Candidate]]]:
        """Take what an instance head shows; the decoder is asked for the doubtful objects."""

        def candidates(answers: Iterator[InstanceAnswer]) -> list[Candidate]:
            latest: list[Candidate] = []
            for answer in answers:
                upsampler = self.predictor.upsampler(
                    proposer.embedding, answer.logits.shape, answer.frame
                )
                logits, scores = answer.logits[None], np.array([answer.iou], np.float32)
                latest += self._candidates(upsampler, logits, scores, answer.point, frame)
            return latest

        yield 0, candidates(proposer.certain())
        doubtful = proposer.doubtful
        for start in range(0, len(doubtful), self.params.points_per_batch):
            some = doubtful[start : start + self.params.points_per_batch]
            yield len(some), candidates(proposer.decoded(some))

    def _inside(self, points: NDArray[np.float64], found: Sequence[Candidate]) -> NDArray[np.bool_]:
        """Tell which points (N, 2) of the plane lie in a mask that passes the thresholds."""
        hit = np.zeros(len(points), bool)
        for candidate in found:
            if passes(candidate, self.params):
                x0, y0, x1, y1 = candidate.mask.box
                x, y = (points - (x0, y0)).round().astype(int).T
                near = (x >= 0) & (y >= 0) & (x <= x1 - x0) & (y <= y1 - y0)
                hit[near] |= candidate.mask.bits[y[near], x[near]]
        return hit

    def _candidates(
        self,
        upsampler: Upsampler,
        logits: NDArray[np.float32],
        scores: NDArray[np.float32],
        point: NDArray[np.float64],
        frame: _Frame,
    ) -> Iterator[Candidate]:
        """Yield the masks of logits (C, h, w) that were found at a point (x, y) of the crop."""
        offset = self.params.stability_score_offset
        cut = self.predictor.model.mask_threshold
        left, top = frame.crop[:2]
        for plane, score in zip(logits, scores, strict=True):
            if score <= frame.floor:
                continue
            (rows, columns), fine = upsampler.within(plane, cut - offset)
            mask = Mask.of(fine > cut, (columns.start + left, rows.start + top), frame.size)
            if mask:
                yield Candidate(
                    mask=mask,
                    iou=float(score),
                    stability=stability_score(fine, cut, offset),
                    point=(float(point[0] + left), float(point[1] + top)),
                    crop=frame.crop,
                )

    def select(self, candidates: Candidates, params: AmgParams | None = None) -> list[MaskRecord]:
        """Choose among the candidates; takes milliseconds.

        Parameters
        ----------
        candidates : Candidates
        params : AmgParams, optional
            Other thresholds than those of this generator; only `SELECT_FIELDS` are read.

        Returns
        -------
        list of MaskRecord
        """
        return select(candidates, params or self.params)
