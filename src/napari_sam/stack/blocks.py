"""Planes of a stack done in blocks, by any number of processes: what each found is kept on disk.

Planes do not depend on one another, so blocks need no planes beside their own. What is found in
them is joined afterwards, over the whole stack at once, as in a run on one machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..everything.amg_params import AmgParams
from ..images.decoding import UNREADABLE
from ..predict.session import Session
from ..types import Plane, Progress, SliceKey
from .planes import PER_PLANE, PlaneResult, best_share, everything_in
from .volumes import Find, Prepare

ABSENT = -1
"""Value of pixels of planes that are not done."""

NAMES = "planes-*.zarr"
"""Folders of kept planes; each is named by a digest of all that its planes were made from."""

PATIENCE = 30.0
"""Seconds until a plane that another machine wrote has to appear here."""

BLOCKS_OF_WORKER = 4
"""Blocks that there are for each worker at least, where there are so many planes."""


class KeptPlanes:
    """Labels of planes in a folder, a file for each plane that is done.

    A file is written beside its place and renamed, so processes may write at the same time, and a
    killed one leaves no plane half done. The labels of each plane begin with 1.

    Parameters
    ----------
    folder : Path
        An earlier one; see `opened`.
    """

    def __init__(self, folder: Path) -> None:
        import zarr

        self.folder = folder
        self._array: Any = zarr.open_array(folder, mode="r+")

    @classmethod
    def opened(
        cls, folder: Path, shape: Sequence[int], key: SliceKey, made: Mapping[str, Any]
    ) -> KeptPlanes:
        """Open the planes in a folder that were made from the same, or make a place for them.

        Those made from something else have a place of their own, so a late worker of an earlier
        run writes nothing here.

        Parameters
        ----------
        folder : Path
            Of all of them.
        shape : sequence of int
            Of the stack, without colours.
        key : SliceKey
            Any of its planes.
        made : mapping
            All that the planes depend on, as JSON can hold it.
        """
        import zarr
        from zarr.codecs import ZstdCodec

        text = json.dumps(dict(made), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        place = folder / NAMES.replace("*", digest)
        try:
            return cls(place)
        except UNREADABLE:  # none, or not whole
            shutil.rmtree(place, ignore_errors=True)
        zarr.create_array(
            place,
            shape=tuple(shape),
            chunks=tuple(n if axis in key.displayed else 1 for axis, n in enumerate(shape)),
            dtype=np.int32,
            fill_value=ABSENT,  # so that a plane without objects has a file, too
            compressors=ZstdCodec(level=1, checksum=True),
            attributes={"made": dict(made)},
        )
        return cls(place)

    @property
    def share(self) -> float | None:
        """The share of the contrast that was chosen for all planes; None if it was not yet."""
        share: float | None = self._array.attrs.get("share")
        return share

    @share.setter
    def share(self, share: float) -> None:
        self._array.attrs["share"] = share

    def missing(self, planes: Iterable[Plane]) -> list[Plane]:
        """Return the planes that are not done yet."""
        return [plane for plane in planes if not self._file(plane.key).exists()]

    def write(self, key: SliceKey, labels: NDArray[np.int32]) -> None:
        """Keep the labels of a plane."""
        self._array[key.index] = labels

    def read(self, key: SliceKey) -> NDArray[np.int32]:
        """Return the labels of a plane that some process has written.

        Raises
        ------
        ValueError
            If the file does not appear, or is damaged.
        """
        latest = time.monotonic() + PATIENCE
        while not self._file(key).exists():  # network drives show files of others late
            if time.monotonic() > latest:
                raise ValueError(
                    f"what a worker wrote does not appear in {self.folder}; all machines need to "
                    "see the same folders under the same names"
                )
            time.sleep(0.1)
        try:
            return np.asarray(self._array[key.index])
        except UNREADABLE as error:
            raise ValueError(
                f"{self._file(key)} is damaged; remove it, and the same command goes on"
            ) from error

    def _file(self, key: SliceKey) -> Path:
        places = dict(key.fixed)
        chunk = tuple(places.get(axis, 0) for axis in range(self._array.ndim))
        return self.folder / str(self._array.metadata.encode_chunk_key(chunk))


class Block(NamedTuple):
    """What a worker does at once.

    Attributes
    ----------
    planes : tuple of Plane
        Without their image, which the worker opens by itself.
    params : AmgParams
    share : float
        See `everything_in`.
    """

    planes: tuple[Plane, ...]
    params: AmgParams
    share: float


def blocks_of(
    planes: Sequence[Plane], axis: int, thickness: int, workers: int
) -> list[tuple[Plane, ...]]:
    """Divide planes into blocks.

    A block is a layer of chunks of the image, so that no chunk is read twice; or less, if there
    were too few blocks for the workers.

    Parameters
    ----------
    planes : sequence of Plane
        Stack by stack along `axis`.
    axis : int
    thickness : int
        Planes in a chunk of the image.
    workers : int
    """
    size = max(1, min(thickness, len(planes) // (BLOCKS_OF_WORKER * workers)))

    def place(plane: Plane) -> tuple[int, ...]:
        return tuple(at // size if one == axis else at for one, at in plane.key.fixed)

    return [tuple(group) for _, group in groupby(planes, place)]


def do_block(session: Session, block: Block, image: Any, kept: KeptPlanes) -> int:
    """Find the objects in the planes of a block that are not done yet; return how many these are.

    Parameters
    ----------
    session : Session
    block : Block
    image : array
        That the planes lie in.
    kept : KeptPlanes
        Where the labels go.
    """
    planes = kept.missing(block.planes)
    for plane in planes:
        whole = plane_of(plane, image)
        for step in everything_in(session, [whole], block.params, share=block.share):
            if isinstance(step, PlaneResult):
                kept.write(plane.key, step.labels)
    return len(planes)


def plane_of(plane: Plane, image: Any) -> Plane:
    """Return a plane with another image."""
    return Plane(image, plane.key, plane.contrast, plane.revision, plane.channels, plane.spacing)


def apart(
    session: Session, every: Sequence[Plane], params: AmgParams, shares: list[float]
) -> Prepare:
    """Return what finds the objects of some planes of a stack, of which other runs do the others.

    Parameters
    ----------
    session : Session
    every : sequence of Plane
        All planes of the stack. The contrast is chosen for all of them, so that it is the same in
        each of these runs.
    params : AmgParams
    shares : list of float
        Gets the share of the contrast that was chosen; see `everything_in`.
    """

    def prepare(planes: Sequence[Plane]) -> Generator[Progress, None, Find]:
        shares.append((yield from best_share(session, every, params)))

        def find(
            some: Sequence[Plane], largest: int
        ) -> Generator[Progress | PlaneResult, None, int]:
            for done, plane in enumerate(some):
                for step in everything_in(session, [plane], params, share=shares[-1]):
                    if isinstance(step, Progress):
                        count = PER_PLANE * done + step.done
                        yield Progress(count, PER_PLANE * len(some), step.text)
                    else:
                        yield step
            return largest

        return find

    return prepare


def read_back(
    read: Callable[[SliceKey], NDArray[np.int32]], planes: Sequence[Plane], largest: int
) -> Generator[PlaneResult, None, int]:
    """Yield planes that were done elsewhere as `everything_in` would yield them.

    Parameters
    ----------
    read : callable of SliceKey
        Returns the labels of a plane, from 1 on.
    planes : sequence of Plane
    largest : int
        The labels of the first plane begin after it.

    Returns
    -------
    int, the largest label
    """
    for plane in planes:
        labels = np.array(read(plane.key), np.int32)
        labels[labels > 0] += largest
        found = PlaneResult.of(plane, labels)
        largest = max(largest, found.largest)
        yield found
    return largest
