"""Synthetic labelled images, each from the seed and its own number alone.

Copy-paste of Ghiasi et al., CVPR 2021, with the objects' contrast to their ground kept, and with
grounds from which the objects were removed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..._version import __version__
from ...files import write_text
from ...formats.training_sets.contract import Losses, SetImage, SetObject
from ...formats.training_sets.pairs import PairsWriter
from ...types import Mask, Progress
from .bank import Bank, Ground
from .defects import spoilt
from .params import SynthesisParams
from .pasting import Canvas, chosen, posed

RECORD = "synthesis.jsonl"
"""What each image was made of, a line each; the first line says what they have in common."""
GROUNDS = 8
"""Emptied planes that are kept in memory."""
PARTIAL = ".partial"
"""Folder in which an image is written until it is complete."""
Record = dict[str, Any]


def synthesising(
    bank: Bank, folder: Path, count: int, params: SynthesisParams, seed: int
) -> Generator[Progress, None, list[Record]]:
    """Write synthetic images, NAME.tif and NAME_labels.tif; those that are there stay.

    Parameters
    ----------
    bank : Bank
    folder : Path
        Made if need be. It holds nothing, or the images of the same bank, parameters and seed.
    count : int
        How many there are in the end, at least.
    params : SynthesisParams
    seed : int

    Yields
    ------
    Progress
        Before each image.

    Returns
    -------
    list of dict
        What each image of the folder was made of.

    Raises
    ------
    ValueError
        If the folder holds other images, or the disk refuses it.
    """
    common = {
        "version": __version__,
        "seed": seed,
        "inputs": bank.digest,
        "parameters": json.loads(json.dumps(asdict(params))),
    }
    done = read_record(folder, common)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / RECORD, _lines([common, *done]), None, overwrite=True)
    empty = lru_cache(GROUNDS)(Ground.empty)
    for number in range(len(done), count):
        yield Progress(number, count, f"synthetic image {number + 1} of {count}")
        one, record = synthetic(bank, number, params, seed, empty)
        _write(folder, one)
        with (folder / RECORD).open("a", encoding="utf-8") as file:  # the image is complete
            file.write(_lines([record]))
        done.append(record)
    return done


def synthetic(
    bank: Bank, number: int, params: SynthesisParams, seed: int, empty: Any = Ground.empty
) -> tuple[SetImage, Record]:
    """Return a synthetic image, and what it was made of.

    Parameters
    ----------
    bank : Bank
    number : int
        The same number and seed give the same image.
    params : SynthesisParams
    seed : int
    empty : callable, optional
        Returns a Ground without its objects.
    """
    rng = np.random.default_rng([seed, number])
    ground = bank.grounds[int(rng.integers(len(bank.grounds)))]
    low, high = ground.limits
    canvas = Canvas(empty(ground), params.overlap)
    cuts = chosen(bank.cuts[ground.kind], *ground.levels)
    pasted: list[Record] = []
    classes: list[str] = []
    for _ in range(_wanted(bank, ground, params, rng)):
        cut = cuts[int(rng.integers(len(cuts)))]
        pose = posed(cut, params, rng)
        touching = bool(rng.random() < params.touching)
        place = None if pose is None else canvas.paste(pose, touching, high - low, rng)
        if pose is not None and place is not None:
            pasted.append({**pose.made, "place": place})
            classes.append(cut.category)
    image, defects = spoilt(canvas.image, low, high, params, rng)
    objects = [SetObject(k, Mask.of(canvas.labels == k), name) for k, name in enumerate(classes, 1)]
    one = SetImage(
        f"synthetic_{number:05d}",
        as_type(image, ground.pixels.dtype, ground.kind),
        f"YX{ground.kind[1]}",
        (tuple(objects),),
        classes=bank.classes,
        spacing=ground.spacing,
    )
    made = {"name": one.name, "ground": ground.name, "objects": pasted, "defects": defects}
    return one, made


def _wanted(bank: Bank, ground: Ground, params: SynthesisParams, rng: np.random.Generator) -> int:
    """Return how many objects an image gets."""
    if params.objects is not None:
        return int(rng.integers(int(params.objects[0]), int(params.objects[1]) + 1))
    real = [one for one in bank.grounds if one.kind == ground.kind and one.objects]
    if not real:
        return 1
    like = real[int(rng.integers(len(real)))]
    return max(1, round(like.objects * ground.holes.size / like.holes.size))


def as_type(image: NDArray[np.float32], dtype: np.dtype[Any], kind: Sequence[Any]) -> NDArray[Any]:
    """Return an image in the type of its sources: rounded and cut off where that is of integers."""
    result = image.astype(np.float64)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        result = np.clip(np.rint(result), limits.min, limits.max)
    elif dtype.kind == "b":
        result = np.rint(result)
    result = result.astype(dtype)
    return result if kind[1] else result[..., 0]


def read_record(folder: Path, common: Mapping[str, Any]) -> list[Record]:
    """Return what complete images of a folder were made of; see `synthesising`."""
    path = folder / RECORD
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder")
    if not path.exists():
        if folder.is_dir() and any(folder.iterdir()):
            raise ValueError(f"{folder} holds something else; choose another name")
        return []
    text = path.read_text(encoding="utf-8")
    try:  # the last line has no end if the process was killed while it wrote it
        lines = [json.loads(line) for line in text.split("\n")[:-1]]
    except ValueError:
        raise ValueError(f"{path} is damaged; begin anew with --overwrite") from None
    if not lines or lines[0] != common:
        raise ValueError(
            f"{folder} holds synthetic images of other inputs or parameters; choose another name "
            "or give --overwrite"
        )
    return lines[1:]


def _lines(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in records)


def _write(folder: Path, one: SetImage) -> None:
    """Write an image and its labels; neither is seen before it is complete."""
    partial = folder / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    partial.mkdir()
    PairsWriter(partial, Losses()).add(one)
    for path in sorted((partial / "train").iterdir()):
        path.replace(folder / path.name)
    shutil.rmtree(partial)


def removed(folder: Path) -> None:
    """Remove the synthetic images of a folder and their record, if it holds such."""
    if (folder / RECORD).is_file():
        for path in [*folder.glob("synthetic_*.tif"), folder / RECORD]:
            path.unlink(missing_ok=True)
