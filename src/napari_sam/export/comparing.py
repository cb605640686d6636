"""Compares an exported model with torch's on planes: masks, logits, time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from ..everything.amg import AutomaticMaskGenerator
from ..everything.amg_params import AmgParams
from ..models.contract import Answers, PromptableModel
from ..models.onnx_sessions import threads
from ..predict.predictor import PreparedPlane, SamPredictor
from ..predict.upsampling import Upsampler
from ..steps import mapped
from ..types import Progress
from .graphs_sam import SINGLE_POINTS
from .planes import NamedPlane
from .report import SMALLEST, SURE, Agreement, Comparison, Times

GRID = 6
"""Clicks along each side of a plane."""
BOXES = 24
"""Most boxes of a plane."""
POINTS_PER_SIDE = 8
"""Of everything mode, which finds the boxes."""
REPEATS = 3
TINY = 1e-12
QUICK = 1.0
"""A computation that takes longer than this is not repeated, s."""


class Question(NamedTuple):
    """Prompts of one kind, in pixels of the input; see `PromptableModel.decode`.

    Attributes
    ----------
    kind : str
    coords : (P, N, 2) float32
    labels : (P, N) int64
    boxes : (P, 4) float32 or None
    mask_input : (P, h, w) float32 or None
    several : bool
        Whether several masks are wanted.
    """

    kind: str
    coords: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32] | None
    mask_input: NDArray[np.float32] | None
    several: bool


@dataclass
class _Found:
    """What was found of one kind so far."""

    prompts: int = 0
    small: int = 0
    overlaps: list[float] = field(default_factory=list)
    doubtful: list[float] = field(default_factory=list)
    largest: float = 0.0
    scores: list[float] = field(default_factory=list)
    spreads: list[float] = field(default_factory=list)

    def agreement(self) -> Agreement:
        overlaps = self.overlaps or [float("nan")]
        return Agreement(
            self.prompts,
            len(self.overlaps),
            self.small,
            len(self.doubtful),
            float(np.mean(overlaps)),
            float(np.min(overlaps)),
            float(np.mean([*overlaps, *self.doubtful])),
            self.largest / max(float(np.mean(self.spreads)), TINY),
            float(np.mean(self.scores)),
        )


class Comparer:
    """Compares two models plane by plane.

    Parameters
    ----------
    ours : PromptableModel
        In torch, with float32.
    exported : PromptableModel
        On ONNX Runtime, with as many threads.
    trained : bool
        Whether its answers mean something. Then boxes are of objects that everything mode finds,
        or of the masks of clicks where it finds none. Else they are squares.
    single_mask : bool
        Whether the export answers with one mask; then torch's is chosen by the same rule.
    """

    def __init__(
        self,
        ours: PromptableModel,
        exported: PromptableModel,
        trained: bool = True,
        single_mask: bool = False,
    ) -> None:
        self.ours, self.exported, self.trained = ours, exported, trained
        self.single_mask = single_mask
        self._predictor = SamPredictor(ours)
        self._found: defaultdict[str, _Found] = defaultdict(_Found)
        self._encode: list[Times] = []
        self._click: list[Times] = []
        self._features = 0.0

    def compare(self, planes: Sequence[NamedPlane]) -> Generator[Progress, None, Comparison]:
        """Compare on some planes.

        Yields
        ------
        Progress

        Returns
        -------
        Comparison
        """
        before = torch.get_num_threads()
        torch.set_num_threads(threads())
        try:
            for index, plane in enumerate(planes):
                yield Progress(index, len(planes), f"compared with torch: {plane.name}")
                yield from self._add(plane)
        finally:
            torch.set_num_threads(before)
        return Comparison(
            {plane.name: (plane.image.shape[0], plane.image.shape[1]) for plane in planes},
            {kind: found.agreement() for kind, found in self._found.items()},
            self._features,
            _mean(self._encode),
            _mean(self._click),
            threads(),
        )

    def _add(self, plane: NamedPlane) -> Generator[Progress, None, None]:
        prepared = self._predictor.prepare(plane.image)
        rgb = prepared.rgb
        both, times = _in_turn(lambda: self.ours.encode(rgb), lambda: self.exported.encode(rgb))
        self._encode.append(times)
        outputs = (_outputs(self.ours, both[0]), _outputs(self.exported, both[1]))
        for mine, other in zip(*outputs, strict=True):
            relative = _difference(mine, other) / max(float(mine.std()), TINY)
            self._features = _larger(self._features, relative)
        grid = clicks(prepared.rgb.shape[:2])
        self._time_click(grid, both)
        boxes = self._ask(grid, both, prepared)
        if self.trained:
            yield Progress(0, 0, f"boxes of {plane.name}")
            found = yield from self._boxes(plane)
            boxes = scaled(found if len(found) else boxes[:BOXES], prepared)
        else:
            boxes = squares(rgb.shape)
        for question in self._others(grid, boxes, both[0], prepared):
            self._ask(question, both, prepared)

    def _time_click(self, grid: Question, features: tuple[Any, Any]) -> None:
        coords, labels = grid.coords[:1], grid.labels[:1]
        _, times = _in_turn(
            lambda: self.ours.decode(features[0], coords, labels, None, None, True),
            lambda: self.exported.decode(features[1], coords, labels, None, None, True),
        )
        self._click.append(times)

    def _others(
        self, grid: Question, boxes: NDArray[np.float32], features: Any, prepared: PreparedPlane
    ) -> Generator[Question, None, None]:
        """Yield what is asked after the clicks."""
        beside = np.roll(grid.coords, 1, axis=0)
        two = np.concatenate([grid.coords, beside], axis=1)
        signs = np.tile(np.array([1, 0]), (len(two), 1))
        yield Question("a point and a background point", two, signs, None, None, False)
        if not len(boxes):
            return
        none = np.zeros((len(boxes), 0, 2), np.float32), np.zeros((len(boxes), 0), np.int64)
        yield Question("boxes", *none, boxes, None, False)
        earlier = self.ours.decode(features, *none, boxes, None, False).low_res_logits[:, 0]
        middle = np.asarray((boxes[:, None, :2] + boxes[:, None, 2:]) / 2, np.float32)
        inside = np.ones(middle.shape[:2], np.int64)
        yield Question("earlier masks and a point", middle, inside, None, earlier, False)

    def _ask(
        self, question: Question, features: tuple[Any, Any], prepared: PreparedPlane
    ) -> NDArray[np.float32]:
        """Ask both models, and note what they answer.

        Returns
        -------
        (K, 4) float32, xyxy in pixels of the plane
            Boxes of the masks that count.
        """
        found = self._found[question.kind]
        answers = self._answers(features[0], question)
        others = self.exported.decode(features[1], *question[1:])
        ours, theirs = answers.low_res_logits, others.low_res_logits
        scores = answers.iou_predictions.ravel()
        found.scores += [*np.abs(scores - others.iou_predictions.ravel())]
        if answers.presence is not None and others.presence is not None:
            found.scores += [*np.abs(expit(answers.presence) - expit(others.presence))]
        upsample = self._upsampler(ours.shape[-2:], prepared)
        found.prompts += len(ours)
        found.largest = _larger(found.largest, _difference(ours, theirs))
        found.spreads.append(float(ours.std()))
        boxes = []
        planes = (part.reshape(-1, *part.shape[2:]) for part in (ours, theirs))
        for mine, other, score in zip(*planes, scores, strict=True):
            one, two = upsample(mine) > 0, upsample(other) > 0
            if max(one.sum(), two.sum()) < SMALLEST:
                found.small += 1
                continue
            sure = score >= SURE or not self.trained
            kept = found.overlaps if sure else found.doubtful
            kept.append(float((one & two).sum() / (one | two).sum()))
            if sure and one.any():
                boxes.append(_box_of(one))
        return np.array(boxes, np.float32).reshape(-1, 4)

    def _answers(self, features: Any, question: Question) -> Answers:
        """Return torch's answers; one for each prompt if the export has a single mask."""
        if not self.single_mask:
            return self.ours.decode(features, *question[1:])
        corners = 1 if question.boxes is None else 2  # or one point of padding
        several = question.coords.shape[1] + corners < SINGLE_POINTS
        answers = self.ours.decode(features, *question[1:-1], several)
        scores = answers.iou_predictions
        best = scores.argmax(axis=1)[:, None]
        logits = np.take_along_axis(answers.low_res_logits, best[..., None, None], 1)
        return Answers(logits, np.take_along_axis(scores, best, 1))

    def _upsampler(self, low_res: tuple[int, ...], prepared: PreparedPlane) -> Upsampler:
        h, w = prepared.rgb.shape[:2]
        return Upsampler.between(
            (low_res[0], low_res[1]), self.ours.padded_size((h, w)), (h, w), prepared.original_size
        )

    def _boxes(self, plane: NamedPlane) -> Generator[Progress, None, NDArray[np.float32]]:
        """Return boxes of objects that everything mode finds, in pixels of the plane."""
        params = AmgParams(**{**self.ours.amg_defaults, "points_per_side": POINTS_PER_SIDE})
        generator = AutomaticMaskGenerator(self._predictor, params)
        candidates = yield from mapped(generator.propose(plane.image), lambda step: step)
        records = generator.select(candidates)[:BOXES]
        boxes = np.array([record.bbox for record in records], np.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        return boxes


def scaled(boxes: NDArray[np.float32], prepared: PreparedPlane) -> NDArray[np.float32]:
    """Return boxes (P, 4) of a plane in pixels of the input."""
    scale = np.array(prepared.rgb.shape[1::-1]) / np.array(prepared.original_size[::-1])
    return np.asarray(boxes * np.tile(scale, 2), np.float32)


def clicks(size: tuple[int, ...]) -> Question:
    """Return clicks in a grid over an input of (h, w) pixels."""
    h, w = size[:2]
    y, x = ((np.arange(GRID) + 0.5) / GRID * side - 0.5 for side in (h, w))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    return Question("clicks", places, np.ones((len(places), 1), np.int64), None, None, True)


def squares(size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return boxes (P, 4), xyxy, about the same places, a quarter of the shorter side long."""
    places, reach = clicks(size).coords[:, 0], min(size[:2]) / 8
    return np.concatenate([places - reach, places + reach], axis=1).astype(np.float32)


def _box_of(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the box of a mask (h, w), xyxy."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return tuple(int(side) for side in (columns[0], rows[0], columns[-1], rows[-1]))


def _outputs(model: PromptableModel, features: Any) -> list[NDArray[np.float32]]:
    """Return what an encoder gives: features, and what its instance head says."""
    fields = model.instance_fields(features) or ()
    return [*model.feature_maps(features), *(one.field for one in fields)]


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max())


def _larger(one: float, other: float) -> float:
    """Return the larger number; NaN if one is."""
    return float(np.maximum(one, other))


def _in_turn(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[tuple[Any, Any], Times]:
    """Run two computations in turn; return what they give and the least time of each."""
    least = [float("inf"), float("inf")]
    answers: list[Any] = [None, None]
    for _ in range(REPEATS):
        for index, run in enumerate((one, other)):
            start = time.perf_counter()
            answers[index] = run()
            least[index] = min(least[index], time.perf_counter() - start)
        if max(least) > QUICK:
            break
    return (answers[0], answers[1]), Times(*least)


def _mean(times: Sequence[Times]) -> Times:
    return Times(*(float(np.mean(part)) for part in zip(*times, strict=True)))
