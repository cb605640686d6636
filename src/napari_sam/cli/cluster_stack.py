"""A stack on a cluster: blocks of its planes are done by workers and joined here."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from .._version import __version__
from ..everything.amg_params import AmgParams
from ..images.plane_stack import PlaneStack
from ..images.readers import StackImage
from ..stack.blocks import NAMES, Block, KeptPlanes, blocks_of, read_back
from ..stack.planes import PER_PLANE, PlaneResult
from ..stack.volumes import Find, StackFrame
from ..types import Plane, Progress
from .cluster import Cluster, connected
from .cluster_tasks import StackSource, choose_share, do_planes
from .commands import Say
from .image_state import state_of
from .manifest import locked


@dataclass(frozen=True)
class StackWork:
    """The work of a cluster on a stack.

    Attributes
    ----------
    cluster : Cluster
    source : StackSource
    shape : tuple of int
        Of the stack, without colours.
    axis : int
        Along which its planes follow one another.
    thickness : int
        Planes in a chunk of the image.
    made : dict
        What the planes are made from, besides model and parameters.
    say : callable
    kept : list of KeptPlanes
        Gets those of this work when it has begun.
    """

    cluster: Cluster
    source: StackSource
    shape: tuple[int, ...]
    axis: int
    thickness: int
    made: dict[str, Any]
    say: Say
    kept: list[KeptPlanes] = field(default_factory=list)

    def prepare(
        self, params: AmgParams, planes: Sequence[Plane]
    ) -> Generator[Progress, None, Find]:
        """Begin to find objects, in planes that are not done; see `volumes.Prepare`."""
        model = self.cluster.model
        made = {
            **self.made,
            "fingerprint": model.fingerprint,
            "precision": model.precision,
            "parameters": {k: v for k, v in asdict(params).items() if k != "point_grids"},
        }
        kept = KeptPlanes.opened(self.source.folder, self.shape, planes[0].key, made)
        self.kept.append(kept)
        source = self.source._replace(folder=kept.folder)
        bare = [replace(plane, image=None) for plane in planes]
        share = kept.share
        if share is None:
            yield Progress(0, 0, "choosing the contrast")
            share = kept.share = self.cluster.once(choose_share, source, bare, params)
        left = {plane.key for plane in kept.missing(bare)}
        self._tell_of_earlier(kept, len(bare) - len(left), len(bare))
        divided = blocks_of(bare, self.axis, self.thickness, self.cluster.workers())
        blocks = [
            Block(one, params, share) for one in divided if any(plane.key in left for plane in one)
        ]
        ended = self.cluster.completed(partial(do_planes, source), blocks)

        def find(
            some: Sequence[Plane], largest: int
        ) -> Generator[Progress | PlaneResult, None, int]:
            for done, plane in enumerate(some):
                while plane.key in left:
                    outcome = next(ended)
                    outcome.result()
                    left.difference_update(one.key for one in outcome.task.planes)
                    text = (
                        f"{len(bare) - len(left)} of {len(bare)} planes done by "
                        f"{self.cluster.workers()} workers"
                    )
                    yield Progress(PER_PLANE * done, PER_PLANE * len(some), text)
                largest = yield from read_back(kept.read, [plane], largest)
            return largest

        return find

    def _tell_of_earlier(self, kept: KeptPlanes, done: int, planes: int) -> None:
        """Say what earlier runs have left."""
        if done:
            self.say(f"{done} of {planes} planes were done by an earlier run", keep=True)
        if any(one != kept.folder for one in kept.folder.parent.glob(NAMES)):
            self.say(
                "an earlier run did planes with another image, model or parameters; they are left "
                "aside, and removed when this run is complete",
                keep=True,
            )


@contextmanager
def stack_on_cluster(
    args: Namespace, image: StackImage, frame: StackFrame, say: Say
) -> Iterator[StackWork]:
    """Connect to a cluster; what it did is kept beside the result until that is complete.

    Parameters
    ----------
    args : Namespace
        Of `everything`.
    image : StackImage
    frame : StackFrame
    say : callable

    Raises
    ------
    ValueError
        If there is no such cluster, or another run makes the same result.
    """
    output, given = args.output.resolve(), args.image.resolve()
    folder = output.with_name(f".{output.name}.blocks")
    with locked(folder):
        kept = list[KeptPlanes]()
        try:
            with connected(args, [given], folder, say) as cluster:
                source = StackSource(cluster.source, given, args.series, cluster.most_held, folder)
                thickness = 1
                if isinstance(image.data, PlaneStack):
                    thickness = image.data.chunks[frame.axis]
                names = ("series", "slices", "axis", "contrast", "window", "channels", "spacing")
                made = {name: getattr(args, name) for name in names}
                made |= {"version": __version__, "image": state_of(given, image)}
                yield StackWork(
                    cluster, source, frame.shape, frame.axis, thickness, made, say, kept
                )
        except BaseException:
            if kept:
                say("planes that are done are kept; the same command goes on with them", keep=True)
            elif not any(folder.glob(NAMES)):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # where an open file of the lock could not be removed
        folder.rmdir()
