"""Labelled images for the tests of training: every object has a brightness of its own."""

from __future__ import annotations

import numpy as np

from napari_sam.training.labelled_images import LabelledImage

GROUND = 10


def brightness(label):
    """Return the grey value of an object of `blocks`; of several, as an array."""
    return 40 + 14 * np.asarray(label)


def blocks(name="a", shape=(160, 200), colour=False, source="blocks", kind="blocks", **facts):
    """Return squares of 30 pixels, 20 pixels apart, numbered from 1."""
    labels = np.zeros(shape, np.int32)
    number = 0
    for row in range(10, shape[0] - 34, 50):
        for column in range(10, shape[1] - 34, 50):
            number += 1
            labels[row : row + 30, column : column + 30] = number
    return from_labels(labels, name, colour, source, kind, **facts)


def from_labels(labels, name="a", colour=False, source="blocks", kind="blocks", **facts):
    """Return an image that shows labels (H, W); in colour red, half of it green, no blue."""
    image = np.where(labels > 0, brightness(labels), GROUND).astype(np.uint8)
    if colour:
        image = np.stack([image, image // 2, np.zeros_like(image)], axis=-1)
    return LabelledImage(
        source, kind, name, "train", image, np.asarray(labels, dtype=np.int32), **facts
    )
