"""What a source of proposals offers: proposed objects that the user accepts or rejects."""

from __future__ import annotations

from typing import Protocol


class ProposalSource(Protocol):
    """Proposed objects in the window, in whichever part of the dock they were found.

    `Context.proposals` names the source whose proposals were shown last; keys act on that one. What
    cannot be done is said in the status line.
    """

    def accept(self) -> None:
        """Make a kept object of the proposal under the pointer, else of the current one."""

    def reject(self) -> None:
        """Take the proposal under the pointer, else the current one, from the proposals."""

    def accept_all(self) -> None:
        """Make kept objects of all proposals that are shown, as one step."""
