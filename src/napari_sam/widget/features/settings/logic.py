"""Masks tidied or as they come, how much is kept on disk."""

from __future__ import annotations

from ...context import Context
from ...scheduler import Lane
from ..feature import Feature
from .cache_status import CacheStatus
from .forgetting import Forgetting
from .panel import SettingsPanel


class Settings(Feature):
    """What is set once and seldom looked at."""

    title = "Settings"
    panel: SettingsPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cache = CacheStatus(context)
        self.panel = SettingsPanel(str(context.disk.folder))
        self.cache.usage_changed.connect(self.panel.set_usage)
        self.panel.empty_asked.connect(self.cache.empty)
        self.forgetting = Forgetting(context, self.panel)
        self.forgetting.done.connect(self.cache.count)
        self.panel.forget_asked.connect(self.forgetting.ask)
        self.panel.tidy_changed.connect(self.tidy)
        context.session_changed.connect(self._on_session_changed)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def tidy(self, wanted: bool) -> None:
        """Tidy masks from now on, or leave them as the model gives them."""
        session = self.context.session
        if session is not None:
            session.predictor.tidy_masks = wanted
            self.context.settings_changed.emit()

    def opened(self) -> None:
        """Count what is kept."""
        self.cache.count()

    def close(self) -> None:
        """Ask the disk no more."""
        self.cache.close()
        self.forgetting.close()

    def _on_session_changed(self) -> None:
        session = self.context.session
        if session is not None:
            self.panel.set_tidy(session.predictor.tidy_masks)

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane == Lane.CACHE:
            self.panel.set_busy(busy)
