"""Opens projects and labels for the image, and imports objects or prompts into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import psutil
from napari.layers import Labels
from qtpy.QtCore import QObject, Qt, Signal

from ..formats.annotation import Annotation
from ..formats.carried import METADATA, Carried
from ..formats.exchange import format_of
from ..formats.image_reference import difference, image_beside
from ..formats.imports import boxes_of, import_objects, objects_of
from ..formats.labels_store import largest_label, needs_folder
from ..formats.project import INDEX, PROJECT
from ..formats.prompt_files.known import is_foreign
from ..images.readers import StackImage, read_image
from ..images.scan import METADATA as SCAN
from ..images.scan import Scan
from ..objects.drawn import Drawing
from ..objects.edit import Edit
from ..objects.overlap import RULES
from ..objects.segmented import SegmentedObject
from ..types import Progress
from . import layers
from .labels_view import LabelsView
from .results_folder import COUNTING
from .saves import image_array
from .scheduler import Lane, Work
from .unsaved import counted

if TYPE_CHECKING:
    from .context import Context

OPENING = "opening"
"""The source of progress in the status line."""


class Read(NamedTuple):
    """What was read.

    Attributes
    ----------
    annotation : Annotation
        Its labels in memory, or a zarr array that is copied to the folder of the image.
    largest : int
        The largest label of those in memory.
    difference : str
        How the image differs from the one that was annotated; empty if it does not.
    """

    annotation: Annotation
    largest: int
    difference: str


class Opening(QObject):  # type: ignore[misc]
    """Reads annotations in the background.

    Parameters
    ----------
    context : Context

    Signals
    -------
    asked : str, str, callable
        A question, what its button says, and what is done then.
    prompts_asked : Path
        The prompts of another system's file are to be drawn.
    """

    asked = Signal(str, str, object)
    prompts_asked = Signal(object)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        # later: it is emitted before the layer is chosen, too
        queued = Qt.ConnectionType.QueuedConnection
        context.bench.changed.connect(self._on_bench_changed, queued)

    def open(self, path: Path) -> None:
        """Go on with a saved annotation of the image, or with the image that it names."""
        path = _whole(path)
        self.context.status.acted()
        frame = self.context.bench.frame
        if frame is None:
            self._read(path, None, None, partial(self._offer_image, path))
            return
        image = frame.layer

        def done(read: Read) -> None:
            if self.context.bench.frame is None or self.context.bench.frame.layer is not image:
                self.context.status.error("another image was chosen meanwhile; open it again")
            elif read.difference:
                question = (
                    f"{path.name} was made for another image than {image.name}: "
                    f"{read.difference}. Open it all the same?"
                )
                self.asked.emit(question, "Open", partial(self.restore, path, read))
            else:
                self.restore(path, read)

        self._read(path, frame.shape, image_array(frame), done)

    def restore(self, path: Path, read: Read) -> None:
        """Show an annotation on the image; what was there before stays in its own layer."""
        bench, annotation = self.context.bench, read.annotation
        frame = bench.frame
        if frame is None:
            return
        if not isinstance(annotation.labels, np.ndarray):
            self._copy(path, read)
            return
        layer = layers.make_labels(frame, f"{frame.layer.name} objects", annotation.labels)
        self._show(path, annotation, layer, read.largest)

    def cancel(self) -> None:
        """Stop reading; everything stays as it is."""
        scheduler, status = self.context.scheduler, self.context.status
        if scheduler.is_busy(Lane.FILES):
            scheduler.cancel(Lane.FILES)
            for source in (OPENING, COUNTING):
                status.progress(source)
            status.hint("nothing was opened; everything stays as it is")

    def _copy(self, path: Path, read: Read) -> None:
        """Copy labels that do not fit into memory to the folder of the image, and show them."""
        frame, folder = self.context.bench.frame, self.context.folder
        if frame is None or not folder.ready(partial(self.restore, path, read)):
            return

        def then(layer: Labels, largest: int) -> None:
            now = self.context.bench.frame
            if now is None or now.layer is not frame.layer:
                self.context.status.error("another image was chosen meanwhile; open it again")
                return
            self._show(path, read.annotation, layer, largest)

        folder.copy(frame, read.annotation.labels, then)

    def _show(self, path: Path, annotation: Annotation, layer: Labels, largest: int) -> None:
        """Go on with the labels of a layer, its objects and prompts."""
        bench = self.context.bench
        frame, before = bench.frame, bench.results
        if frame is None:
            return
        layer.metadata[METADATA] = Carried(
            annotation.objects, annotation.properties, image=annotation.image
        )
        name = layer.name
        bench.add_below_prompts(layer)
        bench.use_results(layer, largest)
        if before is not None and not before.store.objects and _is_empty(before.layer.data):
            self.context.viewer.layers.remove(before.layer)
            layer.name = name  # the one that left had it
        if annotation.prompts:
            bench.prompts.redraw(bench.prompts.drawing(), annotation.prompts)
            bench.prompts.changed.emit()
        bench.changed.emit()
        self.context.saves.adopt(frame.layer, path)
        number = counted(len(annotation.objects), "object")
        self.context.status.hint(f"opened {path.name}: {number}; go on with them")

    def import_objects(self, path: Path) -> None:
        """Add the objects of a file to those of the image, as one step."""

        def done(read: Read) -> None:
            view = self.context.bench.results
            if view is None:
                self.context.status.error("no layer takes objects yet; choose one under Into")
                return
            rule, annotation = RULES[self.context.overlap].rule, read.annotation

            def steps() -> Generator[Progress, None, Edit]:
                yield Progress(0, 1, "importing")
                return (yield from import_objects(view.store, _objects_of(annotation), rule))

            def made(edit: Edit) -> None:
                number = counted(len(edit.objects), "object")
                left_out = f", without {annotation.notice}" if annotation.notice else ""
                text = f"imported {number} from {path.name}{left_out}; Ctrl+Z undoes it"
                try:
                    view.apply_in_pieces(edit, partial(self.context.status.hint, text))
                except ValueError as error:
                    self.context.status.error(str(error))

            work = Work(steps, on_result=made, text=f"importing {path.name}")
            self.context.scheduler.submit(work, Lane.FILES)

        self._read_for_image(path, done)

    def import_prompts(self, path: Path) -> None:
        """Draw the prompts of a file, and boxes where it has objects without any.

        Those of other systems, which may be many, are asked for by `prompts_asked`.
        """
        if is_foreign(path):
            self.prompts_asked.emit(path)
            return

        def done(read: Read) -> None:
            annotation = read.annotation

            def steps() -> Generator[Progress, None, Drawing]:
                yield Progress(0, 1, "importing")
                return annotation.prompts or boxes_of(_objects_of(annotation))

            def found(drawing: Drawing) -> None:
                if not drawing:
                    self.context.status.error(f"{path.name} holds no prompts and no objects")
                    return
                self._draw(drawing)
                self.context.status.hint(f"drew {counted(len(drawing), 'prompt')} of {path.name}")

            work = Work(steps, on_result=found, text=f"importing {path.name}")
            self.context.scheduler.submit(work, Lane.FILES)

        self._read_for_image(path, done)

    def _on_bench_changed(self) -> None:
        """Draw the prompts that a layer carries since napari's own Open, when it is chosen."""
        bench = self.context.bench
        view, frame = bench.results, bench.frame
        if view is None or frame is None or bench.prompts.points is None:
            return
        carried = view.layer.metadata.get(METADATA)
        if not isinstance(carried, Carried) or carried.drawn is not None:
            return
        if frame.shape == view.store.canvas.shape:
            drawn = partial(self._drawn, view)
            view.layer.metadata[METADATA] = replace(carried, prompts=(), drawn=drawn)
            if carried.prompts:
                self._draw(carried.prompts)

    def _drawn(self, view: LabelsView) -> Drawing:
        """Return the prompts of a layer as they are drawn now."""
        bench = self.context.bench
        return bench.prompts.drawing() if bench.results is view else ()

    def _draw(self, drawing: Drawing) -> None:
        """Draw prompts beside those that are there; new objects get other numbers."""
        prompts = self.context.bench.prompts
        first = max((row.owner for row in prompts.drawing()), default=0)
        shift = max(first, 0)
        rows = (replace(row, owner=row.owner + shift) if row.owner > 0 else row for row in drawing)
        prompts.redraw((), tuple(rows))
        prompts.changed.emit()

    def _read_for_image(self, path: Path, done: Callable[[Read], None]) -> None:
        frame = self.context.bench.frame
        self.context.status.acted()
        if frame is None:
            self.context.status.error("open the image first, then import into it")
            return
        self._read(_whole(path), frame.shape, None, done)

    def _read(
        self,
        path: Path,
        shape: tuple[int, ...] | None,
        image: Any,
        done: Callable[[Read], None],
    ) -> None:
        kind = PROJECT if path.name == INDEX else format_of(path)
        if kind is None or kind.read is None:
            self.context.status.error(f"{path.name} is in no format that can be opened here")
            return

        read, frame = kind.read, self.context.bench.frame
        scan = None if frame is None else frame.layer.metadata.get(SCAN)
        if kind.read_in is not None and isinstance(scan, Scan):
            read = partial(_read_in, kind.read_in, scan)

        def steps() -> Generator[Progress, None, Read]:
            annotation = read(path, shape)
            yield Progress(0, 2, "opening")
            return (yield from _read_labels(annotation, image))

        def ended(read: Read) -> None:
            self.context.status.progress(OPENING)
            done(read)

        def failed(text: str) -> None:
            self.context.status.progress(OPENING)
            self.context.status.error(text)

        self.context.status.progress(OPENING, f"opening {path.name} ...")
        work = Work(steps, on_result=ended, on_error=failed, text="opening")
        self.context.scheduler.submit(work, Lane.FILES)

    def _offer_image(self, path: Path, read: Read) -> None:
        """Ask whether to open the image that an annotation names; nothing is opened unasked."""
        reference = read.annotation.image
        place = None if reference is None else image_beside(reference, path.absolute().parent)
        if place is None:
            text = f"open the image of {path.name} first; it does not lie beside it"
            self.context.status.error(text)
            return
        question = f"{path.name} belongs to the image {place}. Open that, too?"
        self.asked.emit(question, "Open", partial(self._open_image, place, path))

    def _open_image(self, place: Path, path: Path) -> None:
        def steps() -> Generator[Progress, None, StackImage]:
            yield Progress(0, 1, "opening")
            return read_image(place)

        def done(image: StackImage) -> None:
            layer = layers.add_image(self.context.viewer, image, place.stem)
            self.context.saves.image_paths[layer] = place
            self.context.bench.use_image(layer)
            self.open(path)

        work = Work(steps, on_result=done, text=f"opening {place.name}")
        self.context.scheduler.submit(work, Lane.FILES)


