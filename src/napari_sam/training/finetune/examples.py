"""Labelled planes that a model is fine-tuned on, and one file of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...files import replacing
from ...images.decoding import UNREADABLE
from ...objects.documents import prompts_from_json, prompts_to_json
from ...types import Prompts
from .findings import Box

FORMAT = "napari-sam examples"
VERSION = 1
INDEX = "examples.json"


@dataclass(frozen=True, eq=False)
class Example:
    """One plane in which objects are labelled.

    Attributes
    ----------
    name : str
        Shown to the user.
    image : (H, W) or (H, W, 3) uint8
        As the model sees it: the contrast is applied.
    labels : (H, W) int32
        0 is background or not labelled.
    complete : (H, W) bool, or None
        Where every object is labelled. None: everywhere; all false: only the objects are known.
    classes : mapping of int to str
        The class of labels; those without one are left out.
    group : str
        Examples of one group (file, patient, movie) are never divided between learning and
        held-out. Empty: the example is a group of its own.
    stack : str
        Examples of one stack and consecutive `place` are neighbouring planes, in which equal
        labels are the same object. Empty where that is unknown.
    place : int
    prompts : mapping of int to tuple of Prompts
        The prompts that led to objects, where they are known.
    notice : str
        What was changed when it was read, a clause; empty if nothing was.
    """

    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    complete: NDArray[np.bool_] | None = None
    classes: Mapping[int, str] = field(default_factory=dict)
    group: str = ""
    stack: str = ""
    place: int = 0
    prompts: Mapping[int, tuple[Prompts, ...]] = field(default_factory=dict)
    notice: str = ""

    def __post_init__(self) -> None:
        image, labels, complete = self.image, self.labels, self.complete
        if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
            raise ValueError(
                f"the image of {self.name} is (H, W) or (H, W, 3) uint8, but is {image.shape} "
                f"{image.dtype}"
            )
        if labels.dtype != np.int32 or labels.shape != image.shape[:2] or not labels.size:
            raise ValueError(
                f"the labels of {self.name} are {image.shape[:2]} int32, but are {labels.shape} "
                f"{labels.dtype}"
            )
        if int(labels.min()) < 0:
            raise ValueError(f"{self.name} has the label {labels.min()}, but none is below 0")
        if complete is not None and (complete.dtype != bool or complete.shape != labels.shape):
            raise ValueError(
                f"what is complete in {self.name} is {labels.shape} bool, but is {complete.shape} "
                f"{complete.dtype}"
            )

    @cached_property
    def boxes(self) -> dict[int, Box]:
        """The box of each label that occurs, in ascending order."""
        values, places = np.unique(self.labels, return_inverse=True)
        found = ndimage.find_objects(places.reshape(self.labels.shape) + 1)
        return {
            int(value): (columns.start, rows.start, columns.stop, rows.stop)
            for value, (rows, columns) in zip(values, found, strict=True)
            if value
        }

    @property
    def objects(self) -> tuple[int, ...]:
        """The labels that occur, ascending."""
        return tuple(self.boxes)

    def mask(self, label: int) -> NDArray[np.bool_]:
        """Return the pixels of an object in its box."""
        x0, y0, x1, y1 = self.boxes[label]
        return np.asarray(self.labels[y0:y1, x0:x1] == label)

    @property
    def family(self) -> str:
        """The group, or the name of an example that is a group of its own."""
        return self.group or self.name

    @property
    def known(self) -> NDArray[np.bool_]:
        """Where it is known what is there, (H, W): the objects and what is complete."""
        if self.complete is None:
            return np.ones(self.labels.shape, bool)
        return np.asarray(self.complete | (self.labels > 0))

    @property
    def sparse(self) -> bool:
        """Whether nothing is known but the objects."""
        return self.complete is not None and not bool(self.complete.any())

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        own = 0 if self.complete is None else self.complete.nbytes
        return self.image.nbytes + self.labels.nbytes + own

    @cached_property
    def digest(self) -> str:
        """A hash of the image: that of two examples is equal where their pixels are."""
        pixels = np.ascontiguousarray(self.image)
        found = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
        found.update(pixels.data)
        return found.hexdigest()

    def without(self, labels: Sequence[int]) -> Example:
        """Return it without some objects; what is in their place is then unknown."""
        gone = np.isin(self.labels, list(labels))
        complete = np.ones(gone.shape, bool) if self.complete is None else self.complete
        return replace(
            self,
            labels=np.where(gone, np.int32(0), self.labels),
            complete=complete & ~gone if gone.any() else self.complete,
            classes={k: name for k, name in self.classes.items() if k not in labels},
            prompts={k: one for k, one in self.prompts.items() if k not in labels},
        )

    def within(self, box: Box, name: str) -> Example:
        """Return the part in a box (x0, y0, x1, y1), end exclusive, under another name.

        Prompts of objects that do not lie in it as a whole are left out.
        """
        x0, y0, x1, y1 = box
        part = slice(y0, y1), slice(x0, x1)
        labels = np.ascontiguousarray(self.labels[part])
        left = {int(k) for k in np.unique(labels)}
        whole = {
            k
            for k, own in self.boxes.items()
            if x0 <= own[0] and y0 <= own[1] and own[2] <= x1 and own[3] <= y1
        }
        return replace(
            self,
            name=name,
            image=np.ascontiguousarray(self.image[part]),
            labels=labels,
            complete=None if self.complete is None else np.ascontiguousarray(self.complete[part]),
            classes={k: one for k, one in self.classes.items() if k in left},
            prompts={
                k: tuple(prompts.moved(-x0, -y0) for prompts in own)
                for k, own in self.prompts.items()
                if k in whole
            },
        )


def write_examples(path: str | Path, examples: Sequence[Example]) -> None:
    """Write examples into one file, exactly, so that another process can read them.

    Images that several examples share are written once.

    Raises
    ------
    ValueError
        If the disk refuses it.
    """
    images: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    with replacing(path) as partial, ZipFile(partial, "w", ZIP_STORED) as archive:
        for number, one in enumerate(examples):
            if one.digest not in images:
                images[one.digest] = f"image_{len(images)}"
                _write(archive, images[one.digest], one.image)
            _write(archive, f"labels_{number}", one.labels)
            if one.complete is not None:
                _write(archive, f"complete_{number}", one.complete)
            rows.append(
                {
                    "name": one.name,
                    "image": images[one.digest],
                    "complete": one.complete is not None,
                    "classes": {str(k): name for k, name in one.classes.items()},
                    "group": one.group,
                    "stack": one.stack,
                    "place": one.place,
                    "prompts": {
                        str(k): [prompts_to_json(prompts) for prompts in own]
                        for k, own in one.prompts.items()
                    },
                    "notice": one.notice,
                }
            )
        index = {"format": FORMAT, "version": VERSION, "examples": rows}
        archive.writestr(ZipInfo(INDEX), json.dumps(index), ZIP_DEFLATED)


def read_examples(path: str | Path) -> list[Example]:
    """Read the examples of a file that `write_examples` wrote.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or of another version.
    """
    try:
        with ZipFile(path) as archive:
            index = json.loads(archive.read(INDEX))
            if index["format"] != FORMAT or index["version"] != VERSION:
                raise ValueError(f"it is of another version than {VERSION}")
            images: dict[str, NDArray[Any]] = {}
            return [
                _example(archive, number, row, images)
                for number, row in enumerate(index["examples"])
            ]
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is no file of examples that can be read: {reason}") from error


def fingerprint(examples: Sequence[Example]) -> str:
    """Return a hash of images, labels and what is known of them; names do not count."""
    found = hashlib.blake2b(digest_size=16)
    for one in examples:
        found.update(f"{one.digest} {sorted(one.classes.items())}".encode())
        for array in (one.labels, one.known):
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _example(
    archive: ZipFile, number: int, row: Mapping[str, Any], images: dict[str, NDArray[Any]]
) -> Example:
    name = str(row["image"])
    if name not in images:
        images[name] = _read(archive, name)
    return Example(
        str(row["name"]),
        images[name],
        _read(archive, f"labels_{number}"),
        _read(archive, f"complete_{number}") if row["complete"] else None,
        {int(k): str(one) for k, one in row["classes"].items()},
        str(row["group"]),
        str(row["stack"]),
        int(row["place"]),
        {int(k): tuple(prompts_from_json(one) for one in own) for k, own in row["prompts"].items()},
        str(row["notice"]),
    )


def _write(archive: ZipFile, name: str, array: NDArray[Any]) -> None:
    entry = ZipInfo(f"{name}.npy")  # of no date: the same examples give the same bytes
    entry.compress_type = ZIP_STORED if name.startswith("image") else ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def _read(archive: ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array
