"""Parts of a stack that runs of `everything --slices A:B --part` have made."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..images.readers import StackImage, read_image
from ..images.zarr_checks import read_json
from .image_state import content_state
from .prompt_text import Planes, read_axis, read_planes

if TYPE_CHECKING:
    from ..models.contract import PromptableModel
    from .cluster_tasks import ModelFacts

OWN = ("slices", "part")
"""What the record of a part says of it alone; all else is that of the whole stack."""


def part_note(
    args: Namespace, image: StackImage, model: PromptableModel | ModelFacts, shares: Sequence[float]
) -> dict[str, Any]:
    """Return what the record of a part says, so that parts of one stack are told from others."""
    return {
        "part": {
            "share": list(shares),
            "image": content_state(args.image, image),
            "fingerprint": model.fingerprint,
            "precision": model.precision,
        }
    }


@dataclass(frozen=True, eq=False)
class Part:
    """Planes of a stack, each with labels from 1 on.

    Attributes
    ----------
    path : Path
    image : StackImage
        The labels, read as an image.
    planes : range
        Along the axis of the stack.
    record : dict
        Provenance of the labels.
    """

    path: Path
    image: StackImage
    planes: Planes
    record: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> Part:
        """Open a part.

        Raises
        ------
        ValueError
            If it is none, or its run was interrupted.
        """
        image = read_image(path)
        attributes = read_json(path / "zarr.json") if path.is_dir() else {}
        record = (attributes.get("attributes") or {}).get("provenance") or {}
        if not record.get("part"):
            raise ValueError(f"{path} is no part of a stack; make it with everything --part")
        if not record.get("complete"):
            raise ValueError(f"{path} is not complete, its run was interrupted; run it again")
        frame = read_axis(record.get("axis"), image)
        planes = read_planes(record.get("slices"), image, frame)
        if planes is None:
            raise ValueError(f"{path} is a single plane, not a part of a stack")
        return cls(path, image, planes, record)

    @property
    def common(self) -> dict[str, Any]:
        """What is the same in all parts of a stack."""
        image = self.image
        aside = {key: value for key, value in self.record.items() if key != "slices"}
        return {
            **aside,
            "shape": image.label_shape,
            "axes": image.label_axes,
            "scale": image.scale,
            "translate": image.translate,
        }


def sorted_parts(paths: Sequence[Path]) -> list[Part]:
    """Open the parts of a stack, in the order of their planes.

    Raises
    ------
    ValueError
        If they are not of one stack, share planes, or leave some out.
    """
    parts = sorted(map(Part.of, paths), key=lambda part: part.planes.start)
    first, at = parts[0], 0
    for part in parts:
        if part.common != first.common:
            own, other = part.common, first.common
            differ = [key for key in own.keys() | other.keys() if own.get(key) != other.get(key)]
            raise ValueError(
                f"{part.path} and {first.path} are no parts of one stack: they differ in "
                f"{', '.join(sorted(differ))}"
            )
        if part.planes.start < at:
            raise ValueError(f"plane {part.planes.start} of {part.path} is in another part, too")
        if part.planes.start > at:
            raise ValueError(f"planes {at} to {part.planes.start - 1} are in no part")
        at = part.planes.stop
    frame = read_axis(first.record.get("axis"), first.image)
    total = at if frame is None else frame.shape[frame.axis]
    if at < total:
        raise ValueError(f"planes {at} to {total - 1} are in no part")
    return parts
