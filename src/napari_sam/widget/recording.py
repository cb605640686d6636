"""Every step of a dock goes into a journal, with what was there before the first one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..formats.image_reference import hash_if_readable
from ..objects.edit import Edit
from ..objects.journal import Journal
from ..objects.journal_folder import journal_folder, new_journal
from ..objects.recorder import Target
from ..objects.segmented import SegmentedObject
from ..objects.store import NEXT_LABEL
from ..steps import drive, single
from ..types import Progress
from .history import History
from .image_prompts import ImagePrompts
from .labels_view import LabelsView
from .scheduler import Lane, Scheduler, Work
from .status import Status

UNSAFE = "there is no journal ({}): what is not saved is lost if the program ends"
BASE_TEXT = "the journal of the labels so far"


class Recording:
    """The recorder of a dock: its journal, which is made at the first step.

    Where it cannot be made, work goes on without one; where a step cannot be kept later, the step
    is refused.

    Parameters
    ----------
    history : History
        Records here from now on.
    scheduler : Scheduler
    status : Status

    Attributes
    ----------
    journal : Journal or None
        None if it cannot be made.
    """

    def __init__(self, history: History, scheduler: Scheduler, status: Status) -> None:
        self.scheduler, self.status = scheduler, status
        self.journal: Journal | None = None
        self._history = history
        self._is_open = False
        self._seen: set[str] = set()  # targets
        self._unkept: dict[str, Work[None]] = {}  # what keeps their base, until it has
        self._failed: set[str] = set()  # those whose base is tried again
        self._bases: deque[Work[None]] = deque()
        self._unhashed: list[Work[None]] = []
        self._then: list[Callable[[], None]] = []
        try:
            self.journal = new_journal(journal_folder())
        except ValueError as error:  # of the user's environment; no reason not to open
            status.error(str(error))
        else:
            history.use(self)

    def when_kept(self, then: Callable[[], None]) -> None:
        """Call something when all that was there before is in the journal, too."""
        self._then.append(then)
        self._go_on()

    def saved(self, number: int) -> None:
        """Note that all steps up to this number are in a file of the user."""
        if self.journal is None:
            return
        try:
            self.journal.saved(number)
        except OSError as error:
            self.status.error(str(error))

    def close(self) -> None:
        """Close the journal; it stays if something is not saved."""
        self._bases.clear()
        self._then.clear()
        if self.journal is not None:
            if self.journal.unsaved:
                self._keep_rest()
            self.journal.close()

    def keep_outlines(self, edit: Edit) -> Generator[Progress, None, None]:
        """Keep the outlines of a step that is still to come, a few at a time.

        Raises
        ------
        OSError
            If the disk refuses it.
        """
        journal = self._open()
        if journal is not None:
            changed = (after for _, after in edit.objects.values() if after is not None)
            outlines = [outline for one in changed for outline in one.outlines.values()]
            yield from journal.keep_outlines(outlines)

    # -- as a history asks for it; see `objects.recorder.Recorder` ------------------------------

    def made(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a new step."""
        journal = self._open()
        if journal is not None:
            self._keep_base(journal, target, edit)
            journal.made(number, target, edit)
            self._hash_later(journal, target, edit)
            self._go_on()

    def joined(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a further part of a step."""
        journal = self._open()
        if journal is not None:
            self._keep_base(journal, target, edit)
            journal.joined(number, target, edit)
            self._hash_later(journal, target, edit)
            self._go_on()

    def withdrawn(self, number: int) -> None:
        """Note that the newest part of a step could not be written after all."""
        if self.journal is not None:
            self.journal.withdrawn(number)

    def undone(self, number: int) -> None:
        """Note that a step was taken back."""
        if self.journal is not None:
            self.journal.undone(number)

    def redone(self, number: int) -> None:
        """Note that a step was made again."""
        if self.journal is not None:
            self.journal.redone(number)

    def parts(self, number: int) -> list[tuple[str, Edit]]:
        """Return the parts of a step."""
        return [] if self.journal is None else self.journal.parts(number)

    def _open(self) -> Journal | None:
        """Return the journal; at the first step that cannot be, say so and go on without one."""
        if self.journal is not None:
            try:
                self.journal.open()
            except OSError as error:
                if self._is_open:
                    raise
                self.journal = None
                self._history.steps.stop_recording()
                self.status.error(UNSAFE.format(error))
            else:
                self._is_open = True
        return self.journal

    def _hash_later(self, journal: Journal, target: Target, edit: Edit) -> None:
        """Hash the planes of an image that has to be read or computed, in the background."""
        if not isinstance(target, LabelsView | ImagePrompts):
            return
        image = target.image
        levels = image if isinstance(image, list | tuple) else [image]
        if image is None or all(isinstance(one, np.ndarray) for one in levels):
            return
        keep = partial(journal.keep_hashes, target, edit, partial(hash_if_readable, image))

        def done(result: None) -> None:
            self._unhashed.remove(work)
            self._go_on()

        def failed(text: str) -> None:
            self.status.error(text)
            done(None)

        work = Work(partial(single, keep), on_result=done, on_error=failed, text="the journal")
        self._unhashed.append(work)
        self._bases.append(work)

    def _keep_base(self, journal: Journal, target: Target, edit: Edit) -> None:
        """Keep what was there before the first step of a target, in the background."""
        if target.id in self._failed:
            self._failed.discard(target.id)
            self._bases.append(self._unkept[target.id])
        if target.id in self._seen:
            return
        if isinstance(target, LabelsView):
            objects, properties, next_label = before(target, edit)
            if next_label > 1 or objects or properties:
                journal.want_base(target)
                stored = target.info().stored
                labels = target.layer.data[:0] if stored else target.layer.data
                opened = partial(edits_of, objects, properties)
                work = self._work(journal, target, labels, opened)
                self._unkept[target.id] = work
                self._bases.append(work)
        self._seen.add(target.id)

    def _work(
        self,
        journal: Journal,
        target: LabelsView,
        labels: NDArray[Any],
        opened: Callable[[], Iterator[Edit]],
    ) -> Work[None]:
        def failed(text: str) -> None:
            self._failed.add(target.id)  # its next step tries again
            self.status.error(text)
            self._go_on()

        def done(result: None) -> None:
            self._unkept.pop(target.id, None)
            self._go_on()

        steps = partial(_kept, journal, target, labels, opened)
        return Work(steps, on_result=done, on_error=failed, text=BASE_TEXT)

    def _keep_rest(self) -> None:
        """Keep what was there now: without it nothing of its target can be restored."""
        try:
            for work in (*self._unkept.values(), *self._unhashed):
                drive(work.steps())
        except OSError as error:
            self.status.error(str(error))

    def _go_on(self) -> None:
        """Keep the next one of what was there; call who waits when all of it is kept."""
        if self.scheduler.is_busy(Lane.JOURNAL):
            return
        if self._bases:
            self.scheduler.submit(self._bases.popleft(), Lane.JOURNAL)
        elif not self._unkept:
            waiting, self._then = self._then, []
            for then in waiting:
                then()


def before(view: LabelsView, edit: Edit) -> tuple[dict[int, SegmentedObject], dict[str, Any], int]:
    """Return objects, properties and next label as they were before the first edit of a view.

    Parameters
    ----------
    view : LabelsView
    edit : Edit
        It may have been taken up already.
    """
    objects, properties = dict(view.store.objects), dict(view.store.properties)
    for label, (old, _) in edit.objects.items():
        objects.pop(label, None)
        if old is not None:
            objects[label] = old
    for name, (value, _) in edit.properties.items():
        properties.pop(name, None)
        if value is not None and name != NEXT_LABEL:
            properties[name] = value
    return objects, properties, edit.properties.get(NEXT_LABEL, (view.store.next_label,))[0]


def edits_of(
    objects: Mapping[int, SegmentedObject], properties: Mapping[str, Any]
) -> Iterator[Edit]:
    """Yield edits that make objects and properties, small ones."""
    yield Edit("", properties={name: (None, value) for name, value in properties.items()})
    for label, one in objects.items():
        yield Edit("", objects={label: (None, one)})


def _kept(
    journal: Journal,
    target: LabelsView,
    labels: NDArray[Any],
    opened: Callable[[], Iterator[Edit]],
) -> Any:
    return journal.keep_base(target, labels, opened())
