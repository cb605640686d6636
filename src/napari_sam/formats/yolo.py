"""Annotations as YOLO's texts: a line for each object, with coordinates from 0 to 1."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np

from ..checks import shown
from ..files import replacing_folder
from ..objects import Outline, SegmentedObject
from ..objects.drawn import DrawnRow
from ..types import SliceKey
from .annotation import Annotation, AnnotationFormat
from .found import LARGEST_FILE, MOST_PLANES, Found, box_row, key_of, masks_of, planes_of
from .losses import lost
from .polygons import Ring, filled, rings_of

CLASSES = "classes.txt"
DATA = "data.yaml"
NO_CLASS = "object"
"""What a line of an object without a class is called; YOLO has no such lines."""
FOLDER = ".yolo"
FARTHEST = 16.0
"""A coordinate in widths or heights of the image, at most."""


def yolo_losses(annotation: Annotation) -> list[str]:
    """Return what YOLO's texts cannot hold of an annotation."""
    clauses = lost(annotation, classes=True, objects=False, scale=False)
    return [*clauses, "holes, and pieces of an object beside its largest"]


def write_yolo(annotation: Annotation, path: Path) -> None:
    """Write a folder with a text for each plane, `classes.txt` and `data.yaml`.

    A line is the number of a class and the corners of a polygon, the outline of the largest piece
    of an object. A text is called like its image and the place of its plane, "cells_0_12.txt".

    Raises
    ------
    ValueError
        If the place holds something else, a class has a line break, or the disk refuses it.
    """
    if path.exists() and not (path.is_dir() and _is_ours(path)):
        raise ValueError(f"{path.name} is no folder of YOLO's texts; choose another name")
    known = annotation.objects
    names = [one["name"] for one in annotation.properties.get("classes") or ()]
    names = [*dict.fromkeys([*names, *sorted({one.category for one in known.values()} - {""})])]
    unnamed = NO_CLASS
    while unnamed in names:
        unnamed += "_"
    names.append(unnamed)
    if any(re.search(r"[\r\n]", one) for one in names):
        raise ValueError("a class of YOLO has no line break; rename it")
    stem = re.sub(r"[^\w.-]+", "_", annotation.name) or "image"
    if stem in ("classes", "data"):
        stem += "_"
    with replacing_folder(path) as folder:
        for place, _, plane in planes_of(annotation.labels):
            lines = []
            for label, mask in masks_of(plane):
                one = known.get(label)
                number = names.index((one.category if one is not None else "") or unnamed)
                ring = max(rings_of(mask), key=_area) / plane.shape[::-1]
                lines.append(" ".join([str(number), *(f"{n:.9g}" for n in ring.ravel())]) + "\n")
            name = "_".join([stem, *map(str, place)]) + ".txt"
            (folder / name).write_text("".join(lines), encoding="utf-8")
        (folder / CLASSES).write_text("".join(f"{one}\n" for one in names), encoding="utf-8")
        quoted = "".join(f"  {k}: {json.dumps(one)}\n" for k, one in enumerate(names))
        (folder / DATA).write_text(f"names:\n{quoted}", encoding="utf-8")


