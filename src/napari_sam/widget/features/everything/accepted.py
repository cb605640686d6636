"""Plans what is written when proposals are accepted or rejected; for workers."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ....everything.accepting import (
    Proposal,
    in_tiles,
    masks_in,
    not_covered,
    read_in_chunks,
    source_of,
    taken_out,
)
from ....everything.amg_select import Candidates
from ....masks import labels_in
from ....objects import edits
from ....objects.classes import add_classes
from ....objects.edit import Edit
from ....objects.overlap import OverlapRule
from ....objects.segmented import Outline, SegmentedObject, upright
from ....objects.store import ObjectStore
from ....types import Progress, SliceKey

Outlines = dict[SliceKey, Outline]
RUN_FIRST = "run everything mode first"


@dataclass(frozen=True, eq=False)
class Target:
    """Where accepted proposals go.

    Attributes
    ----------
    store : ObjectStore
    rule : OverlapRule
        Which pixels they get.
    only_new : bool
        Leave out those that lie on kept objects by more than half.
    category : str
        Their class; empty for none.
    model, weights : str
        Which model proposed them.
    hidden : frozenset of int
        Labels of proposals that are left.
    """

    store: ObjectStore
    rule: OverlapRule
    only_new: bool
    category: str = ""
    model: str = ""
    weights: str = ""
    hidden: frozenset[int] = frozenset()


class Verdicts(NamedTuple):
    """What is to be written.

    Attributes
    ----------
    labels : list of int
        Of the proposals that go.
    kept : Edit or None
        Makes objects of them; None if they are rejected.
    gone : Edit
        Takes them out of the proposals.
    covered : int
        So many are left because they lie on kept objects.
    """

    labels: list[int]
    kept: Edit | None
    gone: Edit
    covered: int = 0


def accepted(
    store: ObjectStore,
    planes: Mapping[SliceKey, Candidates | None],
    wanted: set[int] | None,
    target: Target,
) -> Generator[Progress, None, Verdicts]:
    """Plan how proposals become kept objects, each under the next label; nothing is written.

    Parameters
    ----------
    store : ObjectStore
        Of the proposals.
    planes : mapping of SliceKey to (Candidates or None)
        Where they may lie, and what was found there, if that is still known.
    wanted : set of int or None
        Their labels; None: all.
    target : Target

    Yields
    ------
    Progress

    Returns
    -------
    Verdicts

    Raises
    ------
    ValueError
        If there is none, or other objects cover all of them.
    """
    store = read_in_chunks(store)
    target = replace(target, store=read_in_chunks(target.store))
    found, covered = yield from _found(store, planes, wanted, target)
    if not found and not covered:
        remedy = "move the slider of Text or clear the words" if target.hidden else RUN_FIRST
        raise ValueError(f"no proposal is shown here; {remedy}")
    if not found:
        raise ValueError("nothing to accept: kept objects lie on all of these proposals")
    outlines = [one.outlines for one in found.values()]
    edit = yield from edits.commit_in_pieces(
        target.store, outlines, {}, target.rule, category=target.category, time=time.time()
    )
    labels_of = {id(outline): k for k, one in found.items() for outline in one.outlines.values()}
    objects, labels = {}, []
    for label, (_, made) in edit.objects.items():
        if made is None:
            continue
        old = labels_of[id(next(iter(made.outlines.values())))]
        labels.append(old)
        objects[label] = None, _completed(made, found[old], store.objects.get(old))
    covered += len(found) - len(labels)
    text = "the acceptance of " + ("1 object" if len(labels) == 1 else f"{len(labels)} objects")
    gone = yield from taken_out(store, {label: found[label].everywhere for label in labels}, text)
    patches = yield from in_tiles(target.store.canvas, edit.patches, text)
    edit = replace(edit, text=text, objects=objects, patches=patches)
    if target.category:
        added = add_classes(target.store, [target.category])
        edit = replace(edit, properties={**edit.properties, **added.properties})
    return Verdicts(labels, edit, gone, covered)


def rejected(
    store: ObjectStore, planes: Sequence[SliceKey], label: int
) -> Generator[Progress, None, Verdicts]:
    """Plan how a proposal goes from all its planes; nothing is written.

    Raises
    ------
    ValueError
        If it is not there, or the user has finished it.
    """
    known = store.objects.get(label)
    if known is not None and known.locked:
        raise ValueError(f"object {label} is finished; unlock it before you reject it")
    found, _ = yield from _found(store, dict.fromkeys(planes), {label}, None)
    if label not in found:
        raise ValueError(f"there is no proposal {label}")
    text = f"the rejection of proposal {label}"
    gone = yield from taken_out(store, {label: found[label].everywhere}, text)
    return Verdicts([label], None, gone)


def _found(
    store: ObjectStore,
    planes: Mapping[SliceKey, Candidates | None],
    wanted: set[int] | None,
    target: Target | None,
) -> Generator[Progress, None, tuple[dict[int, Proposal], int]]:
    """Return proposals by label, and how many were left out because kept objects cover them."""
    outlines: dict[int, Outlines] = {}
    stabilities: dict[int, float] = {}
    everywhere: dict[int, Outlines] = {}
    for done, (key, candidates) in enumerate(planes.items()):
        yield Progress(done, len(planes), f"proposals: plane {done + 1} of {len(planes)}")
        labels = key.read_labels(store.canvas.data)
        masks = masks_in(labels, wanted)
        if target is not None and target.only_new:
            labels = not_covered(labels, key.read_labels(target.store.canvas.data))
        free = set(labels_in(labels).tolist())
        for label, mask in masks.items():
            if target is not None and label in target.hidden:
                continue
            outline = Outline(mask, origin="everything")
            if target is not None:
                outline = replace(outline, model=target.model, model_hash=target.weights)
            source = None if candidates is None else source_of(mask, candidates)
            if source is not None:
                outline = replace(outline, score=source.iou)
                stabilities[label] = min(source.stability, stabilities.get(label, 1.0))
            place = upright(key)
            outline = outline if place == key else outline.turned()
            everywhere.setdefault(label, {})[place] = outline
            if label in free:
                outlines.setdefault(label, {})[place] = outline
    found = {
        label: Proposal(one, stabilities.get(label), everywhere[label])
        for label, one in sorted(outlines.items())
    }
    return found, len(everywhere) - len(found)


def _completed(
    made: SegmentedObject, proposal: Proposal, known: SegmentedObject | None
) -> SegmentedObject:
    """Return a kept object with what is known of the proposal that it was."""
    if known is not None:  # the user has given it a class or a status already
        made = replace(made, category=known.category or made.category, status=known.status)
    if proposal.stability is None:
        return made
    return replace(made, attributes={**made.attributes, "stability": proposal.stability})
