"""What a new prompt means: most are asked about, one on a kept object selects it, strays go."""

from __future__ import annotations

from qtpy.QtCore import QTimer

from ....objects.drawn import Drawing
from ....objects.segmented import upright
from ... import layers
from ...context import Context
from ...work.planes import stray_rows
from .asker import Asker
from .prompt_log import PromptLog

NO_BOX = "a click makes no box: drag from one corner of the object to the other"
TOO_SMALL = "what was drawn is too small to be a prompt: draw around an object, or along it"


class NewPrompts:
    """Finds the prompts that are not to be asked about, and removes them.

    A first click on a kept object selects that, for it is done; a second one prompts there. What
    lies beside the image, and a box without an area, would only be in the way of the next prompt.

    Parameters
    ----------
    context : Context
    asker : Asker
    log : PromptLog
    """

    def __init__(self, context: Context, asker: Asker, log: PromptLog) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.asker, self.log = asker, log
        self._selected = 0  # label of the kept object that was clicked last
        self._going: Drawing = ()  # removed in a moment

    @property
    def is_removing(self) -> bool:
        """Whether prompts will be removed in a moment."""
        return bool(self._going)

    def forget(self) -> None:
        """Let the next click on any kept object select that."""
        self._selected = 0

    def select_kept(self) -> bool:
        """Select the kept object that a first click lies on; tells whether one does."""
        added, bench = self.log.added(), self.bench
        view, plane = bench.results, self.context.shown()
        if view is None or plane is None:
            return False
        drawn = bench.prompts.drawn(plane.key)
        if len(drawn) != 1 or len(added) != 1 or added[0].mark != layers.OBJECT:
            return False
        if any(number != added[0].owner for number in self.asker.work.numbers()):
            return False  # an object of another plane is in work, or one that was opened again
        label = int(view.layer.get_value(added[0].vertices[0], world=False) or 0)
        if not label or label == self._selected:
            return False
        self._selected = view.layer.selected_label = label
        self._remove_soon(added)
        known = view.store.objects.get(label)
        outline = None if known is None else known.outlines.get(upright(plane.key))
        size = ""
        if outline is not None and bench.frame is not None:
            size = f" ({layers.area_text(outline.mask.area, bench.frame, plane.key)})"
        self.status.hint(
            f"object {label}{size} is kept: E works on it again, Ctrl+D deletes it, a second click "
            "prompts inside it"
        )
        return True

    def remove_strays(self) -> None:
        """Remove prompts beside the image and boxes without an area, and say so."""
        rows = stray_rows(self.bench, self.bench.prompts.drawing())
        if not rows:
            return
        which = "a prompt lies" if len(rows) == 1 else f"{len(rows)} prompts lie"
        beside = f"{which} beside the image, does not count and was removed"
        if len(rows) > 1:
            beside = f"{which} beside the image, do not count and were removed"
        if all(row.is_begun for row in rows):
            beside = NO_BOX if rows[0].mark == "rectangle" else TOO_SMALL
        self._remove_soon(rows, beside)

    def _remove_soon(self, rows: Drawing, text: str = "") -> None:
        """Remove prompts when napari has done with them; it selects them after it added them."""

        def remove() -> None:
            self._going, going = (), self._going
            self.bench.prompts.redraw(going)
            if self.asker.question is not None:
                self.asker.ask()
            if text:
                self.status.error(text)

        self._going = (*self._going, *rows)
        QTimer.singleShot(0, remove)
