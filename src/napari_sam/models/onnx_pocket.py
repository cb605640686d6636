"""Runs an exported `pocket`, or the bundled one, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import packing
from .inputs import check_plane
from .onnx_files import GraphFile
from .onnx_folder import DECODER, ENCODER
from .onnx_sessions import IMAGE, Form, Forms, check_precision
from .pocket_base import PACKED_STEPS, Decoded, Levels, PocketBase
from .pocket_windows import PromptBatch

LEVELS = ("features_s4", "features_s8", "image_embeddings", "instances")
ENCODER_OUTPUTS = (*LEVELS, *(f"half_{level}" for level in LEVELS))
CHANNELS = (24, 48, 128, 3)
"""Of `LEVELS`."""
FEATURES: Forms = {
    name: Form((1, CHANNELS[index % len(LEVELS)], None, None))
    for index, name in enumerate(ENCODER_OUTPUTS)
}
DECODER_INPUTS: Forms = {
    **{name: Form((None, count, None, None)) for name, count in zip(LEVELS, CHANNELS, strict=True)},
    "owner": Form((None,), "int64"),
    "point_coords": Form((None, None, 2)),
    "point_labels": Form((None, None)),
    "boxes": Form((None, 4)),
    "mask_input": Form((None, 1, None, None)),
    "has_mask_input": Form((1,)),
    "guide_embeddings": Form((None, 128, None, None)),
    "guide_owner": Form((None,), "int64"),
    "guide_mask": Form((None, 1, None, None)),
    "has_guide": Form((1,)),
}
DECODER_OUTPUTS: Forms = {
    "low_res_masks": Form((None, 4, None, None)),
    "iou_predictions": Form((None, 4)),
    "presence": Form((None,)),
}


class PocketArrays(NamedTuple):
    """Maps of one image at one scale, (1, C, h, w) each.

    Attributes
    ----------
    s4, s8, s16 : (1, C, h, w) float32
        Features at three strides.
    instances : (1, 3, h, w) float32
        Of the instance head, at stride 4.
    """

    s4: NDArray[np.float32]
    s8: NDArray[np.float32]
    s16: NDArray[np.float32]
    instances: NDArray[np.float32]


class ArraysOfScales(NamedTuple):
    """Features of one plane.

    Attributes
    ----------
    full, half : PocketArrays
        Of the input, and of the input at half its size.
    """

    full: PocketArrays
    half: PocketArrays


class OnnxPocket(PocketBase):
    """`pocket` on ONNX Runtime behind the contract; see `PocketBase`.

    Parameters
    ----------
    file : GraphFile
    name : str
    device : str

    Raises
    ------
    ValueError
        If a graph cannot be run, or is of another model.
    RuntimeError
        If the device cannot run one.
    """

    def __init__(self, file: GraphFile, name: str, device: str) -> None:
        super().__init__(name, device)
        self.precision = file.precision
        self._file = file
        self._encoder = file.graph(ENCODER, device, {"image": IMAGE}, FEATURES)
        self._decoder = file.graph(DECODER, device, DECODER_INPUTS, DECODER_OUTPUTS)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the graphs and the weights, made when it is first asked for."""
        return self._file.fingerprint

    def set_precision(self, precision: str) -> None:
        """Refuse any other precision than that of the export; see `PromptableModel`."""
        check_precision(precision, self.precision, self.name)

    def encode(self, rgb: NDArray[np.uint8]) -> ArraysOfScales:
        """Return the features of a resized plane (h, w, 3)."""
        check_plane(rgb, self.image_size)
        found = self._encoder.run({"image": np.ascontiguousarray(rgb)})
        return ArraysOfScales(*(PocketArrays(*part) for part in (found[:4], found[4:])))

    def pack(self, features: ArraysOfScales) -> dict[str, NDArray[Any]]:
        """Return features as arrays; see `packing`."""
        return packing.pack(features, PACKED_STEPS)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> ArraysOfScales:
        """Return the features that `pack` was given; see `PromptableModel.unpack`."""
        features: ArraysOfScales = packing.unpack(arrays, ArraysOfScales)
        return features

    def _run_decoder(
        self,
        windows: list[Levels],
        owner: NDArray[np.int64],
        prompts: PromptBatch,
        guides: list[NDArray[np.float32]],
    ) -> Decoded:
        levels = [np.concatenate(level) for level in zip(*windows, strict=True)]
        count, grid = len(owner), levels[0].shape[-2:]
        boxes = np.full((count, 4), np.nan, np.float32) if prompts.boxes is None else prompts.boxes
        return Decoded(
            *self._decoder.run(
                {
                    **dict(zip(LEVELS, levels, strict=True)),
                    "owner": owner,
                    "point_coords": prompts.coords,
                    "point_labels": prompts.labels.astype(np.float32),
                    "boxes": boxes,
                    **_maps("mask_input", "has_mask_input", prompts.mask_input, (count, *grid)),
                    "guide_embeddings": np.concatenate(guides)
                    if guides
                    else np.zeros_like(levels[2][:1]),
                    "guide_owner": owner if guides else np.zeros_like(owner),
                    **_maps("guide_mask", "has_guide", prompts.guide_logits, (count, *grid)),
                }
            )
        )

    def _to_numpy(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        return maps

    def _double(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return doubled(doubled(logits, 2), 3)


def doubled(maps: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Magnify maps by two along an axis, linearly between the centres of cells."""
    size = maps.shape[axis]
    places = np.arange(size)
    before = maps.take(np.maximum(places - 1, 0), axis)
    after = maps.take(np.minimum(places + 1, size - 1), axis)
    pairs = np.stack([before, after], axis + 1)
    pairs += 3 * np.expand_dims(maps, axis + 1)
    pairs *= np.float32(0.25)
    return pairs.reshape(*maps.shape[:axis], 2 * size, *maps.shape[axis + 1 :])


def _maps(
    name: str, switch: str, given: NDArray[np.float32] | None, shape: tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    """Return maps (P, 1, h, w) that a prompt may have, and the switch that says if it has them."""
    maps = np.zeros(shape, np.float32) if given is None else given
    return {name: maps[:, None], switch: np.array([given is not None], np.float32)}
