"""Image, model, device and the layer that objects go to."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QWidget

from ...controls import Chooser
from .view_panel import ViewPanel


class SourcePanel(QWidget):  # type: ignore[misc]
    """Image, model, device and the Labels layer that objects go to.

    Parameters
    ----------
    model, offer : QWidget
        The list of models, and what appears under it.
    devices : sequence of str
    """

    def __init__(self, model: QWidget, offer: QWidget, devices: Sequence[str]) -> None:
        super().__init__()
        self.image = Chooser("The image layer to segment; it is never changed")
        self.device = Chooser("Where the model runs; auto takes the fastest there is", 3)
        self.results = Chooser("The Labels layer that committed objects are written to")
        self.device.set_things(devices, devices, devices[0])
        self.view = ViewPanel()
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        both = QHBoxLayout()
        both.addWidget(model, 3)
        both.addWidget(self.device, 2)
        form.addRow("Image", self.image)
        form.addRow(self.view)
        form.addRow("Model", both)
        form.addRow(offer)
        form.addRow("Into", self.results)
