"""Rules in the dock: saved from the form, applied to this image or to each new one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

from napari.layers import Image
from qtpy.QtCore import QTimer

from ....everything.rules import ENDING, Rule, read_rule, rules_in, write_rule
from ....preferences import preferences_file
from ...context import Context
from ...scheduler import Lane
from .panel import EverythingPanel
from .voxels import square_micrometres

WAIT_MS = 50
"""Until it is looked again whether what was accepted before is written."""
Run = Callable[[bool], None]


def rules_folder() -> Path:
    """Return the folder that rules are kept in, beside the preferences."""
    return preferences_file().parent / "rules"


class Rules:
    """Saves what the form says under a name, and applies it.

    Parameters
    ----------
    context : Context
    panel : EverythingPanel
    run : callable
        Runs on all planes, or on the one shown, and accepts what passes.
    """

    def __init__(self, context: Context, panel: EverythingPanel, run: Run) -> None:
        self.context, self.panel, self._run = context, panel, run
        self.all_planes = False
        self._seen: WeakSet[Image] = WeakSet()
        self._encoded: WeakSet[Image] = WeakSet()
        self._later = QTimer(panel)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._look)
        panel.rule.save_asked.connect(self.save)
        panel.rule.apply_asked.connect(self.apply)
        panel.rule.to_each.toggled.connect(self._on_to_each_toggled)
        context.plane_encoded.connect(self._on_plane_encoded)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def list(self, current: str = "") -> None:
        """Show which rules there are."""
        try:
            names = list(rules_in(rules_folder()))
        except (ValueError, OSError) as error:
            self.context.status.error(f"the rules cannot be listed: {error}")
            return
        self.panel.rule.set_rules(names, current or self.panel.rule.name)

    @property
    def pixel(self) -> float | None:
        """The area of a pixel of the plane shown, µm²; None if it is not known."""
        frame, plane = self.context.bench.frame, self.context.shown()
        if frame is None or plane is None:
            return None
        return square_micrometres(frame.transform, plane.key.displayed)

    def save(self, name: str) -> None:
        """Save what the form says."""
        name = name.strip()
        status = self.context.status
        status.acted()
        if not re.fullmatch(r"[\w][\w .()+-]{0,79}", name):
            status.error("a rule is named by letters, digits, spaces and hyphens; choose a name")
            return
        rule = Rule.of(
            self.panel.params(),
            self.pixel,
            only_new=self.panel.verdicts.only_new.isChecked(),
            all_planes=self.all_planes,
        )
        try:
            path = rules_folder() / f"{name}{ENDING}"
            write_rule(rule, path)
        except ValueError as error:
            status.error(str(error))
            return
        self.list(name)
        status.hint(f"the rule {name} is saved; Apply rule runs it on this image: {path}")

    def apply(self) -> None:
        """Run on the image as the chosen rule says, and accept what passes."""
        self.context.status.acted()
        name = self.panel.rule.name
        try:
            rule = read_rule(rules_folder() / f"{name}{ENDING}")
            params = rule.params_for(self.pixel)
        except ValueError as error:
            self.context.status.error(str(error))
            return
        self.panel.set_params(params)
        self.panel.verdicts.set_only_new(rule.only_new)
        self._run(rule.all_planes)

    def _on_to_each_toggled(self, wanted: bool) -> None:
        frame = self.context.bench.frame
        if wanted and frame is not None:
            self._seen.add(frame.layer)  # it is not new

    def _on_plane_encoded(self) -> None:
        frame = self.context.bench.frame
        if frame is not None:
            self._encoded.add(frame.layer)
            self._look()

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane in (Lane.FILES, Lane.LABELS, Lane.SAVE) and not busy:
            self._look()

    def _look(self) -> None:
        """Apply the rule if the image is new, encoded, and what was saved of it is there."""
        context, frame = self.context, self.context.bench.frame
        if not self.panel.rule.to_each.isChecked() or not self.panel.rule.name or frame is None:
            return
        if frame.layer in self._seen or frame.layer not in self._encoded:
            return
        if context.bench.counting or context.scheduler.any_busy((Lane.FILES, Lane.LABELS)):
            return
        if context.history.walking or context.saves.awaited():
            self._later.start(WAIT_MS)
            return
        self._seen.add(frame.layer)
        results = context.bench.results
        if results is None or not results.store.objects:
            self.apply()
