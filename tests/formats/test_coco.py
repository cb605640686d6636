from __future__ import annotations

import json

import numpy as np
import pytest
from tiny import discs

from napari_sam import masks
from napari_sam.formats.coco import as_annotations
from napari_sam.types import Mask, MaskRecord

CENTRES = [(30, 30), (100, 40), (160, 60)]


def record(centres, score):
    mask = Mask.of(discs((170, 200), centres, 14) > 0)
    return MaskRecord(mask, score, 0.97, (100.5, 40.5), (0, 0, 200, 170))


def test_annotations_are_json_and_keep_the_masks():
    records = [record(places, score) for places, score in ((CENTRES, 0.9), (CENTRES[1:2], 0.8))]
    entries = json.loads(json.dumps(as_annotations(records)))
    assert len(entries) == 2
    assert set(entries[0]) == {
        "segmentation",
        "area",
        "bbox",
        "predicted_iou",
        "point_coords",
        "stability_score",
        "crop_box",
    }
    for entry, r in zip(entries, records, strict=True):
        np.testing.assert_array_equal(masks.from_rle(entry["segmentation"]), r.segmentation)
        assert entry["bbox"] == list(r.bbox)
        assert entry["point_coords"] == [list(r.point_coords)]
        assert entry["area"] == r.area
    plain = as_annotations(records, "mask")
    np.testing.assert_array_equal(plain[0]["segmentation"], records[0].segmentation)
    with pytest.raises(ValueError, match="'polygon'"):
        as_annotations(records, "polygon")
