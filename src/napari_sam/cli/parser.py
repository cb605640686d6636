"""The command line: `napari-sam demo`, `segment`, `everything`, `evaluate`, `train` and others."""

from __future__ import annotations

import argparse
import logging
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn

from .._version import __version__
from ..conflict import conflict
from ..everything.amg_params import AmgParams
from ..everything.worded import SHARE
from ..formats.label_images import LABEL_FORMATS
from ..images.ct_windows import WINDOWS
from ..models.specs import BUNDLED
from ..models.text_models import TEXT_SPECS
from ..predict.prompt_kinds import PROMPT_KINDS
from ..stack.propagate import PROPAGATORS
from . import commands, convert, everything, export, merge, segment, synthesize, train
from .demo import demo
from .endings import (
    CLOSED_PIPE,
    Declined,
    TerminatedError,
    is_memory,
    signals_raised,
    written,
)
from .folders import add_folder, each
from .prompt_file import add_prompt_file
from .records import RECORDS

DECLINED = 1
USAGE_ERROR = 2
INTERRUPTED = 130
PAUSE = 1.0
"""Least time between two lines of progress where they are not written over each other, s."""
NEGATIVE = re.compile(r"-[\d.]+[,:]")
"""A prompt or a range that begins with a negative number, which argparse takes for a flag."""


class Parser(argparse.ArgumentParser):
    """A parser that reports an error as one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` prints."""
        raise ValueError(message)


class Reporter:
    """Writes progress to stderr: over itself on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._last = float("-inf")
        self._written = ""

    def say(self, text: str, keep: bool = False) -> None:
        """Show one line of progress, or one that stays."""
        now = time.monotonic()
        if keep:
            self.clear()
            written(f"napari-sam: {text}\n", sys.stderr)
        elif self._terminal:
            written(f"\r\x1b[K{text}", sys.stderr)
        elif now - self._last >= PAUSE and text != self._written:
            self._last, self._written = now, text
            written(f"{text}\n", sys.stderr)

    def clear(self) -> None:
        """Remove the line of progress."""
        if self._terminal:
            written("\r\x1b[K", sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0, 1 if a trained model is not better and so was not written, or files were left out, 2
        after an error that is stated in one line, 130 after an interruption, 143 after SIGTERM, or
        141 if the reader of stdout is gone.
    """
    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what matters is raised
    reporter = Reporter()
    warning = conflict()
    if warning:
        reporter.say(warning, keep=True)
    try:
        with signals_raised():
            result = _run(argv, reporter)
    except SystemExit:  # --help and --version have been written
        if lost := written("", sys.stdout):
            return _unwritten(reporter, lost)
        raise
    except KeyboardInterrupt:
        return _fail(reporter, "interrupted", INTERRUPTED)
    except TerminatedError as ended:
        return _fail(reporter, "terminated", ended.status)
    except (ValueError, OSError, MemoryError) as error:
        return _fail(reporter, str(error) or "not enough memory", USAGE_ERROR)
    except RuntimeError as error:
        if not is_memory(error):
            raise
        return _fail(reporter, "not enough memory on this device; try --device cpu", USAGE_ERROR)
    reporter.clear()
    lost = written(f"{result}\n", sys.stdout)
    if lost is not None:
        return _unwritten(reporter, lost)
    return DECLINED if isinstance(result, Declined) else 0


def _run(argv: Sequence[str] | None, reporter: Reporter) -> str:
    args = _parser().parse_args(_joined(sys.argv[1:] if argv is None else argv))
    run: Callable[[argparse.Namespace, commands.Say], str] = args.run
    return run(args, reporter.say)


def _fail(reporter: Reporter, message: str, code: int) -> int:
    reporter.clear()
    written(f"napari-sam: {' '.join(message.split())}\n", sys.stderr)
    return code


def _unwritten(reporter: Reporter, lost: OSError) -> int:
    if isinstance(lost, BrokenPipeError):
        return CLOSED_PIPE
    return _fail(reporter, f"stdout cannot be written to: {lost.strerror}", USAGE_ERROR)


