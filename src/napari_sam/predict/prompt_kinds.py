"""The kinds of prompt: one entry says how a kind is typed, drawn, read and given to a model.

A new kind is a new entry of `PROMPT_KINDS`. The command line makes its flag of it, the grouping of
prompts into objects and the dock's layers follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..types import Prompts
from .prompt_values import (
    Values,
    add_box,
    add_points,
    add_region,
    add_stroke,
    box_around,
    path_along,
    place_of,
    polygon_of,
)

LayerType = Literal["points", "shapes"]
Scope = Literal["object", "place", "plane"]


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
    read : callable of (N, 2) float, (x, y) in pixels of the plane, and str
        Returns the values of what was drawn there, from its vertices and its mark; None if it is
        only begun.
    marks : tuple of str
        What tells it apart in its layer: values of the feature "label" of points (new ones get the
        first), types of shapes, see `shape_mark`. Empty: all that no other kind of that layer
        names.
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
    read: Callable[[NDArray[np.float64], str], Values | None]
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
        """The box (x0, y0, x1, y1) that it is or fills; None for all but boxes and regions."""
        return self.kind.give(Prompts(), self.values).extent

    @property
    def place(self) -> NDArray[np.float64]:
        """The place (x, y) that stands for it: a point, the middle of a box or of a path."""
        if self.box is not None:
            return np.asarray(self.box.reshape(2, 2).mean(axis=0))
        path = self.values.reshape(-1, 2)
        return np.array(path[len(path) // 2])


def kind_in(layer: LayerType, mark: str) -> PromptKind | None:
    """Return the kind of what bears a mark in a napari layer, or None if it is no prompt.

    Parameters
    ----------
    layer : {"points", "shapes"}
    mark : str
        The feature "label" of a point; see `shape_mark` of a shape.
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
    values = None if kind is None else kind.read(xy, mark)
    return None if kind is None or values is None else PlacedPrompt(kind, values, owner)


def shape_mark(shape: str, label: str) -> str:
    """Return the mark of a shape: its type, and whether it is a path on the background.

    Parameters
    ----------
    shape : str
        Its type in napari.
    label : str
        Its feature "label", which is that of a kind of point.
    """
    beside = label == PROMPT_KINDS["background"].marks[0] and shape in _PATHS
    return f"{BESIDE}{shape}" if beside else shape


def shape_of(mark: str) -> tuple[str, str]:
    """Return the type and the feature "label" of a shape with a mark; see `shape_mark`."""
    name = "background" if mark.startswith(BESIDE) else "point"
    return mark.removeprefix(BESIDE), PROMPT_KINDS[name].marks[0]


BESIDE = "background "
"""What the mark of a path on the background begins with."""
_PATHS = ("path", "line")
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
            read=place_of,
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
            read=place_of,
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
            read=box_around,
            button="box",
            tip="Drag a box around an object",
        ),
        PromptKind(
            name="region",
            plural="regions",
            form="X,Y,X,Y,X,Y,...",
            help="a polygon drawn roughly around one object; each is a label of its own",
            give=add_region,
            scope="object",
            layer="shapes",
            mode="add_polygon_lasso",
            read=polygon_of,
            marks=("polygon", "ellipse"),
            button="region",
            tip="Draw roughly around an object: the outline snaps to it",
        ),
        PromptKind(
            name="scribble",
            plural="scribbles",
            form="X,Y,X,Y,...",
            help="a path along the object",
            give=partial(add_stroke, label=1),
            scope="place",
            layer="shapes",
            mode="add_path",
            read=path_along,
            marks=_PATHS,
            button="scribble",
            tip="Drag along an object, or, after T, along what lies beside it",
        ),
        PromptKind(
            name="background_scribble",
            plural="background scribbles",
            form="X,Y,X,Y,...",
            help="a path that no object of its plane contains",
            give=partial(add_stroke, label=0),
            scope="plane",
            layer="shapes",
            mode="add_path",
            read=path_along,
            marks=tuple(f"{BESIDE}{shape}" for shape in _PATHS),
            colour="#e69f00",
            button="scribble",
            tip="Drag along what lies beside the object",
        ),
    )
}
