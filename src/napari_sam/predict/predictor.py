"""Encode a plane once, then answer prompts on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..images.transforms import (
    resize,
    scale_box,
    scale_points,
    to_rgb8,
)
from ..masks import tidied
from ..models.contract import InstanceFields
from ..types import Contrast, ImageEmbedding, Mask, MaskLogits, Prediction, Prompts
from .lowering import lowered
from .upsampling import LOW_RES_STRIDE, Frame, Upsampler, frame_of, moved_logits
from .windows import check_inside, cut_to_plane, input_size_of

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

BATCH = 32
"""Prompts that are decoded together."""
FLAT = 2
"""Largest difference of 8-bit values in which there is nothing to see."""


@dataclass(frozen=True, eq=False)
class PreparedPlane:
    """One plane as a model gets it.

    Attributes
    ----------
    rgb : (h, w, 3) uint8
        Resized, without padding.
    original_size : (H, W) int
        Of the plane.
    """

    rgb: NDArray[np.uint8]
    original_size: tuple[int, int]


class SamPredictor:
    """Answers prompts with one model; holds no image.

    Parameters
    ----------
    model : PromptableModel
        What `load_model` returns.
    tidy_masks : bool, optional
        Remove pieces that lie apart from the prompted object and fill small holes
        (`masks.tidied`); by default as it suits the model.
    """

    def __init__(self, model: PromptableModel, tidy_masks: bool | None = None) -> None:
        self.model = model
        self.tidy_masks = model.tidy_masks if tidy_masks is None else tidy_masks
        self._upsampler = lru_cache(maxsize=16)(Upsampler.between)

    def encode(
        self,
        plane: ArrayLike,
        contrast_limits: Contrast | None = None,
        channels: Sequence[int] | None = None,
        spacing: tuple[float, float] = (1.0, 1.0),
    ) -> ImageEmbedding:
        """Run the image encoder on a plane.

        Parameters
        ----------
        plane : (H, W) or (H, W, C) real
        contrast_limits : (low, high) float, or one such pair for each channel, optional
            Values shown black and white; see `transforms.to_rgb8`.
        channels : sequence of int, optional
            Which channels are used; see there.
        spacing : (float, float)
            Size of a pixel along rows' and columns' axis; the model sees square pixels.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        ValueError
            If the plane is empty or does not hold real numbers.
        """
        prepared = self.prepare(plane, contrast_limits, channels, spacing)
        return self.embedding(self.model.encode(prepared.rgb), prepared)

    def prepare(
        self,
        plane: ArrayLike,
        contrast_limits: Contrast | None = None,
        channels: Sequence[int] | None = None,
        spacing: tuple[float, float] = (1.0, 1.0),
    ) -> PreparedPlane:
        """Return a plane as the model gets it, the fast part of `encode`; same parameters."""
        rgb = to_rgb8(plane, contrast_limits, channels)
        h, w = rgb.shape[:2]
        return PreparedPlane(resize(rgb, input_size_of((h, w), self.model, spacing)), (h, w))

    def embedding(self, features: Any, prepared: PreparedPlane) -> ImageEmbedding:
        """Return features of a plane, encoded now or kept from earlier, as an embedding."""
        h, w = prepared.rgb.shape[:2]
        # each channel by itself: numpy takes fifty times as long for all at once
        blank = all(np.ptp(prepared.rgb[..., channel]) <= FLAT for channel in range(3))
        return ImageEmbedding(features, prepared.original_size, (h, w), self.model.name, blank)

    def predict(
        self, embedding: ImageEmbedding, prompts: Prompts, multimask_output: bool | None = None
    ) -> Prediction:
        """Answer the prompts of one object.

        Parameters
        ----------
        embedding : ImageEmbedding
            Made by this model.
        prompts : Prompts, in pixels of the plane
            A box is cut at the edges of the plane.
        multimask_output : bool, optional
            Several masks with their scores, or a single one. By default several for a lone point,
            which is ambiguous, and one for anything clearer, as the authors of SAM advise.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            If there is no prompt, one lies outside the plane, or the embedding is another model's.
        """
        return self.predict_many(embedding, [prompts], multimask_output)[0]

    def predict_many(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        multimask_output: bool | None = None,
    ) -> list[Prediction]:
        """Answer the prompts of several objects, in batches; see `predict`."""
        prompts = self._lowered(embedding, prompts)
        answers: list[Prediction | None] = [None] * len(prompts)
        upsampler: Upsampler | None = None
        frame = self.logits_frame(embedding)
        for index, logits, scores, presence in self.decode(embedding, prompts, multimask_output):
            upsampler = upsampler or self.upsampler(embedding, logits.shape[-2:])
            masks = [self._mask(upsampler, one, embedding.original_size) for one in logits]
            if self.tidy_masks:
                given = prompts[index]
                masks = [tidied(mask, given.point_coords, given.point_labels) for mask in masks]
            seen = 0.0 if embedding.blank else presence  # whatever the model makes of nothing
            answers[index] = Prediction(tuple(masks), scores, logits, frame, presence=seen)
        return [answer for answer in answers if answer is not None]

    def _lowered(self, embedding: ImageEmbedding, prompts: Sequence[Prompts]) -> list[Prompts]:
        size = embedding.original_size
        return [lowered(one, size, self.model, closer_look=False) for one in prompts]

    def _mask(
        self, upsampler: Upsampler, logits: NDArray[np.float32], size: tuple[int, int]
    ) -> Mask:
        """Return the mask of logits (h, w) in a plane of `size`."""
        threshold = self.model.mask_threshold
        (rows, columns), fine = upsampler.within(logits, threshold)
        return Mask.of(fine > threshold, (columns.start, rows.start), size)

    def logits_frame(self, embedding: ImageEmbedding) -> Frame:
        """Return what low-resolution logits of an embedding cover; see `MaskLogits.frame`."""
        padded = self.model.padded_size(embedding.input_size)
        return frame_of(embedding.original_size, embedding.input_size, padded)

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[Prompts],
        multimask_output: bool | None = None,
    ) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.float32], float]]:
        """Yield (index of the prompt, low-resolution logits (C, h, w), scores (C,), presence).

        Prompts of one form are decoded together, so the order is not that of `prompts`.

        Raises
        ------
        ValueError
            If a prompt is empty or lies outside the plane, the embedding is another model's, or a
            guide does not fit.
        """
        if embedding.model != self.model.name:
            raise ValueError(
                f"this embedding was made by {embedding.model}, not by {self.model.name}"
            )
        size = embedding.original_size
        for prompt in prompts:
            check_inside(prompt, size, margin=0.5)
        prompts = [cut_to_plane(one, size) for one in self._lowered(embedding, prompts)]
        forms: dict[tuple[int, bool, bool, int | None], list[int]] = {}
        for index, prompt in enumerate(prompts):
            if prompt.empty:
                raise ValueError("give at least one point, a box or a mask")
            earlier = None if prompt.guide is None else id(prompt.guide.embedding)
            form = (
                len(prompt.point_coords), prompt.box is None, prompt.mask_input is None, earlier,
            )  # fmt: skip
            forms.setdefault(form, []).append(index)
        for indices in forms.values():
            for start in range(0, len(indices), BATCH):
                batch = indices[start : start + BATCH]
                arrays = self._arrays(embedding, [prompts[i] for i in batch])
                several = (
                    prompts[batch[0]].ambiguous if multimask_output is None else multimask_output
                )
                guide = self._guide(embedding, [prompts[i] for i in batch])
                logits, scores, presence = self.model.decode(
                    embedding.features, *arrays, several, guide
                )
                sure = [1.0] * len(batch) if presence is None else presence.tolist()
                yield from zip(batch, logits, scores, sure, strict=True)

    def instance_fields(self, embedding: ImageEmbedding) -> tuple[InstanceFields, ...] | None:
        """Return what the model's instance head says of a plane, finest first.

        The cells cover the input without its padding. None if the model's family has no such head.
        """
        found = self.model.instance_fields(embedding.features)
        if found is None:
            return None
        return tuple(fields.within(embedding.input_size) for fields in found)

    def upsampler(
        self,
        embedding: ImageEmbedding,
        low_res: Sequence[int],
        frame: tuple[int, int] | None = None,
    ) -> Upsampler:
        """Return what maps logits to the plane of an embedding.

        Parameters
        ----------
        embedding : ImageEmbedding
        low_res : (h, w) int
            Size of the logits.
        frame : (h, w) int, optional
            What they cover, from the first pixel of the input; by default the padded input.
        """
        logits = (low_res[0], low_res[1])
        if self.model.square_input:  # published to be resized in one step, as there is no padding
            return self._upsampler(logits, logits, logits, embedding.original_size)
        return self._upsampler(
            logits,
            frame or self.model.padded_size(embedding.input_size),
            embedding.input_size,
            embedding.original_size,
        )

    def _arrays(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompts]
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.int64],
        NDArray[np.float32] | None,
        NDArray[np.float32] | None,
    ]:
        frames = (embedding.original_size, embedding.input_size, self.model.half_pixel)
        coords = np.stack([scale_points(p.point_coords, *frames) for p in prompts])
        labels = np.stack([p.point_labels for p in prompts])
        boxes = [scale_box(p.box, *frames) for p in prompts if p.box is not None]
        masks = [
            self._mask_input(embedding, p.mask_input) for p in prompts if p.mask_input is not None
        ]
        return (
            coords.astype(np.float32),
            labels,
            np.stack(boxes).astype(np.float32) if boxes else None,
            np.stack(masks) if masks else None,
        )

    def _mask_input(
        self, embedding: ImageEmbedding, given: MaskLogits | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return a mask input (h, w) in the frame of an embedding."""
        high, wide = self.model.padded_size(embedding.input_size)
        shape = (high // LOW_RES_STRIDE, wide // LOW_RES_STRIDE)
        if isinstance(given, MaskLogits):
            return moved_logits(given, self.logits_frame(embedding), shape)
        if given.shape != shape:
            raise ValueError(f"mask_input must be {shape}, but is {given.shape}")
        return given

    def _guide(
        self, embedding: ImageEmbedding, prompts: Sequence[Prompts]
    ) -> tuple[Any, NDArray[np.float32]] | None:
        """Return features of the earlier plane, and logits of the objects there (P, h, w)."""
        guides = [p.guide for p in prompts if p.guide is not None]
        if not guides:
            return None
        if not self.model.takes_guide:
            raise ValueError(f"{self.model.name} takes no guide: prompt this plane by itself")
        earlier = guides[0].embedding
        if (earlier.model, earlier.input_size) != (embedding.model, embedding.input_size):
            raise ValueError(
                f"the guide's plane was encoded by {earlier.model} at {earlier.input_size}, "
                f"this one by {embedding.model} at {embedding.input_size}"
            )
        return earlier.features, np.stack([guide.logits for guide in guides]).astype(np.float32)
