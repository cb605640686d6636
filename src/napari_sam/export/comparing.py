"""Compares an exported model with torch's on planes: masks, logits, time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
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
from .image_masks import ImageMaskComparer
from .planes import NamedPlane
from .questions import (
    Question,
    box_of,
    boxed,
    clicks,
    corrected,
    guided,
    next_plane,
    pairs,
    scaled,
    squares,
)
from .report import SMALLEST, SURE, Agreement, Comparison, Times
from .timing import in_turn, mean, same_threads

BOXES = 24
"""Most boxes of a plane."""
POINTS_PER_SIDE = 8
"""Of everything mode, which finds the boxes."""
TINY = 1e-12


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
    image_masks : ImageMaskComparer, optional
        Of the same export, if it is a SAM.
    """

    def __init__(
        self,
        ours: PromptableModel,
        exported: PromptableModel,
        trained: bool = True,
        single_mask: bool = False,
        image_masks: ImageMaskComparer | None = None,
    ) -> None:
        self.ours, self.exported, self.trained = ours, exported, trained
        self.single_mask, self.image_masks = single_mask, image_masks
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
        with same_threads(self.ours):
            for index, plane in enumerate(planes):
                yield Progress(index, len(planes), f"compared with torch: {plane.name}")
                yield from self._add(plane)
        return Comparison(
            {plane.name: (plane.image.shape[0], plane.image.shape[1]) for plane in planes},
            {kind: found.agreement() for kind, found in self._found.items()},
            self._features,
            mean(self._encode),
            mean(self._click),
            threads(),
            self.image_masks.found() if self.image_masks else None,
        )

    def _add(self, plane: NamedPlane) -> Generator[Progress, None, None]:
        prepared = self._predictor.prepare(plane.image)
        rgb = prepared.rgb
        both, times = in_turn(lambda: self.ours.encode(rgb), lambda: self.exported.encode(rgb))
        self._encode.append(times)
        outputs = (_outputs(self.ours, both[0]), _outputs(self.exported, both[1]))
        for mine, other in zip(*outputs, strict=True):
            relative = _difference(mine, other) / max(float(mine.std()), TINY)
            self._features = _larger(self._features, relative)
        grid = clicks(prepared.rgb.shape[:2])
        self._time_click(grid, both)
        if self.image_masks:
            middle = grid.coords.mean(axis=(0, 1))
            self.image_masks.add(both[1], middle, prepared.original_size)
        boxes = self._ask(grid, both, prepared)
        if self.trained:
            yield Progress(0, 0, f"boxes of {plane.name}")
            found = yield from self._boxes(plane)
            boxes = scaled(found if len(found) else boxes[:BOXES], prepared)
        else:
            boxes = squares(rgb.shape)
        self._ask(pairs(grid), both, prepared)
        if len(boxes):
            self._ask_of_boxes(boxes, both, prepared)

    def _time_click(self, grid: Question, features: tuple[Any, Any]) -> None:
        one = grid._replace(coords=grid.coords[:1], labels=grid.labels[:1])
        _, times = in_turn(
            lambda: one.asked(self.ours, features[0]),
            lambda: one.asked(self.exported, features[1]),
        )
        self._click.append(times)

    def _ask_of_boxes(
        self, boxes: NDArray[np.float32], features: tuple[Any, Any], prepared: PreparedPlane
    ) -> None:
        """Ask for what lies in boxes, and for the same in other ways."""
        question = boxed(boxes)
        self._ask(question, features, prepared)
        logits = question.asked(self.ours, features[0]).low_res_logits[:, 0]
        self._ask(corrected(boxes, logits), features, prepared)
        if self.ours.takes_guide:
            rgb = next_plane(prepared.rgb)
            later = self.ours.encode(rgb), self.exported.encode(rgb)
            self._ask(guided(logits), later, prepared, features)

    def _ask(
        self,
        question: Question,
        features: tuple[Any, Any],
        prepared: PreparedPlane,
        earlier: tuple[Any, Any] = (None, None),
    ) -> NDArray[np.float32]:
        """Ask both models, and note what they answer.

        Parameters
        ----------
        question : Question
        features : (object, object)
            Of the plane, by each model.
        prepared : PreparedPlane
        earlier : (object, object), optional
            Features of the earlier plane, where there is a guide.

        Returns
        -------
        (K, 4) float32, xyxy in pixels of the plane
            Boxes of the masks that count.
        """
        found = self._found[question.kind]
        answers = self._answers(question, features[0], earlier[0])
        others = question.asked(self.exported, features[1], earlier[1])
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
                boxes.append(box_of(one))
        return np.array(boxes, np.float32).reshape(-1, 4)

    def _answers(self, question: Question, features: Any, earlier: Any) -> Answers:
        """Return torch's answers; one for each prompt if the export has a single mask."""
        if not self.single_mask:
            return question.asked(self.ours, features, earlier)
        corners = 1 if question.boxes is None else 2  # or one point of padding
        several = question.coords.shape[1] + corners < SINGLE_POINTS
        answers = question._replace(several=several).asked(self.ours, features)
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


def _outputs(model: PromptableModel, features: Any) -> list[NDArray[np.float32]]:
    """Return what an encoder gives: features, and what its instance head says."""
    fields = model.instance_fields(features) or ()
    return [*model.feature_maps(features), *(one.field for one in fields)]


def _difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max())


def _larger(one: float, other: float) -> float:
    """Return the larger number; NaN if one is."""
    return float(np.maximum(one, other))
