"""The views of all Labels layers of ours: one for each layer, whichever image it serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from napari.layers import Labels

from .history import History
from .labels_view import LabelsView
from .status import Status


class Views:
    """Makes views and closes them.

    Parameters
    ----------
    history : History
    status : Status
    on_replaced : callable
        Called with a layer that was given other data.
    """

    def __init__(
        self, history: History, status: Status, on_replaced: Callable[[Labels], None]
    ) -> None:
        self._history, self._status = history, status
        self._on_replaced = on_replaced
        self._views: list[LabelsView] = []

    def __iter__(self) -> Iterator[LabelsView]:
        return iter(self._views)

    def find(self, layer: Labels) -> LabelsView | None:
        """Return the view of a layer; None if it has none yet."""
        return next((view for view in self._views if view.layer is layer), None)

    def open(self, layer: Labels, largest: int = 0) -> LabelsView:
        """Return the view of a layer; makes one if there is none.

        Parameters
        ----------
        layer : napari.layers.Labels
        largest : int
            Its largest label, for a layer that has no view yet.
        """
        view = self.find(layer)
        if view is None:
            view = LabelsView(layer, self._history, self._status, largest)
            view.on_replaced = partial(self._on_replaced, layer)
            self._views.append(view)
        return view

    def drop(self, view: LabelsView) -> None:
        """Close a view whose layer was removed or holds other data."""
        self._views.remove(view)
        view.close()

    def close(self) -> None:
        """Close all views."""
        while self._views:
            self.drop(self._views[-1])
