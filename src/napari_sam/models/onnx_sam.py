"""Runs an exported SAM, whose decoder has the inputs and outputs of the published export."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import packing
from .contract import Answers
from .device_check import probe_image, probe_prompt
from .inputs import check_plane, check_prompts
from .onnx_files import GraphFile
from .onnx_folder import DECODER, ENCODER
from .onnx_sessions import IMAGE, Form, Forms, check_precision
from .sam_base import SamBase

EMBEDDING = "image_embeddings"
PADDING, FIRST_CORNER, SECOND_CORNER = -1, 2, 3
"""Labels besides those of object and background."""
STRIDE, LOW_RES_STRIDE = 16, 4
"""Pixels of the input along a cell of the embedding and of the logits."""
CPU_BATCH = 4
"""Prompts decoded together on a processor: more need more memory, and are no quicker."""


def embedding_form(image_size: int) -> Form:
    """Return the form of the embedding of a plane."""
    grid = image_size // STRIDE
    return Form((1, None, grid, grid))


def decoder_inputs(image_size: int) -> Forms:
    """Return what the decoder takes."""
    side = image_size // LOW_RES_STRIDE
    return {
        EMBEDDING: embedding_form(image_size),
        "point_coords": Form((None, None, 2)),
        "point_labels": Form((None, None)),
        "mask_input": Form((None, 1, side, side)),
        "has_mask_input": Form((1,)),
        "orig_im_size": Form((2,)),
    }


def decoder_outputs(image_size: int) -> Forms:
    """Return what is asked of the decoder; `masks`, in pixels of the plane, are made elsewhere."""
    side = image_size // LOW_RES_STRIDE
    return {
        "low_res_masks": Form((None, None, side, side)),
        "iou_predictions": Form((None, None)),
    }


class OnnxSam(SamBase):
    """An exported SAM behind the contract, `PromptableModel`.

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
        super().__init__(name, device, file.image_size)
        self.precision = file.precision
        self._file = file
        features = {EMBEDDING: embedding_form(file.image_size)}
        self._encoder = file.graph(ENCODER, device, {"image": IMAGE}, features)
        self._decoder = file.graph(
            DECODER, device, decoder_inputs(file.image_size), decoder_outputs(file.image_size)
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the graphs and the weights, made when it is first asked for."""
        return self._file.fingerprint

    def set_precision(self, precision: str) -> None:
        """Refuse any other precision than that of the export; see `PromptableModel`."""
        check_precision(precision, self.precision, self.name)

    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        features = self.encode(probe_image(self.image_size))
        answers = self.decode(features, *probe_prompt(self.image_size), None, True)
        return [features, answers.low_res_logits]

    def encode(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding (1, C, S/16, S/16) of a resized plane (h, w, 3)."""
        check_plane(rgb, self.image_size)
        (embedding,) = self._encoder.run_long({"image": np.ascontiguousarray(rgb)})
        return embedding

    def pack(self, features: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return an embedding as arrays; see `packing`."""
        return packing.pack(features)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Return the embedding that `pack` was given; see `PromptableModel.unpack`."""
        return packing.unpack(arrays, np.ndarray)

    def feature_maps(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the embedding; see `PromptableModel`."""
        return (features[0],)

    def decode(
        self,
        features: NDArray[np.float32],
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: Any = None,
    ) -> Answers:
        """Answer P prompts; see `PromptableModel.decode`.

        An export with a single mask answers with that one, whether several are wanted or not.
        """
        side = self.image_size // LOW_RES_STRIDE
        check_prompts(coords, labels, boxes, mask_input, (side, side))
        points, kinds = _with_boxes(coords, labels, boxes)
        found = [
            self._decoder.run(
                {
                    EMBEDDING: features,
                    "point_coords": points[batch],
                    "point_labels": kinds[batch],
                    **_earlier(mask_input, batch, (len(points[batch]), side, side)),
                    "orig_im_size": np.ones(2, np.float32),  # of `masks`, which are not asked for
                }
            )
            for batch in self._batches(len(points))
        ]
        logits, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        masks = slice(None)
        if logits.shape[1] > 1:
            masks = slice(1, None) if multimask_output else slice(0, 1)
        return Answers(logits[:, masks], scores[:, masks])

    def _batches(self, count: int) -> list[slice]:
        """Return the parts of the prompts that are decoded together; one at least."""
        step = CPU_BATCH if self.device == "cpu" else max(1, count)
        return [slice(start, start + step) for start in range(0, max(1, count), step)]


def _with_boxes(
    coords: NDArray[np.float32], labels: NDArray[np.int64], boxes: NDArray[np.float32] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return points and their labels, with corners of boxes, or else closed by a padding point."""
    if boxes is None:
        more, kinds = np.zeros((len(coords), 1, 2), np.float32), [PADDING]
    else:
        more, kinds = boxes.reshape(-1, 2, 2), [FIRST_CORNER, SECOND_CORNER]
    return (
        np.concatenate([coords, more], axis=1),
        np.concatenate([labels, np.tile(kinds, (len(coords), 1))], axis=1).astype(np.float32),
    )


def _earlier(
    mask_input: NDArray[np.float32] | None, batch: slice, shape: tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    """Return the inputs that tell of earlier answers, or that there are none."""
    given = np.zeros(shape, np.float32) if mask_input is None else mask_input[batch]
    return {
        "mask_input": given[:, None],
        "has_mask_input": np.array([mask_input is not None], np.float32),
    }
