"""What the published SAM is whatever runs its network."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class SamBase:
    """The attributes of SAM's models in the contract, `PromptableModel`.

    Parameters
    ----------
    name : str
    device : str
    image_size : int
        Side of the square input, pixels.
    """

    square_input = False
    largest_scale = float("inf")
    mask_threshold = 0.0
    half_pixel = False
    takes_guide = False
    remembers = False
    fine_features = False
    tidy_masks = False
    amg_defaults: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, name: str, device: str, image_size: int) -> None:
        self.name = name
        self.device = device
        self.image_size = image_size
        self.notice = ""
        self.precision = "float32"

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the square that every input is padded to."""
        return self.image_size, self.image_size

    def instance_fields(self, features: Any) -> None:
        """Return None: the published SAM has no instance head."""
