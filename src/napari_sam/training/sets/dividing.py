"""Which images belong together, and which groups of them are held out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np

from ...checks import random_generator
from ...images.series import SmallPlane, numbered_series
from ...images.transforms import to_rgb8
from ...types import Progress
from .labelled_stack import LabelledStack
from .manifest import Origins

Item = tuple[str, Callable[[], Iterator[LabelledStack]]]


def group_of(stack: LabelledStack, pattern: str, origins: Origins) -> str:
    """Return the group of an image: what a pattern matches in its path, else that of its set.

    Raises
    ------
    ValueError
        If the pattern matches nothing.
    """
    if not pattern:
        origin = origins.of(stack.path)
        return stack.family if origin is None else origin[0]
    match = re.search(pattern, stack.path.as_posix())
    if match is None:
        raise ValueError(f"--group {pattern!r} matches nothing in {stack.path}")
    return next((one for one in match.groups() if one), match[0])


def families_of(
    items: Sequence[Item], pattern: str, origins: Origins
) -> Generator[Progress, None, dict[str, str]]:
    """Return the group of each family of images, which are read for it.

    Images with an equal plane are of one group, and so are planes of one stack in numbered files.

    Raises
    ------
    ValueError
        If no file can be read.
    """
    groups: dict[str, str] = {}
    planes: dict[str, SmallPlane] = {}
    same = _Joined()
    wrong: ValueError | None = None
    for number, (name, read) in enumerate(items):
        yield Progress(number, len(items), f"looking at {name}")
        try:
            for stack in read():
                family = stack.family
                groups.setdefault(family, group_of(stack, pattern, origins))
                if pattern:
                    continue
                same.join(family, groups[family])
                for place in stack.places:
                    rgb = to_rgb8(np.asarray(stack.image.data[place]))
                    if rgb.min() < rgb.max():  # planes of one value tell nothing
                        digest = hashlib.blake2b(rgb.tobytes(), digest_size=16).hexdigest()
                        same.join(family, f"{rgb.shape} {digest}")
                    if not place:
                        planes.setdefault(family, SmallPlane.of(rgb))
        except ValueError as error:  # said when the set is written
            wrong = wrong or error
    if wrong is not None and not groups:
        raise wrong
    for family, (series, _) in numbered_series(planes).items():
        same.join(family, f"series {series}")
    first: dict[str, str] = {}
    return {one: first.setdefault(same.root(one), group) for one, group in groups.items()}


def held_out_of(groups: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Return the groups that are held out: about their share, at least one, never all.

    Raises
    ------
    ValueError
        If there is one group only.
    """
    if len(groups) < 2:
        raise ValueError(
            "all images are planes of one stack or of one group, which is not divided; name more "
            "files, or leave out --split"
        )
    count = min(max(1, round((1 - share) * len(groups))), len(groups) - 1)
    order = random_generator(seed).permutation(len(groups))
    return frozenset(groups[k] for k in order[:count])


class _Joined:
    """Names that stand for one thing (a disjoint-set forest with path halving)."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def root(self, name: str) -> str:
        """Return the one that stands for a name."""
        above = self._above
        while (parent := above.setdefault(name, name)) != name:
            above[name] = name = above[parent]
        return name

    def join(self, one: str, other: str) -> None:
        """Make two names stand for one thing."""
        self._above[self.root(other)] = self.root(one)
