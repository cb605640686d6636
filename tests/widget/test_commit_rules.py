"""What a commit takes from the choices for new objects: the overlap rule and the class."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_sam.objects import Edit
from napari_sam.objects.patch import Patch
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.types import Mask, Plane, SliceKey
from napari_sam.widget.features.prompting.asker import _in_turn
from napari_sam.widget.features.prompting.commits import _shown_first, _with_stability


class Shown:
    """A context that shows the second plane."""

    def shown(self):
        return Plane(np.zeros((3, 4, 4)), SliceKey((1, 2), ((0, 1),)))


BOX = [[8, 10], [8, 46], [42, 46], [42, 10]]


def test_a_commit_uses_the_rule_and_the_class_chosen(hands):
    hands.context.category = "cell"
    for rule in ("keep", "overwrite"):
        hands.context.overlap = rule
        hands.bench.prompts.boxes.add(np.array(BOX), shape_type="rectangle")
        hands.until(lambda: hands.answers and not hands.prompting.asker.pending)
        hands.press(Qt.Key.Key_Return)
    assert set(np.unique(hands.labels)) == {0, 2}  # the second took all pixels of the first
    kept = hands.bench.results.store.objects[2]
    assert kept.category == "cell"
    assert kept.time > 0


def edited(*indices):
    pixels = np.zeros((4, 4), np.int32)
    whole = slice(0, 4)
    indices = [tuple(whole if one is None else one for one in index) for index in indices]
    return Edit("", tuple(Patch.of(index, pixels, pixels + 1) for index in indices))


def test_the_plane_shown_is_written_first():
    edit = _shown_first(edited((0, None, None), (1, None, None), (2, None, None)), Shown())
    assert [patch.index[0] for patch in edit.patches] == [1, 0, 2]


def test_planes_that_cross_are_written_in_their_order():
    edit = edited((0, None, None), (None, 2, None), (1, None, None))
    assert _shown_first(edit, Shown()).patches == edit.patches


def test_what_waits_for_an_answer_is_done_once():
    done = []

    def commit():
        done.append("commit")

    def follow():
        done.append("follow")

    waiting = None
    for then in (commit, follow, commit, follow):
        waiting = _in_turn(waiting, then)
    waiting()
    assert done == ["commit", "follow"]


def test_the_stability_of_an_outline_that_was_replaced_does_not_count():
    first, second = SliceKey((1, 2), ((0, 0),)), SliceKey((1, 2), ((0, 1),))
    old, again, added = (Outline(Mask.of(np.ones((2, 2), bool))) for _ in range(3))
    before = SegmentedObject(1, {first: old}, attributes={"stability": 0.5, "note": "x"})

    def known(*outlines):
        after = SegmentedObject(1, dict(outlines), attributes=before.attributes)
        edit = Edit("", objects={1: (before, after)})
        return _with_stability(edit, {again: 0.9, added: 0.8}).objects[1][1].attributes

    assert known((first, old), (second, added)) == {"stability": 0.5, "note": "x"}
    assert known((first, again)) == {"stability": 0.9, "note": "x"}
    assert known((first, old)) == {"stability": 0.5, "note": "x"}
    before = SegmentedObject(1, {first: old, second: old}, attributes=before.attributes)
    assert known((first, old), (second, added)) == {"stability": 0.8, "note": "x"}
