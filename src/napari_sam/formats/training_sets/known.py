"""All training sets that are written; a new one is one line here."""

from __future__ import annotations

from collections.abc import Mapping

from .cellpose import CELLPOSE
from .coco import COCO_SET
from .contract import TrainingSet
from .nnunet import DATASET, NNUNET
from .pairs import PAIRS
from .sa1b import SA1B
from .stardist import STARDIST
from .yolo import DATA, YOLO_SET

TRAINING_SETS: Mapping[str, TrainingSet] = {
    "nnunet": NNUNET,
    "cellpose": CELLPOSE,
    "stardist": STARDIST,
    "yolo": YOLO_SET,
    "coco": COCO_SET,
    "sa1b": SA1B,
    "labels": PAIRS,
}
"""By the name that the command line gives them."""

OWN_FILES = (
    DATASET, DATA, "annotations.json", "annotations_train.json", "annotations_val.json",
)  # fmt: skip
"""What a set has beside the files of its images."""