def _joined(argv: Sequence[str]) -> list[str]:
    """Write `--point -3,4` as `--point=-3,4`."""
    joined: list[str] = []
    for argument in argv:
        if joined and NEGATIVE.match(argument) and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> Parser:
    parser = Parser(
        prog="napari-sam",
        description="Segment Anything for image stacks.",
        epilog="Progress goes to stderr, the result to stdout; after an error the code is 2.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"napari-sam {__version__}")
    subparsers = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser
    )

    def bare(name: str, run: Callable[..., str], text: str) -> Parser:
        added = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    def command(
        name: str, run: Callable[..., str], text: str, model: str | None = BUNDLED
    ) -> Parser:
        added = bare(name, run, text)
        added.add_argument(
            "--model",
            default=model,
            help="a name, or the path of a checkpoint or of an exported model",
        )
        added.add_argument(
            "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, coreml or directml"
        )
        added.add_argument("--precision", default="auto", help="auto, float32 or bfloat16")
        added.add_argument("--offline", action="store_true", help="never download a model")
        return added

    _add_demo(command("demo", demo, "Segment the built-in samples and draw an overview."))
    _add_models(
        command("models", commands.models, "Show the models that can be loaded.", model=None)
    )
    _add_segment(
        command("segment", each(segment.segment), "Segment the objects that prompts name.")
    )
    _add_everything(
        command(
            "everything",
            each(everything.everything, {"sa1b": RECORDS}),
            "Segment every object of images or stacks.",
        )
    )
    text = "Join the parts of a stack that runs of `everything --part` have made."
    merge.add_merge(bare("merge", merge.merge, text))
    _add_evaluate(
        command(
            "evaluate",
            commands.evaluate,
            "Score a model on your own labelled images, or compare two annotations of one image.",
        )
    )
    text = "Look labelled images over before a model is trained on them."
    train.add_audit(bare("audit", train.audit, text))
    text = "Train a model on your own labelled images, and keep it only if it is better."
    train.add_train(bare("train", train.train, text))
    text = "Write labelled images as a training set of another system, or read one."
    convert.add_convert(bare("convert", convert.convert, text))
    text = "Make synthetic labelled images of objects cut from real ones."
    synthesize.add_synthesize(bare("synthesize", synthesize.synthesize, text))
    text = "Write a model as ONNX files, which run without torch, and compare them with torch."
    export.add_export(bare("export", export.export, text))
    _add_cache(bare("cache", commands.cache, "Show what is kept of encoded planes, or empty it."))
    text = "Delete what is kept of encoded planes, and journals of unsaved work."
    _add_forget(bare("forget", commands.forget, text))
    return parser


def _add_demo(parser: Parser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("demo-output"), metavar="FOLDER",
        help="folder of the results, made if need be (default demo-output)",
    )  # fmt: skip
    _add_overwrite(parser)


def _add_models(parser: Parser) -> None:
    parser.add_argument(
        "--fetch", action="store_true", help="download the model named by --model for later"
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE",
        help="write all weights of --model, as of a tuned file, for other programs: .pth or "
        ".safetensors",
    )  # fmt: skip


def _add_segment(parser: Parser) -> None:
    _add_files(parser)
    add_folder(parser)
    for name, kind in PROMPT_KINDS.items():
        parser.add_argument(
            kind.flag, dest=name, action="append", default=[], metavar=f"{kind.form}[,Z[,T]]",
            help=f"{kind.help}; repeatable",
        )  # fmt: skip
    add_prompt_file(parser)
    parser.add_argument(
        "--untidy", action="store_true", help="leave loose pieces and small holes in the masks"
    )
    parser.add_argument(
        "--propagate", action="store_true",
        help="follow the objects from their planes through the stack, both ways",
    )  # fmt: skip
    parser.add_argument(
        "--slices", metavar="A:B",
        help="follow them into planes A to B - 1 only; into all of them by default",
    )  # fmt: skip
    parser.add_argument(
        "--one-object", action="store_true",
        help="all prompts are of one object; on several planes they say how it changes",
    )  # fmt: skip
    parser.add_argument(
        "--propagator", choices=PROPAGATORS,
        help="how objects are found in the next plane: by how they look, or by the memory of a "
        "model that has one (SAM 2); memory by default if there is one",
    )  # fmt: skip


