"""Proposals chosen by words: the best are shown, the others hidden until the words go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ....everything.worded import ImagesAndWords, Looks, best
from ....models.text_models import (
    NOT_INSTALLED,
    has_transformers,
    loading_text_model,
    text_models_here,
)
from ....objects.edit import Edit
from ....types import Plane, Progress, SliceKey
from ...context import Context
from ...placement import pixel_spacing
from ...scheduler import Lane, Work
from .edited import painted_by
from .filled_layer import FilledLayer
from .hiding import Hiding
from .proposals import NO_PROPOSALS, Proposals
from .text_box import TextBox
from .text_models_shown import ask_for_folder, models_to_choose, on_this_machine

SOURCE = "text"
"""The source of progress in the status line."""
OTHER = "Folder ..."
NO_MODEL = "choose the folder of a CLIP or SigLIP model, or one to download, under Text"
RANKING = "wait until the proposals are ranked by the words, or clear the words"
Then = Callable[[], object]


def _nothing() -> None:
    """Do nothing once the words are applied."""


class TextChoice:
    """Ranks the proposals by words, and shows the best of them.

    Parameters
    ----------
    context : Context
    box : TextBox
    proposals : Proposals
        Accepts and rejects only what is shown; the words become the class.
    filled : callable
        Returns the layer of the proposals; None if there is none.

    Attributes
    ----------
    words : str
        What is looked for; empty where all proposals are shown.
    """

    def __init__(
        self,
        context: Context,
        box: TextBox,
        proposals: Proposals,
        filled: Callable[[], FilledLayer | None],
    ) -> None:
        self.context, self.box, self.proposals, self._filled = context, box, proposals, filled
        self.words = ""
        self._model: str | Path | None = None
        self._loaded: tuple[str | Path, Looks] | None = None
        self._hiding = Hiding()
        self._lane: Lane | None = None  # in which a model is loaded, or proposals are ranked
        self._put_off = False  # the words are applied once what goes on is done
        self._then: Then = _nothing
        self._scores: Mapping[int, float] | None = None  # None where the words are not applied
        self._values: Mapping[SliceKey, Any] = {}  # the labels that are ranked, by plane
        self._judged: frozenset[int] = frozenset()  # gone when they were ranked
        self._strokes: Sequence[Edit] = ()  # made before they were ranked
        self._painted: WeakKeyDictionary[Edit, frozenset[int]] = WeakKeyDictionary()
        box.asked.connect(self.ask)
        box.share_changed.connect(self.show)
        box.model_picked.connect(self._on_model_picked)
        context.search_began.connect(self._on_search_began)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def opened(self) -> None:
        """Show which models there are."""
        if not has_transformers():
            self.box.refuse(NOT_INSTALLED)
            return
        if self._model is None:
            here = text_models_here()
            self._model = here[0] if here else None
        self._list_models()

    def use_model(self, model: str | Path) -> None:
        """Take another model: a folder, or the name of a known one, which is downloaded."""
        self._model = on_this_machine(model)
        self._list_models()
        self.renew()

    def ask(self, words: str) -> None:
        """Rank the proposals by words, and show the best; no words show all again."""
        self.context.status.acted()
        self.words = " ".join(words.split())
        self.renew()

    def renew(self, then: Then = _nothing) -> None:
        """Rank what is proposed now by the words, if there are any.

        Parameters
        ----------
        then : callable
            Called when the best are shown, or at once without words; not if that fails or ends.
        """
        self.pause()
        filled, status = self._filled(), self.context.status
        if not self.words:
            then()
            return
        if self._model is None or filled is None or not filled.values:
            status.hint(NO_MODEL if self._model is None else NO_PROPOSALS)
            return
        self._then = then
        if self.context.scheduler.is_busy(Lane.BULK) or self.proposals.busy:
            self._put_off = True
            self.show()
            return
        try:
            planes = self._planes(filled)
        except ValueError as error:
            status.hint(str(error))
            return
        self.context.search_began.emit(self)
        self._values, self._judged = dict(filled.values), frozenset(filled.verdicts)
        self._strokes = filled.strokes
        if self._loaded is not None and self._loaded[0] == self._model:
            self._rank(self._loaded[1], filled, planes)
            return
        self._loaded = None  # before another is loaded: both may not fit into memory
        status.progress(SOURCE, "text: loading the model ...", cancel=self.pause)
        loaded = partial(self._on_loaded, filled, planes)
        self._submit(Lane.TEXT, partial(loading_text_model, self._model), loaded)

    def pause(self) -> None:
        """Show all proposals; what is being loaded or ranked is dropped."""
        if self._lane is not None:
            self.context.scheduler.cancel(self._lane)
            self._end()
        self._put_off, self._then = False, _nothing
        self._scores, self._values = None, {}
        self.show()

    def hold(self) -> None:
        """Show all proposals while everything mode works; the words are applied after that."""
        self.pause()
        self._put_off = bool(self.words)
        self.show()

    def settled(self) -> None:
        """Apply the words now if they were put off while something was accepted or found."""
        if self._put_off and not self.proposals.busy:
            self.renew(self._then)

    def look_again(self) -> None:
        """Show what the user has painted; rank anew if other labels are there than were ranked."""
        filled = self._filled()
        if filled is None or not self._values:
            return
        now = filled.values
        if any(now.get(key) is not one for key, one in self._values.items()) or (
            self._judged - filled.verdicts.keys()  # rejections were taken back
        ):
            self.renew()
        else:
            self.show()

    def close(self) -> None:
        """Give the layer its own colours back, and drop the model."""
        self.words = ""
        self.pause()
        self._loaded = None

    def show(self) -> None:
        """Show the best proposals, as many as the slider says."""
        filled, scores = self._filled(), self._scores
        if scores is None or filled is None:
            self.proposals.hidden, self.proposals.category = frozenset(), ""
            self._hiding.end()
            self.box.set_count(self._waiting_text())
            return
        hidden = frozenset(scores).difference(best(scores, self.box.share), self._drawn(filled))
        self.proposals.hidden, self.proposals.category = hidden, self.words
        self._hiding.hide(filled.view.layer, hidden, scores)
        left = scores.keys() - filled.verdicts.keys()
        count = len(left - hidden)
        self.box.set_count(f'{count} of {len(left)} proposals, the best for "{self.words}"')

    # -- in the background ----------------------------------------------------------------------

    def _planes(self, filled: FilledLayer) -> list[Plane]:
        """Return the planes that were done, each with the spacing of its own axes."""
        plane = self.context.bench.plane()
        dims, transform = self.context.viewer.dims, filled.frame.transform
        return [
            replace(plane, key=key, spacing=pixel_spacing(transform, dims, key.displayed))
            for key in filled.values
        ]

    def _rank(self, looks: Looks, filled: FilledLayer, planes: Sequence[Plane]) -> None:
        steps = partial(looks.scores, planes, filled.view.layer.data, self.words)
        self._submit(Lane.SIMILAR, steps, self._on_ranked)

    def _submit(self, lane: Lane, steps: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._lane, self.proposals.hindrance = lane, RANKING
        self.show()
        work = Work(steps, self._on_step, done, self._on_failed, text="text")
        self.context.scheduler.submit(work, lane)

    # -- events ---------------------------------------------------------------------------------

    def _on_step(self, step: Progress) -> None:
        text = f"text: {step.text}"
        self.context.status.progress(SOURCE, text, step.done, step.total, self.pause)

    def _on_loaded(
        self, filled: FilledLayer, planes: Sequence[Plane], model: ImagesAndWords
    ) -> None:
        if self._model is not None:
            self._model = on_this_machine(self._model)
            self._loaded = self._model, Looks(model)
            self._list_models()
            self._rank(self._loaded[1], filled, planes)

    def _on_ranked(self, scores: Mapping[int, float]) -> None:
        then, self._then = self._then, _nothing
        self._scores = scores
        self._end()
        self.show()
        self.context.proposals = self.proposals
        self.context.status.hint(
            f'the proposals that fit "{self.words}" best are shown, and the slider shows more or '
            "fewer: A accepts, X rejects, Shift+A accepts all that are shown"
        )
        then()

    def _on_failed(self, sentence: str) -> None:
        self._end()
        self.pause()
        self.context.status.error(sentence)

    def _end(self) -> None:
        self._lane, self.proposals.hindrance = None, ""
        self.context.status.progress(SOURCE)

    def _on_search_began(self, source: object) -> None:
        if source is not self and self._lane is not None:
            self.pause()

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane == Lane.BULK and not busy:
            self.settled()

    # -- what is shown --------------------------------------------------------------------------

    def _waiting_text(self) -> str:
        """Return what is to be said of words that are not applied; empty if there are none."""
        if not self.words:
            return ""
        if self._lane is not None:
            return f'The proposals are being ranked for "{self.words}"'
        if self._put_off:
            return f'"{self.words}" is applied once what goes on is done'
        return f'"{self.words}" is not applied: press Enter in the line of words to rank'

    def _drawn(self, filled: FilledLayer) -> set[int]:
        """Return the labels that the user has painted since they were ranked."""
        drawn: set[int] = set()
        for edit in filled.strokes:
            if edit not in self._strokes:
                if edit not in self._painted:
                    self._painted[edit] = painted_by(edit)
                drawn |= self._painted[edit]
        return drawn

    def _on_model_picked(self, thing: str | Path) -> None:
        if thing == OTHER:
            self._list_models()
            ask_for_folder(self.box.window(), self.use_model)
        else:
            self.use_model(thing)

    def _list_models(self) -> None:
        names, things = models_to_choose(self._model)
        current = next((one for one in things if one == self._model), None)  # this very object
        self.box.set_models([*names, OTHER], [*things, OTHER], current)
