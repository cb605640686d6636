"""The contract of every model family, and the values it takes and returns; numpy, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

PRECISIONS = ("auto", "float32", "bfloat16")


class Answers(NamedTuple):
    """What a model answers to P prompts.

    Attributes
    ----------
    low_res_logits : (P, C, h, w) float32, over the padded frame
    iou_predictions : (P, C) float32
    presence : (P,) float32 or None
        Probability that there is an object where the prompt asks for one; None where the family
        does not tell.
    """

    low_res_logits: NDArray[np.float32]
    iou_predictions: NDArray[np.float32]
    presence: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class InstanceFields:
    """The output of an instance head for one plane.

    Attributes
    ----------
    foreground : (h, w) float32
        Probability that a cell belongs to an object, 0..1.
    field : (2, h, w) float32, (x, y)
        Away from the centre of the cell's object along the shortest way inside it. Its length is
        the relative depth: 0 at the edge, 1 at the deepest place; it also passes through 0 where
        it turns round: at the centre.
    stride : float
        Pixels of the model's input along a cell.
    """

    foreground: NDArray[np.float32]
    field: NDArray[np.float32]
    stride: float

    def __post_init__(self) -> None:
        if self.field.shape != (2, *self.foreground.shape):
            raise ValueError(
                f"field must be {(2, *self.foreground.shape)}, but is {self.field.shape}"
            )

    def within(self, size: tuple[int, int]) -> InstanceFields:
        """Return the cells that cover an input of `size` (h, w) pixels, without its padding."""
        h, w = (int(np.ceil(side / self.stride)) for side in size)
        return replace(self, foreground=self.foreground[:h, :w], field=self.field[:, :h, :w])


class PromptableModel(Protocol):
    """What a predictor needs of a model; arrays in, arrays out.

    Attributes
    ----------
    name : str
    device : str
    image_size : int
        Length that the longer side of a plane is resized to.
    square_input : bool
        Whether the other side is resized to that length too, whatever the plane's proportions.
    largest_scale : float
        A plane is never magnified by more than this.
    mask_threshold : float
        Logits above it are object.
    half_pixel : bool
        Whether coordinates reach the input by their pixels' centres (see `transforms`).
    takes_guide : bool
        Whether an object can be asked for by its outline in an earlier plane.
    remembers : bool
        Whether it is a `remembering.RememberingModel`, which follows objects through planes.
    fine_features : bool
        Whether the cells of the finest of its `feature_maps` are those of the low-resolution
        logits; else they are coarser.
    tidy_masks : bool
        Whether loose pieces and small holes are better removed from its masks.
    amg_defaults : mapping
        Fields of `AmgParams` that suit the model better than SAM's; empty for the published SAM.
    notice : str
        What the user should know of how it runs: why not on the chosen device, or at which side of
        its input where its file does not tell; empty if there is nothing.
    precision : str
        What the products are computed in: "float32", "bfloat16"; of exported models also "float16"
        and "int8".
    """

    name: str
    device: str
    image_size: int
    square_input: bool
    largest_scale: float
    mask_threshold: float
    half_pixel: bool
    takes_guide: bool
    remembers: bool
    fine_features: bool
    tidy_masks: bool
    amg_defaults: Mapping[str, Any]
    notice: str
    precision: str

    @property
    def fingerprint(self) -> str:
        """A hash of the weights, made when it is first asked for."""

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the size (h, w) of the frame that the low-resolution logits cover."""

    def set_precision(self, precision: str) -> None:
        """Compute products in another precision, one of `PRECISIONS`.

        Raises
        ------
        ValueError
            If it is unknown, or "bfloat16" is asked of a family that has only float32.
        """

    def probe(self) -> list[NDArray[np.float32]]:
        """Return what the model computes of a fixed input, in a second; see `device_check`.

        The layers that a click needs are used, of alike ones at least one. The root mean square
        of each array is well above zero, since differences are taken relative to it.
        """

    def encode(self, rgb: NDArray[np.uint8]) -> Any:
        """Return the features of a resized plane (h, w, 3)."""

    def pack(self, features: Any) -> dict[str, NDArray[Any]]:
        """Return features as arrays that are small enough to keep, with a small loss."""

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Return the features that `pack` was given.

        Raises
        ------
        KeyError
            If the arrays are another family's.
        """

    def instance_fields(self, features: Any) -> tuple[InstanceFields, ...] | None:
        """Return what an instance head says of a plane, over the padded input, finest first.

        None where the family has no such head.
        """

    def feature_maps(self, features: Any) -> tuple[NDArray[np.float32], ...]:
        """Return features (C, h, w) that say what a part of a plane looks like.

        There is one array for each resolution, the finest first; all cover the padded input. See
        `fine_features`.
        """

    def decode(
        self,
        features: Any,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: tuple[Any, NDArray[np.float32]] | None = None,
    ) -> Answers:
        """Answer P prompts of one form on one plane.

        Parameters
        ----------
        features : object
            What `encode` returned.
        coords : (P, N, 2) float32, (x, y) in pixels of the input
        labels : (P, N) int64
        boxes : (P, 4) float32 or None, xyxy in pixels of the input
        mask_input : (P, h, w) float32 or None
        multimask_output : bool
            Three masks for an ambiguous prompt, or one.
        guide : (object, (P, h, w) float32), optional
            Features of an earlier plane, and logits of the objects there; never given to a model
            that takes none.

        Returns
        -------
        Answers
        """


class ModelFile(Protocol):
    """What is read of a file before a model is built of it."""

    @property
    def family(self) -> str:
        """Name of one of `families.FAMILIES`."""

    @property
    def nbytes(self) -> int:
        """Bytes that the weights take in memory."""


class Runtime(Protocol):
    """What the registry asks before it builds a model; a module whose functions are these.

    Attributes
    ----------
    SOFTWARE : str
        The package that runs the models, as one would install it.
    REFERENCE : str
        The precision that answers are compared in, one of `PRECISIONS`.
    """

    SOFTWARE: str
    REFERENCE: str

    def read(self, path: Path) -> ModelFile:
        """Read a file, never running code of it.

        Raises
        ------
        ValueError
            If it is not there, damaged, or holds no model of a family of this runtime.
        """

    def choose_device(self, name: str) -> str:
        """Return the device to run on, where "auto" is the fastest there is.

        Raises
        ------
        ValueError
            If it is unknown or not on this machine.
        """

    def check_memory(self, weights: int, working: int, device: str, name: str) -> None:
        """Refuse a model that the machine cannot hold, before anything is built.

        Parameters
        ----------
        weights, working : int
            Bytes of the weights, and of working with them.
        device : str
        name : str
            Of the model, for the error.

        Raises
        ------
        ValueError
            Telling what is needed and what is free.
        """


class FamilyModule(Protocol):
    """The module of a family."""

    def build(self, file: Any, name: str, device: str) -> PromptableModel:
        """Return the model that a file holds.

        Parameters
        ----------
        file : ModelFile
            As the family's runtime read it.
        name : str
            What the model is called.
        device : str

        Raises
        ------
        ValueError
            If something is missing, left over or of another shape.
        """


def require_float32(precision: str, name: str) -> None:
    """Refuse any other precision, for a family that has only float32.

    Raises
    ------
    ValueError
        Telling what to do.
    """
    if precision not in ("auto", "float32"):
        raise ValueError(f"{name} computes in float32 only; leave the precision at auto")
