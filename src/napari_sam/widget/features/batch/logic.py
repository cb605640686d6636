"""Makes an object of each prompt in a layer: reads the layer, asks the model, keeps the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels, Layer, Points, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from ....objects.overlap import KEEP
from ....objects.properties import locked_labels
from ....objects.segmented import SegmentedObject, upright
from ....predict.batch import Seed, SeedAnswer, SeededPlane, answer_planes
from ....predict.session import Session
from ....stack.planes import all_planes
from ....types import Plane, Progress, SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...placement import world_transform
from ...places import show_place
from ...scheduler import Lane, Work
from ..feature import Feature
from .importing import PromptImport
from .keeping import kept_in_pieces, outlines_of, painted_of, unchanged_since
from .panel import BatchPanel
from .reading import Drawn, Reading, group_columns, read_points, read_shapes, seeds_of_labels
from .sampling import labels_in_plane, to_image, to_layer
from .words import ONE_BY_ONE, summary

SOURCE = "batch"
"""What the status line knows the work by."""
AGAIN_MS = 100
"""When writing is tried again, if something else is being written."""
SeedsOf = Mapping[SliceKey, Callable[[], list[Seed]]]
"""What returns the seeds of each plane."""
EMPTY = "{} holds no prompt in {}"
STOPPED = "stopped; no prompt was answered"
UNFINISHED = "wait until the objects of the last prompts are written"
REMOVED = "the Labels layer was removed; no object was made"


@dataclass(eq=False)
class Batch:
    """A run: what was read, and what is known so far.

    Attributes
    ----------
    view : LabelsView
        Where objects go.
    empty : str
        What is said if there is no prompt.
    refined : bool
        Whether the kept objects themselves are the prompts.
    before : dict of int to SegmentedObject
        The kept objects when it began.
    overlap : str
        Name of the rule that says which pixels objects get.
    model, weights : str
        The model that answers, and its fingerprint.
    reading : Reading
        Empty where a Labels layer is read plane by plane.
    answers : list of SeedAnswer
    """

    view: LabelsView
    empty: str
    refined: bool
    before: dict[int, SegmentedObject]
    overlap: str
    model: str
    weights: str
    reading: Reading = field(default_factory=Reading)
    answers: list[SeedAnswer] = field(default_factory=list)

    def name(self, number: int) -> str:
        """Return what a prompt is called."""
        return self.reading.names.get(number, f"label {number}")


class BatchPrompts(Feature):
    """Points of a spot detector, boxes of a detector, a gaze, rough labels: all of it at once."""

    title = "Prompts from a layer"
    panel: BatchPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = BatchPanel()
        self._layer: Layer | None = None
        self._together: tuple[Layer, ...] = ()  # layers of one file, which are answered as one
        self._batch: Batch | None = None  # whose objects are not being written yet
        panel = self.panel
        panel.layer_picked.connect(self.pick)
        panel.run_asked.connect(self.run)
        panel.cancel_asked.connect(self.cancel)
        panel.show_asked.connect(self.show)
        self.importing = PromptImport(context, panel)
        self.importing.drawn.connect(self.use_imported)
        panel.import_asked.connect(self.importing.ask)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        context.session_changed.connect(self._on_session_changed)
        context.pixels_changed.connect(self._drop)
        context.plane_changed.connect(self._on_plane_changed)
        self.bench.changed.connect(self.refresh)
        self.bench.image_changed.connect(self._drop)
        events = context.viewer.layers.events
        self._emitters = (events.inserted, events.removed, events.reordered, events.renamed)
        for emitter in self._emitters:
            emitter.connect(self.refresh)

    def start(self) -> None:
        """Offer the layers that are there."""
        self.refresh()

    def opened(self) -> None:
        """Take the layer that is selected, if it can hold prompts."""
        active = self.context.viewer.layers.selection.active
        offered = any(active is layer for layer in self._layers())
        self.use_layer(active if offered else self._layer)
        self.refresh()

    def close(self) -> None:
        """Disconnect from the viewer."""
        self.use_layer(None)
        for emitter in self._emitters:
            emitter.disconnect(self.refresh)

    # -- what the user does -------------------------------------------------------------------

    def pick(self, layer: Layer | None) -> None:
        """Take the prompts from a layer that the user chose, and from no other."""
        self._together = ()
        self.use_layer(layer)

    def use_layer(self, layer: Layer | None) -> None:
        """Take the prompts from another layer."""
        before, self._layer = self._layer, layer
        if layer is not before:
            if isinstance(before, Points | Shapes):
                before.events.features.disconnect(self._on_features_changed)
            if isinstance(layer, Points | Shapes):
                layer.events.features.connect(self._on_features_changed)
        if isinstance(layer, Labels):
            self.panel.set_layer_kind("labels", ())
        elif isinstance(layer, Points | Shapes):
            kind = "points" if isinstance(layer, Points) else "shapes"
            self.panel.set_layer_kind(kind, group_columns(layer.features), layer is before)
        else:
            self.panel.set_layer_kind("", ())

    def run(self, everywhere: bool = False) -> None:
        """Make an object of each prompt of the layer, in the plane shown or in all planes."""
        context, bench, layer = self.context, self.bench, self._layer
        self.status.acted()
        session, plane = context.session, context.shown()
        if session is None or plane is None or layer is None:
            self.status.hint(context.hindrance() or context.absence or "choose a layer first")
            return
        if self._batch is not None:
            self.status.hint(UNFINISHED)
            return
        self.use_layer(layer)  # its table may have been changed in place
        if not context.scheduler.is_busy(Lane.LABELS) and context.folder.is_missing:
            context.folder.open_objects(plane.key, partial(self.run, everywhere))
            return
        bench.ensure_layers()
        view = bench.results
        if view is None or bench.counting:
            self.status.hint("labels are being counted; try again in a moment")
            return
        refined = layer is view.layer
        try:
            steps = self._steps(session, layer, _upright(plane), everywhere, view, refined)
        except ValueError as error:  # of the transform of a layer
            self.status.error(str(error))
            return
        model = session.predictor.model
        where = "the image" if everywhere else "the plane shown"
        empty = EMPTY.format(layer.name, where)
        known = (dict(view.store.objects), context.overlap, model.name, model.fingerprint)
        self._batch = batch = Batch(view, empty, refined, *known)
        self.panel.set_summary("")
        self.panel.set_failed([])
        work = Work(
            steps,
            on_step=partial(self._on_step, batch),
            on_result=lambda _: self._keep(batch, batch.empty),
            on_error=partial(self._on_failed, batch),
            text="answering the prompts of a layer",
        )
        context.scheduler.submit(work, Lane.BATCH)
        self.status.progress(SOURCE, "prompts: encoding ...", cancel=self.cancel)

    def cancel(self) -> None:
        """Stop; what was found in planes that are done is kept."""
        batch = self._batch
        if batch is not None and self.context.scheduler.is_busy(Lane.BATCH):
            self.context.scheduler.cancel(Lane.BATCH)
            self._keep(batch, STOPPED)

    def show(self, place: tuple[float, ...] | None) -> None:
        """Show the place of a prompt, in pixels of the image, in the middle of the window."""
        frame, viewer = self.bench.frame, self.context.viewer
        if place is None or frame is None or len(place) != len(frame.shape):
            self.status.hint("this prompt lies outside the image, or in no single plane of it")
            return
        show_place(self.context, [tuple((int(n), int(n) + 1) for n in np.rint(place))])
        world = np.asarray(world_transform(frame.transform, viewer.dims)(np.array(place)))
        offset = viewer.dims.ndim - len(frame.shape)
        shown = [world[axis - offset] for axis in viewer.dims.displayed]
        viewer.camera.center = (*viewer.camera.center[: 3 - len(shown)], *map(float, shown))

    def refresh(self, event: Any = None) -> None:
        """Offer the layers that can hold prompts."""
        layers = self._layers()
        if not any(one is self._layer for one in layers):
            self.use_layer(layers[-1] if layers else None)
        self.panel.layer.set_things([one.name for one in layers], layers, self._layer)

    def use_imported(self, layers: Sequence[Layer]) -> None:
        """Take the prompts of a file, which have been drawn, in one layer or in two."""
        self._together = tuple(layers)
        self.use_layer(layers[-1])
        self.refresh()

    # -- reading ------------------------------------------------------------------------------

    def _layers(self) -> list[Layer]:
        """Return the layers of the user's that can hold prompts."""
        return [
            layer
            for layer in self.context.viewer.layers
            if isinstance(layer, Points | Shapes | Labels)
            and layer not in self.bench.overlays
            and not any(layer is one for one in self.bench.prompts)
        ]

    def _steps(
        self,
        session: Session,
        layer: Layer,
        plane: Plane,
        everywhere: bool,
        view: LabelsView,
        refined: bool,
    ) -> Callable[[], Generator[Any, None, None]]:
        """Return the work: what the layer says of the plane shown, or of all, and the answers."""
        frame, dims = self.bench.frame, self.context.viewer.dims
        if frame is None:
            raise ValueError("open an image to begin")
        shape, free_only = frame.shape, self.context.overlap == KEEP
        there = partial(_labels_at, view.layer.data)
        answers = partial(_answered, session, plane, there, free_only)
        if isinstance(layer, Labels):
            keys = all_planes(shape, plane.key) if everywhere else [plane.key]
            data = layer.data[0] if layer.multiscale else layer.data
            place, locked = to_layer(layer, frame, dims), locked_labels(view.store)
            seeds = partial(_label_seeds, data, place, shape, refined, frozenset(locked))
            return lambda: answers({key: partial(seeds, key) for key in keys})
        reads = []
        together = [one for one in self._layers() if any(one is k for k in self._together)]
        for one in together if any(one is layer for one in together) else [layer]:
            reader = read_points if isinstance(one, Points) else read_shapes
            place, grouping = to_image(one, frame, dims), self.panel.grouping
            reads.append(partial(reader, Drawn.of(one), place, plane.key, shape, grouping))
        return partial(_read_and_answered, reads, None if everywhere else plane.key, answers)

    # -- answers ------------------------------------------------------------------------------

    def _on_step(self, batch: Batch, step: Progress | Reading | list[SeedAnswer]) -> None:
        if isinstance(step, Progress):
            text = f"prompts: {step.text}"
            self.status.progress(SOURCE, text, step.done, step.total, self.cancel)
        elif isinstance(step, Reading):
            batch.reading = step
        else:
            batch.answers += step

    def _on_failed(self, batch: Batch, text: str) -> None:
        self.status.error(text)
        self._keep(batch)

    def _keep(self, batch: Batch, empty: str = "") -> None:
        """Keep what was found as one step, once nothing else is being written.

        Parameters
        ----------
        batch : Batch
        empty : str
            What is said if there was no prompt.
        """
        if batch is not self._batch:
            return
        self.status.progress(SOURCE)
        history = self.context.history
        if history.walking:
            QTimer.singleShot(AGAIN_MS, partial(self._keep, batch, empty))
            return
        self._batch = None
        if not batch.answers and not batch.reading.outside and not batch.reading.asked:
            if empty:
                self.status.error(empty)
            return
        if not any(one is batch.view for one in self.bench.views):
            self.status.error(REMOVED)
            return
        outlines = outlines_of(batch.answers, batch.model, batch.weights)
        if not outlines:
            self._tell(batch, set())
            return
        kept: set[int] = set()
        stability: dict[int, float] = {}
        for one in batch.answers:
            number = one.seed.number
            if one.outcome == "object":
                stability[number] = min(one.stability, stability.get(number, 1.0))
        painted = painted_of(batch.answers) if batch.refined else None

        def written() -> Generator[Progress, None, None]:
            view, found = batch.view, outlines
            if painted is not None:
                found = yield from unchanged_since(view, batch.before, outlines, painted)
            reading = batch.reading
            facts = reading.classes, reading.scores, stability, batch.overlap
            try:
                kept.update((yield from kept_in_pieces(self.context, view, found, *facts, painted)))
            except ValueError:
                if not batch.refined:  # others cover all answers: the list says so of each
                    self._tell(batch, kept)
                raise

        history.write(batch.view, written(), lambda: self._tell(batch, kept))

    def _tell(self, batch: Batch, kept: set[int]) -> None:
        """Say how many prompts gave an object, and list the others."""
        outcomes: dict[int, str] = {}
        places: dict[int, tuple[float, ...] | None] = {}
        for one in batch.answers:
            number = one.seed.number
            outcome = "covered" if one.outcome == "object" and number not in kept else one.outcome
            if outcomes.get(number) != "object":
                outcomes[number], places[number] = outcome, _place_of(one)
        outcomes.update(dict.fromkeys(batch.reading.outside, "outside"))
        outcomes.update(dict.fromkeys(batch.reading.asked - outcomes.keys(), "unasked"))
        counts = Counter(outcomes.values())
        text = summary(counts, batch.reading.passed_over, batch.refined)
        self.panel.set_summary(text)
        self.panel.set_failed(
            [
                (f"{batch.name(number)}: {ONE_BY_ONE[outcome]}", places.get(number))
                for number, outcome in sorted(outcomes.items())
                if outcome != "object"
            ]
        )
        undo = " (Ctrl+Z undoes it)" if kept else ""
        self.status.hint(f"{text}{undo}")

    # -- events -------------------------------------------------------------------------------

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane is Lane.BATCH:
            self.panel.set_busy(busy)

    def _on_session_changed(self) -> None:
        """Keep what the model found that is not in use any more."""
        if self.context.session is None:
            self.cancel()

    def _on_plane_changed(self) -> None:
        frame, plane = self.bench.frame, self.context.shown()
        if frame is not None and plane is not None:
            hidden = [frame.shape[axis] for axis, _ in plane.key.fixed]
            self.panel.set_stack(any(count > 1 for count in hidden))

    def _on_features_changed(self, event: Any = None) -> None:
        self.use_layer(self._layer)

    def _drop(self) -> None:
        """Forget a run: the image is another one, or holds other pixels."""
        if self._batch is not None:
            self.context.scheduler.cancel(Lane.BATCH)
            self.status.progress(SOURCE)
            self.status.error("the prompts of the layer were not answered: the image has changed")
        self._batch = None
        self.panel.set_summary("")
        self.panel.set_failed([])
        self._on_plane_changed()


