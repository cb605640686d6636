"""Keys, buttons and clicks that accept and reject proposals, and how many are left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ....everything.amg_select import Candidates
from ...context import Context
from ...proposals import ProposalSource
from .click_tool import ClickTool
from .counts import Spreads, count_text, is_divided
from .filled_layer import FilledLayer
from .panel import EverythingPanel
from .proposals import NO_PROPOSALS, Proposals
from .sheet import ContactSheet


class VerdictControls:
    """Connects the proposals with their controls.

    Parameters
    ----------
    context : Context
    panel : EverythingPanel
    reselect : callable
        Applies the thresholds anew.

    Attributes
    ----------
    filled : FilledLayer or None
        The layer of the proposals; set by `watch`.
    proposals : Proposals
    tool : ClickTool
    spreads : Spreads
    sheet : ContactSheet
    settled : callable
        Called when nothing is being accepted any more.
    """

    def __init__(
        self, context: Context, panel: EverythingPanel, reselect: Callable[[], None]
    ) -> None:
        self.context, self.panel, self._reselect = context, panel, reselect
        self.filled: FilledLayer | None = None
        self.spreads = Spreads()
        self.proposals = Proposals(context, lambda: self.filled, panel.verdicts.only_new.isChecked)
        self.tool = ClickTool(context, self.proposals, lambda: panel.verdicts.set_tool(""))
        self.sheet = ContactSheet(context, panel)
        self._reselect_later = False
        self.settled: Callable[[], None] = lambda: None
        self._counted: list[Candidates] = []
        self._total = 0
        self.proposals.settled = self._on_proposals_settled
        box = panel.verdicts
        box.accept_asked.connect(self.proposals.accept)
        box.reject_asked.connect(self.proposals.reject)
        box.accept_all_asked.connect(self.proposals.accept_all)
        box.tool_changed.connect(self.tool.use)
        box.sheet_asked.connect(self.sheet.show)
        box.only_new_changed.connect(lambda _: self._reselect())

    def start(self) -> None:
        """Let Escape end the tool of clicks, and tell saves what is still to be accepted."""
        saves = self.context.saves
        saves.awaited = lambda: self.proposals.busy
        saves.proposed = lambda: self.filled is None or not self.filled.settled
        end_others = self.context.end_tool
        self.context.end_tool = lambda: self._end_tool() or end_others()

    def watch(self, filled: FilledLayer | None) -> None:
        """Deal with the proposals of another layer; None: with none."""
        self.filled = filled
        self.proposals.forget_waiting()
        self.tool.watch(None if filled is None else filled.view.layer)
        self.panel.verdicts.set_tool("")
        if filled is not None:
            filled.on_changed = self.show
        elif self.context.proposals is self.proposals:
            self.context.proposals = None
        self.show()

    def close(self) -> None:
        """Listen to the mouse no more."""
        self.tool.close()
        self.sheet.close()

    def accept(self) -> None:
        """Accept the proposal under the pointer, else the current one."""
        self._act(lambda source: source.accept())

    def reject(self) -> None:
        """Reject the proposal under the pointer, else the current one."""
        self._act(lambda source: source.reject())

    def accept_all(self) -> None:
        """Accept all proposals that are shown."""
        self._act(lambda source: source.accept_all())

    def wait(self) -> bool:
        """Tell whether some are being accepted; if so, thresholds are applied anew after that."""
        self._reselect_later = self.proposals.busy
        return self._reselect_later

    def kept(self) -> Any:
        """Return the labels of the objects that hide proposals; None if none do."""
        results, filled = self.context.bench.results, self.filled
        if not self.proposals.only_new or results is None or filled is None:
            return None
        return None if results is filled.view else results.layer.data

    def show(self) -> None:
        """Say how many proposals are shown, and show how their scores are spread."""
        filled = self.filled
        if filled is None:
            self.panel.verdicts.set_count("", False)
            return
        candidates = list(filled.candidates.values())
        if candidates != self._counted:
            spread = self.spreads.all_of(filled)
            self._counted, self._total = candidates, len(spread)
            self.panel.set_spread(spread, is_divided(filled))
        text = count_text(filled, self._total) if filled.values else ""
        self.panel.verdicts.set_count(text, bool(filled.values))

    def _act(self, act: Callable[[ProposalSource], None]) -> None:
        source = self.context.proposals
        if source is None:
            self.context.status.hint(NO_PROPOSALS)
        else:
            act(source)

    def _end_tool(self) -> bool:
        """Let clicks do what they did before; return whether they did something else."""
        used = bool(self.tool.tool)
        if used:
            self.tool.use("")
            self.panel.verdicts.set_tool("")
            self.context.status.hint("clicks are prompts again")
        return used

    def _on_proposals_settled(self) -> None:
        if self._reselect_later:
            self._reselect()
        self.settled()
