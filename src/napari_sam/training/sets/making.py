"""A training set made of labelled files: images cut into planes or volumes, groups held out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...files import replacing_folder
from ...formats.label_tiff import MICROMETRES
from ...formats.training_sets.contract import (
    Losses,
    SetImage,
    SetWriter,
    TrainingSet,
    file_name,
)
from ...images.readers import StackImage
from ...types import Progress
from ..finetune.coco_search import image_stem
from .dividing import Item, families_of, group_of, held_out_of
from .labelled_stack import LabelledStack, Place, PlaneObjects
from .manifest import COLUMNS, HELD_OUT, Origins, write_manifest

__all__ = ["Item", "SetChoice", "SetResult", "check_choice", "making", "set_images"]


@dataclass(frozen=True)
class SetChoice:
    """How a set is made.

    Attributes
    ----------
    volumes : bool
        Whether stacks stay whole.
    border : bool
        Whether the edges of objects are a class.
    share : float or None
        Of the groups that are learnt from; None holds out what a set of ours that is read holds
        out, and nothing else.
    group : str
        A regular expression: what it matches in the path of an image, or its first group, is the
        group of the image. Empty: each file or stack is a group.
    seed : int
    """

    volumes: bool = False
    border: bool = False
    share: float | None = None
    group: str = ""
    seed: int = 0


@dataclass
class SetResult:
    """What became of the files.

    Attributes
    ----------
    rows : list of dict
        Of the manifest, one for each image of the set.
    losses : Losses
    notices : Counter of str
        What was changed when files were read, and in how many of them.
    refused : list of str
        Files that were left out, a sentence each.
    empty : int
        Planes of stacks that were left out: no object in them, or not marked complete.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    losses: Losses = field(default_factory=Counter)
    notices: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    empty: int = 0


def check_choice(kind: TrainingSet, choice: SetChoice) -> None:
    """Raise a ValueError if a system cannot do what is chosen, or a number is out of range."""
    if choice.volumes and not kind.volumes:
        raise ValueError(f"{kind.title} learns from planes; leave out --volumes")
    if choice.border and not kind.border:
        raise ValueError(f"{kind.title} has labels of objects, so it needs no --border")
    if choice.share is not None and not 0 < choice.share < 1:
        raise ValueError(f"the share to learn from lies between 0 and 1, but is {choice.share}")
    try:
        re.compile(choice.group)
    except re.error as error:
        raise ValueError(
            f"--group is a regular expression, but {choice.group!r}: {error}"
        ) from None


def making(
    items: Sequence[Item], target: Path, kind: TrainingSet, choice: SetChoice
) -> Generator[Progress, None, SetResult]:
    """Write a training set; a file that cannot be read is left out.

    Parameters
    ----------
    items : sequence of (str, callable)
        Name of each labelled file, and what reads it. Where groups are held out, files are read
        twice, so that only one is in memory at a time.
    target : Path
        A folder that is replaced when all is written.
    kind : TrainingSet
    choice : SetChoice

    Yields
    ------
    Progress
        Before each file.

    Raises
    ------
    ValueError
        If nothing can be used, groups cannot be divided, or the disk refuses it.
    """
    origins = Origins()
    families: Mapping[str, str] = {}
    held_out: frozenset[str] = frozenset()
    if choice.share is not None:
        families = yield from families_of(items, choice.group, origins)
        held_out = held_out_of(sorted({*families.values()}), choice.share, choice.seed)

    def part(stack: LabelledStack) -> tuple[str, bool]:
        """Return the group of an image, and whether it is held out."""
        group = families.get(stack.family) or group_of(stack, choice.group, origins)
        if choice.share is not None:
            return group, group in held_out
        origin = origins.of(stack.path)
        return group, origin is not None and origin[1]

    result = SetResult()
    names: set[str] = set()
    with replacing_folder(target) as folder:
        writer = kind.writer(folder, result.losses, choice.border)
        for number, (name, read) in enumerate(items):
            yield Progress(number, len(items), f"converting {name}")
            try:
                _add(read(), writer, choice.volumes, part, result, names)
            except ValueError as error:
                result.refused.append(f"{error}; {name} is left out")
        if not result.rows:
            reason = result.refused[0] if result.refused else "no plane holds an object"
            raise ValueError(f"there is nothing to write: {reason}")
        writer.finish()
        write_manifest(folder, result.rows, writer.files)
    return result


