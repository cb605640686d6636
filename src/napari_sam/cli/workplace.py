"""Where a stack is worked on: here, here for a part of its planes, or on a cluster."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from ..everything.amg_params import AmgParams
from ..formats.label_images import OME_ZARR, label_suffix
from ..images.readers import StackImage
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..stack.blocks import apart
from ..stack.volumes import Prepare, StackFrame, stacks_like
from ..types import Plane
from .cluster import check_cluster
from .cluster_stack import stack_on_cluster
from .cluster_tasks import ModelFacts
from .commands import Say, load

if TYPE_CHECKING:
    from ..models.contract import PromptableModel


class Workplace(NamedTuple):
    """What finds the objects of a stack.

    Attributes
    ----------
    model : PromptableModel or ModelFacts
    predictor : SamPredictor or None
        None where the model is loaded by workers.
    prepare : callable of AmgParams, or None
        Returns what finds the objects of planes, if this is not the predictor alone.
    shares : list of float
        Of a part: the share of the contrast that was chosen, when planes have been found.
    """

    model: PromptableModel | ModelFacts
    predictor: SamPredictor | None
    prepare: Callable[[AmgParams], Prepare] | None
    shares: Sequence[float] = ()


def workplace(
    args: Namespace,
    image: StackImage,
    frame: StackFrame | None,
    shown: Sequence[Plane],
    say: Say,
    ends: ExitStack,
) -> Workplace:
    """Load the model, or connect to a cluster.

    Parameters
    ----------
    args : Namespace
        Of `everything`.
    image : StackImage
    frame : StackFrame or None
    shown : sequence of Plane
        The planes that are asked for.
    say : callable
    ends : ExitStack
        Gets what has to end with the run.
    """
    if args.cluster and frame is not None:
        args.keep_partial = False  # the cluster keeps them by itself
        work = ends.enter_context(stack_on_cluster(args, image, frame, say))
        return Workplace(work.cluster.model, None, lambda params: partial(work.prepare, params))
    model = load(args, say)
    predictor = SamPredictor(model)
    if not args.part or frame is None:
        return Workplace(model, predictor, None)
    session, shares = Session(predictor, max_bytes=0), list[float]()
    every = list(chain.from_iterable(stacks_like(shown[0], frame)))
    return Workplace(model, predictor, lambda params: apart(session, every, params, shares), shares)


def check_workplace(args: Namespace, frame: StackFrame | None) -> None:
    """Refuse `--cluster` and `--part` where they do not suit the image.

    Raises
    ------
    ValueError
    """
    if args.cluster:
        check_cluster(args.cluster)
        if frame is None:
            raise ValueError("--cluster is for several images or a stack; this is a single plane")
    if not args.part:
        return
    if frame is None or not args.slices:
        raise ValueError("--part goes together with --slices, which says which part of a stack")
    if label_suffix(args.output) != OME_ZARR:
        raise ValueError(f"--part needs -o NAME{OME_ZARR}, which merge reads")
    for name in ("cluster", "tracks", "text"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} is of a whole stack, and --part is of some of its planes")
