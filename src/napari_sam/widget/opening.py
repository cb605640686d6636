"""Opens projects and labels for the image, and imports objects or prompts into them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from qtpy.QtCore import QObject, Signal
from scipy import ndimage

from ..formats.annotation import Annotation
from ..formats.exchange import format_of
from ..formats.image_reference import difference, image_beside
from ..formats.labels_store import LIMIT_BYTES, largest_label
from ..images.readers import StackImage, read_image
from ..objects import edits
from ..objects.drawn import Drawing, DrawnRow
from ..objects.edit import Change, Edit
from ..objects.overlap import RULES, sparing
from ..objects.segmented import Outline, SegmentedObject
from ..types import Mask, Progress, SliceKey
from . import layers
from .saves import image_array
from .scheduler import Lane, Work
from .unsaved import counted

if TYPE_CHECKING:
    from .context import Context

OPENING = "opening"
"""The source of progress in the status line."""
METADATA = "napari_sam"
"""Where a layer carries its annotation until its view adopts it."""


class Read(NamedTuple):
    """What was read.

    Attributes
    ----------
    annotation : Annotation
        Its labels in memory.
    largest : int
        The largest label.
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
    """

    asked = Signal(str, str, object)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context

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
        before = bench.results
        layer = layers.make_labels(frame, f"{frame.layer.name} objects", annotation.labels)
        layer.metadata[METADATA] = annotation
        bench.add_below_prompts(layer)
        bench.use_results(layer, read.largest)
        view = bench.results
        if view is not None and not view.store.objects and annotation.objects:
            found = {label: (None, one) for label, one in annotation.objects.items()}
            properties = {name: (None, value) for name, value in annotation.properties.items()}
            view.apply(Edit(f"the opening of {path.name}", (), found, properties))
        if before is not None and not before.store.objects and not np.any(before.layer.data):
            self.context.viewer.layers.remove(before.layer)
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
            locked = [label for label, one in view.store.objects.items() if one.locked]
            rule = sparing(RULES[self.context.overlap].rule, locked)
            found = list(read.annotation.objects.values()) or objects_in(read.annotation.labels)

            def steps() -> Generator[Progress, None, Edit]:
                yield Progress(0, 1, "importing")
                return imported(
                    edits.keep(view.store, [one.outlines for one in found], rule), found
                )

            def made(edit: Edit) -> None:
                view.apply(edit)
                number = counted(len(edit.objects), "object")
                self.context.status.hint(f"imported {number} from {path.name}; Ctrl+Z undoes it")

            work = Work(steps, on_result=made, text=f"importing {path.name}")
            self.context.scheduler.submit(work, Lane.FILES)

        self._read_for_image(path, done)

    def import_prompts(self, path: Path) -> None:
        """Draw the prompts of a file, and boxes where it has objects without any."""

        def done(read: Read) -> None:
            bench, annotation = self.context.bench, read.annotation
            drawing = annotation.prompts or boxes_of(
                list(annotation.objects.values()) or objects_in(annotation.labels)
            )
            if not drawing:
                self.context.status.error(f"{path.name} holds no prompts and no objects")
                return
            bench.prompts.redraw((), drawing)
            bench.prompts.changed.emit()
            self.context.status.hint(f"drew {counted(len(drawing), 'prompt')} of {path.name}")

        self._read_for_image(path, done)

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
        kind = format_of(path)
        if kind is None or kind.read is None:
            self.context.status.error(f"{path.name} is in no format that can be opened here")
            return

        read = kind.read

        def steps() -> Generator[Progress, None, Read]:
            annotation = read(path, shape)
            yield Progress(0, 2, "opening")
            return (yield from _in_memory(annotation, image))

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


def _in_memory(annotation: Annotation, image: Any) -> Generator[Progress, None, Read]:
    """Read the labels, count them and compare the image with the one that was annotated."""
    labels = annotation.labels
    size = int(np.prod(labels.shape, dtype=np.int64)) * labels.dtype.itemsize
    if size > LIMIT_BYTES:
        raise ValueError(
            f"the labels take {size / 1e9:.1f} GB, too much for memory; open the folder of labels "
            "that they were made in"
        )
    array = np.asarray(labels[...])
    yield Progress(1, 2, "opening")
    largest = yield from largest_label(array)
    reference = annotation.image
    other = ""
    if reference is not None and image is not None:
        other = difference(reference, image, array.shape)
    return Read(replace(annotation, labels=array), largest, other)


def _whole(path: Path) -> Path:
    """Return the folder of which a file was chosen, where that is an annotation; else the path."""
    if format_of(path) is None:
        return next((one for one in path.parents if format_of(one) is not None), path)
    return path


def objects_in(labels: np.ndarray[Any, Any]) -> list[SegmentedObject]:
    """Return the objects of label images, by label over all planes.

    Parameters
    ----------
    labels : (..., H, W) int
    """
    outlines: dict[int, dict[SliceKey, Outline]] = {}
    rows = labels.ndim - 2
    for place in np.ndindex(*labels.shape[:-2]):
        key = SliceKey((rows, rows + 1), tuple(enumerate(place)))
        plane = labels[place]
        for number, part in enumerate(ndimage.find_objects(plane), 1):
            if part is not None:
                y, x = part
                mask = Mask.of(plane[part] == number, (x.start, y.start), plane.shape)
                outlines.setdefault(number, {})[key] = Outline(mask, origin="imported")
    return [SegmentedObject(label, found) for label, found in sorted(outlines.items())]


def imported(edit: Edit, found: Sequence[SegmentedObject]) -> Edit:
    """Return an edit whose new objects have class, status and so on of those they were made of."""
    sources = {id(outline): one for one in found for outline in one.outlines.values()}
    objects: dict[int, Change] = {}
    for label, (before, kept) in edit.objects.items():
        if kept is None:
            objects[label] = before, kept
            continue
        source = sources[id(next(iter(kept.outlines.values())))]
        objects[label] = before, replace(source, label=label, outlines=kept.outlines)
    return replace(edit, objects=objects, text=f"the import of {counted(len(objects), 'object')}")


def boxes_of(found: Sequence[SegmentedObject]) -> Drawing:
    """Return a box prompt for each outline; those of one object have one owner."""
    return tuple(
        DrawnRow("shapes", "rectangle", _corners(key, outline.mask), owner)
        for owner, one in enumerate(found, 1)
        for key, outline in one.outlines.items()
    )


def _corners(key: SliceKey, mask: Mask) -> tuple[tuple[float, ...], ...]:
    """Return the corners of a mask's box in data coordinates of the array."""
    x0, y0, x1, y1 = mask.box
    corners = []
    for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0)):
        place = [0.0] * (2 + len(key.fixed))
        place[key.displayed[0]], place[key.displayed[1]] = float(y), float(x)
        for axis, at in key.fixed:
            place[axis] = float(at)
        corners.append(tuple(place))
    return tuple(corners)
