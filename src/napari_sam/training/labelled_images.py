"""Images in which the objects are labelled, and one compact file of many of them.

The file is a zip archive. `labelled_images.json.xz` says what each image is. Consecutive images of
one source and part share two entries:

- `SOURCE/N.pixels`: one WebP image after the other. It halves the resolution of colour, so a
  colour image is kept as grey, its planes Y, Cb and Cr one below the other.
- `SOURCE/N.labels`: the differences between neighbours in a row, of all images, as `xz`. Exact.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray
from PIL import Image

VERSION = 1
"""Of the file's layout."""

QUALITY = 90
"""Of WebP, 0 to 100; at 90 noisy micrographs keep about 41 dB."""

LONGEST_WEBP = 16383
"""Pixels of a side."""

_INDEX = "labelled_images.json.xz"
_LABEL_TYPES = (np.uint8, np.uint16, np.uint32)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with the label of every object.

    Attributes
    ----------
    source : str
        Name of its data set.
    kind : str
        Modality and kind of object, such as "nuclei, fluorescence". Sources of one kind share
        their weight when training draws.
    name : str
    part : str
        "train", "validation", "unseen" (never trained on) or "apart".
    image : (H, W) or (H, W, 3) uint8
    labels : (H, W) int32
        0 is background; -1 is ground that may hold objects without a label, which no packed file
        holds.
    exhaustive : bool
        Whether every object is labelled, but on ground of -1.
    stack : str
        Images of one stack and consecutive `place` are neighbouring planes, in which equal labels
        are the same object. Empty where that is unknown.
    place : int
    """

    source: str
    kind: str
    name: str
    part: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    exhaustive: bool = True
    stack: str = ""
    place: int = 0


def write_packed(path: Path, images: Sequence[LabelledImage], quality: int = QUALITY) -> None:
    """Write images into one file: the pixels with a small loss, the labels exactly.

    Parameters
    ----------
    path : Path
    images : sequence of LabelledImage
    quality : int
        Of the pixels, 0 to 100.

    Raises
    ------
    ValueError
        If an image is empty, too large, of another type, or does not fit its labels, or a label
        is negative.
    """
    for item in images:
        _check(item)
    index: list[dict[str, Any]] = []
    with ZipFile(path, "w") as archive:
        chunks = groupby(images, key=lambda item: (item.source, item.part))
        for number, ((source, _), chunk) in enumerate(chunks):
            items = list(chunk)
            pixels = [_encode_pixels(item.image, quality) for item in items]
            highest = max(int(item.labels.max()) for item in items)
            dtype = next(t for t in _LABEL_TYPES if highest <= np.iinfo(t).max)
            # ZipInfo of no date: the same images give the same bytes
            archive.writestr(ZipInfo(f"{source}/{number}.pixels"), b"".join(pixels))
            labels = _encode_labels([item.labels for item in items], dtype)
            archive.writestr(ZipInfo(f"{source}/{number}.labels"), labels)
            index += [
                {
                    "source": source,
                    "kind": item.kind,
                    "name": item.name,
                    "part": item.part,
                    "exhaustive": item.exhaustive,
                    "stack": item.stack,
                    "place": item.place,
                    "chunk": number,
                    "shape": item.image.shape,
                    "bytes": len(code),
                    "labels": np.dtype(dtype).name,
                }
                for item, code in zip(items, pixels, strict=True)
            ]
        text = json.dumps({"version": VERSION, "images": index})
        archive.writestr(ZipInfo(_INDEX), lzma.compress(text.encode()))


def read_packed(path: Path, parts: Iterable[str]) -> list[LabelledImage]:
    """Read the images of `parts` from a file that `write_packed` wrote, in their order.

    Parameters
    ----------
    path : Path
    parts : iterable of str
        "train", "validation", "unseen", "apart".

    Returns
    -------
    list of LabelledImage

    Raises
    ------
    ValueError
        If it is no such file, is cut short or damaged, or has another version.
    """
    wanted = set(parts)
    try:
        with ZipFile(path) as archive:
            if _INDEX not in archive.namelist():
                raise ValueError(f"{path} is no file of packed images: it holds no {_INDEX}")
            index = json.loads(lzma.decompress(archive.read(_INDEX)))
            if index["version"] != VERSION:
                raise ValueError(
                    f"{path} has version {index['version']}, but version {VERSION} is read here"
                )
            entries = [entry for entry in index["images"] if entry["part"] in wanted]
            chunks = groupby(entries, key=lambda entry: (entry["source"], entry["chunk"]))
            return [
                item
                for (source, number), chunk in chunks
                for item in _read_chunk(archive, f"{source}/{number}", list(chunk))
            ]
    except BadZipFile as error:
        with open(path, "rb") as file:
            ours = file.read(2) == b"PK"
        what = "is cut short or damaged" if ours else "is no file of packed images"
        raise ValueError(f"{path} {what}: {error}") from error


def _check(item: LabelledImage) -> None:
    image, labels = item.image, item.labels
    name = f"{item.source} {item.name}"
    if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
        raise ValueError(
            f"{name} must be (H, W) or (H, W, 3) uint8, but is {image.shape} {image.dtype}"
        )
    if image.shape[:2] != labels.shape:
        raise ValueError(f"{name} is {image.shape}, but its labels are {labels.shape}")
    rows = image.shape[0] * (3 if image.ndim == 3 else 1)
    if not (0 < rows <= LONGEST_WEBP and 0 < image.shape[1] <= LONGEST_WEBP):
        raise ValueError(f"{name} is {image.shape}, but WebP takes 1 to {LONGEST_WEBP} pixels")
    if labels.min() < 0:
        raise ValueError(f"{name} has the label {labels.min()}, but none may be below 0")


def _encode_pixels(image: NDArray[np.uint8], quality: int) -> bytes:
    grey = Image.fromarray(image)
    if image.ndim == 3:
        planes = [np.asarray(plane) for plane in grey.convert("YCbCr").split()]
        grey = Image.fromarray(np.concatenate(planes))
    file = io.BytesIO()
    grey.convert("RGB").save(file, "WEBP", quality=quality, method=6)
    return file.getvalue()


def _decode_pixels(code: bytes, shape: Sequence[int]) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(code)) as opened:
        grey = np.asarray(opened.convert("L"))
    if len(shape) == 2:
        return grey
    planes = [Image.fromarray(plane) for plane in np.split(grey, 3)]
    return np.asarray(Image.merge("YCbCr", planes).convert("RGB"))


def _encode_labels(maps: list[NDArray[np.int32]], dtype: type[np.unsignedinteger[Any]]) -> bytes:
    """Return the differences along rows, (N,) modulo the size of `dtype`, compressed."""
    flat = [np.diff(labels.astype(dtype), axis=1, prepend=dtype(0)).ravel() for labels in maps]
    little = np.dtype(dtype).newbyteorder("<")
    return lzma.compress(np.concatenate(flat).astype(little, copy=False).tobytes())


def _read_chunk(
    archive: ZipFile, name: str, entries: list[dict[str, Any]]
) -> Iterator[LabelledImage]:
    pixels = archive.read(f"{name}.pixels")
    dtype = np.dtype(entries[0]["labels"])
    raw = lzma.decompress(archive.read(f"{name}.labels"))
    steps = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype, copy=False)
    code = label = 0
    for entry in entries:
        h, w = entry["shape"][:2]
        # the sum wraps as the differences did
        labels = np.cumsum(steps[label : label + h * w].reshape(h, w), axis=1, dtype=dtype)
        yield LabelledImage(
            entry["source"],
            entry["kind"],
            entry["name"],
            entry["part"],
            _decode_pixels(pixels[code : code + entry["bytes"]], entry["shape"]),
            labels.astype(np.int32),
            entry["exhaustive"],
            entry["stack"],
            entry["place"],
        )
        code += entry["bytes"]
        label += h * w
