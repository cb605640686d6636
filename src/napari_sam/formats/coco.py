"""Masks as the dictionaries of SA-1B and the published SAM, with COCO run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..masks import to_rle
from ..types import MaskRecord


def as_annotations(
    records: Sequence[MaskRecord], segmentation: Literal["mask", "rle"] = "rle"
) -> list[dict[str, Any]]:
    """Return records as the dictionaries of the published SAM.

    Parameters
    ----------
    records : sequence of MaskRecord
    segmentation : {"mask", "rle"}
        As arrays (H, W), or as uncompressed COCO run lengths that JSON can hold.

    Returns
    -------
    list of dict

    Raises
    ------
    ValueError
        If `segmentation` is neither.
    """
    if segmentation not in ("mask", "rle"):
        raise ValueError(f'segmentation is "mask" or "rle", but is {segmentation!r}')
    return [
        {
            "segmentation": to_rle(r.mask) if segmentation == "rle" else r.segmentation,
            "area": r.area,
            "bbox": list(r.bbox),
            "predicted_iou": r.predicted_iou,
            "point_coords": [list(r.point_coords)],
            "stability_score": r.stability_score,
            "crop_box": list(r.crop_box),
        }
        for r in records
    ]
