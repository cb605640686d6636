"""What the model is asked when prompts change: what it goes on from, and what it forgets."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, Plane, Prediction, Prompts
from napari_sam.widget.work.question import Question, as_kept, gone_on

BOX = (20, 10, 40, 30)
"""Of the outline: x0, y0, x1, y1."""


def outlined(propagated, prompts=None):
    bits = np.zeros((60, 80), bool)
    bits[10:31, 20:41] = True
    return as_kept(Outline(Mask.of(bits), prompts=prompts), propagated)


@pytest.mark.parametrize("propagated", [True, False])
def test_a_point_goes_on_from_the_outline(propagated):
    before = outlined(propagated)
    assert gone_on(Prompts([(30, 20)], [0]), before).start is before.mask


@pytest.mark.parametrize(
    ("propagated", "box", "goes_on"),
    [
        (False, BOX, True),
        (False, (15, 5, 60, 45), True),
        (False, (30, 10, 45, 30), False),  # the outline reaches out of it
        (False, (22, 10, 40, 30), False),
        (False, (21, 11, 39, 29), True),  # by a pixel, as a hand draws it
        (True, BOX, False),
        (True, (30, 10, 45, 30), False),
    ],
)
def test_a_box_goes_on_from_a_kept_outline_that_lies_in_it(propagated, box, goes_on):
    before = outlined(propagated)
    now = gone_on(Prompts(box=box), before)
    assert now.start is (before.mask if goes_on else None)
    assert now.asked.mask_input is None
    assert now.answer is None


def test_a_point_beside_a_box_goes_on_from_the_outline_of_both():
    before = outlined(False, Prompts(box=BOX))
    assert gone_on(Prompts([(30, 20)], [1], BOX), before).start is before.mask
    assert gone_on(Prompts(box=(20, 10, 41, 30)), before).start is None


def test_the_same_prompts_are_not_asked_again():
    before = outlined(False, Prompts(box=BOX))
    assert gone_on(Prompts(box=BOX), before) is before


def test_logits_are_counted_once_and_those_of_the_answer_before_too():
    mask = Mask.of(np.ones((6, 6), bool))
    first, second = (
        Prediction(
            (mask,), np.array([0.9], np.float32), np.zeros((1, 4, side), np.float32), (0, 0, 6, 6)
        )
        for side in (4, 8)
    )
    prompts = Prompts([(3, 3)], [1])
    plane = Plane(np.zeros((6, 6), np.uint8))
    asked = Question(plane, {-1: gone_on(prompts, None)})
    assert asked.nbytes == 0
    one = asked.answered({-1: first}).objects[-1]
    then = gone_on(Prompts([(3, 3), (4, 4)], [1, 1]), one)
    assert Question(plane, {-1: then}).nbytes == 64
    corrected = Question(plane, {-1: then}).answered({-1: second})
    assert corrected.nbytes == 64 + 128
    both = Question(plane, {-1: one, -2: corrected.objects[-1]})
    assert both.nbytes == 64 + 128