def _read_and_answered(
    reads: Sequence[Callable[[], Reading]],
    only: SliceKey | None,
    answers: Callable[[SeedsOf], Generator[Any, None, None]],
) -> Generator[Any, None, None]:
    """Read layers, yield what they say of one plane or of all, and the answers; in the worker."""
    reading = Reading()
    for read in reads:
        reading = reading.followed_by(read())
    if only is not None:
        reading = reading.within(only)
    yield reading
    keys = sorted(reading.seeds, key=lambda key: key.fixed)
    yield from answers({key: partial(list, reading.seeds[key]) for key in keys})


def _answered(
    session: Session,
    plane: Plane,
    there: Callable[[SliceKey], NDArray[np.integer[Any]]],
    free_only: bool,
    seeds: SeedsOf,
) -> Generator[Any, None, None]:
    """Answer the seeds of planes that are seen as one plane is; in the worker."""
    planes = [
        SeededPlane(replace(plane, key=key), read, partial(there, key))
        for key, read in seeds.items()
    ]
    yield from answer_planes(session, planes, free_only)


def _label_seeds(
    data: Any,
    place: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    shape: tuple[int, ...],
    refined: bool,
    locked: frozenset[int],
    key: SliceKey,
) -> list[Seed]:
    """Return the seeds of a plane of labels; in the worker."""
    labels = labels_in_plane(data, place, key, shape)
    return [one for one in seeds_of_labels(labels, refined) if one.label not in locked]


def _labels_at(labels: Any, key: SliceKey) -> NDArray[np.integer[Any]]:
    """Return the labels of an upright plane."""
    return np.asarray(labels[key.index])


def _upright(plane: Plane) -> Plane:
    """Return a plane with its axes in the order of the array, as objects are kept."""
    key = upright(plane.key)
    return plane if key == plane.key else replace(plane, key=key, spacing=plane.spacing[::-1])


def _place_of(answer: SeedAnswer) -> tuple[float, ...]:
    """Return where a prompt lies, in pixels of the image."""
    prompts, key = answer.seed.prompts, answer.plane.key
    if len(prompts.point_coords):
        x, y = prompts.point_coords[0].tolist()
    elif prompts.extent is not None:
        x, y = prompts.extent.reshape(2, 2).mean(axis=0).tolist()
    else:
        path = prompts.strokes[0].path
        x, y = path[len(path) // 2].tolist()
    place = {**dict(key.fixed), key.displayed[0]: y, key.displayed[1]: x}
    return tuple(float(place[axis]) for axis in sorted(place))
