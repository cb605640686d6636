"""Rules: thresholds of everything mode under a name, to be applied to other images."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

from ..checks import shown
from ..files import replacing
from .amg_params import AmgParams

FORMAT, VERSION = "napari-sam rule", 1
ENDING = ".rule.json"
LARGEST_FILE = 1_000_000
BEYOND = 1e15
"""Pixels, more than an object may have; `AmgParams` refuses so many."""
SIZES = ("min_area", "max_area")
"""Parameters in pixels of one image; a rule has them as sizes."""
Unit = Literal["µm²", "px"]


@dataclass(frozen=True)
class Rule:
    """How objects are found and which of them are accepted, on any image.

    Attributes
    ----------
    params : AmgParams
        Its sizes do not count.
    least_size, greatest_size : float
        Of an object in a plane; 0: no limit.
    unit : {"µm²", "px"}
        Of the sizes.
    only_new : bool
        Accept only what lies where nothing is labelled yet.
    all_planes : bool
        Run on all planes of a stack, not only on the one shown.
    """

    params: AmgParams = field(default_factory=AmgParams)
    least_size: float = 0.0
    greatest_size: float = 0.0
    unit: Unit = "px"
    only_new: bool = True
    all_planes: bool = False

    @classmethod
    def of(cls, params: AmgParams, pixel: float | None, **options: Any) -> Rule:
        """Make a rule of parameters that hold for one image.

        Parameters
        ----------
        params : AmgParams
        pixel : float or None
            Area of a pixel in µm²; None if it is not known.
        **options
            Other fields.
        """
        one = pixel or 1.0
        sizes = params.min_area * one, params.max_area * one
        unit: Unit = "µm²" if pixel else "px"
        return cls(replace(params, min_area=0, max_area=0), *sizes, unit, **options)

    def params_for(self, pixel: float | None) -> AmgParams:
        """Return the parameters for an image.

        Parameters
        ----------
        pixel : float or None
            Area of a pixel in µm²; None if it is not known.

        Raises
        ------
        ValueError
            If the rule has sizes in µm², and the image none.
        """
        has_sizes = bool(self.least_size or self.greatest_size)
        if has_sizes and self.unit == "µm²" and not pixel:
            raise ValueError(
                "the rule has sizes in µm², but nobody knows how large a pixel of this image is; "
                "set its scale and units, or give --spacing on the command line"
            )
        one = pixel if self.unit == "µm²" and pixel else 1.0
        sizes = self.least_size, self.greatest_size
        least, greatest = (round(min(size / one, BEYOND)) for size in sizes)
        if self.greatest_size:
            greatest = max(1, greatest)  # 0 would be no limit
        return replace(self.params, min_area=least, max_area=greatest)


def write_rule(rule: Rule, path: Path) -> None:
    """Write a rule as JSON; its folder is made if need be.

    Raises
    ------
    ValueError
        If the disk refuses it.
    """
    params = {name: value for name, value in asdict(rule.params).items() if name in _names()}
    document = asdict(rule) | {"params": params}
    document = {"format": FORMAT, "version": VERSION, **document}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            text = json.dumps(document, indent=2, ensure_ascii=False)
            partial.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"the rule cannot be written to {path}: {error.strerror}") from error


def read_rule(path: Path) -> Rule:
    """Read a rule.

    Raises
    ------
    ValueError
        If the file cannot be read, is none of a rule, or has a value out of its range.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path} is too large for a rule")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"the rule {path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no rule: it is not JSON") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f'{path} is no rule: its "format" is not "{FORMAT}"')
    if document.get("version") != VERSION:
        version = shown(document.get("version"))
        raise ValueError(f"{path} is a rule of version {version}; update napari_sam to read it")
    try:
        return _rule(document)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def rules_in(folder: Path) -> dict[str, Path]:
    """Return the rules of a folder by their names, sorted; none where there is no folder."""
    found = sorted(folder.glob(f"*{ENDING}"), key=lambda one: one.name.casefold())
    return {one.name.removesuffix(ENDING): one for one in found}


def _names() -> set[str]:
    return {one.name for one in fields(AmgParams) if one.metadata} - set(SIZES)


def _rule(document: dict[str, Any]) -> Rule:
    params = document.get("params", {})
    if not isinstance(params, dict) or not params.keys() <= _names():
        raise ValueError('"params" holds the parameters of everything mode by name, and no other')
    unit = document.get("unit", "px")
    if unit not in ("µm²", "px"):
        raise ValueError(f'"unit" is "µm²" or "px", but is {shown(unit)}')
    only_new, all_planes = document.get("only_new", True), document.get("all_planes", False)
    if not (isinstance(only_new, bool) and isinstance(all_planes, bool)):
        raise ValueError('"only_new" and "all_planes" are true or false')
    least, greatest = _size(document, "least_size"), _size(document, "greatest_size")
    return Rule(AmgParams(**params), least, greatest, unit, only_new, all_planes)


def _size(document: dict[str, Any], name: str) -> float:
    size = document.get(name, 0.0)
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise ValueError(f'"{name}" is a number, but is {shown(size)}')
    try:
        number = float(size)
    except OverflowError:  # an integer of hundreds of digits
        number = inf
    if not 0 <= number < inf:
        raise ValueError(f'"{name}" is 0 or more, but is {shown(size)}')
    return number