def _add(
    stacks: Iterator[LabelledStack],
    writer: SetWriter,
    volumes: bool,
    part: Callable[[LabelledStack], tuple[str, bool]],
    result: SetResult,
    names: set[str],
) -> None:
    """Write the images of a file, all of them or, where it raises a ValueError, none."""
    count, empty = len(result.rows), result.empty
    losses, notices = Counter(result.losses), Counter(result.notices)
    own: list[str] = []
    try:
        for stack in stacks:
            group, held_out = part(stack)
            result.notices.update([stack.notice] if stack.notice else [])
            for plane, one in set_images(stack, volumes, result):
                named = replace(one, name=_free(one.name, names), held_out=held_out)
                own.append(named.name)
                names.add(named.name.lower())
                writer.add(named)
                result.rows.append(_row(named, stack, group, plane))
    except ValueError:
        for name in own:
            writer.remove(name)
            names.discard(name.lower())
        del result.rows[count:]
        result.empty = empty
        for counts, before in ((result.losses, losses), (result.notices, notices)):
            counts.clear()  # the writer counts in it, too
            counts.update(before)
        raise


def set_images(
    stack: LabelledStack, volumes: bool, result: SetResult
) -> Iterator[tuple[Place, SetImage]]:
    """Yield the planes of a stack, or its volumes, each with its place on the leading axes."""
    axes = stack.image.label_axes
    if not volumes:
        for place in stack.places:
            found = stack.plane(place)
            marked = stack.marked is None or place in stack.marked
            if place and not (marked and (found.objects or stack.marked)):
                result.empty += 1
                continue
            yield place, _image(stack, place, "YX", [found])
        return
    if axes not in ("ZYX", "TZYX") or len(stack.places) < math.prod(stack.image.label_shape[:-2]):
        raise ValueError(f"{stack.path.name} is no labelled volume; leave out --volumes")
    for place in np.ndindex(*stack.image.label_shape[:-3]):
        within = [one for one in stack.places if one[:-1] == place]
        planes = [stack.plane(one) for one in within]
        if stack.marked is not None:
            unseen = [one not in stack.marked for one in within]
            planes = [
                _unknown(one, stack) if k else one for one, k in zip(planes, unseen, strict=True)
            ]
        if any(one.objects for one in planes):
            yield place, _image(stack, place, "ZYX", planes)
        else:
            result.empty += len(planes)


def _unknown(one: PlaneObjects, stack: LabelledStack) -> PlaneObjects:
    """Return a plane of which nothing is known but its objects."""
    ground = np.ones(stack.image.label_shape[-2:], bool)
    for each in one.objects:
        ground[each.mask.part] &= ~each.mask.bits
    return replace(one, unknown=ground)


def _image(
    stack: LabelledStack, place: Place, axes: str, planes: Sequence[PlaneObjects]
) -> SetImage:
    image = stack.image
    pixels = np.asarray(image.data[place])
    channels = image.axes[len(image.label_axes) :]
    if channels == "S" and pixels.shape[-1] == 4:  # opacity is nothing to learn from
        pixels = np.ascontiguousarray(pixels[..., :3])
    unknown: NDArray[np.bool_] | None = None
    if any(one.unknown is not None for one in planes):
        none = np.zeros(image.label_shape[-2:], bool)
        unknown = np.stack([none if one.unknown is None else one.unknown for one in planes])
        unknown = unknown[0] if axes == "YX" else unknown
    lead = zip(image.label_axes.lower(), place, image.label_shape, strict=False)
    parts = [f"{letter}{k:0{len(str(n - 1))}d}" for letter, k, n in lead]
    return SetImage(
        file_name("_".join([stack.name, *parts])),
        pixels,
        axes + channels,
        tuple(one.objects for one in planes),
        classes=stack.classes,
        spacing=_spacing(image, axes),
        unknown=unknown,
    )


def _spacing(image: StackImage, axes: str) -> tuple[float, ...] | None:
    """Return the size of a pixel along the last axes in micrometres; None where it is unknown."""
    if image.scale is None:
        return None
    units = image.units or ("micrometer",) * len(image.scale)
    sizes = [
        size * MICROMETRES.get(unit, 0.0) for size, unit in zip(image.scale, units, strict=True)
    ][-len(axes) :]
    return tuple(sizes) if all(size > 0 for size in sizes) else None


def _free(name: str, names: set[str]) -> str:
    """Return a name, with a number if it is in use, whatever its letters are.

    A name that ends as those of label images do gets one, too: "a_labels" is not the labels of "a".
    """
    count, free = 1, name
    while free.lower() in names or image_stem(free) != free:
        count += 1
        free = f"{name}_{count}"
    return free


def _row(one: SetImage, stack: LabelledStack, group: str, place: Place) -> dict[str, Any]:
    part = HELD_OUT if one.held_out else "train"
    plane = " ".join(map(str, place))
    count = len({each.label for each in one.objects})
    return dict(zip(COLUMNS[:-1], (one.name, part, stack.path, group, plane, count), strict=True))
