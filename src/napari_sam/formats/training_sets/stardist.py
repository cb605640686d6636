"""StarDist: folders images and masks with equal names, as in the set of its examples (dsb2018)."""

from __future__ import annotations

from .contract import FolderWriter, SetImage, TrainingSet, instances, write_tiff


class StarDistWriter(FolderWriter):
    """Writes images and labels into train, and into test what is held out; see `SetWriter`."""

    def add(self, one: SetImage) -> None:
        """Write an image and its labels under one name."""
        part = "test" if one.held_out else "train"
        labels = instances(one, self._losses)
        place = self._place(one, part, "images", f"{one.name}.tif")
        write_tiff(place, one.image, one.axes, one.spacing, channels_last=True)
        place = self._place(one, part, "masks", f"{one.name}.tif")
        write_tiff(place, labels, one.axes.rstrip("SC"), one.spacing)


STARDIST = TrainingSet("StarDist", StarDistWriter, volumes=True)
