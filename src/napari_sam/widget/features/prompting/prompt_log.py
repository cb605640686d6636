"""Changes of the prompts of the image that is worked on, for undo and redo."""

from __future__ import annotations

from ....objects.drawn import Drawing, sentence, without
from ....objects.edit import Edit
from ...history import History
from ...work.planes import stray_rows
from ...workbench import Workbench


class PromptLog:
    """Compares the prompts with what they were, and notes each change as a step of the history.

    Parameters
    ----------
    bench : Workbench
        Has the prompts of the image.
    history : History
    """

    def __init__(self, bench: Workbench, history: History) -> None:
        self.bench, self.history = bench, history

    def added(self) -> Drawing:
        """Return the prompts that are new since the last step."""
        return without(self._usable(), self._noted())

    @property
    def is_behind(self) -> bool:
        """Whether prompts were changed since the last step."""
        drawn, noted = self._usable(), self._noted()
        return bool(without(drawn, noted) or without(noted, drawn))

    def note(self, joined: bool = False, text: str = "") -> bool:
        """Note what was changed since the last step; tells whether anything was.

        Parameters
        ----------
        joined : bool
            Whether it belongs to the newest step of the history.
        text : str
            What it was, in words; by default those of the prompts.
        """
        prompts = self.bench.image_prompts
        if prompts is None:
            return False
        before, prompts.noted = prompts.noted, self._usable()
        removed, added = without(before, prompts.noted), without(prompts.noted, before)
        if not (removed or added):
            return False
        edit = Edit(text or sentence(removed, added), removed=removed, added=added)
        self.history.note(prompts, edit, joined)
        return True

    def _noted(self) -> Drawing:
        prompts = self.bench.image_prompts
        return () if prompts is None else prompts.noted

    def _usable(self) -> Drawing:
        """Return what is drawn and counts: see `stray_rows`."""
        drawn = self.bench.prompts.drawing()
        return without(drawn, stray_rows(self.bench, drawn))
