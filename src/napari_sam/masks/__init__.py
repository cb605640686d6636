"""Pure mask algebra: boxes, overlap, run lengths, stability, clean-up, label images."""

from .cleanup import remove_small_regions, tidied
from .label_images import labels_in, overlap_counts, to_labels
from .outlines import (
    MaskLike,
    as_mask,
    box_of,
    edge_of,
    iou,
    middle_of,
    shared_pixels,
    stability_score,
    worst_click,
)
from .run_lengths import from_rle, to_rle

__all__ = [
    "MaskLike",
    "as_mask",
    "box_of",
    "edge_of",
    "from_rle",
    "iou",
    "labels_in",
    "middle_of",
    "overlap_counts",
    "remove_small_regions",
    "shared_pixels",
    "stability_score",
    "tidied",
    "to_labels",
    "to_rle",
    "worst_click",
]
