"""The choice of what the model sees of an image, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence

from napari.layers import Image
from qtpy.QtCore import QObject

from ...context import Context
from ...model_view import ALONE, ON_SCREEN, Channel, Choice, channels_of
from .choices import other_images_text
from .thumbnail import Thumbnail
from .view_panel import COLOURS, ViewPanel

Spacing = tuple[float, float]
"""Of rows and columns."""

ALONE_NAME = "this layer alone"
SCREEN_NAME = "all layers as on screen"
CHANNELS_NAME = "red, green, blue"
CHANNELS = Choice("channels")
"""The line of the list; the channels themselves are chosen below it."""


class ViewChoice(QObject):  # type: ignore[misc]
    """Lets the user choose what the model sees.

    Parameters
    ----------
    context : Context
    panel : ViewPanel
    """

    def __init__(self, context: Context, panel: ViewPanel) -> None:
        super().__init__()
        self.context, self.panel = context, panel
        self.view = context.bench.model_view
        self.thumbnail = Thumbnail(context)
        self.thumbnail.drawn.connect(panel.set_picture)
        panel.choice.picked.connect(self.choose)
        panel.colours_picked.connect(self._on_colours_picked)
        self.view.changed.connect(self.refresh)
        context.plane_changed.connect(self._on_plane_changed)
        self._offered: list[Channel] = []
        self._shown: tuple[int, Spacing] = (2, (1.0, 1.0))

    def choose(self, choice: Choice) -> None:
        """Let the model see something else."""
        self.context.status.acted()
        if choice.kind == "channels" and not choice.channels:
            first = [*self._offered[:3], None, None, None]
            choice = Choice("channels", tuple(first[:3]))
        try:
            self.view.choose(choice)
        except ValueError as error:
            self.context.status.error(str(error))
        self.refresh()

    def refresh(self) -> None:
        """Offer what there is now, and say what is seen."""
        frame, view, panel = self.context.bench.frame, self.view, self.panel
        there = view.layers
        self._offered = self._channels() if frame is not None else []
        names, choices = [ALONE_NAME], [ALONE]
        if len(there) > 1:
            names, choices = [*names, SCREEN_NAME], [*choices, ON_SCREEN]
        if self._offered:
            names, choices = [*names, CHANNELS_NAME], [*choices, CHANNELS]
        kinds = [one.kind for one in choices]
        kind = view.choice.kind
        current = choices[kinds.index(kind)] if kind in kinds else ALONE
        panel.set_choices(names, choices, current)
        chosen = self._chosen() if current is CHANNELS else None
        panel.set_channels([one.name for one in self._offered], self._offered, chosen)
        self._shown = dimensions, spacing = self._how_shown()
        texts = self._text(there), spacing_text(spacing)
        note = " ".join(text for text in texts if text) if dimensions == 2 else ""
        panel.set_note(note)
        self.thumbnail.want(len(choices) > 1 or bool(note))

    def _chosen(self) -> list[Channel | None]:
        """Return the channels that are seen, as they are offered now."""
        return [
            None if channel is None else next(filter(channel.same_as, self._offered), None)
            for channel in self.view.choice.channels
        ]

    def _channels(self) -> list[Channel]:
        frame, shown = self.context.bench.frame, self.context.shown()
        if frame is None:
            return []
        hidden = [] if shown is None else [axis for axis, _ in shown.key.fixed]
        if self.view.choice.kind == "channels":  # which stay, whatever is shown
            fixed = [one.fixed for one in self.view.choice.channels if one is not None]
            hidden = sorted({*hidden, *(one[0] for one in fixed if one is not None)})
        return channels_of(frame.layer, self.view.layers, hidden)

    def _text(self, there: Sequence[Image]) -> str:
        """Return the sentence that says what is seen."""
        frame, view = self.context.bench.frame, self.view
        images = [one for one in self.context.viewer.layers if isinstance(one, Image)]
        if frame is None or not view.blends:
            return other_images_text(images, None if frame is None else frame.layer)
        if view.choice.kind == "screen":
            seen = [layer.name for layer in there if layer.visible]
            others = [one.name for one in images if one.visible and one not in there]
            text = f"The model sees {' + '.join(seen)}."
            return f"{text} Of another shape: {', '.join(others)}." if others else text
        pairs = zip(COLOURS, view.choice.channels, strict=True)
        seen = [f"{colour.lower()} {one.name}" for colour, one in pairs if one is not None]
        return f"The model sees {', '.join(seen)}, each stretched by itself."

    def _on_colours_picked(self) -> None:
        self.choose(Choice("channels", self.panel.chosen_channels()))

    def _on_plane_changed(self) -> None:
        """Refresh where other axes have sliders, or pixels are shown otherwise."""
        if self._channels() != self._offered or self._how_shown() != self._shown:
            self.refresh()

    def _how_shown(self) -> tuple[int, Spacing]:
        """Return how many dimensions are shown, and the spacing of the plane."""
        shown = self.context.shown()
        spacing = (1.0, 1.0) if shown is None else shown.spacing
        return self.context.viewer.dims.ndisplay, spacing


def spacing_text(spacing: tuple[float, float]) -> str:
    """Return what is to be said of pixels that are not square; or nothing."""
    rows, columns = spacing
    if rows == columns:
        return ""
    far, near = ("rows", "columns") if rows > columns else ("columns", "rows")
    ratio = max(spacing) / min(spacing)
    return f"The model sees {far} {ratio:.3g} times as far apart as {near}."
