"""`napari-sam audit` and `napari-sam train`: labelled images looked over, and a model tuned."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..files import check_target, replacing
from ..models.cards import read_header
from ..models.recognition import models
from ..models.registry import check_name, check_trainable, find_spec, is_path
from ..models.specs import BUNDLED
from ..steps import drive
from ..training.finetune.findings import REMOVABLE
from ..training.finetune.tune_params import TuneParams, TuneStep
from ..types import Progress
from .endings import Declined, TerminatedError, interruption_noted
from .inputs import globbed

if TYPE_CHECKING:
    from ..training.finetune.audit import Audit
    from ..training.finetune.proven import Proven
    from ..training.finetune.seen import Sight
    from ..training.finetune.split import Split
    from .commands import Say

SUFFIX = ".safetensors"


def add_audit(parser: ArgumentParser) -> None:
    """Declare what `audit` takes."""
    _add_data(parser)
    parser.add_argument(
        "--figure", type=Path, metavar="FILE.png", help="draw where there is something to look at"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def add_train(parser: ArgumentParser) -> None:
    """Declare what `train` takes."""
    _add_data(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE.safetensors",
        help="the trained model; checkpoints go to FILE.training beside it",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=5.0, metavar="M", help="how long to train (default 5)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="train for N steps, however long they take"
    )
    parser.add_argument(
        "--held-out", type=float, default=0.25, metavar="X",
        help="share of the objects that both models are compared on (default 0.25)",
    )  # fmt: skip
    parser.add_argument(
        "--part", choices=("heads", "all", "lora"),
        help="what is trained; by default what suits the model",
    )  # fmt: skip
    parser.add_argument(
        "--leave-out", action="append", default=[], choices=REMOVABLE, metavar="KIND",
        help=f"leave out what `audit` found: {', '.join(REMOVABLE)}; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--resume", action="store_true", help="go on with a training that was stopped"
    )
    parser.add_argument(
        "--keep-anyway", action="store_true", help="write the model even if it is not better"
    )
    parser.add_argument(
        "--everything", action="store_true",
        help="compare everything mode, too; without it only with models that are quick in it",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=Path, metavar="FILE.png", help="draw the objects that changed most"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads to use")
    parser.add_argument(
        "--device", default="auto",
        help="where the model is trained and compared: auto, cpu, cuda or mps; pocket learns on "
        "the processor",
    )  # fmt: skip
    parser.add_argument("--offline", action="store_true", help="never download a model")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")


def _add_data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, nargs="+", metavar="DATA",
        help="folders of pairs NAME.tif and NAME_labels.tif, projects, COCO, .npz, ...",
    )  # fmt: skip
    parser.add_argument(
        "--base", default=BUNDLED, help="the model to train: a name, or the path of a checkpoint"
    )
    parser.add_argument(
        "--sparse", action="store_true", help="not every object is labelled, whatever the files say"
    )
    parser.add_argument("--most", type=int, metavar="N", help="read at most N files, spread evenly")


def audit(args: Namespace, say: Say) -> str:
    """Look labelled images over; return what was found as text."""
    _check_picture(args)
    found = _looked_over(args, say)
    _write_picture(args, found.as_picture())
    return found.as_text()


def train(args: Namespace, say: Say) -> str:
    """Tune a model on labelled images, compare it with its base, and write it if it is better."""
    from ..training.finetune.training_folder import locked

    check_name(args.base)
    check_trainable(args.base)
    if args.output.suffix.lower() != SUFFIX:
        raise ValueError(f"a tuned model is written as {SUFFIX}, but is called {args.output}")
    _check_picture(args)
    params = TuneParams(
        minutes=args.minutes,
        steps=args.steps,
        part=args.part,
        seed=args.seed,
        threads=args.threads,
    )
    folder = _folder(args)
    with locked(folder):
        return _trained(args, params, folder, say)


def _trained(args: Namespace, params: TuneParams, folder: Path, say: Say) -> str:
    """Do as `train` in a folder that no other program uses."""
    from ..training.finetune.proven import proven_tuning, shortage  # torch takes its time
    from ..training.finetune.split import split
    from ..training.finetune.training_folder import check_content, remove_training

    if check_content(folder) and not (args.resume or args.overwrite):
        raise ValueError(
            f"{folder} holds an earlier training; go on with it with --resume, or begin anew "
            "with --overwrite"
        )
    found = _looked_over(args, say)
    say(found.as_text(), keep=True)
    divided = split(found.without_kinds(*args.leave_out), args.held_out, args.seed)
    say(divided.sentence, keep=True)
    if few := shortage(divided):
        say(few, keep=True)
    _say_estimate(args, divided, params, say)
    if not args.resume:
        remove_training(folder)
    steps = proven_tuning(
        args.base,
        divided,
        params,
        folder,
        device=args.device,
        offline=args.offline or None,
        everything=args.everything or None,
    )
    try:
        proven = _driven(steps, say)
    except (KeyboardInterrupt, TerminatedError):
        steps.close()
        say(f"the best so far is in {folder}; the same command with --resume goes on", keep=True)
        raise
    _write_picture(args, proven.versus.picture())
    return _ended(args, proven, folder)


def _looked_over(args: Namespace, say: Say) -> Audit:
    """Read the labelled images and return what there is to know about them."""
    from ..training.finetune.audit import audit
    from ..training.finetune.collect import collect

    complete = False if args.sparse else None
    collected = drive(collect(globbed(args.data), complete=complete, most=args.most), say)
    say("looking over the labels")
    return audit(collected.examples, collected.refused, sight=sight_of(args.base))


def sight_of(base: str) -> Sight:
    """Return at which size a model sees images, without loading it.

    A file of safetensors tells it by the names of its tensors; any other, and one of adapters, is
    taken for a SAM.
    """
    from ..training.finetune.seen import POCKET, Sight

    if not is_path(base):
        return POCKET if base == BUNDLED else Sight(find_spec(base).image_size)
    try:
        with Path(base).open("rb") as file:
            header = read_header(file)[0]
    except (OSError, ValueError):  # whoever reads the weights says what is wrong
        return Sight()
    return POCKET if any(one.family.name == BUNDLED for one in models((), header)) else Sight()


def _folder(args: Namespace) -> Path:
    """Return where checkpoints go; refuse what cannot be that place."""
    from ..training.finetune.training_folder import check_place

    check_target(args.output, None, args.overwrite)
    folder: Path = args.output.with_suffix(".training")
    check_place(folder, args.data)
    return folder


def _say_estimate(args: Namespace, divided: Split, params: TuneParams, say: Say) -> None:
    from ..training.finetune.estimating import estimate

    needed = estimate(
        args.base, divided.learn, params, device=args.device, offline=args.offline or None
    )
    minutes = max(1, round(needed.seconds / 60))
    unit = "minute" if minutes == 1 else "minutes"
    say(
        f"training takes about {minutes} {unit} and {needed.bytes / 1e9:.1f} GB of memory, "
        f"{needed.images / 1e6:.0f} MB of it for the images; the comparison may take more",
        keep=True,
    )


def _driven(steps: Generator[TuneStep | Progress, None, Proven], say: Say) -> Proven:
    """Run a training to its end, or to the end of the step at which Ctrl+C is pressed."""

    def note() -> None:
        say("stopping after this step; Ctrl+C once more stops at once", keep=True)

    with interruption_noted(note) as interrupted:
        while not interrupted():
            try:
                step = next(steps)
            except StopIteration as end:
                proven: Proven = end.value
                return proven
            _show(step, say)
    raise KeyboardInterrupt


def _show(step: TuneStep | Progress, say: Say) -> None:
    """Show how far a training is."""
    if isinstance(step, Progress):
        say(step.text)
        return
    left = f"{_duration(step.left)} left"
    if step.held_out is not None:
        say(f"step {step.index}: held-out IoU {step.held_out:.3f}, {left}", keep=True)
    if step.index:
        say(f"step {step.index}: loss {step.loss:.3f}, IoU {step.iou:.3f}, {left}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"


def _ended(args: Namespace, proven: Proven, folder: Path) -> str:
    """Write the model if it is better or wanted all the same; return the figures."""
    from ..training.finetune.training_folder import remove_training

    versus = proven.versus
    text = f"{versus.as_text()}\n{proven.remark}".rstrip()
    if not versus.better and not args.keep_anyway:
        return Declined(
            f"{text}\nNothing was written. The trained weights stay in {folder}: the same command "
            f"with --resume --keep-anyway writes {args.output} all the same."
        )
    proven.write(args.output)
    remove_training(folder)
    size = args.output.stat().st_size / 1e6
    return f"{text}\n{args.output}: {size:.1f} MB; use it with --model {args.output}"


def _check_picture(args: Namespace) -> None:
    if args.figure is None:
        return
    if args.figure.suffix.lower() != ".png":
        raise ValueError(f"the picture is written as .png, but is called {args.figure}")
    going_on = args.command == "train" and args.resume  # the earlier picture is of this training
    check_target(args.figure, None, args.overwrite or going_on)


def _write_picture(args: Namespace, picture: NDArray[np.uint8]) -> None:
    if args.figure is not None:
        with replacing(args.figure) as partial:
            Image.fromarray(picture).save(partial, format="PNG")