def read_yolo(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Return the annotation of YOLO's texts; raises as `found_in_yolo` does."""
    return found_in_yolo(path, shape).annotation(path, shape)


def found_in_yolo(path: Path, shape: tuple[int, ...] | None = None) -> Found:
    """Return what YOLO's texts hold: polygons are objects, boxes are prompts.

    Parameters
    ----------
    path : Path
        One text, or a folder of them, one for each plane in the order of their names; numbers in
        names count. Classes are those of `classes.txt` or `data.yaml` beside them.
    shape : tuple of int
        Of the image: the texts do not tell its size.

    Raises
    ------
    ValueError
        If a text is none of YOLO, or no image is open.
    """
    if shape is None:
        raise ValueError("YOLO's texts do not tell the size of the image; open the image first")
    if path.parent.name.lower().endswith(FOLDER):
        path = path.parent
    texts = texts_of(path)
    places = list(places_of_texts(texts, shape))
    names = class_names(described_in(path if path.is_dir() else path.parent))
    objects: list[SegmentedObject] = []
    prompts: list[DrawnRow] = []
    empty = 0
    for file, place in zip(texts, places, strict=True):
        key = key_of(place, shape)
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip():
                continue
            where = f"line {number} of {file.name}"
            kind, values = parsed_line(line, where)
            if len(values) in (4, 5):  # a box, and perhaps how sure a model was
                prompts.append(_box(values, key, shape))
                continue
            ring = values[: len(values) // 2 * 2].reshape(-1, 2) * (shape[-1], shape[-2])
            mask = filled([ring], (shape[-2], shape[-1]))
            if not mask:
                empty += 1
                continue
            outline = Outline(mask, origin="imported")
            category = names.get(kind, f"class {kind}")
            objects.append(SegmentedObject(len(objects) + 1, {key: outline}, category))
    notice = f"{empty} polygon{'s' * (empty > 1)} that enclose no pixel of the image"
    return Found(tuple(objects), tuple(prompts), tuple(shape), notice if empty else "")


def _area(ring: Ring) -> float:
    """Return the area of a ring; a hole has less than what is around it."""
    (x, y), (u, v) = ring.T, np.roll(ring, -1, axis=0).T
    return abs(float((x * v - u * y).sum())) / 2


def _is_ours(path: Path) -> bool:
    return all(one.suffix == ".txt" or one.name == DATA for one in path.iterdir())


def texts_of(path: Path) -> list[Path]:
    """Return the texts of a folder in the order of planes, or the one text given."""
    if not path.is_dir():
        return [path]
    names = (one for one in path.iterdir() if one.suffix.lower() == ".txt" and one.name != CLASSES)
    texts = sorted(names, key=lambda one: (_numbers(one.stem), one.name))
    if not texts or len(texts) > MOST_PLANES:
        raise ValueError(f"{path.name} holds no text of YOLO")
    return texts


def _numbers(stem: str) -> tuple[tuple[str, int], ...]:
    """Return a key that sorts "a_10" after "a_9"."""
    parts = re.findall(r"(\D*)(\d{0,18})", stem)
    return tuple((text, int(digits or -1)) for text, digits in parts)


def places_of_texts(texts: list[Path], shape: tuple[int, ...]) -> np.ndindex:
    """Return the places of planes, one for each text."""
    count = math.prod(shape[:-2])
    if len(texts) == 1 < count:
        return np.ndindex(*(1 for _ in shape[:-2]))
    if len(texts) != count:
        raise ValueError(f"there are {len(texts)} texts, but the image has {count} planes")
    return np.ndindex(*shape[:-2])


def read_text(path: Path) -> str:
    """Return a text of bounded size; ValueError if it cannot be read."""
    try:
        if path.is_symlink() or path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path.name} is a link, or larger than {LARGEST_FILE} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is no text") from None


def parsed_line(line: str, where: str) -> tuple[int, Ring]:
    """Return the number of the class and the other numbers of a line."""
    first, *rest = line.split()
    if not re.fullmatch(r"[0-9]{1,9}", first):
        raise ValueError(f"{where} begins with the number of a class, but is {shown(line)}")
    try:
        values = np.array([float(one) for one in rest], np.float64)
    except ValueError:
        raise ValueError(f"{where} is no list of numbers: {shown(line)}") from None
    if not (np.abs(values) <= FARTHEST).all():
        raise ValueError(f"{where} has numbers that are no parts of an image: {shown(line)}")
    if len(values) < 4:
        raise ValueError(f"{where} has four numbers of a box or more, but is {shown(line)}")
    return int(first), values


def _box(values: Ring, key: SliceKey, shape: tuple[int, ...]) -> DrawnRow:
    x, y, w, h = (values[:4] * (shape[-1], shape[-2], shape[-1], shape[-2])).tolist()
    # the outer edges of pixels to their centres
    return box_row(key, (x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1))


def described_in(folder: Path) -> Path:
    """Return the folder in which classes are named: its own, or that of a set above it.

    `data.yaml` lies beside the folder "labels", or, where that is in "train" (Roboflow), above.
    """
    deep = 1 if folder.name == "labels" else 2 if folder.parent.name == "labels" else 0
    places = [folder, *list(folder.absolute().parents)[: deep + 1 if deep else 0]]
    named = (one for one in places if (one / CLASSES).is_file() or (one / DATA).is_file())
    return next(named, folder)


def listed_classes(path: Path) -> tuple[str, ...]:
    """Return the classes that are named for texts, in the order of their numbers, also unused ones.

    Numbers without a name are called as in `found_in_yolo`, so that all keep their numbers.
    """
    names = class_names(described_in(path if path.is_dir() else path.parent))
    named = [k for k, name in names.items() if name]
    last = max(named, default=-1)
    return tuple(names.get(k) or f"class {k}" for k in range(last + 1)) if last < 10_000 else ()


def class_names(folder: Path) -> dict[int, str]:
    """Return the names of classes; "" for what was written without one."""
    names: dict[int, str] = {}
    if (folder / CLASSES).is_file():
        # not splitlines, which also breaks lines at rarer signs that a name may hold
        lines = read_text(folder / CLASSES).removesuffix("\n").split("\n")
        names = dict(enumerate(line.strip() for line in lines))
    elif (folder / DATA).is_file():
        names = _names_of_yaml(read_text(folder / DATA))
    if names and re.fullmatch(f"{NO_CLASS}_*", names[max(names)]):
        names[max(names)] = ""
    return names


def _names_of_yaml(text: str) -> dict[int, str]:
    """Return what stands under `names:`, in one line or in one each; other entries are passed."""
    listed = re.search(r"^names:[ \t]*\[(.*?)\]", text, re.M | re.S)
    if listed is not None:
        found = re.findall(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|[^,\s][^,\n]*", listed[1])
        return {k: _unquoted(one) for k, one in enumerate(found)}
    match = re.search(r"^names:[ \t]*\n((?:[ \t]*(?:-|\d+[ \t]*:).*\n?)+)", text, re.M)
    if match is None:
        return {}
    names: dict[int, str] = {}
    for line in match[1].splitlines():
        entry = re.fullmatch(r"\s*(?:-|(\d{1,9})\s*:)\s*(.+?)\s*", line)
        if entry is not None:
            names[len(names) if entry[1] is None else int(entry[1])] = _unquoted(entry[2])
    return names


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except json.JSONDecodeError:
            return text[1:-1]
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    return re.split(r"\s#", text)[0].strip()


YOLO = AnnotationFormat(
    "YOLO segmentation", (FOLDER,), write_yolo, read_yolo, yolo_losses, folder=True
)
YOLO_TEXT = AnnotationFormat("YOLO text", (".txt",), None, read_yolo, yolo_losses)
