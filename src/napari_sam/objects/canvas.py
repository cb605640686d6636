"""The one writer of labels, into any array that takes boxes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.decoding import UNREADABLE
from ..types import Progress
from .boxes import Box, Index, enclosing, overlap, shape_of, slices_of
from .patch import Patch


class Canvas:
    """Labels of an image: reads boxes and writes patches.

    Parameters
    ----------
    data : (...) int array
        numpy, zarr.Array, or anything else that is read and written by boxes at once.
    name : str
        What it is called where it cannot hold a label.
    check_there : callable, optional
        Called before anything is written; raises ValueError where the array's place on the disk is
        gone.

    Attributes
    ----------
    data, name
        May be given anew.
    """

    def __init__(
        self,
        data: Any,
        name: str = "the layer",
        check_there: Callable[[], None] | None = None,
    ) -> None:
        self.data = data
        self.name = name
        self._check_there = check_there
        self._writing = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the labels."""
        dtype: np.dtype[Any] = np.dtype(self.data.dtype)
        return dtype

    def read(self, index: Index) -> NDArray[Any]:
        """Return a copy of the pixels of a box, in the order of the array's axes.

        Raises
        ------
        ValueError
            If they are damaged.
        OSError
            If the disk refuses it.
        """
        try:
            return np.array(self.data[index])
        except OSError:
            raise
        except UNREADABLE as error:  # what decoders of chunks may raise
            raise ValueError(
                f"{self.name} cannot be read: {error}; choose another Labels layer"
            ) from error

    def check_labels(self, low: int, high: int) -> None:
        """Refuse labels that the array's type cannot hold.

        Parameters
        ----------
        low, high : int
            The smallest and the largest of them.

        Raises
        ------
        ValueError
            In one sentence that says what to do.
        """
        whole = np.iinfo(np.uint8 if self.dtype == bool else self.dtype)
        most = 1 if self.dtype == bool else int(whole.max)
        if high > most:
            raise ValueError(
                f"{self.name} holds {self.dtype} and so at most {most} labels; convert it to a "
                "larger type or choose another layer"
            )
        if low < int(whole.min):
            raise ValueError(f"{self.name} holds {self.dtype}, which has no label {low}")

    def write(self, *patches: Patch) -> None:
        """Write patches in their order, with one read and one write of the box of all.

        A pixel is set where a patch changes it and it still is what the patch calls old. So pixels
        that somebody else has changed since stay theirs.

        Raises
        ------
        ValueError
            If the array cannot hold a label, is read-only, or its place on the disk is gone;
            nothing is written then.
        OSError
            If the disk is full or protected.
        """
        if not patches:
            return
        if self._check_there is not None:
            self._check_there()
        for patch in patches:
            self.check_labels(*patch.after.bounds)
        box = enclosing(patch.box for patch in patches)
        self._check_inside(box)
        index = slices_of(box)
        region = self.read(index)
        written = False
        for patch in patches:
            pixels = region[slices_of(patch.box, box)]
            old = patch.old().reshape(shape_of(patch.box))
            new = patch.new().reshape(shape_of(patch.box))
            still_old = (pixels == old) & (old != new)
            written = written or bool(still_old.any())
            np.copyto(pixels, new, where=still_old, casting="unsafe")
        if written:
            self._store(index, region)

    def write_all(
        self, patches: Sequence[Patch], text: str = ""
    ) -> Generator[Progress, None, None]:
        """Write patches in their order, all or none.

        Parameters
        ----------
        patches : sequence of Patch
        text : str
            What they are, for the progress.

        Yields
        ------
        Progress
            After each patch, or each few that lie in the same chunk of the array. If a write fails,
            or the generator is closed before its end, what was written is taken back.

        Raises
        ------
        ValueError
            If patches are being written already.
        """
        if self._writing:
            raise ValueError("wait until the last change is written")
        groups = self._groups(patches)
        begun, whole = 0, False
        self._writing = True
        try:
            for begun, group in enumerate(groups, 1):
                self.write(*group)
                yield Progress(begun, len(groups), text)
            whole = True
        finally:
            self._writing = False
            if not whole:
                self._take_back(groups[:begun])

    def _take_back(self, groups: Sequence[Sequence[Patch]]) -> None:
        """Undo what was written of some groups, all that can be; raises what went wrong first."""
        failed: ValueError | OSError | None = None
        for group in reversed(groups):
            try:
                self.write(*(patch.inverse() for patch in reversed(group)))
            except (ValueError, OSError) as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _store(self, index: Index, region: NDArray[Any]) -> None:
        """Assign pixels; arrays that are read-only fail in different ways."""
        try:
            self.data[index] = region
        except (OSError, TypeError, ValueError) as error:
            kind = OSError if isinstance(error, OSError) else ValueError
            raise kind(
                f"{self.name} cannot be written to: {error}; choose another Labels layer, or save "
                "this one elsewhere and open it again"
            ) from error

    def _check_inside(self, box: Box) -> None:
        """Refuse a box that does not lie in the array."""
        if len(box) != len(self.shape) or any(
            start < 0 or stop > size for (start, stop), size in zip(box, self.shape, strict=True)
        ):
            raise ValueError(
                f"{self.name} has the shape {self.shape}, and the labels would be written outside "
                "it; choose a Labels layer of the image's shape"
            )

    def _groups(self, patches: Sequence[Patch]) -> list[list[Patch]]:
        """Put neighbours together that lie in the same chunks: a chunk is always written whole."""
        chunk = getattr(self.data, "shards", None) or getattr(self.data, "chunks", None)
        if chunk is None or not all(isinstance(n, int) for n in chunk):  # dask lists all sizes
            return [[patch] for patch in patches]
        groups: list[list[Patch]] = []
        last = None
        for patch in patches:
            chunks = tuple(
                (start // n, (stop - 1) // n + 1)
                for (start, stop), n in zip(patch.box, chunk, strict=True)
            )
            if last is not None and overlap(chunks, last):
                groups[-1].append(patch)
                last = enclosing((chunks, last))
            else:
                groups.append([patch])
                last = chunks
        return groups
