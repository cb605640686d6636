"""Masks tidied or as they come, keys, the user's name, what is kept on disk and where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from ....predict.cache import FOLDER_VARIABLE, default_folder
from ....preferences import cache_folder
from ...context import Context
from ...scheduler import Lane
from ..feature import Feature
from .cache_status import CacheStatus
from .forgetting import Forgetting
from .keys_dialog import KeysDialog
from .panel import SettingsPanel


class Settings(Feature):
    """What is set once and seldom looked at; it is kept between starts."""

    title = "Settings"
    panel: SettingsPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.preferences = context.preferences
        self.cache = CacheStatus(context)
        self.panel = panel = SettingsPanel()
        panel.set_annotator(self.preferences.chosen.annotator)
        self._show_cache()
        self.forgetting = Forgetting(context, panel)
        self.dialog: KeysDialog | None = None
        self.cache.usage_changed.connect(panel.set_usage)
        self.forgetting.done.connect(self.cache.count)
        panel.empty_asked.connect(self.cache.empty)
        panel.forget_asked.connect(self.forgetting.ask)
        panel.tidy_changed.connect(self.tidy)
        panel.keys_asked.connect(self.ask_for_keys)
        panel.annotator_changed.connect(lambda name: self._keep(annotator=name))
        panel.quota_changed.connect(lambda quota: self._use_cache(cache_quota=quota))
        panel.folder_asked.connect(self._ask_for_folder)
        context.session_changed.connect(self._on_session_changed)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def start(self) -> None:
        """Say why earlier choices are not used, if that is so."""
        if self.preferences.notice:
            self.context.status.error(self.preferences.notice)

    def tidy(self, wanted: bool) -> None:
        """Tidy masks from now on, or leave them as the model gives them."""
        self._keep(tidy=wanted)
        session = self.context.session
        if session is not None:
            session.predictor.tidy_masks = wanted
            self.context.settings_changed.emit()

    def ask_for_keys(self) -> None:
        """Show all keys, to be changed."""
        keymap = self.context.keymap
        self.dialog = dialog = KeysDialog(keymap.actions, keymap.keys(), self.panel.window())

        def answered(result: int) -> None:
            self.dialog = None
            if result == KeysDialog.DialogCode.Accepted:
                keymap.change(dialog.keys)
                self._say_kept("keys changed")
            dialog.deleteLater()

        dialog.finished.connect(answered)
        dialog.open()

    def use_folder(self, folder: str) -> None:
        """Keep encoded planes in another folder from now on; what is kept elsewhere stays there."""
        before = self.context.disk.folder
        self._use_cache(cache_folder="" if folder == str(default_folder()) else folder)
        text = f"encoded planes are kept in {folder} from now on"
        if Path(folder) != before:  # another program may use them
            text += f"; those in {before} stay there until you choose it again and empty it"
        self._say_kept(text)

    def opened(self) -> None:
        """Count what is kept."""
        self.cache.count()

    def close(self) -> None:
        """Ask the disk no more."""
        self.cache.close()
        self.forgetting.close()
        if self.dialog is not None:
            self.dialog.reject()

    def _keep(self, **changes: Any) -> None:
        """Keep choices; says so where that is not possible."""
        self.preferences.set(**changes)
        if self.preferences.notice:
            self.context.status.error(self.preferences.notice)

    def _say_kept(self, text: str) -> None:
        self.context.status.acted()
        self.context.status.hint(text)
        if self.preferences.notice:
            self.context.status.error(self.preferences.notice)

    def _use_cache(self, **changes: Any) -> None:
        self._keep(**changes)
        chosen = self.preferences.chosen
        try:
            self.context.disk.use(cache_folder(chosen), chosen.cache_quota)
        except ValueError as error:  # of the environment
            self.context.status.error(str(error))
        self._show_cache()
        self.cache.count()

    def _show_cache(self) -> None:
        disk, named = self.context.disk, os.environ.get(FOLDER_VARIABLE)
        self.panel.set_cache(str(disk.folder), disk.quota_bytes, FOLDER_VARIABLE if named else "")

    def _ask_for_folder(self) -> None:
        """Let the user choose a folder, without holding up the window."""
        here = str(self.context.disk.folder)
        dialog = QFileDialog(self.panel, "A folder for encoded planes", here)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.use_folder)
        dialog.open()

    def _on_session_changed(self) -> None:
        """Let a model tidy its masks as the user has chosen; else as suits the model."""
        session = self.context.session
        if session is not None:
            chosen = self.preferences.chosen.tidy
            if chosen is not None:
                session.predictor.tidy_masks = chosen
            self.panel.set_tidy(session.predictor.tidy_masks)

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane == Lane.CACHE:
            self.panel.set_busy(busy)
