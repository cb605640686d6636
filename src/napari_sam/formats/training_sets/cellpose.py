"""Cellpose: folders train and test, with NAME.tif and NAME_masks.tif beside it.

The rules are those of `cellpose.io.load_train_test_data` with `mask_filter="_masks"`, its default;
cellpose computes flows itself.
"""

from __future__ import annotations

from .contract import FolderWriter, SetImage, TrainingSet, instances, write_tiff

MASKS = "_masks"


class CellposeWriter(FolderWriter):
    """Writes images and labels; see `SetWriter`."""

    def add(self, one: SetImage) -> None:
        """Write an image and its labels beside it."""
        part = "test" if one.held_out else "train"
        labels = instances(one, self._losses)
        place = self._place(one, part, f"{one.name}.tif")
        write_tiff(place, one.image, one.axes, one.spacing)
        place = self._place(one, part, f"{one.name}{MASKS}.tif")
        write_tiff(place, labels, one.axes.rstrip("SC"), one.spacing)


CELLPOSE = TrainingSet("Cellpose", CellposeWriter)
