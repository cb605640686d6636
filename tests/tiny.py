"""Models that answer in milliseconds: a SAM of random weights, two stubs that know the answer."""

from __future__ import annotations

import time
from types import MappingProxyType

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from napari_sam import stopping
from napari_sam.everything.instances import FlowFields
from napari_sam.models.contract import Answers
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer
from napari_sam.training.fields import instance_targets

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
    square_input = False
    largest_scale = 1.0
    mask_threshold = 0.0
    half_pixel = True
    takes_guide = False
    remembers = False
    fine_features = False
    tidy_masks = False
    amg_defaults = MappingProxyType({})
    notice = ""
    precision = "float32"

    def __init__(self, image_size=512):
        self.image_size = image_size
        self.encoded = 0
        self.decoded = 0

    def set_precision(self, precision):
        pass

    def probe(self):
        return []

    def padded_size(self, input_size):
        h, w = (-(-side // 4) * 4 for side in input_size)
        return h, w

    def instance_fields(self, features):
        return None

    def feature_maps(self, features):
        return ()

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

    def decode(self, features, coords, labels, boxes, mask_input, multimask_output, guide=None):
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
        return Answers(np.array(logits, np.float32), scores)


class SceneModel(Stub):
    """Answers each point with the bright connected object under it; low scores elsewhere."""

    amg_defaults = MappingProxyType(
        {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.75, "points_per_side": 20}
    )

    def encode(self, rgb):
        self.encoded += 1
        h, w = self.padded_size(rgb.shape[:2])
        bright = np.zeros((h, w), bool)
        bright[: rgb.shape[0], : rgb.shape[1]] = rgb[..., 0] > 127
        return ndimage.label(bright)[0].astype(np.int32)

    def instance_fields(self, features):
        """Return the true fields of the scene, and of the scene at half its size."""
        return tuple(true_fields(features[::step, ::step], 4 * step) for step in (1, 2))

    def decode(self, features, coords, labels, boxes, mask_input, multimask_output, guide=None):
        self.decoded += len(coords)
        answers, scores, presence = [], [], []
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
            presence.append(0.9 if label else 0.1)
        return Answers(*(np.array(part, np.float32) for part in (answers, scores, presence)))


class NotingModel(SceneModel):
    """Keeps every plane it was given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def encode(self, rgb):
        self.seen.append(rgb)
        return super().encode(rgb)


class DoubtfulModel(SceneModel):
    """Its instance head sees in a box (x0, y0, x1, y1) no more than that there is something.

    The decoder knows the object, or nothing (`blind`).
    """

    def __init__(self, box, blind=False, **options):
        super().__init__(**options)
        self.box, self.blind = box, blind

    def instance_fields(self, features):
        found = []
        for fields in super().instance_fields(features):
            x0, y0, x1, y1 = (int(v / fields.stride) for v in self.box)
            part = np.s_[y0 : y1 + 1, x0 : x1 + 1]
            fields.foreground[part] *= 0.8
            fields.field[:, *part] *= 0.4
            found.append(fields)
        return tuple(found)

    def decode(self, *given):
        answers = super().decode(*given)
        if self.blind:
            answers = answers._replace(low_res_logits=np.full_like(answers[0], -20))
        return answers


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


def true_fields(labels, stride=4):
    """Return what a perfect instance head says of labels (H, W); a cell is 4 of their pixels."""
    h, w = labels.shape
    whole = np.pad(labels, ((0, -h % 4), (0, -w % 4)), mode="edge").astype(np.int64)
    targets = instance_targets(torch.from_numpy(whole)[None], 4)
    return FlowFields(targets.foreground[0].numpy(), targets.field[0].numpy(), float(stride))


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
