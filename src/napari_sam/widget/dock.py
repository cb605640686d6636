"""The dock widget: a list of features and a status line."""

from __future__ import annotations

from inspect import unwrap
from typing import Any, TypeVar

from napari.utils.notifications import show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from ..conflict import conflict
from .actions import actions_of
from .captions import Captions
from .context import Context
from .controls import ChoiceGuard, Section, StatusArea
from .features.batch.logic import BatchPrompts
from .features.editing.logic import Editing
from .features.everything.logic import Everything
from .features.feature import Feature
from .features.learning.logic import Learning
from .features.objects.logic import Objects
from .features.prefetch.logic import Prefetch
from .features.prompting.logic import Prompting
from .features.recovery.logic import Recovery
from .features.saving.logic import Saving
from .features.series.logic import Series
from .features.settings.logic import Settings
from .features.similar.logic import Similar
from .features.source.logic import Source
from .features.stack.logic import Stack
from .features.surfaces.logic import SurfacesInSpace
from .features.window.logic import Windows
from .keys import Keys
from .progress_bar import LongWork

ABOVE: tuple[type[Feature], ...] = (Source, Windows, Recovery, Prefetch, Saving)
"""The features above the status line; those without a panel take no room."""
BELOW: tuple[type[Feature], ...] = (
    Prompting,
    Stack,
    SurfacesInSpace,
    Objects,
    Editing,
    Everything,
    Similar,
    BatchPrompts,
    Learning,
    Series,
    Settings,
)

DOCK_NAME = "Segment Anything (napari-sam-stack)"
"""As napari calls the dock that its plugin menu opens: it opens no second one beside that."""
ALREADY_OPEN = "Segment Anything is open in this window already; close this one"

F = TypeVar("F", bound=Feature)


class SegmentAnything(QWidget):  # type: ignore[misc]
    """Segment Anything for image stacks.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        Two docks in one viewer would mix up their layers: the second one only shows a message.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._open, self._was_docked = False, False
        if open_dock(napari_viewer) is not None:
            self._lay_out_sentence(ALREADY_OPEN)
            return
        self.context = Context(napari_viewer)
        self.features = [kind(self.context) for kind in (*ABOVE, *BELOW)]
        self.sections: dict[str, Section] = {}
        self._opened: Section | None = None  # the section that was opened last
        self._scroll = QScrollArea()
        self.status = StatusArea()
        self.long_work = LongWork(self.context.status)
        self._guard = ChoiceGuard()
        self._open = True
        keymap = self.context.keymap
        keymap.add(one for part in self.features for one in actions_of(part, part.keys))
        self._keys = Keys(keymap.bindings())
        self._lay_out()
        self._captions = Captions(self, keymap)
        self._captions.renew()
        keymap.changed.connect(self._on_keys_changed)
        self._guard.watch(self)
        self.context.status.changed.connect(self._on_status_changed)
        self.context.bench.changed.connect(self._bind_keys)
        for feature in self.features:
            feature.setParent(self)
            feature.start()
        self._bind_keys()
        warning = conflict()
        if warning:
            show_warning(warning)

    def feature(self, kind: type[F]) -> F:
        """Return one part of the dock."""
        return next(one for one in self.features if isinstance(one, kind))

    @property
    def is_open(self) -> bool:
        """Whether it works with a viewer: not yet closed, and no second one."""
        return self._open

    def close_dock(self) -> None:
        """Cancel, disconnect, drop; safe to call twice."""
        if not self._open:
            return
        self._open = False
        self._keys.keep_only([])
        self.context.scheduler.close()
        for feature in self.features:
            feature.close()
        self.context.close()

    def event(self, event: QEvent) -> bool:
        """Close when napari removes the widget from its dock; napari emits no signal for that."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.close_dock()
        handled: bool = super().event(event)
        return handled

    def closeEvent(self, event: Any) -> None:
        """Disconnect from the viewer when the window closes."""
        self.close_dock()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        """Lay out the features; those above the status line and that itself are always seen."""
        outer, inner = QVBoxLayout(self), QVBoxLayout()
        self.column = QWidget()
        self.column.setLayout(inner)
        outer.setContentsMargins(4, 6, 4, 0)
        inner.setContentsMargins(0, 0, 0, 6)
        for layout in (outer, inner):
            layout.setSpacing(4)
        self.status.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for feature in self.features:
            self._add(feature, outer if isinstance(feature, ABOVE) else inner)
        inner.addStretch(1)
        scroll = self._scroll
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.column)
        for part in (self.status, self.long_work):
            outer.addWidget(part)
        outer.addWidget(scroll, 1)
        self.setMinimumWidth(300)

    def _lay_out_sentence(self, text: str) -> None:
        self.notice = QLabel(text)
        self.notice.setWordWrap(True)
        self.notice.setAlignment(Qt.AlignmentFlag.AlignTop)
        QVBoxLayout(self).addWidget(self.notice)

    def _add(self, feature: Feature, layout: QVBoxLayout) -> None:
        if feature.panel is None:
            return
        if not feature.title:
            layout.addWidget(feature.panel)
            return
        section = self.sections[feature.title] = Section(feature.title, feature.panel)
        section.toggled.connect(lambda opened: self._on_toggled(section, feature, opened))
        layout.addWidget(section)

    def _on_keys_changed(self) -> None:
        self._keys.rebind(self.context.keymap.bindings())
        self._on_status_changed(self.context.status.text)

    def _on_status_changed(self, text: str) -> None:
        self.status.setText(self.context.keymap.shown(text))

    def _on_toggled(self, section: Section, feature: Feature, opened: bool) -> None:
        """Show a section that was opened; the dock may be higher than the window."""
        if opened:
            feature.opened()
            self._opened = section
            QTimer.singleShot(0, self._scroll_to_opened)

    def _scroll_to_opened(self) -> None:
        if self._opened is not None:
            self._scroll.ensureWidgetVisible(self._opened, 0, 0)

    def _bind_keys(self) -> None:
        """Bind the keys on the viewer and on our layers."""
        bench = self.context.bench
        ours = [*bench.prompts, *(view.layer for view in bench.views)]
        self._keys.keep_only([self.context.viewer, *ours])


def open_dock(viewer: Viewer) -> SegmentAnything | None:
    """Return the dock that works with a viewer, however it was opened; None if there is none."""
    for widget in unwrap(viewer).window.dock_widgets.values():
        if isinstance(widget, SegmentAnything) and widget.is_open:
            return widget
    return None
