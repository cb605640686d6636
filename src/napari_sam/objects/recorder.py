"""What a history writes to, and what keeps its steps beyond the memory and the process."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal, Protocol

from ..types import Progress, SliceKey
from .edit import Edit

TargetKind = Literal["objects", "everything", "prompts"]


@dataclass(frozen=True)
class TargetInfo:
    """What a target is, without any name that could be a patient's.

    Attributes
    ----------
    kind : {"objects", "everything", "prompts"}
    shape : tuple of int
        Of the image, without its colours or channels.
    dtype : str
        Of the image's pixels, as numpy writes it.
    labels_dtype : str
        Of the array of labels; empty for prompts.
    stored : str
        The folder of labels that are on the disk themselves; empty for those in memory.
    """

    kind: TargetKind
    shape: tuple[int, ...]
    dtype: str
    labels_dtype: str = ""
    stored: str = ""


class Target(Protocol):
    """What edits are written to: the labels of a layer with their objects, the prompts of an image.

    Attributes
    ----------
    id : str
        Unique over all sessions.
    """

    id: str

    def info(self) -> TargetInfo:
        """Describe it."""

    def image_hash(self, key: SliceKey) -> str:
        """Return a hash of the pixels of a plane of its image; empty if that takes long."""

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return a new edit with what the target must know to take it back.

        Parameters
        ----------
        edit : Edit
        whole : Edit
            The same, or with what it is joined to.
        """

    def adopt(self, edit: Edit) -> None:
        """Take up an edit that somebody else has written."""

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Write an edit, all or nothing; yields at least every 50 ms."""


class Recorder(Protocol):
    """Keeps the steps of a history; every method returns when the disk has it.

    Raises
    ------
    OSError
        Where the disk refuses it, in one sentence that says what to do.
    """

    def made(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a new step, before it is written; what is undone can no longer be redone."""

    def joined(self, number: int, target: Target, edit: Edit) -> None:
        """Keep a further part of a step: written after those before, taken back with them."""

    def withdrawn(self, number: int) -> None:
        """Note that the newest part of a step could not be written after all."""

    def undone(self, number: int) -> None:
        """Note that a step was taken back."""

    def redone(self, number: int) -> None:
        """Note that a step was made again."""

    def parts(self, number: int) -> list[tuple[str, Edit]]:
        """Return the parts of a step in their order, each with the id of its target."""
