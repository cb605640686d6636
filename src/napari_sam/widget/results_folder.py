"""Results that are too large for memory: asks once for their folder, makes layers of its arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal

from .._version import __version__
from ..formats.labels_store import (
    SUFFIX,
    Copied,
    check_folder,
    copy_labels,
    free_name,
    largest_label,
    open_labels,
)
from ..types import Progress, SliceKey
from . import layers
from .frame import Frame
from .scheduler import Lane, Scheduler, Work
from .status import Status
from .workbench import Workbench

OBJECTS, EVERYTHING = "objects", "everything"
LONGEST_NAME = 60
"""Letters of an image's name in the name of its folder."""
COUNTING = "labels"
"""The source of progress in the status line while labels are counted."""


class ResultsFolder(QObject):  # type: ignore[misc]
    """Keeps the results of large stacks in a folder each, which the user names.

    Parameters
    ----------
    bench : Workbench
    scheduler : Scheduler
    status : Status

    Signals
    -------
    asked : no argument
        A folder is needed; `use` and `decline` take the answer.
    """

    asked = Signal()

    def __init__(self, bench: Workbench, scheduler: Scheduler, status: Status) -> None:
        super().__init__()
        self.bench = bench
        self.scheduler = scheduler
        self.status = status
        self._folders: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
        self._then: Callable[[], None] | None = None

    @property
    def is_missing(self) -> bool:
        """Whether objects of the image have nowhere to go until a folder is opened."""
        bench = self.bench
        return bench.results is None and bench.frame is not None and bench.frame.needs_folder

    def ready(self, then: Callable[[], None]) -> bool:
        """Tell whether results of the image can be made now.

        Parameters
        ----------
        then : callable
            Called later where they cannot: as soon as the user has named a folder, unless another
            image is worked on by then.
        """
        frame = self.bench.frame
        if frame is None:
            return False
        if not frame.needs_folder or frame.layer in self._folders:
            return True
        self._then = self._on(frame.layer, then)
        self.status.hint(
            "labels of this stack are too large for memory: name a new or an empty folder for "
            "them, or the folder of an earlier session"
        )
        self.asked.emit()
        return False

    @property
    def suggestion(self) -> str:
        """A name for a new folder: beside the image's file, or in the home folder."""
        frame = self.bench.frame
        if frame is None:
            return str(Path.home())
        source = frame.layer.source.path
        place = Path.home() if source is None else Path(source).absolute().parent
        return str(place / f"{safe_name(frame.layer.name)} labels")

    def check(self, path: str) -> None:
        """Look whether a folder can take the results of the image.

        Raises
        ------
        ValueError
            If it holds something else, or cannot be written to.
        """
        frame = self.bench.frame
        if frame is None:
            raise ValueError("open an image to begin")
        folder = self._absolute(path)
        try:
            check_folder(folder, frame.shape)
        except OSError as error:
            raise ValueError(f"{folder} cannot be used: {error.strerror}") from error
        self._check_unused(folder, frame)

    def use(self, path: str) -> None:
        """Take the folder that the user named, and do what waited for it."""
        frame = self.bench.frame
        if frame is None:
            return
        try:
            self.check(path)
        except ValueError as error:
            self.status.error(str(error))
            return
        self._folders[frame.layer] = self._absolute(path)
        then, self._then = self._then or (lambda: None), None
        work = Work(_zarr_imported, on_result=lambda _: then(), text="preparing the folder")
        self.scheduler.submit(work, Lane.LABELS)

    def decline(self) -> None:
        """Say what happens where the user named none."""
        self._then = None
        self.status.hint(
            "nothing was written, prompts and preview stay; the next commit asks again"
        )

    def forget(self) -> None:
        """Ask again for the next result of this image."""
        self.scheduler.cancel(Lane.LABELS)
        self.status.progress(COUNTING)
        if self.bench.frame is not None:
            self._folders.pop(self.bench.frame.layer, None)

    def open_objects(self, key: SliceKey, then: Callable[[], None]) -> None:
        """Open the layer that objects go to and count its labels, then go on.

        Parameters
        ----------
        key : SliceKey
            The plane shown; it is a chunk of a new array.
        then : callable
            Not called if another image is worked on by then.
        """
        frame = self.bench.frame
        if frame is None:
            return
        if self.scheduler.is_busy(Lane.LABELS):
            self.status.hint("labels are being opened or counted; try again in a moment")
            return
        if not self.ready(lambda: self.open_objects(key, then)):
            return

        def done(opened: tuple[Any, int]) -> None:
            self.status.progress(COUNTING)
            now, (array, largest) = self.bench.frame, opened
            if now is None or now.layer is not frame.layer or self.bench.results is not None:
                return
            name = f"{frame.layer.name} {OBJECTS}"
            layer = layers.make_labels(frame, name, array, visible=False)
            self.bench.use_results(layer, largest)
            self.bench.add_below_prompts(layer, then=self._on(frame.layer, then))

        self.status.progress(COUNTING, "counting the labels of the folder ...")
        steps = partial(_opened, self._opening(frame, OBJECTS, key))
        work = Work(steps, on_result=done, on_error=self._on_error, text="opening the labels")
        self.scheduler.submit(work, Lane.LABELS)

    def new_labels(self, frame: Frame, kind: str, key: SliceKey) -> Labels:
        """Return an empty layer, in the folder if the image is large.

        Raises
        ------
        ValueError
            If the folder cannot be written to.
        """
        if not frame.needs_folder:
            return layers.make_labels(frame, f"{frame.layer.name} {kind}", visible=False)
        return self._make(frame, free_name(self._folders[frame.layer], kind), key)

    def reopened(self, frame: Frame, place: Path) -> Labels:
        """Return a layer of labels that are in a folder already.

        Parameters
        ----------
        frame : Frame
        place : Path
            Of the array.

        Raises
        ------
        ValueError
            If they are gone, or another program uses the folder.
        """
        if not place.is_dir():
            raise ValueError(f"the labels in {place} are no longer there")
        folder = place.parent
        check_folder(folder, frame.shape)
        self._check_unused(folder, frame)
        self._folders[frame.layer] = folder
        axes = len(frame.shape)
        key = SliceKey((axes - 2, axes - 1), tuple((axis, 0) for axis in range(axes - 2)))
        return self._make(frame, place.name.removesuffix(SUFFIX), key)

    def copy(self, frame: Frame, labels: Any, then: Callable[[Labels, int], None]) -> None:
        """Copy labels into the folder, in the background; `Opening.cancel` stops it.

        Parameters
        ----------
        frame : Frame
            Its folder is named already; see `ready`.
        labels : (..., H, W) int array-like
        then : callable
            Called with the layer that shows them, and the largest label.
        """
        folder, axes = self._folders[frame.layer], frame.layer.axis_labels
        key = SliceKey(
            (len(frame.shape) - 2, len(frame.shape) - 1),
            tuple((axis, 0) for axis in range(len(frame.shape) - 2)),
        )

        def step(now: Progress) -> None:
            text = f"copying the labels: {now.done} of {now.total} planes"
            self.status.progress(COUNTING, text, now.done, now.total)

        def done(copied: Copied) -> None:
            self.status.progress(COUNTING)
            try:
                layer = self._make(frame, copied.name, key)
            except ValueError as error:
                self.status.error(str(error))
                return
            then(layer, copied.largest)

        steps = partial(copy_labels, labels, folder, OBJECTS, axes, _attributes(frame))
        work = Work(steps, step, done, self._on_error, "copying labels")
        self.scheduler.submit(work, Lane.FILES)

    def _on(self, image: Image, then: Callable[[], None]) -> Callable[[], None]:
        """Return what does something if the same image is still worked on."""

        def still() -> None:
            frame = self.bench.frame
            if frame is not None and frame.layer is image:
                then()

        return still

    def _opening(self, frame: Frame, name: str, key: SliceKey) -> Callable[[], Any]:
        """Return what opens an array of the folder; it may be called in a worker."""
        folder, axes = self._folders[frame.layer], frame.layer.axis_labels
        return partial(
            open_labels, folder, name, frame.shape, key.displayed, axes, _attributes(frame)
        )

    def _make(self, frame: Frame, name: str, key: SliceKey) -> Labels:
        """Return a layer, hidden until `Workbench.add_below_prompts` has added it."""
        try:
            array = self._opening(frame, name, key)()
        except ValueError:
            self.forget()
            raise
        return layers.make_labels(frame, f"{frame.layer.name} {name}", array, visible=False)

    def _absolute(self, path: str) -> Path:
        """Return a folder that the user named; a mere name lies where the suggestion does."""
        try:
            return (Path(self.suggestion).parent / Path(path).expanduser()).resolve()
        except RuntimeError as error:
            raise ValueError(f"there is no home folder as in {path}; name another one") from error

    def _check_unused(self, folder: Path, frame: Frame) -> None:
        """Refuse the folder of another image: both would write the same labels."""
        for image, other in self._folders.items():
            if other == folder and image is not frame.layer:
                raise ValueError(f"{folder} is the folder of {image.name}; name another one")

    def _on_error(self, text: str) -> None:
        self.forget()
        self.status.error(text)


def _zarr_imported() -> Generator[Progress, None, None]:
    """Import zarr; in a worker, for it takes longer than the window may be held."""
    import_module("zarr")
    yield from ()


def _opened(opening: Callable[[], Any]) -> Generator[Progress, None, tuple[Any, int]]:
    """Open an array and find its largest label."""
    array = opening()
    return array, (yield from largest_label(array))


def _attributes(frame: Frame) -> dict[str, Any]:
    """Return what an array in the folder says of itself."""
    return {
        "scale": [float(size) for size in frame.transform["scale"]],
        "units": [str(unit) for unit in frame.transform["units"]],
        "provenance": {
            "program": "napari-sam-stack",
            "version": __version__,
            "image": frame.layer.name,
        },
    }


def safe_name(name: str) -> str:
    """Return the name of an image as part of the name of a file."""
    return re.sub(r"[^\w .-]", "_", name)[:LONGEST_NAME]
