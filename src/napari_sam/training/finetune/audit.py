"""Labelled images looked over before a model learns from them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...steps import drive
from ...types import Progress
from .audit_ground import Fits, fits, shifted, unlabelled
from .audit_objects import merged, necks, pieces, tiny
from .audit_picture import draw_findings
from .audit_sets import Balance, balance_of, duplicates, mismatched, unbalanced
from .examples import Example
from .findings import KINDS, Finding, Kind
from .seen import Sight

SAM = Sight()
MOST_IMAGES = 8
"""Images that are named in the text."""
MOST_SENTENCES = 5
"""Findings of a kind that the text has; `Audit.findings` has all."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found in labelled images.

    Attributes
    ----------
    examples : tuple of Example
    findings : tuple of Finding
        By kind.
    balance : Balance
    """

    examples: tuple[Example, ...]
    findings: tuple[Finding, ...]
    balance: Balance

    def as_text(self) -> str:
        """Return counts and findings, a line each."""
        counts = [count for _, count in self.balance.images]
        images = f"{len(counts)} image{'' if len(counts) == 1 else 's'}"
        lines = [f"{images}, {self.balance.objects} labelled objects"]
        if len(counts) > 1:
            lines[0] += f", {min(counts)} to {max(counts)} an image"
        rows = [("diameter as the model sees it", self.balance.sizes)]
        if self.balance.classes:
            rows.append(("class", self.balance.classes))
        if 1 < len(counts) <= MOST_IMAGES:
            rows.append(("image", self.balance.images))
        for title, table in rows:
            lines.append(f"{title}: " + ", ".join(f"{name} {count}" for name, count in table))
        if sparse := sum(one.complete is not None for one in self.examples):
            lines.append(
                f"of {sparse} of {len(counts)} images it is not known of every place whether "
                "there is an object: such places are not learnt as background"
            )
        if not self.findings:
            lines.append("nothing to look at was found")
        by_kind: dict[str, list[str]] = {}
        for one in self.findings:
            by_kind.setdefault(one.kind, []).append(one.sentence)
        for kind, sentences in by_kind.items():
            lines += [f"{kind}: {sentence}" for sentence in sentences[:MOST_SENTENCES]]
            if len(sentences) > MOST_SENTENCES:
                lines.append(f"{kind}: and {len(sentences) - MOST_SENTENCES} more like this")
        return "\n".join(lines)

    def as_picture(self) -> NDArray[np.uint8]:
        """Return a picture (H, W, 3) of the places to look at; without any, of the examples."""
        return draw_findings(self.examples, self.findings)

    def without(self, findings: Iterable[Finding]) -> list[Example]:
        """Return the examples without what findings are about.

        Objects are left out, and what is in their place is unknown from then on, as is ground that
        looks like objects. Images that are empty, shifted or double are left out.
        """
        gone: set[int] = set()
        labels: dict[int, set[int]] = {}
        unknown: dict[int, NDArray[np.bool_]] = {}
        for one in findings:
            if one.example is None:
                continue
            if one.kind in ("empty", "shifted", "duplicate"):
                gone.add(one.example)
            elif one.kind == "unlabelled":
                shape = self.examples[one.example].labels.shape
                ground = unknown.setdefault(one.example, np.zeros(shape, bool))
                for x0, y0, x1, y1 in one.boxes:
                    ground[y0:y1, x0:x1] = True
            elif one.kind in ("tiny", "pieces", "merged"):
                labels.setdefault(one.example, set()).update(one.labels)
        left = []
        for number, example in enumerate(self.examples):
            if number in gone:
                continue
            kept = example.without(sorted(labels[number])) if number in labels else example
            if number in unknown:
                kept = replace(kept, complete=kept.known & ~unknown[number])
            left.append(kept)
        return left

    def without_kinds(self, *kinds: Kind) -> list[Example]:
        """Return the examples without what all findings of some kinds are about."""
        return self.without([one for one in self.findings if one.kind in kinds])


def audit(
    examples: Sequence[Example],
    refused: Sequence[Finding] = (),
    *,
    sight: Sight = SAM,
    proposals: Sequence[NDArray[np.integer] | None] | None = None,
) -> Audit:
    """Do as `auditing`, at once."""
    return drive(auditing(examples, refused, sight=sight, proposals=proposals))


def auditing(
    examples: Sequence[Example],
    refused: Sequence[Finding] = (),
    *,
    sight: Sight = SAM,
    proposals: Sequence[NDArray[np.integer] | None] | None = None,
) -> Generator[Progress, None, Audit]:
    """Look for what makes labelled images worse to learn from, and count what there is.

    Parameters
    ----------
    examples : sequence of Example
    refused : sequence of Finding
        Files that were left out; see `collect.Collected`.
    sight : Sight
        At which size the model sees an image; by default as a SAM does.
    proposals : sequence of ((H, W) int, or None), optional
        What a model found in each image: then unlabelled objects are looked for among these, else
        by brightness and texture.

    Yields
    ------
    Progress
        After each image.

    Returns
    -------
    Audit
        Findings are in the order of `findings.KINDS`.

    Raises
    ------
    ValueError
        If there are not as many proposals as examples.
    """
    guesses = [None] * len(examples) if proposals is None else list(proposals)
    if len(guesses) != len(examples):
        raise ValueError(f"{len(examples)} examples need as many proposals, not {len(guesses)}")
    found = [*refused, *_converted(examples)]
    narrow: list[list[int]] = []
    places: list[Fits] = []
    for number, (one, guess) in enumerate(zip(examples, guesses, strict=True)):
        found += [*_empty(number, one), *tiny(number, one, sight), *pieces(number, one)]
        places.append(fits(one))
        found += [*unlabelled(number, one, guess), *shifted(number, one, places[-1])]
        narrow.append(necks(one))
        yield Progress(number + 1, len(examples), f"looking over {one.name}")
    balance = balance_of(examples, sight)
    found += [
        *merged(examples, narrow),
        *mismatched(examples, places),
        *duplicates(examples),
        *unbalanced(balance),
    ]
    found.sort(key=lambda one: list(KINDS).index(one.kind))
    return Audit(tuple(examples), tuple(found), balance)


def _converted(examples: Sequence[Example]) -> list[Finding]:
    """Return a finding for each file whose labels were changed; its planes have one notice."""
    notices: dict[tuple[str, str], list[int]] = {}
    for number, one in enumerate(examples):
        if one.notice:
            notices.setdefault((one.family, one.notice), []).append(number)
    found = []
    for (_, notice), numbers in notices.items():
        name = examples[numbers[0]].name
        planes = f" and {len(numbers) - 1} more planes" if len(numbers) > 1 else ""
        found.append(Finding("converted", f"{name}{planes}: {notice}", numbers[0]))
    return found


def _empty(number: int, one: Example) -> list[Finding]:
    if one.objects:
        return []
    if one.sparse:
        text = f"{one.name} holds no label and is not marked complete: nothing is learnt from it"
    else:
        text = (
            f"{one.name} holds no label: leave it out, unless there is nothing to find in it, "
            "which a model may learn, too"
        )
    return [Finding("empty", text, number)]
