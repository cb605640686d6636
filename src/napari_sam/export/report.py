"""What an export was found to be: its agreement with torch, and its speed; no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LEAST_IOU = {"fp32": 0.99, "fp16": 0.99, "int8": 0.97}
"""Least mean IoU with torch's masks, by precision."""
LARGEST_DIFFERENCE = 1e-3
"""Of float32 logits of random weights, in standard deviations of torch's logits; and of a decoder's
`masks`, which are magnified in float32 in every precision."""
LARGEST_SCORES = {"fp32": 1e-3, "fp16": 0.01, "int8": 0.05}
"""Largest mean difference of the scores, by precision; those of random weights in float32 only."""
SMALLEST = 50
"""A mask of fewer pixels is left out: an IoU of so few says nothing."""
SURE = 0.3
"""Least predicted IoU of a mask that counts: of a click on no object, any mask is as good."""
REPORT = ("report.md", "report.json")


@dataclass(frozen=True)
class Agreement:
    """How well answers to one kind of prompt agree with torch's.

    Attributes
    ----------
    prompts : int
    masks : int
        Masks that were compared.
    small : int
        Masks that were left out, since both have fewer than `SMALLEST` pixels.
    doubtful : int
        Masks that torch itself gives a score below `SURE`; they do not count.
    mean_iou, worst_iou : float
        NaN where no mask was compared.
    iou_of_all : float
        Mean with the doubtful masks.
    difference : float
        The largest of the logits, in standard deviations of torch's logits.
    scores : float
        Mean difference of the predicted IoUs, and of the probabilities that the object is there.
    """

    prompts: int
    masks: int
    small: int
    doubtful: int
    mean_iou: float
    worst_iou: float
    iou_of_all: float
    difference: float
    scores: float


@dataclass(frozen=True)
class ImageMasks:
    """How the `masks` of a SAM's decoder agree with its magnified low-resolution logits.

    Attributes
    ----------
    masks : int
        Masks that were compared; those of fewer than `SMALLEST` pixels are left out.
    mean_iou, worst_iou : float
        NaN where no mask was compared.
    difference : float
        The largest, in standard deviations of the magnified logits.
    """

    masks: int
    mean_iou: float
    worst_iou: float
    difference: float


class Times(NamedTuple):
    """Seconds of one computation in torch and in ONNX Runtime, in turn with the same threads.

    Attributes
    ----------
    torch, onnx : float
        Mean of the images.
    """

    torch: float
    onnx: float

    @property
    def ratio(self) -> float:
        """ONNX Runtime's share of torch's time."""
        return self.onnx / self.torch


@dataclass(frozen=True)
class Comparison:
    """An exported model beside the one that it was made of.

    Attributes
    ----------
    images : mapping of str to (h, w) int
        Name and size, in pixels, of each plane.
    kinds : mapping of str to Agreement
        By the kind of prompt.
    features : float
        Largest difference of the encoder's outputs, in standard deviations of each.
    encode, click : Times
    threads : int
    image_masks : ImageMasks or None
        Of a SAM.
    """

    images: Mapping[str, tuple[int, int]]
    kinds: Mapping[str, Agreement]
    features: float
    encode: Times
    click: Times
    threads: int
    image_masks: ImageMasks | None = None

    @property
    def difference(self) -> float:
        """The largest of the logits, in standard deviations; NaN if one is."""
        return float(np.max([kind.difference for kind in self.kinds.values()]))