def _add_everything(parser: Parser) -> None:
    _add_files(parser)
    add_folder(parser, "sa1b")
    parser.add_argument(
        "--slices", metavar="A:B", help="planes A to B - 1 of a stack; all of them by default"
    )
    parser.add_argument(
        "--part", action="store_true",
        help="with --slices: leave the planes as they were found, for `merge` to join all parts",
    )  # fmt: skip
    parser.add_argument(
        "--contrast", metavar="LOW,HIGH",
        help="values shown black and white; by default those that suit each plane",
    )  # fmt: skip
    parser.add_argument(
        "--least-volume", type=float, metavar="V",
        help="leave out objects of a stack of less volume, in cubic micrometres",
    )  # fmt: skip
    parser.add_argument(
        "--tracks", type=Path, metavar="FILE.txt",
        help="write the table of parents of a time series: label, first frame, last frame, parent",
    )  # fmt: skip
    parser.add_argument(
        "--annotations", type=Path, metavar="FILE.json",
        help="write the masks of a 2-D image with their scores as well, as COCO run lengths",
    )  # fmt: skip
    parser.add_argument(
        "--rule", type=Path, metavar="FILE.json",
        help="thresholds and sizes saved as a rule in napari; flags count more",
    )  # fmt: skip
    words = parser.add_argument_group(
        "text (experimental)", "Of the objects found, those that fit words best are kept."
    )
    words.add_argument(
        "--text", metavar="WORDS", help="what to look for, as 'round dark cell'; becomes the class"
    )
    words.add_argument(
        "--text-model", metavar="MODEL",
        help="folder of a CLIP or SigLIP model, or the name of one that is downloaded: "
        f"{', '.join(f'{one.name} ({one.size_text}, {one.licence})' for one in TEXT_SPECS)}",
    )  # fmt: skip
    words.add_argument(
        "--text-share", type=float, metavar="X",
        help=f"share of the objects that is kept, 0 to 1 (default {SHARE})",
    )  # fmt: skip
    group = parser.add_argument_group("parameters", "Defaults are those that suit the model.")
    for option in fields(AmgParams):
        if not option.metadata:
            continue
        kind, flag = type(option.default), f"--{option.name.replace('_', '-')}"
        if "choices" in option.metadata:
            group.add_argument(
                flag, choices=option.metadata["choices"], default=None,
                help=option.metadata["help"],
            )  # fmt: skip
            continue
        limits = f"{option.metadata['min']} to {option.metadata['max']}"
        group.add_argument(
            flag, type=kind, default=None,
            metavar="N" if kind is int else "X", help=f"{option.metadata['help']}; {limits}",
        )  # fmt: skip


def _add_evaluate(parser: Parser) -> None:
    parser.add_argument(
        "data", type=Path, metavar="DATA",
        help="folder of pairs NAME.tif and NAME_labels.tif, or of .npz sources",
    )  # fmt: skip
    parser.add_argument(
        "other", type=Path, nargs="?", metavar="B",
        help="compare DATA with this: two annotations of one image, as label images or projects",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=Path, metavar="FILE.png",
        help="draw where the two annotations differ",
    )  # fmt: skip
    _add_overwrite(parser)
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    parser.add_argument(
        "--clicks", type=int, default=3, metavar="N",
        help="clicks for each object: the first, then on the largest error (default 3)",
    )  # fmt: skip
    parser.add_argument(
        "--everything", action="store_true",
        help="score everything mode as well, for planes whose objects are all labelled",
    )  # fmt: skip
    parser.add_argument(
        "--whole-planes", action="store_true", help="do not look closer at small objects"
    )
    parser.add_argument(
        "--pool", action="store_true", help="put sources of fewer than 30 objects into one row"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="score at most N objects of each plane"
    )


def _add_cache(parser: Parser) -> None:
    parser.add_argument("--clear", action="store_true", help="remove all that is kept")


def _add_forget(parser: Parser) -> None:
    parser.add_argument(
        "--older-than",
        type=_days,
        default=0.0,
        metavar="DAYS",
        help="only journals that were not changed for so long",
    )


def _days(text: str) -> float:
    days = float(text)
    if not 0 <= days < float("inf"):
        raise ValueError
    return days


def _add_files(parser: Parser) -> None:
    parser.add_argument(
        "image", type=Path, metavar="IMAGE", nargs="+",
        help="TIFF, OME-Zarr, .npy, PNG, JPEG, NIfTI, a folder of DICOM files, ...; or several: a "
        "folder of images, a glob in quotes, a .txt file with a path in each line",
    )  # fmt: skip
    parser.add_argument(
        "--series", type=int, metavar="N",
        help="which image of a file that holds several, counted from 0",
    )  # fmt: skip
    *suffixes, last = LABEL_FORMATS
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="LABELS",
        help=f"the result: {', '.join(suffixes)} or {last}; of several images, a folder",
    )  # fmt: skip
    parser.add_argument(
        "--axis", metavar="AXIS",
        help="what the planes of a stack follow one another along: z, t, y or x (default z, or t)",
    )  # fmt: skip
    parser.add_argument(
        "--spacing", metavar="Z,Y,X",
        help="size of a pixel in micrometres; that of the file by default",
    )  # fmt: skip
    parser.add_argument(
        "--channels", metavar="C,...",
        help="channels to look at, counted from 0, for example 0,2; all of them by default",
    )  # fmt: skip
    parser.add_argument(
        "--window", choices=tuple(WINDOWS),
        help="window of a computed tomography; that of the file by default",
    )  # fmt: skip
    parser.add_argument(
        "--keep-patient", action="store_true",
        help="write patient and study into a DICOM segmentation; they are left out by default",
    )  # fmt: skip
    _add_overwrite(parser)
    parser.set_defaults(keep_partial=True)


def _add_overwrite(parser: Parser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")
