"""Labels of medical formats in the grid of a medical image, by where both lie in the patient."""

from __future__ import annotations

from pathlib import Path

from ..images.readers import StackImage
from .annotation import Annotation
from .exchange import format_of


def labels_in(image: StackImage, path: Path) -> Annotation | None:
    """Read labels into the grid of an image; None where one of the two does not say where it lies.

    Parameters
    ----------
    image : StackImage
    path : Path
        Of labels of any format.

    Raises
    ------
    ValueError
        If the labels cannot be read, or their voxels do not coincide with those of the image.
    """
    form = format_of(path)
    placed = image.scan is not None and image.scan.world is not None
    if form is None or form.read_in is None or image.scan is None or not placed:
        return None
    return form.read_in(path, image.label_shape, image.scan)
