"""Changes of the prompts of an image, for undo and redo."""

from __future__ import annotations

from collections.abc import Generator
from uuid import uuid4

from ....objects.drawn import Drawing, sentence, without
from ....objects.edit import Edit
from ....objects.recorder import TargetInfo
from ....types import Progress, SliceKey
from ...history import Happened, History
from ...workbench import Workbench


class PromptLog:
    """Compares the prompts with what they were, and notes each change as a step of the history.

    Parameters
    ----------
    bench : Workbench
        Its prompt layers are read and drawn in.
    history : History
    """

    def __init__(self, bench: Workbench, history: History) -> None:
        self.bench, self.history = bench, history
        self.id = uuid4().hex
        self._drawn: Drawing = ()

    def added(self) -> Drawing:
        """Return the prompts that are new since the last step."""
        return without(self._usable(), self._drawn)

    @property
    def is_behind(self) -> bool:
        """Whether prompts were changed since the last step."""
        drawn = self._usable()
        return bool(without(drawn, self._drawn) or without(self._drawn, drawn))

    def note(self, joined: bool = False) -> bool:
        """Note what was changed since the last step; tells whether anything was.

        Parameters
        ----------
        joined : bool
            Whether it belongs to the newest step of the history.
        """
        before, self._drawn = self._drawn, self._usable()
        removed, added = without(before, self._drawn), without(self._drawn, before)
        if not (removed or added):
            return False
        edit = Edit(sentence(removed, added), removed=removed, added=added)
        self.history.note(self, edit, joined)
        return True

    def begin(self) -> None:
        """Begin anew with what is drawn now: the prompts are those of another image."""
        self.history.drop(self)
        self._drawn = self._usable()

    # -- as the history asks for it; see `ShownTarget` ------------------------------------------

    def info(self) -> TargetInfo:
        """Describe the image that the prompts are drawn on."""
        frame = self.bench.frame
        return TargetInfo("prompts", () if frame is None else frame.shape, "")

    def image_hash(self, key: SliceKey) -> str:
        """Return nothing: prompts are known by their labels."""
        return ""

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return the edit as it is."""
        return edit

    def adopt(self, edit: Edit) -> None:
        """Take up what is drawn already."""

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Draw the prompts of an edit, and remove those that go with it."""
        yield from ()
        self.bench.prompts.redraw(edit.removed, edit.added)
        self._drawn = self._usable()

    def hold(self, held: bool) -> None:
        """Do nothing: prompts are drawn at once."""

    def walked(self, edit: Edit, happened: Happened) -> None:
        """Do nothing: prompts are drawn at once."""

    def _usable(self) -> Drawing:
        """Return what is drawn and counts: see `stray_rows`."""
        drawn = self.bench.prompts.drawing()
        return without(drawn, stray_rows(self.bench, drawn))


def stray_rows(bench: Workbench, drawn: Drawing) -> Drawing:
    """Return what is drawn beside the image, and boxes that are only begun."""
    if bench.frame is None:
        return ()
    shape = bench.frame.shape
    return tuple(row for row in drawn if row.is_begun or row.lies_beside(shape))
