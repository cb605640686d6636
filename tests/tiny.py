"""Models that answer in milliseconds: a SAM of random weights, two stubs that know the answer."""

from __future__ import annotations

import time

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from napari_sam import stopping
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer

SLOPE = 4.0  # of the stubs' logits, per pixel


class OneConvolution(nn.Module):
    """An image encoder of stride 16: (1, 3, S, S) to (1, width, S/16, S/16)."""

    def __init__(self, width):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)

    def forward(self, image):
        return self.patches(image)


def tiny_sam(width=32, size=64, seed=0):
    """Return SAM's published structure at a width of 32 and an input of 64 x 64 pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cells = (size // 16, size // 16)
        sam = Sam(
            OneConvolution(width),
            PromptEncoder(width, cells, (size, size), mask_in_chans=16),
            MaskDecoder(width, TwoWayTransformer(2, width, 4, 64), iou_head_hidden_dim=width),
        )
    return SamModel(sam, "tiny")


class Stub:
    """What the stubs share: planes up to `image_size` keep their size; counts its calls."""

    name = "stub"
    fingerprint = "stub"
    device = "cpu"
    largest_scale = 1.0
    mask_threshold = 0.0
    half_pixel = True
    notice = ""

    def __init__(self, image_size=512):
        self.image_size = image_size
        self.encoded = 0
        self.decoded = 0

    def lower(self, precision):
        pass

    def probe(self):
        return []

    def padded_size(self, input_size):
        h, w = (-(-side // 4) * 4 for side in input_size)
        return h, w

    def seeds(self, features):
        return None

    def pack(self, features):
        return {"features": features}

    def unpack(self, arrays):
        return arrays["features"]


class DiscModel(Stub):
    """Answers each first point with three discs about it, whatever the image."""

    scores = (0.95, 0.8, 0.6)

    def __init__(self, radius=8.0, **options):
        super().__init__(**options)
        self.radius = radius

    def encode(self, rgb):
        self.encoded += 1
        return np.zeros(self.padded_size(rgb.shape[:2]), np.float32)

    def decode(self, features, coords, labels, boxes, mask_input, multimask_output):
        self.decoded += len(coords)
        h, w = features.shape
        y, x = np.mgrid[1.5:h:4, 1.5:w:4]
        count = 3 if multimask_output else 1
        logits = [
            [
                SLOPE * (self.radius * (k + 1) - np.hypot(x - points[0, 0], y - points[0, 1]))
                for k in range(count)
            ]
            for points in coords
        ]
        scores = np.tile(np.float32(self.scores[:count]), (len(coords), 1))
        return np.array(logits, np.float32), scores


class SceneModel(Stub):
    """Answers each point with the bright connected object under it; low scores elsewhere."""

    def encode(self, rgb):
        self.encoded += 1
        h, w = self.padded_size(rgb.shape[:2])
        bright = np.zeros((h, w), bool)
        bright[: rgb.shape[0], : rgb.shape[1]] = rgb[..., 0] > 127
        return ndimage.label(bright)[0].astype(np.int32)

    def seeds(self, features):
        """Return the middle of every object."""
        ids = np.unique(features[features > 0])
        rows_columns = ndimage.center_of_mass(features > 0, features, ids)
        return np.array(rows_columns, np.float32).reshape(-1, 2)[:, ::-1]

    def decode(self, features, coords, labels, boxes, mask_input, multimask_output):
        self.decoded += len(coords)
        answers, scores = [], []
        for k in range(len(coords)):
            if len(coords[k]):
                x, y = coords[k][0]
            else:
                x, y = (boxes[k][:2] + boxes[k][2:]) / 2
            row = int(np.clip(round(float(y)), 0, features.shape[0] - 1))
            column = int(np.clip(round(float(x)), 0, features.shape[1] - 1))
            label = features[row, column]
            mask = (features == label) & (label > 0)
            depth = _signed_distance(mask) if label else np.full(mask.shape, -20.0)
            coarse = depth.reshape(depth.shape[0] // 4, 4, depth.shape[1] // 4, 4).mean((1, 3))
            answers.append([SLOPE * coarse] * (3 if multimask_output else 1))
            scores.append([0.9 if label else 0.1] * len(answers[-1]))
        return np.array(answers, np.float32), np.array(scores, np.float32)


class SlowModel(SceneModel):
    """Takes its time over every plane, as a large encoder does, and lets go of the interpreter."""

    delay = 0.4

    def encode(self, rgb):
        time.sleep(self.delay)
        return super().encode(rgb)


class SlowBlocks(SceneModel):
    """Takes its time in blocks between which it can be stopped; notes the planes it began.

    A plane is known by its brightest pixel.
    """

    blocks, delay = 40, 0.05

    def __init__(self, **options):
        super().__init__(**options)
        self.begun, self.stopped = [], []

    def encode(self, rgb):
        plane = int(rgb.max())
        self.begun.append(plane)
        for _ in range(self.blocks):
            try:
                stopping.check()
            except stopping.Stopped:
                self.stopped.append(plane)
                raise
            time.sleep(self.delay)
        return super().encode(rgb)


def _signed_distance(mask):
    inside = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.where(mask, inside - 0.5, 0.5 - ndimage.distance_transform_edt(~mask))


def discs(shape, centres, radius):
    """Return an image (H, W) uint8 with bright discs at centres (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape, np.uint8)
    for cx, cy in centres:
        image[np.hypot(x - cx, y - cy) <= radius] = 200
    return image