@dataclass(frozen=True)
class ExportReport:
    """What is written beside an exported model.

    Attributes
    ----------
    name, family, precision : str
    random_weights : bool
    comparison : Comparison
    bytes : mapping of str to int
        Size of each file.
    versions : mapping of str to str
        Of the packages.
    """

    name: str
    family: str
    precision: str
    random_weights: bool
    comparison: Comparison
    bytes: Mapping[str, int]
    versions: Mapping[str, str]

    def fault(self) -> str:
        """Return what is wrong with the export, with figures; empty if it is good."""
        return self._wrong_answers() or self._wrong_image_masks()

    def _wrong_answers(self) -> str:
        if self.random_weights:
            found = self.comparison.difference
            if self.precision == "fp32" and not found <= LARGEST_DIFFERENCE:
                return (
                    f"its logits are up to {found:.2g} standard deviations off torch's, "
                    f"where {LARGEST_DIFFERENCE:g} is allowed"
                )
            return self._wrong_scores() if self.precision == "fp32" else ""
        least = LEAST_IOU[self.precision]
        compared = {kind: one for kind, one in self.comparison.kinds.items() if one.masks}
        if not compared:
            return (
                f"torch finds no mask of {SMALLEST} pixels with a predicted IoU of {SURE}, so "
                "nothing can be compared; give other --images"
            )
        for kind, one in compared.items():
            if not one.mean_iou >= least:
                return (
                    f"its masks for {kind} have an IoU of {one.mean_iou:.4f} with torch's (worst "
                    f"{one.worst_iou:.4f}, {one.masks} masks), where {least} is needed"
                )
        return self._wrong_scores()

    def _wrong_scores(self) -> str:
        most = LARGEST_SCORES[self.precision]
        for kind, one in self.comparison.kinds.items():
            if not one.scores <= most:
                return (
                    f"its scores for {kind} are {one.scores:.2g} off torch's, "
                    f"where {most:g} is allowed"
                )
        return ""

    def _wrong_image_masks(self) -> str:
        found, least = self.comparison.image_masks, LEAST_IOU["fp32"]
        if found is None:
            return ""
        if found.masks and not found.mean_iou >= least:
            return (
                f"its decoder's `masks` have an IoU of {found.mean_iou:.4f} with its magnified "
                f"`low_res_masks`, where {least} is needed"
            )
        if not found.difference <= LARGEST_DIFFERENCE:
            return (
                f"its decoder's `masks` are up to {found.difference:.2g} standard deviations off "
                f"its magnified `low_res_masks`, where {LARGEST_DIFFERENCE:g} is allowed"
            )
        return ""

    def as_text(self) -> str:
        """Return the report as Markdown."""
        compared = self.comparison
        lines = [
            f"# {self.name}, {self.precision}",
            "",
            "An exported model beside the one that it was made of, in torch with float32.",
            "",
            "| prompts | count | masks | IoU, mean | IoU, worst | with doubtful masks | "
            "largest difference of logits | mean difference of scores |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| {kind} | {one.prompts} | {one.masks} | {one.mean_iou:.4f} | {one.worst_iou:.4f} | "
            f"{one.iou_of_all:.4f} | {one.difference:.2g} | {one.scores:.2g} |"
            for kind, one in compared.kinds.items()
        ]
        small, doubtful = (
            sum(getattr(one, name) for one in compared.kinds.values())
            for name in ("small", "doubtful")
        )
        lines += [
            "",
            "Differences are in standard deviations of torch's logits. "
            f"{small} masks of fewer than {SMALLEST} pixels were left out, and {doubtful} doubtful "
            f"ones, whose IoU torch itself predicts to be below {SURE}. "
            f"Largest difference of the encoder's outputs: {compared.features:.2g}.",
        ]
        if found := compared.image_masks:
            lines += [
                "",
                "The decoder's `masks`, in pixels of the image, beside its magnified "
                f"`low_res_masks`: IoU {found.mean_iou:.4f} (worst {found.worst_iou:.4f}, "
                f"{found.masks} masks), largest difference {found.difference:.2g}.",
            ]
        lines += [
            "",
            f"| {compared.threads} threads | torch, s | ONNX Runtime, s | ratio |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {what} | {times.torch:.4g} | {times.onnx:.4g} | {times.ratio:.2f} |"
            for what, times in (("encode", compared.encode), ("one click", compared.click))
        ]
        lines += ["", "| file | MB |", "|---|---|"]
        lines += [f"| {name} | {size / 1e6:.1f} |" for name, size in self.bytes.items()]
        lines += ["", "| image | pixels |", "|---|---|"]
        lines += [f"| {name} | {w} x {h} |" for name, (h, w) in compared.images.items()]
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return "\n".join([*lines, "", f"Made with {versions}.", ""])

    def write(self, folder: Path) -> None:
        """Write `REPORT` into a folder."""
        (folder / REPORT[0]).write_text(self.as_text(), encoding="utf-8")
        text = json.dumps(_without_nan(asdict(self)), indent=2, allow_nan=False)
        (folder / REPORT[1]).write_text(f"{text}\n", encoding="utf-8")


def _without_nan(value: Any) -> Any:
    """Return the same with None for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
