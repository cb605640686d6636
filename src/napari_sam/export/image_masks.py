"""The output `masks` of a SAM's decoder, in pixels of the image.

`OnnxSam` magnifies logits itself and never asks for it, but other programs do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..images.transforms import scaled_size
from ..models.onnx_folder import DECODER
from ..models.onnx_sam import (
    EMBEDDING,
    LOW_RES_STRIDE,
    PADDING,
    decoder_inputs,
    decoder_outputs,
)
from ..models.onnx_sessions import Form, Graph
from ..predict.upsampling import Upsampler
from .report import SMALLEST, ImageMasks

MASKS, LOW_RES = "masks", "low_res_masks"
MOST_PIXELS = 2**23
"""Of an image; the four masks of a larger one would take more than 130 MB, so it is taken for a
smaller one: the decoder knows nothing of it but its size."""


class ImageMaskComparer:
    """Compares `masks` with the decoder's own `low_res_masks`, magnified here.

    Parameters
    ----------
    folder : Path
        Of the exported SAM.
    image_size : int
        Side of the square input, pixels.

    Raises
    ------
    ValueError
        If the decoder has no such output.
    """

    def __init__(self, folder: Path, image_size: int) -> None:
        outputs = {
            MASKS: Form((1, None, None, None)),
            LOW_RES: decoder_outputs(image_size)[LOW_RES],
        }
        self._decoder = Graph(folder / DECODER, "cpu", decoder_inputs(image_size), outputs)
        self._image_size = image_size
        self._overlaps: list[float] = []
        self._largest = 0.0

    def add(
        self, embedding: NDArray[np.float32], click: NDArray[np.float32], size: tuple[int, int]
    ) -> None:
        """Ask for the masks of one click, and note how far they are off.

        Parameters
        ----------
        embedding : (1, C, S/16, S/16) float32
        click : (2,) float32, (x, y) in pixels of the input
        size : (H, W) int
            Of the image.

        Raises
        ------
        ValueError
            If the decoder fails.
        """
        shrunk = min(1.0, (MOST_PIXELS / (size[0] * size[1])) ** 0.5)
        size = max(1, int(size[0] * shrunk)), max(1, int(size[1] * shrunk))
        side = self._image_size // LOW_RES_STRIDE
        masks, low_res = self._decoder.run(
            {
                EMBEDDING: embedding,
                "point_coords": np.array([[click, (0, 0)]], np.float32),
                "point_labels": np.array([[1, PADDING]], np.float32),
                "mask_input": np.zeros((1, 1, side, side), np.float32),
                "has_mask_input": np.zeros(1, np.float32),
                "orig_im_size": np.array(size, np.float32),
            }
        )
        padded = self._image_size, self._image_size
        inner = scaled_size(size, self._image_size, float("inf"))
        expected = Upsampler.between((side, side), padded, inner, size)(low_res)
        if masks.shape != expected.shape:
            self._overlaps.append(0.0)
            self._largest = float("inf")
            return
        difference = float(np.abs(masks - expected).max()) / max(float(expected.std()), 1e-12)
        self._largest = float(np.maximum(self._largest, difference))  # NaN if one is
        for one, two in zip(masks[0] > 0, expected[0] > 0, strict=True):
            if max(one.sum(), two.sum()) >= SMALLEST:
                self._overlaps.append(float((one & two).sum() / (one | two).sum()))

    def found(self) -> ImageMasks:
        """Return what was found so far."""
        overlaps = self._overlaps or [float("nan")]
        return ImageMasks(
            len(self._overlaps), float(np.mean(overlaps)), min(overlaps), self._largest
        )
