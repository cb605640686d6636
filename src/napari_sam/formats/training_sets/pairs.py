"""Our own form: NAME.tif and NAME_labels.tif, with classes and spacing, as `train` reads them."""

from __future__ import annotations

from ...objects import SegmentedObject
from ...objects.classes import COLOURS
from ..annotation import Annotation
from ..label_images import geometry_from
from ..label_tiff import write_label_tiff
from .contract import UNKNOWN_GROUND, FolderWriter, SetImage, TrainingSet, painted, write_tiff


class PairsWriter(FolderWriter):
    """Writes images and labels into train, and into val what is held out; see `SetWriter`."""

    def add(self, one: SetImage) -> None:
        """Write an image and its labels, which keep their numbers."""
        part = "val" if one.held_out else "train"
        labels = painted(one, lambda each: each.label, self._losses)
        self._losses[UNKNOWN_GROUND] += one.unknown is not None
        named = {each.label: each.category for each in one.objects if each.category}
        objects = {k: SegmentedObject(k, {}, name) for k, name in sorted(named.items())}
        names = [*dict.fromkeys([*one.classes, *sorted({*named.values()})])]
        classes = [
            {"name": name, "colour": COLOURS[k % len(COLOURS)], "key": ""}
            for k, name in enumerate(names)
        ]
        geometry = geometry_from(one.axes.rstrip("SC"), one.spacing)
        properties = {"classes": classes} if classes else {}
        annotation = Annotation(labels, objects, geometry, properties, one.name)
        place = self._place(one, part, f"{one.name}.tif")
        write_tiff(place, one.image, one.axes, one.spacing)
        write_label_tiff(annotation, self._place(one, part, f"{one.name}_labels.tif"))


PAIRS = TrainingSet("label images", PairsWriter, volumes=True)
