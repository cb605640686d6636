"""`napari-sam synthesize`: synthetic labelled images of objects cut from real ones."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checks import random_generator
from ..steps import drive
from ..training.synthesis.params import SynthesisParams
from .endings import Declined

if TYPE_CHECKING:
    from .commands import Say


def add_synthesize(parser: ArgumentParser) -> None:
    """Declare what `synthesize` takes."""
    parser.add_argument(
        "labels", type=Path, metavar="LABELS",
        help="a file or a folder: label images, projects, COCO, YOLO, .npz, ...",
    )  # fmt: skip
    parser.add_argument(
        "images", type=Path, nargs="?", metavar="IMAGES",
        help="the image, or the folder of images; by default those beside the labels",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR",
        help="folder of NAME.tif and NAME_labels.tif; a run that was stopped goes on there",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--count", type=int, required=True, metavar="N", help="how many images"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier set")
    group = parser.add_argument_group(
        "parameters", "LOW:HIGH is a range that is drawn from; strengths are shares of the "
        "range of grey values."
    )  # fmt: skip
    for option in fields(SynthesisParams):
        flag, text = f"--{option.name}", option.metadata["help"]
        if "min" not in option.metadata:
            group.add_argument(f"--no-{option.name}", action="store_true", help=text)
            continue
        value: Any = option.default
        single = isinstance(value, float)
        default = "" if value is None else f" (default {_shown(value)})"
        limits = f"{option.metadata['min']:g} to {option.metadata['max']:g}"
        group.add_argument(
            flag, type=float if single else _range, default=value,
            metavar="X" if single else "LOW:HIGH", help=f"{text}; {limits}{default}",
        )  # fmt: skip


def synthesize(args: Namespace, say: Say) -> str:
    """Write synthetic images; return what is in the folder as JSON."""
    from ..training.finetune.labelled_files import Finder
    from ..training.sets.sources import stack_readers
    from ..training.synthesis.bank import gathered
    from ..training.synthesis.synthesising import removed, synthesising

    names = [one.name for one in fields(SynthesisParams) if "min" in one.metadata]
    params = SynthesisParams(
        **{name: getattr(args, name) for name in names}, flips=not args.no_flips
    )
    if args.count < 1:
        raise ValueError(f"at least 1 image is made, but -n is {args.count}")
    random_generator(args.seed)
    sources = [one for one in (args.labels, args.images) if one is not None]
    place = args.output.resolve()
    inside = next((one for one in sources if one.resolve().is_relative_to(place)), None)
    if inside is not None:
        raise ValueError(f"the images would lie among the input {inside}; choose another folder")
    finder = Finder(sources, stack_readers())
    items = finder.items() if args.images is None else finder.paired()
    refused = [one.sentence for one in finder.refused]
    if not items:
        raise ValueError(refused[0] if refused else f"{args.labels} holds no labelled image")
    bank = drive(gathered(items, args.seed), say)
    refused += bank.refused
    for sentence in refused:
        say(sentence, keep=True)
    if args.overwrite:
        removed(args.output)
    made = drive(synthesising(bank, args.output, args.count, params, args.seed), say)
    found = {
        "path": str(args.output),
        "images": len(made),
        "objects": sum(len(one["objects"]) for one in made),
        "cut": sum(map(len, bank.cuts.values())),
        "grounds": len(bank.grounds),
        "left_out": refused,
    }
    text = json.dumps(found)
    return Declined(text) if refused else text


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise ArgumentTypeError(f"a range is LOW:HIGH, but is {text}") from None


def _shown(value: float | tuple[float, float]) -> str:
    low, high = value if isinstance(value, tuple) else (value, value)
    return f"{low:g}:{high:g}" if low < high else f"{low:g}"
