"""The contact sheet in a window of its own, drawn in the background."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QVBoxLayout, QWidget

from ....everything.contact_sheet import MOST, Order, contact_sheet, ordered
from ...context import Context
from ...controls import Chooser
from ...scheduler import Lane, Work

SOURCE = "contact sheet"
"""The source of progress in the status line."""
NO_OBJECT = "there is no object to look at yet: accept proposals, or commit one"
ORDERS: dict[str, Order] = {"the largest first": "size", "the least certain first": "score"}


class SheetWindow(QDialog):  # type: ignore[misc]
    """Shows the picture, and asks for another order.

    Parameters
    ----------
    parent : QWidget
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Contact sheet")
        self.picture = QLabel()
        self.orders = Chooser("Which objects come first")
        things = list(ORDERS.values())
        self.orders.set_things(list(ORDERS), things, things[0])
        self.count = QLabel()
        area = QScrollArea()
        area.setWidget(self.picture)
        area.setWidgetResizable(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.orders)
        layout.addWidget(area)
        layout.addWidget(self.count)
        self.resize(1080, 700)

    def set_picture(self, pixels: NDArray[np.uint8], text: str) -> None:
        """Show another picture, (H, W, 3) uint8."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels)
        image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        self.picture.setPixmap(QPixmap.fromImage(image))
        self.picture.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.count.setText(text)


class ContactSheet:
    """Draws the kept objects of the results, and shows them.

    Parameters
    ----------
    context : Context
    parent : QWidget
        Of the window.
    """

    def __init__(self, context: Context, parent: QWidget) -> None:
        self.context, self._parent = context, parent
        self.order: Order = "size"
        self.window: SheetWindow | None = None

    def show(self) -> None:
        """Draw the objects as they are now."""
        status, session, plane = self.context.status, self.context.session, self.context.shown()
        results = self.context.bench.results
        kept = () if results is None else tuple(results.store.objects.values())
        objects = ordered(kept, self.order)
        if session is None or plane is None or not objects:
            hindrance = self.context.hindrance() or ("" if session else self.context.absence)
            status.hint(hindrance or NO_OBJECT)
            return

        def done(pixels: NDArray[np.uint8]) -> None:
            status.progress(SOURCE)
            first = f"the first {MOST} of " if len(kept) > MOST else ""
            self._opened().set_picture(pixels, f"{first}{len(kept)} objects: label, predicted IoU")

        def failed(text: str) -> None:
            status.progress(SOURCE)
            status.error(text)

        steps = partial(contact_sheet, objects, lambda key: replace(plane, key=key), session.read)
        work = Work(steps, on_result=done, on_error=failed, text="drawing the contact sheet")
        status.progress(SOURCE, "drawing the contact sheet ...")
        self.context.scheduler.submit(work, Lane.SHEET)

    def close(self) -> None:
        """Close the window."""
        if self.window is not None:
            self.window.close()
            self.window.deleteLater()
            self.window = None

    def _opened(self) -> SheetWindow:
        if self.window is None:
            self.window = SheetWindow(self._parent.window())
            self.window.orders.picked.connect(self._on_order_picked)
        self.window.show()
        return self.window

    def _on_order_picked(self, order: Order) -> None:
        self.order = order
        self.show()