def _read_labels(annotation: Annotation, image: Any) -> Generator[Progress, None, Read]:
    """Read labels that fit into memory, and compare the image with the one that was annotated."""
    labels, largest = annotation.labels, 0
    shape = tuple(int(n) for n in labels.shape)
    if isinstance(labels, np.ndarray) or not needs_folder(shape):
        size = math.prod(shape) * labels.dtype.itemsize
        if not isinstance(labels, np.ndarray) and size > psutil.virtual_memory().available / 2:
            raise ValueError(
                f"the labels take {size / 1e9:.1f} GB, too much for the memory that is free; close "
                "other programs and open them again"
            )
        array = np.asarray(labels[...])
        yield Progress(1, 2, "opening")
        largest = yield from largest_label(array)
        annotation = replace(annotation, labels=array)
    reference = annotation.image
    other = ""
    if reference is not None and image is not None:
        other = difference(reference, image, shape)
    return Read(annotation, largest, other)


def _read_in(
    read: Callable[[Path, tuple[int, ...], Scan], Annotation],
    scan: Scan,
    path: Path,
    shape: tuple[int, ...] | None,
) -> Annotation:
    """Read labels into the grid of the open image, whatever their own grid is."""
    if shape is None:
        raise ValueError("open the image first")
    return read(path, shape, scan)


def _is_empty(labels: Any) -> bool:
    """Tell whether labels in memory have none; of others nobody knows."""
    return isinstance(labels, np.ndarray) and not labels.any()


def _whole(path: Path) -> Path:
    """Return the folder of which a file was chosen, where that is an annotation; else the path."""
    if path.name == INDEX and format_of(path.parent) is PROJECT:
        return path.parent
    if path.name != INDEX and format_of(path) is None:
        return next((one for one in path.parents if format_of(one) is not None), path)
    return path


def _objects_of(annotation: Annotation) -> Sequence[SegmentedObject]:
    """Return the objects of an annotation by their outlines, or by the labels if it has none."""
    outlined = [one for one in annotation.objects.values() if one.outlines]
    return outlined or objects_of(annotation)
