"""Offers unsaved work of a session that ended, and restores it as steps that can be undone."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Labels
from napari.utils.notifications import show_info
from numpy.typing import NDArray

from ....formats.carried import METADATA, Carried
from ....formats.labels_store import largest_label
from ....objects.canvas import Canvas
from ....objects.journal_folder import hand_over, journal_folder, remove
from ....objects.journal_reader import KeptTarget, base_labels
from ....objects.recorder import Target
from ....steps import single
from ....types import Progress
from ... import layers
from ...context import Context
from ...frame import Frame
from ...history import History, Steps
from ...labels_view import LabelsView
from ...places import show_place
from ...scheduler import Lane, Work
from ..feature import Feature
from .offers import Offer, find_offer
from .panel import RecoveryPanel

RESTORING = "restoring"
"""The source of progress in the status line."""
ELSEWHERE = "another image was opened"


@dataclass(frozen=True, eq=False)
class Base:
    """The labels that steps are made on, and the largest of them."""

    labels: Any
    largest: int


class Recovery(Feature):
    """Looks for unsaved work on each image that is opened; deletes nothing unasked."""

    panel: RecoveryPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = RecoveryPanel()
        self.offer: Offer | None = None
        self._declined: set[Path] = set()
        self.panel.restore_asked.connect(self.restore)
        self.panel.later_asked.connect(self.decline)
        self.panel.delete_asked.connect(self.delete)
        self.bench.image_changed.connect(self.look)

    def start(self) -> None:
        """Look for unsaved work on the image that is open already."""
        self.look()

    def look(self) -> None:
        """Look in the background for unsaved work on the image."""
        self._withdraw()
        frame = self.bench.frame
        try:
            folder = journal_folder()
        except ValueError:
            return  # the recording has said so

        def done(offer: Offer | None) -> None:
            if offer is not None and self._is_here(frame):
                self.offer = offer
                self.panel.offer(offer.text, offer.picture)

        steps = partial(find_offer, folder, frame, frozenset(self._declined))
        self._submit(steps, done, "looking for unsaved work")

    def decline(self) -> None:
        """Offer it no more in this session."""
        if self.offer is not None:
            self._declined.add(self.offer.path)
            self.look()

    def delete(self) -> None:
        """Delete the journal that is offered."""
        if self.offer is not None:
            work = partial(single, partial(remove, self.offer.path))
            self._withdraw()
            self._submit(work, lambda taken: self.look(), "deleting unsaved work")

    def restore(self) -> None:
        """Bring back what is offered."""
        offer, frame = self.offer, self.bench.frame
        if offer is None or frame is None:
            return
        self.status.acted()
        if self.context.history.walking or self.context.scheduler.is_busy(Lane.BULK):
            self.status.hint("wait until the last change is written, then restore")
            return
        self.panel.set_busy(True)
        self.status.progress(RESTORING, f"restoring {offer.text} ...")
        try:
            stored = self._reopened(offer, frame)
        except (ValueError, OSError) as error:
            self._end(offer, str(error))
            return

        def done(bases: dict[str, Base]) -> None:
            self._replay(offer, frame, bases, stored)

        steps = partial(bases_of, offer.targets, {name: one.data for name, one in stored.items()})
        self._submit(steps, done, RESTORING, partial(self._end, offer))

    def close(self) -> None:
        """Offer nothing more."""
        self.bench.image_changed.disconnect(self.look)
        self._withdraw()

    def _reopened(self, offer: Offer, frame: Frame) -> dict[str, Labels]:
        """Return layers of the labels that are in folders."""
        return {
            name: self.context.folder.reopened(frame, Path(target.info.stored))
            for name, target in offer.targets.items()
            if target.info.stored
        }

    def _replay(
        self, offer: Offer, frame: Frame, bases: Mapping[str, Base], stored: Mapping[str, Labels]
    ) -> None:
        """Make the steps again, in layers that are shown when all is there."""
        views: dict[str, LabelsView] = {}
        targets: dict[str, Target] = {}
        for name, target in offer.targets.items():
            if target.info.kind == "prompts":
                if self.context.prompt_log is not None:
                    targets[name] = self.context.prompt_log
                continue
            layer = stored.get(name)
            if layer is None:
                title = f"{frame.layer.name} {target.info.kind}"
                layer = layers.make_labels(frame, title, bases[name].labels)
            layer.metadata[METADATA] = opened(target)
            view = self.bench.view_of(layer, bases[name].largest)
            view.kind = target.info.kind
            targets[name] = views[name] = view

        def done(failed: str) -> None:
            if self._is_here(frame):
                self._show(offer, frame, views)
            else:
                failed = failed or ELSEWHERE
                for view in views.values():
                    self.bench.views.drop(view)
            self._end(offer, failed)

        steps = replayed(offer, self.context.history, targets, partial(self._check, frame))
        try:
            self.context.history.run(steps, done)
        except ValueError as error:
            done(str(error))

    def _show(self, offer: Offer, frame: Frame, views: Mapping[str, LabelsView]) -> None:
        """Add the layers, go on in the one that was changed last, and ask about the prompts."""
        order = [name for parts in offer.steps for name, _ in parts if name in views]
        before = self.bench.results
        for name in sorted(views, key=lambda one: _last(order, one)):
            layer = views[name].layer
            if views[name].kind == "objects":
                self.bench.use_results(layer)
            else:
                layers.set_transform(layer, frame.transform)
            self.bench.add_below_prompts(layer)
        if before is not None and before is not self.bench.results and self._is_empty(before):
            name = before.layer.name
            self.context.viewer.layers.remove(before.layer)
            if self.bench.results is not None:
                self.bench.results.layer.name = name  # napari had numbered it
        boxes = [box for _, edit in offer.steps[-1] for box in edit.boxes]
        show_place(self.context, boxes)
        self.bench.prompts.changed.emit()

    def _is_empty(self, view: LabelsView) -> bool:
        """Whether nothing was ever done in a layer."""
        view.look_again()
        used = self.context.history.steps.newest_of(view) is not None
        return view.layer in self.context.viewer.layers and not (
            used or view.store.objects or view.store.next_label > 1 or view.info().stored
        )

    def _end(self, offer: Offer, failed: str) -> None:
        self.status.progress(RESTORING)
        self._declined.add(offer.path)
        self._withdraw()
        if failed:
            self.status.error(f"not all was restored, and the journal stays: {failed}")
            return
        text = f"restored {offer.text}; it is not saved yet (S saves)"
        show_info(self.context.keymap.shown(text))
        if self.context.recording.journal is not None:
            self.context.recording.when_kept(partial(self._hand_over, offer))

    def _hand_over(self, offer: Offer) -> None:
        """Let the old journal go: the new one holds all of it."""
        self._declined.discard(offer.path)
        work = partial(single, partial(hand_over, offer.path, tuple(offer.targets)))
        self._submit(work, lambda nothing: self.look(), "ending the old journal")

    def _check(self, frame: Frame) -> None:
        if not self._is_here(frame):
            raise ValueError(ELSEWHERE)

    def _is_here(self, frame: Frame | None) -> bool:
        now = self.bench.frame
        return now is not None and frame is not None and now.layer is frame.layer

    def _withdraw(self) -> None:
        self.offer = None
        self.panel.setVisible(False)

    def _submit(
        self,
        steps: Callable[[], Generator[Any, None, Any]],
        done: Callable[[Any], None],
        text: str,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        work = Work(steps, on_result=done, on_error=failed, text=text)
        self.context.scheduler.submit(work, Lane.RECOVERY)


def bases_of(
    targets: Mapping[str, KeptTarget], stored: Mapping[str, NDArray[Any]]
) -> Generator[Progress, None, dict[str, Base]]:
    """Return the labels that the steps of each target are made on.

    Parameters
    ----------
    targets : mapping of str to KeptTarget
    stored : mapping of str to array
        Labels that are in a folder.
    """
    bases: dict[str, Base] = {}
    for name, target in targets.items():
        if target.info.kind == "prompts":
            continue
        labels = stored.get(name)
        if labels is not None:
            for edit in reversed(target.taken_back):
                yield from Canvas(labels).write_all(edit.inverse().patches, RESTORING)
            bases[name] = Base(labels, (yield from largest_label(labels)))
            continue
        yield Progress(0, 0, RESTORING)
        labels = base_labels(target)
        bases[name] = Base(labels, int(labels.max(initial=0)) if target.base else 0)
    return bases


def opened(target: KeptTarget) -> Carried:
    """Return the objects and properties that were there before the first step."""
    objects, properties = {}, {}
    for edit in target.opened:
        objects.update({label: after for label, (_, after) in edit.objects.items() if after})
        properties.update({name: value for name, (_, value) in edit.properties.items()})
    return Carried(objects, properties)


def replayed(
    offer: Offer, history: History, targets: Mapping[str, Target], check: Callable[[], None]
) -> Steps:
    """Make the steps of an offer as new steps of a history, in pieces."""
    for done, parts in enumerate(offer.steps, 1):
        step = None
        for name, edit in parts:
            check()
            target = targets.get(name)
            if target is None:
                continue
            if step is None:
                step = yield from history.steps.make_in_pieces(target, edit)
            else:
                yield from history.steps.join_in_pieces(target, edit, step)
            yield Progress(done, len(offer.steps), RESTORING)


def _last(order: list[str], name: str) -> int:
    return len(order) - order[::-1].index(name) if name in order else 0
