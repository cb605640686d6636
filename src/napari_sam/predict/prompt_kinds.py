"""The kinds of prompt: one entry says how a kind is typed, drawn, read and given to a model.

A new kind is a new entry of `PROMPT_KINDS`. The command line makes its flag of it, the grouping of
prompts into objects and the dock's layers follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..types import Prompts

Values = NDArray[Any]
"""What one prompt says, in the form of its kind: (2,) of a point, (4,) of a box, (N, 2) of a path;
float, (x, y) in pixels of the plane."""
LayerType = Literal["points", "shapes"]
Scope = Literal["object", "place", "plane"]

LEAST_BOX = 2.0
"""A drawn box with a shorter side, in pixels, is taken for one that is only begun."""


@dataclass(frozen=True, eq=False)
class PromptKind:
    """One kind of prompt.

    Attributes
    ----------
    name : str
        In records of results, and in the flag of the command line.
    plural : str
        What sentences call several of it.
    form : str
        How it is typed: the numbers by name, "X,Y"; ",..." at the end stands for further pairs.
    help : str
        What the command line says of it.
    give : callable of (Prompts, Values)
        Returns the prompts of an object with this one added, for a model.
    scope : {"object", "place", "plane"}
        What it applies to if it has no owner. "object": it is an object of its own. "place": it
        belongs to the object in whose box it lies, or to the one object without a box. "plane": it
        applies to all objects of its plane, and cannot begin one.
    layer : {"points", "shapes"}
        The type of the napari layer that it is drawn in.
    mode : str
        The mode of that layer in which it is drawn.
    read : callable of (N, 2) float, (x, y) in pixels of the plane
        Returns the values of what was drawn there, from its vertices; None if it is only begun.
    marks : tuple of str
        What tells it apart in its layer: values of the feature "label" of points (new ones get the
        first), types of shapes. Empty: all that no other kind of that layer names.
    colour : str
        Red, green and blue, "#rrggbb".
    symbol : str
        Of its points in napari; empty for shapes.
    button, tip : str
        Words of its button and tool-tip in the dock.
    parse : callable of str, optional
        Returns the values of what is typed, without the plane, for kinds that are no list of
        numbers.
    """

    name: str
    plural: str
    form: str
    help: str
    give: Callable[[Prompts, Values], Prompts]
    scope: Scope
    layer: LayerType
    mode: str
    read: Callable[[NDArray[np.float64]], Values | None]
    marks: tuple[str, ...] = ()
    colour: str = "#56b4e9"
    symbol: str = ""
    button: str = ""
    tip: str = ""
    parse: Callable[[str], Values] | None = None

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def begins(self) -> bool:
        """Whether it can begin an object; else it needs another prompt that does."""
        return self.scope != "plane"

    def takes(self, count: int) -> bool:
        """Tell whether so many typed numbers, without the plane, are one prompt."""
        least = self.form.removesuffix(",...").count(",") + 1
        further = self.form.endswith(",...") and count > least
        return (count - least) % 2 == 0 if further else count == least


@dataclass(frozen=True, eq=False)
class PlacedPrompt:
    """One prompt on a plane.

    Attributes
    ----------
    kind : PromptKind
    values : (N,) or (N, 2) float, (x, y) in pixels of the plane
        As the kind reads them.
    owner : int or None
        Number of the object that it belongs to; None where its place says so.
    """

    kind: PromptKind
    values: Values
    owner: int | None = None

    @property
    def box(self) -> NDArray[np.float64] | None:
        """The box (x0, y0, x1, y1) that it gives to a model; None for all but boxes."""
        return self.kind.give(Prompts(), self.values).box


def kind_in(layer: LayerType, mark: str) -> PromptKind | None:
    """Return the kind of what bears a mark in a napari layer, or None if it is no prompt.

    Parameters
    ----------
    layer : {"points", "shapes"}
    mark : str
        The feature "label" of a point, the type of a shape.
    """
    kinds = [kind for kind in PROMPT_KINDS.values() if kind.layer == layer]
    named = [kind for kind in kinds if mark in kind.marks]
    return next(iter(named or [kind for kind in kinds if not kind.marks]), None)


def read_prompt(
    layer: LayerType, mark: str, xy: NDArray[np.float64], owner: int | None = None
) -> PlacedPrompt | None:
    """Return the prompt that is drawn in a napari layer.

    Parameters
    ----------
    layer, mark
        See `kind_in`.
    xy : (N, 2) float, (x, y) in pixels of the plane
        Its vertices; the one place of a point.
    owner : int, optional

    Returns
    -------
    PlacedPrompt, or None if it is only begun, or no prompt
    """
    kind = kind_in(layer, mark)
    values = None if kind is None else kind.read(xy)
    return None if kind is None or values is None else PlacedPrompt(kind, values, owner)


def add_points(prompts: Prompts, values: Values, label: int) -> Prompts:
    """Return prompts with points added, (2,) or (N, 2); label 1 lies on the object, 0 beside it."""
    points = values.reshape(-1, 2)
    return replace(
        prompts,
        point_coords=np.concatenate([prompts.point_coords, points]),
        point_labels=np.concatenate([prompts.point_labels, np.full(len(points), label)]),
    )


def add_box(prompts: Prompts, values: Values) -> Prompts:
    """Return prompts with a box added, (x0, y0, x1, y1).

    Raises
    ------
    ValueError
        If they have one, or it is inverted.
    """
    if prompts.box is not None:
        one, other = (",".join(f"{v:g}" for v in box) for box in (prompts.box, values))
        raise ValueError(f"an object takes one box, but here are two: {one} and {other}")
    return replace(prompts, box=values)


def _place(xy: NDArray[np.float64]) -> Values:
    return np.array(xy[0])


def _box_around(xy: NDArray[np.float64]) -> Values | None:
    low, high = xy.min(axis=0), xy.max(axis=0)
    return np.concatenate([low, high]) if (high - low >= LEAST_BOX).all() else None


PROMPT_KINDS: Mapping[str, PromptKind] = {
    kind.name: kind
    for kind in (
        PromptKind(
            name="point",
            plural="foreground points",
            form="X,Y",
            help="a point on the object, in pixels; Z is the plane of a stack",
            give=partial(add_points, label=1),
            scope="place",
            layer="points",
            mode="add",
            read=_place,
            marks=("object",),
            colour="#56b4e9",  # of Okabe and Ito, like the one below: colour-blind safe
            symbol="disc",
            button="object",
            tip="The next point lies on the object",
        ),
        PromptKind(
            name="background",
            plural="background points",
            form="X,Y",
            help="a point that no object of its plane contains",
            give=partial(add_points, label=0),
            scope="plane",
            layer="points",
            mode="add",
            read=_place,
            marks=("background",),
            colour="#e69f00",
            symbol="cross",
            button="background",
            tip="The next point lies beside it",
        ),
        PromptKind(
            name="box",
            plural="boxes",
            form="X0,Y0,X1,Y1",
            help="a box around one object; each box is a label of its own",
            give=add_box,
            scope="object",
            layer="shapes",
            mode="add_rectangle",
            read=_box_around,
            button="box",
            tip="Drag a box around an object",
        ),
    )
}
