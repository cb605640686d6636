"""Accepted proposals become one edit: objects with a class, and how stable their masks are."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from ....everything.accepting import read_in_chunks
from ....objects import edits
from ....objects.overlap import RULES
from ....objects.segmented import SegmentedObject
from ....types import Progress, SliceKey
from ...context import Context
from .search import Ranked, Search

Chosen = Sequence[tuple[SliceKey, Ranked]]
"""Proposals, and the planes that they lie in."""


def accepted_in_pieces(
    context: Context, search: Search, chosen: Chosen
) -> Generator[Progress, None, list[int]]:
    """Make kept objects of proposals as one step; from then on they are exemplars, too.

    Parameters
    ----------
    context : Context
    search : Search
    chosen : sequence of (SliceKey, Ranked)

    Returns
    -------
    list of int
        The new labels; what other objects cover is left out.

    Raises
    ------
    ValueError, OSError
        If nothing can be written.
    """
    outlines = [search.outline(key, one) for key, one in chosen]
    whose = {
        id(outline): one
        for planes, (_, one) in zip(outlines, chosen, strict=True)
        for outline in planes.values()
    }
    search.view.look_again()
    edit = yield from edits.commit_in_pieces(
        read_in_chunks(search.view.store),
        outlines,
        {},
        RULES[context.overlap].rule,
        category=search.category,
        annotator=context.preferences.chosen.annotator,
        time=time.time(),
    )
    made: dict[int, SegmentedObject] = {}
    features = {}
    for label, (_, after) in edit.objects.items():
        if after is not None:
            one = whose[id(next(iter(after.outlines.values())))]
            made[label] = replace(after, attributes={"stability": round(one.stability, 4)})
            features[label] = one.features
    edit = replace(edit, objects={label: (None, after) for label, after in made.items()})
    yield from context.recording.keep_outlines(edit)
    yield from search.view.make_or_join(edit, None)
    for label, kept in made.items():
        search.accept(kept, features[label])
    return list(made)


def all_ranked(
    search: Search, least: float
) -> Generator[Progress, None, list[tuple[SliceKey, Ranked]]]:
    """Return the proposals of all planes that are similar enough, a plane at a time."""
    found = []
    for done, key in enumerate(list(search.found)):
        yield Progress(done, len(search.found), "ranking")
        found += [(key, one) for one in search.ranked(key, least)]
    return found
