"""Prompts of COCO results, as Detectron2 and others write them, and of COCO files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...checks import shown
from ...types import Prompts
from ..coco_lengths import mask_of
from ..found import read_json, reals
from .contract import FilePrompt, PromptChoice, PromptFile, box_of_edges, of_mask
from .plane_names import first_number, places_of_names

Json = dict[str, Any]


def read_coco_prompts(path: Path, shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    """Return the prompts of the results of one image.

    An entry has image_id, category_id, bbox and score, and perhaps a segmentation, which is the
    outline. Those of this image are taken: the one of its file name, or, in a file without names,
    whose id is its name or the number in it (COCO's 000000000139.jpg is image 139). Of a stack each
    image has its "plane", or its name tells it (see `plane_names`), or the ids are those of all
    planes.

    Raises
    ------
    ValueError
        That names the file and the entry that is wrong.
    """
    data = read_json(path)
    entries = data.get("annotations") if isinstance(data, dict) else data
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise ValueError(f"{path.name} is a list of results of COCO, but holds {shown(data)}")
    images = data.get("images", []) if isinstance(data, dict) else []
    rows: list[Json] = [one for one in images if isinstance(one, dict)]
    categories = data.get("categories", []) if isinstance(data, dict) else []
    names = {
        str(one.get("id")): str(one.get("name", "")) for one in categories if isinstance(one, dict)
    }
    places = _places(path, entries, rows, shape, choice)
    found: list[FilePrompt] = []
    empty = 0
    for number, one in enumerate(entries, 1):
        if _id(one) not in places:
            continue
        where = f"entry {number}"
        try:
            said = _prompts(one, (shape[-2], shape[-1]))
            score = _score(one)
        except ValueError as error:
            raise ValueError(f"{path.name}: {where}: {error}") from None
        if said is None:
            empty += 1
            continue
        kind = one.get("category_id")
        category = names.get(str(kind), "" if kind is None else f"class {kind}")
        facts = *said, category, score, where
        found.append(FilePrompt(len(found) + 1, places[_id(one)], *facts))
    return PromptFile(
        tuple(found),
        f"{empty} {'entry' if empty == 1 else 'entries'} without a pixel of the image"
        if empty
        else "",
    )


def _places(
    path: Path,
    entries: list[Json],
    rows: list[Json],
    shape: tuple[int, ...],
    choice: PromptChoice,
) -> Mapping[str, tuple[int, ...]]:
    """Return the plane of each image id that counts."""
    planes = shape[:-2]
    own = {str(one["id"]): one for one in rows if "id" in one}
    known = list(dict.fromkeys([*own, *(_id(one) for one in entries)]))
    if any(side > 1 for side in planes) and not choice.image_id:
        named = _named_planes(path, own, known, planes, choice)
        if named:
            for k in named:
                _check_size(path, own.get(k, {}), k, shape)
            return named
    chosen = _of_this_image(own, known, choice)
    placed = {k: own[k]["plane"] for k in chosen if isinstance(own.get(k, {}).get("plane"), list)}
    if any(side > 1 for side in planes) and not placed and chosen:
        name = _stem(choice.image) or "NAME"
        raise ValueError(
            f'{path.name} does not tell the planes of a stack; give each image a "plane", such as '
            f"[3], or call the images {name}_z0, {name}_z1 and so on"
        )
    if not known:
        return {}
    if not chosen or (len(chosen) > 1 and not (placed and planes)):
        listed = [_title(own.get(k, {}), k) for k in known]
        text = ", ".join(listed[:5]) + (", ..." if len(listed) > 5 else "")
        raise ValueError(
            f"{path.name} has results of the image{'s' * (len(known) > 1)} {text}; "
            + (choice.advice or f"say with --image-id which is {choice.image or 'this one'}")
        )
    for k in chosen:
        _check_size(path, own.get(k, {}), k, shape)
    if not (placed and planes):
        return {chosen[0]: (0,) * len(planes)}
    wrong = next((one for one in placed.values() if not _inside(tuple(one), planes)), None)
    if wrong is not None:
        raise ValueError(f"{path.name} names the plane {shown(wrong)}, which is not there")
    return {k: tuple(one) for k, one in placed.items()}


def _named_planes(
    path: Path,
    own: Mapping[str, Json],
    known: Sequence[str],
    planes: tuple[int, ...],
    choice: PromptChoice,
) -> dict[str, tuple[int, ...]]:
    """Return the planes of images that lack "plane": by their names, or by ids of all planes."""
    if any("plane" in one for one in own.values()):
        return {}
    names = {k: str(one["file_name"]) for k, one in own.items() if one.get("file_name")}
    try:
        if names:
            return places_of_names(names, _stem(choice.image), planes, choice.axes)
        numbers = {k: int(k) for k in known if k.isdecimal()}
        every = [[*range(first, first + planes[-1])] for first in (0, 1)]
        if len(planes) > 1 or sorted(numbers.values()) not in every:
            return {}
        first = first_number(numbers.values(), planes[-1])
        return {k: (n - first,) for k, n in numbers.items()}
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from None


def _of_this_image(
    own: Mapping[str, Json], known: Sequence[str], choice: PromptChoice
) -> list[str]:
    """Return the ids of an image, or of its planes.

    Where the file names images, only their names count, if that of ours is known; else an id that
    is its name or the number in it, or the only one.
    """
    if choice.image_id:
        return [choice.image_id] if choice.image_id in known else []
    named = {k: _plain(one["file_name"]) for k, one in own.items() if one.get("file_name")}
    if choice.image and named:
        stem = _stem(choice.image)
        exact = [k for k, name in named.items() if name == choice.image]
        return exact or [k for k, name in named.items() if stem in (name, _stem(name))]
    if named and len({*named.values()}) == 1 and all(k in named for k in known):
        return list(named)
    by_id = [k for k in known if _is_number_of(k, choice.image)]
    return by_id or (list(known) if len(known) == 1 else [])


def _plain(name: Any) -> str:
    """Return the name of an image without its folder, and without the plane that we write."""
    text = str(name).replace("\\", "/").rsplit("/", 1)[-1]
    return re.sub(r"#[\d,]+$", "", text)


def _stem(name: str) -> str:
    return re.sub(r"\.\w+$", "", name)


def _title(row: Json, number: str) -> str:
    return f"{number} ({row['file_name']})" if row.get("file_name") else number


def _check_size(path: Path, row: Json, number: str, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if results are those of an image of another size."""
    size = row.get("height"), row.get("width")
    if all(type(side) is int for side in size) and size != (shape[-2], shape[-1]):
        raise ValueError(
            f"{path.name} says that the image {_title(row, number)} has {size[0]} x {size[1]} "
            f"pixels, but this one has {shape[-2]} x {shape[-1]}"
        )


def _inside(place: tuple[Any, ...], planes: tuple[int, ...]) -> bool:
    return len(place) == len(planes) and all(
        isinstance(at, int) and 0 <= at < side for at, side in zip(place, planes, strict=True)
    )


def _is_number_of(given: str, image: str) -> bool:
    """Tell whether an id in a file is an image's name, or the number at its end."""
    stem = _stem(image)
    digits = re.search(r"(\d+)$", stem)
    number = digits is not None and given.isdecimal() and int(given) == int(digits[1])
    return bool(image) and (given in (image, stem) or number)


def _id(one: Json) -> str:
    return str(one.get("image_id"))


def _prompts(one: Json, size: tuple[int, int]) -> tuple[Prompts, Any] | None:
    """Return the prompts and the outline of an entry; None if it has no pixel."""
    if one.get("segmentation"):
        mask = mask_of(one["segmentation"], size)
        return of_mask(mask) if mask else None
    values = reals(one.get("bbox"), "a box").tolist()
    if len(values) != 4 or min(values[2:]) < 0:
        raise ValueError(f"a box is x, y, width and height, but is {shown(one.get('bbox'))}")
    x, y, w, h = values
    return Prompts(box=box_of_edges(x, y, x + w, y + h)), None


def _score(one: Json) -> float | None:
    given = one.get("score", one.get("predicted_iou"))
    return None if given is None else float(reals([given], "a score")[0])
