"""A stack on a cluster: blocks of its planes are done by workers and joined here."""

from __future__ import annotations

import hashlib
import os
import shutil
from argparse import Namespace
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from .._version import __version__
from ..everything.amg_params import AmgParams
from ..images.plane_stack import PlaneStack
from ..images.readers import StackImage
from ..stack.blocks import Block, KeptPlanes, blocks_of, read_back
from ..stack.planes import PER_PLANE, PlaneResult
from ..stack.volumes import Find, StackFrame
from ..types import Plane, Progress
from .cluster import Cluster, connected
from .cluster_tasks import StackSource, choose_share, do_planes
from .commands import Say
from .manifest import locked

PLANES = "planes.zarr"


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
    """

    cluster: Cluster
    source: StackSource
    shape: tuple[int, ...]
    axis: int
    thickness: int
    made: dict[str, Any]

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
        bare = [replace(plane, image=None) for plane in planes]
        share = kept.share
        if share is None:
            yield Progress(0, 0, "choosing the contrast")
            share = kept.share = self.cluster.once(choose_share, self.source, bare, params)
        left = {plane.key for plane in kept.missing(bare)}
        divided = blocks_of(bare, self.axis, self.thickness, self.cluster.workers())
        blocks = [
            Block(one, params, share) for one in divided if any(plane.key in left for plane in one)
        ]
        ended = self.cluster.completed(partial(do_planes, self.source), blocks)

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
    try:
        with locked(folder), connected(args, [given], folder, say) as cluster:
            source = StackSource(
                cluster.source, given, args.series, cluster.most_held, folder / PLANES
            )
            thickness = image.data.chunks[frame.axis] if isinstance(image.data, PlaneStack) else 1
            names = ("series", "slices", "axis", "contrast", "window", "channels", "spacing")
            made = {name: getattr(args, name) for name in names}
            made |= {"version": __version__, "image": _state_of(given)}
            yield StackWork(cluster, source, frame.shape, frame.axis, thickness, made)
    except BaseException:
        if (folder / PLANES).exists():
            say("planes that are done are kept; the same command goes on with them", keep=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _state_of(path: Path) -> str:
    """Return a digest of the names, sizes and times of the files of an image; none is read."""
    whole = hashlib.sha256()
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for one in files:
        state = one.stat()
        name = os.fsencode(one.relative_to(path.parent))
        whole.update(name + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return whole.hexdigest()
