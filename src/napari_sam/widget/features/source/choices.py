"""Which layers of a viewer can be chosen, and what is said of the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from napari.layers import Image, Labels, Layer

from ...frame import Frame
from ...views import Views


def fitting_labels(
    layers: Iterable[Layer], frame: Frame, overlays: Collection[Layer | None]
) -> list[Labels]:
    """Return the Labels layers that objects of an image can go into: those of its shape.

    Parameters
    ----------
    layers : iterable of napari.layers.Layer
    frame : Frame
    overlays : collection of (napari.layers.Layer or None)
        Ours, which hold no objects.
    """
    return [
        layer
        for layer in layers
        if isinstance(layer, Labels)
        and not layer.multiscale
        and tuple(layer.data.shape) == frame.shape
        and layer not in overlays
    ]


def labels_to_go_on_with(labels: Sequence[Labels], image: Image, views: Views) -> Labels | None:
    """Return the labels of an earlier session with an image; None if there are none.

    Parameters
    ----------
    labels : sequence of napari.layers.Labels
        Those that fit, the topmost last.
    image : napari.layers.Image
    views : Views
        Layers that serve another image already, or hold what everything mode found.
    """
    free = [layer for layer in labels if views.find(layer) is None]
    named = [layer for layer in free if layer.name.startswith(image.name)]
    return next(reversed(named or free), None)


def other_images_text(images: Iterable[Image], current: Image | None) -> str:
    """Return what is to be said of images on screen that the model does not see; or nothing."""
    if current is None:
        return ""
    if not current.visible:
        return f"{current.name} is hidden; the model sees it all the same."
    others = [layer.name for layer in images if layer.visible and layer is not current]
    if not others:
        return ""
    return f"The model sees this layer alone. Also on screen: {', '.join(others)}."
