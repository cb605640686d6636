"""The prompts of one image: drawn in our layers, or kept while another image is worked on."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any
from uuid import uuid4

from ..formats.image_reference import hash_in_memory
from ..objects.drawn import Drawing, without
from ..objects.edit import Edit
from ..objects.recorder import TargetInfo
from ..types import Progress, SliceKey
from .frame import Frame
from .history import Happened
from .prompt_layers import PromptLayers


class ImagePrompts:
    """What a history writes changes of prompts to.

    Parameters
    ----------
    prompts : PromptLayers
        Where they are drawn while the image is worked on.
    frame : Frame
        The image.

    Attributes
    ----------
    id : str
        Unique over all sessions.
    frame : Frame
        May be given anew.
    noted : Drawing
        What was drawn at the last step.
    """

    def __init__(self, prompts: PromptLayers, frame: Frame) -> None:
        self.id = uuid4().hex
        self.frame = frame
        self.noted: Drawing = ()
        self._prompts = prompts
        self._kept: Drawing | None = ()

    @property
    def drawing(self) -> Drawing:
        """All prompts, on all planes."""
        return self._prompts.drawing() if self._kept is None else self._kept

    def show(self) -> None:
        """Draw the prompts: the image is worked on."""
        if self._kept is not None:
            self._prompts.redraw((), self._kept)
            self._kept = None

    def put_away(self) -> None:
        """Keep the prompts, before the layers go: another image is worked on."""
        self._kept = self.drawing

    # -- as the history asks for it; see `ShownTarget` ------------------------------------------

    def info(self) -> TargetInfo:
        """Describe the image that the prompts are drawn on."""
        return TargetInfo("prompts", self.frame.shape, str(self.frame.pixels.dtype))

    def image_hash(self, key: SliceKey) -> str:
        """Return a hash of the pixels of a plane; empty if they are not in memory."""
        return hash_in_memory(self.image, key)

    @property
    def image(self) -> Any:
        """The pixels of the image."""
        return self.frame.pixels

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return the edit as it is."""
        return edit

    def adopt(self, edit: Edit) -> None:
        """Take up what is drawn already."""

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Draw the prompts of an edit, and remove those that go with it."""
        yield from ()
        if self._kept is None:
            self._prompts.redraw(edit.removed, edit.added)
        else:
            self._kept = (*without(self._kept, edit.removed), *edit.added)
        self.noted = (*without(self.noted, edit.removed), *edit.added)

    def hold(self, held: bool) -> None:
        """Do nothing: prompts are drawn at once."""

    def walked(self, edit: Edit, happened: Happened) -> None:
        """Do nothing: prompts are drawn at once."""
