"""What is seen of an answer: the preview, the list of candidates, a line in the dock."""

from __future__ import annotations

import math

import numpy as np

from ....types import Mask
from ... import layers
from ...context import Context
from ...frame import Frame
from ...placement import pixel_area
from ...work.candidates import Candidate, by_size, doubt_of, names_of, others_of
from ...work.planes import lost_masks
from ...work.question import ObjectInWork, Question
from .candidate_list import CandidateRow
from .panel import PromptPanel

MOST_WIDTH = 8
"""Of the outlines of other candidates, pixels of the plane: each takes time to find."""


class AnswerView:
    """Paints answers into the preview, and says what they are.

    Parameters
    ----------
    context : Context
    panel : PromptPanel
    """

    def __init__(self, context: Context, panel: PromptPanel) -> None:
        self.context, self.bench, self.work = context, context.bench, context.work
        self.panel = panel

    def paint(self, question: Question, number: int) -> None:
        """Paint the masks of all objects, and the outlines of the other candidates of one."""
        bench, preview, key = self.bench, self.bench.prompts.preview, question.plane.key
        if preview is None or bench.frame is None:
            return
        masks: dict[int, Mask] = {}
        for other, one in sorted(question.objects.items()):
            if one.mask is not None:
                label = self.work.label(other)  # two may have the same, in different layers
                masks[label] = _together(one.mask, masks.get(label))
        lost = list(lost_masks(question, self.work.reopened).values())
        one = question.objects[number]
        lines = others_of(one.candidates, one.shown) if one.candidates else {}
        side = math.sqrt(pixel_area(bench.frame.transform, key.displayed))
        zoom = float(self.context.viewer.camera.zoom)
        width = min(max(1, math.ceil(1 / (zoom * side))), MOST_WIDTH)  # a pixel of the screen
        layers.show_preview(preview, bench.frame, key, masks, lost, lines, width)

    def say(self, question: Question, number: int, size: int | None) -> None:
        """Say what the answer for an object is.

        Parameters
        ----------
        question : Question
        number : int
        size : int or None
            Which size is shown first; see `SizePreference`.
        """
        frame, one = self.bench.frame, question.objects[number]
        shown = one.candidate
        if frame is None or shown is None:
            return
        self.context.status.hint(self._hint(one, shown))
        order = by_size(one.candidates)
        place = order.index(one.shown)
        names, own = names_of(one.candidates), layers.preview_colour(self.work.label(number))
        rows = []
        for k, index in enumerate(order):
            candidate = one.candidates[index]
            area = self._area(candidate, frame, question)
            colour = own if k == place else layers.CANDIDATE_COLOURS[k]
            rows.append(CandidateRow(names[index], candidate.score, area, colour))
        count = sum(other.mask is not None for other in question.objects.values())
        area = self._area(shown, frame, question)
        self.panel.set_answer(place + 1, len(order), shown.score, area, count)
        self.panel.candidates.show_rows(rows, place)
        self.panel.candidates.show_size(size)

    def _hint(self, one: ObjectInWork, shown: Candidate) -> str:
        """Return what can be done with an answer, and what is doubtful about it."""
        preview = self.bench.prompts.preview
        doubt = "" if preview is None or preview.visible else "the preview is hidden; "
        doubt += "" if shown.answer.present else "the model sees no object there; "
        doubt += "" if one.kept else doubt_of(shown, one.prompts, one.before)
        commits = "Enter commits it" if shown.mask else "the answer is empty"
        commits = "it is as it was kept" if one.kept else commits
        if one.propagated:
            commits = "it was propagated to this plane; Enter commits all planes"
        other = "N shows another answer, " if len(one.candidates) > 1 else ""
        return f"{doubt}{commits}, more points correct it, {other}Esc clears"

    @staticmethod
    def _area(candidate: Candidate, frame: Frame, question: Question) -> str:
        return layers.area_text(candidate.mask.area, frame, question.plane.key)


def _together(mask: Mask, other: Mask | None) -> Mask:
    """Return the pixels of a mask and of another one, if there is one."""
    return mask if other is None else Mask.of(np.asarray(mask) | np.asarray(other))
