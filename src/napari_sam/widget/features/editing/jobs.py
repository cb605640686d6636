"""The edits that the tools make, as jobs for `Runs`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ....objects import Edit
from ....objects.asking import asking
from ....objects.overlap import OverlapRule, free_pixels
from ....objects.reshape_edits import (
    Merge,
    Plan,
    Reshape,
    merge_in_pieces,
    planned,
    planned_merge,
    reshape_in_pieces,
)
from ....objects.splitting import Point, split_by
from ...context import Context
from .runs import Job, Making, Planning, Runs
from .targets import Targets, refusal

GAP = 2
"""Half the width of the widest gap, in pixels, that merging closes."""


class Jobs:
    """Splits, merges and reshapes objects.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context, self.runs = context, Runs(context)

    def split(self, targets: Targets, first: Point, second: Point) -> None:
        """Split an object by two clicks (x, y) in the upright plane; the first part stays it."""
        label, session = targets.labels[0], self.context.session
        ask = None if session is None else asking(session, targets.plane)

        def said(edit: Edit | None) -> str:
            if edit is None:
                return f"object {label} stays as it is"
            new = max((one for one in edit.objects if one != label), default=None)
            if new is None:
                return f"object {label} is smaller; others have the pixels of its other part"
            return f"object {label} split{_where(targets, label)}: object {new} is new"

        reshape = split_by(targets.key, first, second, ask)
        self._reshape(targets, reshape, free_pixels, f"splitting object {label}", said)

    def merge(self, targets: Targets) -> None:
        """Make objects one, in all their planes; the first one keeps its label."""
        targets = replace(targets, everywhere=True)
        label, *others = targets.labels
        text = f"merging {targets.name}"

        def prepare() -> Callable[[], Planning]:
            self._check(targets)
            known, keys = targets.known(), targets.keys()
            origin = targets.origin(self.context)
            return partial(planned_merge, targets.view.store.canvas, known, keys, GAP, origin)

        def make(merge: Merge) -> Making:
            self._check(targets)
            return merge_in_pieces(targets.view.store, merge)

        def said(edit: Edit | None) -> str:
            parts = ", ".join(str(one) for one in others)
            return f"object{'s' * (len(others) > 1)} {parts} merged into object {label}"

        self.runs.do(Job(targets.view, prepare, make, said, text))

    def reshape(
        self, targets: Targets, reshape: Reshape, rule: OverlapRule, words: tuple[str, str]
    ) -> None:
        """Change outlines of objects.

        Parameters
        ----------
        targets : Targets
        reshape : callable
            See `reshape_edits.Reshape`.
        rule : OverlapRule
            Which pixels of others they get.
        words : (str, str)
            What is done, and what was done: "smoothing", "smoothed".
        """
        doing, done = words

        def said(edit: Edit | None) -> str:
            if edit is None:
                return f"{targets.name}: there is nothing to change"
            one = targets.labels[0]
            where = _where(targets, one) if len(targets.labels) == 1 else ""
            return f"{targets.name} {done}{where}"

        self._reshape(targets, reshape, rule, f"{doing} {targets.name}", said)

    def _reshape(
        self,
        targets: Targets,
        reshape: Reshape,
        rule: OverlapRule,
        text: str,
        said: Callable[[Edit | None], str],
    ) -> None:
        def prepare() -> Callable[[], Planning]:
            self._check(targets)
            return partial(
                planned,
                targets.view.store.canvas,
                targets.known(),
                targets.keys(),
                reshape,
                targets.origin(self.context),
                targets.search(),
            )

        def make(plan: Plan) -> Making | None:
            if not (plan.changed or plan.new):
                return None
            self._check(targets)
            return reshape_in_pieces(targets.view.store, plan, rule, text)

        self.runs.do(Job(targets.view, prepare, make, said, text))

    def _check(self, targets: Targets) -> None:
        why = refusal(self.context, targets)
        if why:
            raise ValueError(why)


def _where(targets: Targets, label: int) -> str:
    """Return " in this plane" where an object has others, which stay as they are."""
    one = targets.view.store.objects.get(label)
    alone = one is None or len(one.outlines) < 2 or targets.everywhere
    return "" if alone else " in this plane"
