"""Goes through a series of images: each is saved before the next one is opened."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog

from ....formats.exchange import FORMATS
from ....images.readers import StackImage, read_image
from ....types import Progress
from ... import layers
from ...context import Context
from ...live_save import WAIT_MS
from ...scheduler import Lane, Work
from ..feature import Feature
from .ahead import Ahead
from .files import State, done_name, listed, next_unfinished, note_done, result_places, states
from .panel import SeriesPanel

OPENING = "series"
"""The source of progress in the status line."""


class Series(Feature):
    """A list of images, one of which is open; the one before leaves once it is saved."""

    title = "Series"
    panel: SeriesPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.panel = SeriesPanel()
        self.keys = {"Shift-S": self.save_and_next}
        self.paths: list[Path] = []
        self.places: list[Path] = []
        self.states: list[State] = []
        self.current = -1
        self._image: Image | None = None
        self._channels: list[Image] = []
        self._folder: Path | None = None
        self._ahead = Ahead(context)
        self._connect()

    def close(self) -> None:
        """Encode nothing ahead any more."""
        self._ahead.close()

    def open(self, places: Sequence[Path]) -> None:
        """Take up the images of folders, patterns and files, and open the first unfinished one."""

        def steps() -> Generator[Progress, None, list[Path]]:
            yield Progress(0, 1, "looking for images")
            return listed(places)

        def done(paths: list[Path]) -> None:
            self.paths = paths
            self._leave(partial(self._arrange, begin=True))

        work = Work(steps, on_result=done, text="opening a series")
        self.context.scheduler.submit(work, Lane.FILES)

    def save_results_in(self, folder: Path | None) -> None:
        """Save into one folder from now on; None: beside each image."""
        self._folder = folder
        self._arrange(begin=False)

    def save_and_next(self) -> None:
        """Save the image, note it as done and open the next unfinished one."""
        if self._image is None or self._image not in self.context.viewer.layers:
            self.context.status.hint("open a series first: a folder, or several files")
            return
        number = self.current
        self.context.saves.save(partial(self._on_done, number))

    def go(self, number: int) -> None:
        """Save the image if anything is unsaved, and open another one."""
        if 0 <= number < len(self.paths) and number != self.current:
            self._leave(partial(self._open, number))

    def _connect(self) -> None:
        panel = self.panel
        panel.folder_asked.connect(self._ask_for_folder)
        panel.files_asked.connect(self._ask_for_files)
        panel.results_asked.connect(self._ask_for_results)
        panel.previous_asked.connect(lambda: self.go(self.current - 1))
        panel.next_asked.connect(lambda: self.go(self.current + 1))
        panel.save_and_next_asked.connect(self.save_and_next)
        panel.picked.connect(self.go)
        self.context.saves.saved.connect(self._on_saved)

    def _leave(self, then: object) -> None:
        """Go on once nothing of the open image of the series is unsaved."""
        saves, frame = self.context.saves, self.context.bench.frame
        here = frame is not None and frame.layer is self._image
        if here and saves.awaited():
            QTimer.singleShot(WAIT_MS, partial(self._leave, then))
        elif here and saves.unsaved:
            saves.save(then)  # type: ignore[arg-type]
        else:
            then()  # type: ignore[operator]

    def _arrange(self, begin: bool) -> None:
        """Look, in the background, where results go and how far each image is."""
        paths, folder, suffix = list(self.paths), self._folder, FORMATS[0].suffixes[0]

        def steps() -> Generator[Progress, None, tuple[list[Path], list[State]]]:
            yield Progress(0, 1, "looking for results")
            places = result_places(paths, folder, suffix)
            return places, states(paths, places)

        def done(found: tuple[list[Path], list[State]]) -> None:
            self.places, self.states = found
            if begin:
                self.current = -1
                first = next_unfinished(self.states, -1)
                self._open(0 if first is None else first)
            elif self._image is not None and self.current >= 0:
                place = self.places[self.current]
                if not place.exists():
                    self.context.saves.use_place(self._image, place)
            self._show()

        work = Work(steps, on_result=done, text="opening a series")
        self.context.scheduler.submit(work, Lane.FILES)

    def _open(self, number: int) -> None:
        path = self.paths[number]
        ready = self._ahead.take(path)

        def steps() -> Generator[Progress, None, StackImage]:
            yield Progress(0, 1, "opening")
            return read_image(path) if ready is None else ready

        def failed(text: str) -> None:
            self.context.status.progress(OPENING)
            self.states[number] = "unreadable"
            self._show()
            following = next_unfinished(self.states, number)
            if following is None or following == self.current:
                self.context.status.error(f"{path.name} was skipped: {text}")
                return
            self._open(following)
            self.context.status.error(f"{path.name} was skipped: {text}")

        self.panel.set_busy(True)
        self.context.status.progress(OPENING, f"opening {path.name} ...")
        work = Work(steps, on_result=partial(self._ready, number), on_error=failed, text="opening")
        self.context.scheduler.submit(work, Lane.FILES)

    def _ready(self, number: int, image: StackImage) -> None:
        """Save what was labelled while the image was read, and show it."""
        self.context.status.progress(OPENING)
        self._show()  # where the save fails, the buttons are there again
        self._leave(partial(self._shown, number, image))

    def _shown(self, number: int, image: StackImage) -> None:
        """Show an image with what was saved of it; the one before leaves."""
        context, path, place = self.context, self.paths[number], self.places[number]
        before = self._layers()
        others = list(context.viewer.layers)
        layer = layers.add_image(context.viewer, image, path.stem)
        self._channels = [
            one for one in context.viewer.layers if isinstance(one, Image) and one not in others
        ]
        self._image, self.current = layer, number
        context.saves.image_paths[layer] = path
        if not place.exists():  # else it is the place once it is read: a save would replace it
            context.saves.use_place(layer, place)
        context.bench.use_image(layer)
        for one in before:
            if one in context.viewer.layers:
                context.viewer.layers.remove(one)
        for axis in range(len(image.label_shape) - 2):
            context.viewer.dims.set_current_step(axis, image.label_shape[axis] // 2)
        context.viewer.reset_view()
        context.status.progress(OPENING)
        context.status.hint(image.notice or f"{path.name}: {number + 1} of {len(self.paths)}")
        if place.exists():
            context.opening.open(place)
        self._show()
        following = next_unfinished(self.states, number)
        self._ahead.prepare(None if following is None else self.paths[following])

    def _layers(self) -> list[Layer]:
        """Return the layers of the image that is open: itself and what was saved of it."""
        bench = self.context.bench
        if self._image is None or bench.frame is None or bench.frame.layer is not self._image:
            return []
        gone: list[Layer] = list(self._channels)
        if bench.results is not None:
            gone.append(bench.results.layer)
        found = bench.everything
        in_memory = found is not None and isinstance(found.layer.data, np.ndarray)
        if found is not None and in_memory and not found.layer.data.any():
            gone.append(found.layer)  # else it stays: it is in no file
        return gone

    def _show(self) -> None:
        names = [path.name for path in self.paths]
        self.panel.set_images(names, self.states or [""] * len(names), self.current)
        self.panel.set_busy(not self.paths)

    def _on_saved(self, step: int) -> None:
        frame = self.context.bench.frame
        if frame is not None and frame.layer is self._image and self.states[self.current] == "":
            self.states[self.current] = "started"
            self._show()

    def _on_done(self, number: int) -> None:
        path, place = self.paths[number], self.places[number]
        try:
            note_done(place.parent, done_name(path, place))
        except ValueError as error:
            self.context.status.error(str(error))
            return
        self.states[number] = "done"
        following = next_unfinished(self.states, number)
        self._show()
        if following is None:
            self.context.status.hint(f"all {len(self.paths)} images are done")
        else:
            self._open(following)

    def _ask_for_folder(self) -> None:
        dialog = self._dialog("A folder of images", QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.open([Path(name)]))
        dialog.open()

    def _ask_for_files(self) -> None:
        dialog = self._dialog("Images", QFileDialog.FileMode.ExistingFiles)
        dialog.filesSelected.connect(lambda names: self.open([Path(name) for name in names]))
        dialog.open()

    def _ask_for_results(self) -> None:
        dialog = self._dialog("A folder for the results", QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda name: self.save_results_in(Path(name)))
        dialog.open()

    def _dialog(self, title: str, mode: QFileDialog.FileMode) -> QFileDialog:
        dialog = QFileDialog(self.panel.window(), title)
        dialog.setFileMode(mode)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return dialog
