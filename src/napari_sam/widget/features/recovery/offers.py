"""Which journal holds unsaved work on an image, and what that is, in words and as a picture."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....formats.image_reference import plane_hash
from ....objects.drawn import Drawing, without
from ....objects.edit import Edit
from ....objects.journal_folder import changed_at, left_over, read_unchanged, remove_old
from ....objects.journal_reader import KeptJournal, KeptTarget, open_journal, read_targets
from ....types import Progress
from ...frame import Frame
from ...unsaved import counted
from .thumbnail import thumbnail

Steps = tuple[tuple[tuple[str, Edit], ...], ...]
"""The parts of each step, with the id of their target."""


@dataclass(frozen=True, eq=False)
class Offer:
    """What can be restored of one journal.

    Attributes
    ----------
    path : Path
        Of the journal.
    targets : mapping of str to KeptTarget
        Those of the image, by id.
    steps : Steps
        Theirs.
    text : str
        What it is: "12 objects and 3 prompts of 14:03 today".
    picture : (h, w, 3) uint8
        The plane that was changed last.
    """

    path: Path
    targets: Mapping[str, KeptTarget]
    steps: Steps
    text: str
    picture: NDArray[np.uint8]


def find_offer(
    folder: Path, frame: Frame | None, skipped: Collection[Path] = ()
) -> Generator[Progress, None, Offer | None]:
    """Remove old journals, and look for the newest one with unsaved work on an image.

    Parameters
    ----------
    folder : Path
        Of the journals.
    frame : Frame or None
        The image.
    skipped : collection of Path
        Journals that are not offered.

    Yields
    ------
    Progress

    Returns
    -------
    Offer or None
    """
    remove_old(folder)
    if frame is None:
        return None
    paths = [path for path in left_over(folder) if path not in skipped]
    for done, path in enumerate(paths):
        yield Progress(done, len(paths), "looking for unsaved work")
        try:
            found = read_unchanged(path, read_targets) or []
            names = set()
            for target in found:
                yield Progress(done, len(paths), "looking for unsaved work")
                if matches(target, frame.pixels, frame.shape):
                    names.add(target.id)
            kept = read_unchanged(path, open_journal) if names else None
        except ValueError:
            continue  # damaged: there is nothing to offer
        offer = None if kept is None else _offer(kept, names, frame)
        if offer is not None:
            return offer
    return None


def matches(target: KeptTarget, image: Any, shape: Sequence[int]) -> bool:
    """Tell whether steps were made on an image: shape, type and all planes looked at are the same.

    Parameters
    ----------
    target : KeptTarget
    image : (..., H, W) or (..., H, W, C) array
    shape : sequence of int
        Without colours.
    """
    info = target.info
    if info.shape != tuple(shape) or info.dtype != str(image.dtype):
        return False
    if target.lacking or not target.hashes:
        return False
    return all(plane_hash(image, key) == digest for key, digest in target.hashes.items())


def _offer(kept: KeptJournal, names: Collection[str], frame: Frame) -> Offer | None:
    targets = {name: target for name, target in kept.targets.items() if name in names}
    steps = tuple(
        mine for parts in kept.steps if (mine := tuple(one for one in parts if one[0] in targets))
    )
    if not steps or not kept.unsaved:
        return None
    text = f"{said(steps)} of {moment(changed_at(kept.path), time.time())}"
    return Offer(kept.path, targets, steps, text, thumbnail(targets, steps, frame))


def said(steps: Steps) -> str:
    """Return what some steps left, in words."""
    objects: set[tuple[str, int]] = set()
    prompts: Drawing = ()
    others = 0
    for parts in steps:
        others += not any(edit.objects or edit.added or edit.removed for _, edit in parts)
        for name, edit in parts:
            for label, (_, after) in edit.objects.items():
                (objects.discard if after is None else objects.add)((name, label))
            prompts = (*without(prompts, edit.removed), *edit.added)
    counts = {"object": len(objects), "prompt": len(prompts), "other change": others}
    words = [counted(number, noun) for noun, number in counts.items() if number]
    if len(words) < 2:
        return words[0] if words else counted(len(steps), "change")
    return f"{', '.join(words[:-1])} and {words[-1]}"


def moment(then: float, now: float) -> str:
    """Return a time as people say it: "14:03 today"."""
    clock = time.strftime("%H:%M", time.localtime(then))
    days = [time.strftime("%Y-%m-%d", time.localtime(now - one * 86400)) for one in (0, 1)]
    day = time.strftime("%Y-%m-%d", time.localtime(then))
    if day in days:
        return f"{clock} {('today', 'yesterday')[days.index(day)]}"
    return f"{clock} on {day}"
