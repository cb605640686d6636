"""Masks as the dictionaries of SA-1B and the published SAM, with COCO run lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..masks import to_rle
from ..types import Mask, MaskRecord


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
        sa1b_entry(
            r.mask,
            to_rle(r.mask) if segmentation == "rle" else r.segmentation,
            r.predicted_iou,
            r.stability_score,
            [list(r.point_coords)],
            r.crop_box,
        )
        for r in records
    ]


def sa1b_entry(
    mask: Mask,
    segmentation: Any,
    predicted_iou: float,
    stability_score: float,
    point_coords: list[list[float]],
    crop_box: Sequence[int],
) -> dict[str, Any]:
    """Return the fields that SA-1B has of a mask."""
    x0, y0, x1, y1 = mask.box
    return {
        "segmentation": segmentation,
        "area": mask.area,
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
        "predicted_iou": predicted_iou,
        "point_coords": point_coords,
        "stability_score": stability_score,
        "crop_box": list(crop_box),
    }
