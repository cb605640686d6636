"""An annotation for tests of formats."""

from __future__ import annotations

import numpy as np

from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.objects import Outline, SegmentedObject
from napari_sam.types import Mask, SliceKey


def annotation(shape=(3, 20, 30)):
    labels = np.zeros(shape, np.int32)
    labels[0, 2:9, 3:12] = 4
    labels[0, 4:6, 5:8] = 0
    labels[1, 3:9, 3:11] = 4
    labels[1, 10:, 20:] = 7
    key = SliceKey((1, 2), ((0, 0),))
    four = SegmentedObject(4, {key: Outline(Mask.of(labels[0] == 4), score=0.75)}, "nucleus")
    geometry = Geometry(("z", "y", "x"), (2.0, 0.5, 0.5), ("micrometer",) * 3, (0.0,) * 3)
    return Annotation(labels, {4: four}, geometry, name="cells")
