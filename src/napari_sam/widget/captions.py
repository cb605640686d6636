"""Captions and tooltips name the keys in use, whichever keys the user has chosen."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QAbstractButton, QLabel, QToolTip, QWidget

from .actions import Keymap


class Captions(QObject):  # type: ignore[misc]
    """Rewrites captions, which are written with default keys, just before they are painted.

    So panels set their captions as if keys could not be changed.

    Parameters
    ----------
    root : QWidget
        The dock.
    keymap : Keymap
    """

    def __init__(self, root: QWidget, keymap: Keymap) -> None:
        super().__init__()
        self._root, self._keymap = root, keymap
        self._watched = False
        self._written: dict[QWidget, tuple[str, str]] = {}  # as the panel wrote it, and as shown
        keymap.changed.connect(self.renew)

    def renew(self) -> None:
        """Show the keys in use; nothing is watched as long as they are the default ones."""
        if not self._watched and not self._keymap.is_default:
            self._watched = True
            for widget in self._root.findChildren(QWidget):
                widget.installEventFilter(self)
        if self._watched:
            for widget in self._root.findChildren(QWidget):
                self._rewrite(widget)

    def eventFilter(self, widget: QObject, event: QEvent) -> bool:
        """Rewrite a caption that is painted; show a tooltip with the keys in use."""
        if event.type() == QEvent.Type.Paint:
            self._rewrite(widget)
        elif event.type() == QEvent.Type.ToolTip and isinstance(widget, QWidget):
            shown = self._keymap.shown(widget.toolTip())
            if shown != widget.toolTip():
                QToolTip.showText(event.globalPos(), shown, widget)
                return True
        return False

    def _rewrite(self, widget: QObject) -> None:
        if not isinstance(widget, QAbstractButton | QLabel):
            return
        text = widget.text()
        written, shown = self._written.get(widget, ("", ""))
        if text != shown:
            written = text  # the panel has set another one
        shown = self._keymap.caption(written)
        self._written[widget] = written, shown
        if shown != text:
            widget.setText(shown)
