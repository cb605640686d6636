"""`napari-sam convert`: labels and images of any form as a training set of another system."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ..files import check_target
from ..formats.training_sets.known import TRAINING_SETS
from ..steps import drive
from .endings import Declined
from .inputs import globbed

if TYPE_CHECKING:
    from .commands import Say


def add_convert(parser: ArgumentParser) -> None:
    """Declare what `convert` takes."""
    parser.add_argument(
        "labels", type=Path, metavar="LABELS",
        help="a file or a folder: label images, projects, COCO, YOLO, SA-1B, a set of nnU-Net, ...",
    )  # fmt: skip
    parser.add_argument(
        "images", type=Path, nargs="?", metavar="IMAGES",
        help="the image, or the folder of images; by default those beside the labels",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the set"
    )
    parser.add_argument(
        "--to", required=True, choices=tuple(TRAINING_SETS),
        help="the system; labels is NAME.tif and NAME_labels.tif",
    )  # fmt: skip
    parser.add_argument(
        "--split", type=float, metavar="X",
        help="share of the groups to learn from, for example 0.8; the others are held out. Without "
        "it a set that convert made keeps its division, and all else is learnt from",
    )  # fmt: skip
    parser.add_argument(
        "--group", default="", metavar="REGEX",
        help="what it matches in the path of an image is its group; by default each stack, file, "
        "or series of numbered files is one",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the split")
    parser.add_argument(
        "--volumes", action="store_true", help="keep stacks whole, in place of planes"
    )
    parser.add_argument(
        "--border", action="store_true",
        help="nnunet: the outermost pixels of each object are a class of their own, so that "
        "objects that touch stay apart",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true",
        help="replace an earlier set; a folder with any other file in it is not touched",
    )  # fmt: skip


def convert(args: Namespace, say: Say) -> str:
    """Write a training set; return what is in it, and what was lost, as JSON."""
    from ..training.finetune.labelled_files import Finder
    from ..training.sets.making import SetChoice, check_choice, making
    from ..training.sets.sources import stack_readers

    kind = TRAINING_SETS[args.to]
    choice = SetChoice(args.volumes, args.border, args.split, args.group, args.seed)
    check_choice(kind, choice)
    sources = globbed([args.labels]) if args.images is None else [args.labels, args.images]
    _check_folder(args.output, sources, args.overwrite)
    finder = Finder(sources, stack_readers())
    items = finder.items() if args.images is None else finder.paired()
    refused = [one.sentence for one in finder.refused]
    if not items:
        raise ValueError(refused[0] if refused else f"{args.labels} holds no labelled image")
    result = drive(making(items, args.output, kind, choice), say)
    refused += result.refused
    for sentence in refused:
        say(sentence, keep=True)
    held_out = sum(row["part"] != "train" for row in result.rows)
    found = {
        "path": str(args.output),
        "to": args.to,
        "images": len(result.rows),
        "held_out": held_out,
        "objects": sum(row["objects"] for row in result.rows),
        "lost": {clause: count for clause, count in result.losses.items() if count},
        "empty_planes_left_out": result.empty,
        "notices": dict(result.notices),
        "left_out": refused,
    }
    text = json.dumps(found)
    return Declined(text) if refused else text


def _check_folder(path: Path, sources: list[Path], overwrite: bool) -> None:
    """Refuse a place where a set cannot go; only an earlier set is replaced."""
    from ..training.sets.manifest import check_replaceable

    place = path.resolve()
    inside = next((one for one in sources if one.resolve().is_relative_to(place)), None)
    if inside is not None:
        raise ValueError(f"the set {path} would replace the input {inside}; choose another name")
    if not path.is_dir():
        check_target(path, None, overwrite=False)
    elif any(path.iterdir()) and not overwrite:
        raise ValueError(f"{path} exists; choose another name or give --overwrite")
    elif any(path.iterdir()):
        check_replaceable(path)
