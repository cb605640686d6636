"""Planes of a stack that the names of images tell: stack_z0.png, stack_z1.png, stack/0002.png."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

LETTERS = {
    "": "",
    **dict.fromkeys(("t", "time", "frame"), "T"),
    **dict.fromkeys(("z", "slice", "plane", "layer"), "Z"),
}
"""The axis that a word before a number means; none for a bare number."""
ADVICE = 'give each image its "plane", counted from 0'
NUMBER = re.compile(r"([_\-. ]*)([A-Za-z]*)[_\-. ]?(\d{1,9})")

Numbers = tuple[tuple[str, int], ...]


def places_of_names(
    names: Mapping[str, str], stem: str, planes: tuple[int, ...], axes: str = ""
) -> dict[str, tuple[int, ...]]:
    """Return the planes that names tell, by the keys of the names; those of other images lack.

    A name is that of the stack with a number for each leading axis, or the numbers alone in a
    folder that is called like the stack. Words say which axis a number is of; bare numbers are in
    the order of the axes. The numbers count from 0 if one of them is 0, and from 1 if one is that
    of the last plane then.

    Parameters
    ----------
    names : mapping of str to str
    stem : str
        The name of the stack without its ending.
    planes : tuple of int
        Lengths of the leading axes.
    axes : str
        Their letters, "Z", "T" or "TZ"; empty if unknown: then a single axis is either of them.

    Raises
    ------
    ValueError
        If numbers lie outside the stack, are of an axis that it lacks, or it is not known whether
        they count from 0 or from 1; or if two names tell one plane.
    """
    axes = axes or ("TZ" if len(planes) == 2 else "")
    found: dict[str, tuple[int, ...]] = {}
    spelled: dict[str, str] = {}
    for key, name in names.items():
        numbers = _numbers(name, stem)
        if len(numbers) != len(planes):
            continue
        letters = "".join(letter for letter, _ in numbers)
        spelled.setdefault("".join(sorted(letters)), name)
        _check_axes(name, letters, axes)
        by_axis = sorted(numbers, key=lambda one: axes.find(one[0]))  # stable for bare numbers
        found[key] = tuple(number for _, number in by_axis)
    if len(spelled) > 1:
        one, other, *_ = spelled.values()
        raise ValueError(f"{one} and {other} name planes in two ways; {ADVICE}")
    bases = [
        first_number((one[axis] for one in found.values()), side)
        for axis, side in enumerate(planes)
    ]
    keys: dict[tuple[int, ...], str] = {}
    for key, numbers_of in found.items():
        place = tuple(n - base for n, base in zip(numbers_of, bases, strict=True))
        same = keys.setdefault(place, key)
        if same != key:
            raise ValueError(f"{names[same]} and {names[key]} name one plane; {ADVICE}")
    return {key: place for place, key in keys.items()}


def first_number(numbers: Iterable[int], side: int) -> int:
    """Return whether numbers of planes count from 0 or from 1.

    Raises
    ------
    ValueError
        If they lie outside the stack, or both are possible.
    """
    known = {*numbers}
    if not known or (0 in known and max(known) < side) or (side == 1 and len(known) == 1):
        return min(known, default=0)
    if 0 not in known and max(known) == side:
        return 1
    reason = "it is not known whether they count from 0 or from 1"
    if max(known) > side or 0 in known or side == 1:
        reason = f"the image has {side} plane{'s' * (side != 1)}"
    raise ValueError(
        f"images are named like planes {min(known)} to {max(known)}, but {reason}; {ADVICE}"
    )


def _check_axes(name: str, letters: str, axes: str) -> None:
    """Refuse a name with words for other axes than the image has."""
    if not letters or not axes or sorted(letters) == sorted(axes):
        return
    raise ValueError(
        f"{name} names planes of {' and '.join(letters.lower())}, but the image has planes of "
        f"{' and '.join(axes.lower())}; {ADVICE}"
    )


def _numbers(name: str, stem: str) -> Numbers:
    """Return the numbers of a plane of a stack that a name tells, each with the letter of its axis.

    There are none if the name is of another image, has other words, one axis twice, or words at
    some numbers alone. Numbers follow a word or a sign, so that cell10 is no plane of cell1.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    rest = path.stem.removeprefix(stem)
    own = rest != path.stem
    if not stem or not (own or path.parent.name == stem):
        return ()
    parts = list(NUMBER.finditer(rest))
    if "".join(one[0] for one in parts) != rest:
        return ()
    parted = parts if own else parts[1:]
    if any(one[2].lower() not in LETTERS for one in parts) or not all(
        one[1] or one[2] for one in parted
    ):
        return ()
    found = tuple((LETTERS[one[2].lower()], int(one[3])) for one in parts)
    letters = [letter for letter, _ in found]
    return found if not any(letters) or len({*letters} - {""}) == len(letters) else ()
