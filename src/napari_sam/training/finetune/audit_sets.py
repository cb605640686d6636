"""What is wrong with a set of examples as a whole: duplicates, and a lack of balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .audit_ground import MANY, Fits, grey
from .examples import Example
from .findings import Finding
from .seen import Sight

SIDE = 32
"""Pixels of the small pictures by which images are compared."""
ALIKE = 0.995
"""Two images whose small pictures correlate more strongly are nearly the same."""
SIZES = (4, 16, 64, 256)
"""Diameters of the table of sizes, pixels of the model's input."""
RARE = 10
"""A class of fewer objects is hardly learnt."""
ONE_IMAGE = 0.7
"""One image holds too many of all objects from this part on."""
FEW = 5
"""With fewer objects in all, a comparison tells nothing."""
CHANCE = 1.5
"""Outlines that were drawn on other images fit by less than this many standard deviations."""
SEVERAL = 4
"""Images from which on that is judged."""


@dataclass(frozen=True)
class Balance:
    """How many objects there are, and of which kinds.

    Attributes
    ----------
    images : tuple of (str, int)
        The name of each example and its objects.
    classes : tuple of (str, int)
        The most frequent one first; empty if no object has one.
    sizes : tuple of (str, int)
        By the diameter of a disc of the same area, pixels of the model's input.
    """

    images: tuple[tuple[str, int], ...]
    classes: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[str, int], ...]

    @property
    def objects(self) -> int:
        """Of all examples."""
        return sum(count for _, count in self.images)


def balance_of(examples: Sequence[Example], sight: Sight) -> Balance:
    """Count the objects by image, class and size.

    Parameters
    ----------
    examples : sequence of Example
    sight : Sight
        At which size the model sees an image.
    """
    classes: Counter[str] = Counter()
    diameters: list[float] = []
    for one in examples:
        scale = sight.scale(one.labels.shape)
        for k in one.objects:
            classes[one.classes.get(k, "")] += 1
            diameters.append(2 * float(np.sqrt(one.mask(k).sum() / np.pi)) * scale)
    counts = np.bincount(np.searchsorted(SIZES, diameters, side="right"), minlength=len(SIZES) + 1)
    between = [f"{low} to {high}" for low, high in pairwise(SIZES)]
    names = [f"below {SIZES[0]}", *between, f"from {SIZES[-1]}"]
    named = set(classes) != {""} and bool(classes)
    return Balance(
        tuple((one.name, len(one.objects)) for one in examples),
        tuple((name or "no class", n) for name, n in classes.most_common()) if named else (),
        tuple((name, int(n)) for name, n in zip(names, counts, strict=True)),
    )


def unbalanced(balance: Balance) -> list[Finding]:
    """Find rare classes, and images with most of all objects."""
    found: list[Finding] = []
    if balance.objects < FEW:
        few = _count(balance.objects, "object")
        text = f"{few} in all: label a few more, so that some are left to judge by"
        found.append(Finding("balance", text))
    if len(balance.classes) > 1:
        for name, own in balance.classes:
            if own < RARE and name != "no class":
                text = f"the class {name} has {_count(own, 'object')} of {balance.objects}"
                found.append(Finding("balance", f"{text}: label more of them"))
    counts = [count for _, count in balance.images]
    most = max(counts, default=0)
    if len(counts) > 2 and most > ONE_IMAGE * balance.objects and most >= FEW:
        number = counts.index(most)
        text = f"{balance.images[number][0]} holds {most} of {balance.objects} objects: label more "
        found.append(Finding("balance", text + "in the other images", number))
    return found


def duplicates(examples: Sequence[Example]) -> list[Finding]:
    """Find images that occur twice under different names, or nearly so.

    The layers of one image, and neighbouring planes of one stack, are no duplicates.
    """
    first: dict[str, int] = {}
    found: list[Finding] = []
    double: set[int] = set()
    for number, one in enumerate(examples):
        other = first.setdefault(one.digest, number)
        before = examples[other]
        same_labels = other != number and np.array_equal(one.labels, before.labels)
        if other != number and (one.family != before.family or same_labels):
            double.add(number)
            what = "the same image and labels" if same_labels else "the same image, other labels,"
            text = f"{one.name} has {what} as {before.name}: leave one of them out"
            found.append(Finding("duplicate", text, number))
    pictures = np.stack([_small(one) for one in examples]) if examples else np.zeros((0, 1))
    for number, one in enumerate(examples):
        alike = np.flatnonzero(pictures[:number] @ pictures[number] > ALIKE)
        near = [
            k
            for k in alike.tolist()
            if examples[k].family != one.family and examples[k].digest != one.digest
        ]
        if near and number not in double:
            text = (
                f"{one.name} is nearly the same image as {examples[near[0]].name}: leave one of "
                "them out, else a model is judged by what it has learnt"
            )
            found.append(Finding("duplicate", text, number))
    return found


def mismatched(examples: Sequence[Example], found: Sequence[Fits]) -> list[Finding]:
    """Find a set whose outlines follow nothing in the images, as those of other images."""
    own = [
        max(steps.own, lines.own)
        for one, (steps, lines, _) in zip(examples, found, strict=True)
        if len(one.objects) >= MANY
    ]
    if len(own) < SEVERAL or float(np.median(own)) >= CHANCE:
        return []
    return [
        Finding(
            "shifted",
            f"the outlines of most of {len(own)} images follow no edges in them: look whether "
            "each label image belongs to its image",
        )
    ]


def _small(one: Example) -> NDArray[np.float32]:
    """Return a small picture as a vector of mean 0 and length 1; of a flat image, of zeros."""
    image = Image.fromarray(np.rint(grey(one.image)).astype(np.uint8))
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
    small = small - small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > SIDE else np.zeros_like(small)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
