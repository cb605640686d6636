from __future__ import annotations

import math

import pytest
import torch

from napari_sam.training.losses import (
    IOU_WEIGHT,
    click_loss,
    depth_loss,
    depth_of,
    mask_loss,
    prompt_loss,
    true_iou,
)

TRUTH = torch.zeros(1, 4, 4)
TRUTH[0, :2] = 1


def test_a_right_and_sure_answer_costs_nothing():
    right = (TRUTH * 2 - 1)[:, None] * 30
    assert float(mask_loss(right, TRUTH)) == pytest.approx(0, abs=1e-4)
    wrong = float(mask_loss(-right, TRUTH))
    assert wrong == pytest.approx(20 * 30 + 1 - 1 / 17, rel=1e-4)


def test_an_undecided_answer_costs_what_the_formulas_say():
    loss = float(mask_loss(torch.zeros(1, 1, 4, 4), TRUTH))
    focal = 0.25 * math.log(2)
    dice = 1 - (2 * 4 + 1) / (8 + 8 + 1)
    assert loss == pytest.approx(20 * focal + dice)
    assert float(mask_loss(torch.zeros(1, 1, 4, 4), TRUTH, 1.0)) == pytest.approx(focal + dice)


def test_true_iou_is_intersection_over_union():
    logits = torch.full((1, 3, 4, 4), -1.0)
    logits[0, 0, :2] = 1
    logits[0, 1, 1:3] = 1
    assert true_iou(logits, TRUTH)[0].tolist() == pytest.approx([1, 1 / 3, 0])
    assert float(true_iou(logits[:, 2:], TRUTH * 0)) == 0


def test_the_first_mask_always_learns_of_the_others_only_the_best():
    logits = torch.zeros(1, 4, 4, 4)
    logits[0, 2] = (TRUTH[0] * 2 - 1) * 0.5  # nearest to the truth
    logits[0, 3] = -(TRUTH[0] * 2 - 1)
    logits.requires_grad_()
    iou = torch.tensor([[0.1, 0.9, 0.3, 0.2]], requires_grad=True)
    loss, best, reached = prompt_loss(logits, iou, TRUTH)
    loss.backward()
    learns = logits.grad.abs().sum((0, 2, 3)) > 0
    assert learns.tolist() == [True, False, True, False]
    assert best.tolist() == [1]
    assert reached[0].tolist() == pytest.approx([0, 0, 1, 0])
    expected = IOU_WEIGHT * 2 * (iou.detach() - reached) / 4
    torch.testing.assert_close(iou.grad, expected)


def test_depth_is_deepest_in_the_middle_of_each_object():
    labels = torch.zeros(1, 64, 64, dtype=torch.int32)
    labels[0, 8:24, 8:24] = 1
    labels[0, 8:24, 24:56] = 2  # touches the first
    depth = depth_of(labels, 4)[0]
    assert depth.shape == (16, 16)
    assert depth[0, 0] == depth[12, 5] == 0
    assert depth[3:5, 3:5].min() > 0.7
    assert depth[3:5, 8:12].min() > 0.7
    assert depth[4, 5] < 0.5 > depth[4, 6]  # on both sides of where they touch
    assert depth.max() <= 1


def test_unlabelled_ground_counts_only_where_everything_is_labelled():
    labels = torch.zeros(2, 32, 32, dtype=torch.int32)
    labels[:, 8:24, 8:24] = 3
    logits = torch.zeros(2, 8, 8)
    logits[:, 0, 0] = 8.0  # claims an object where nothing is labelled
    both = [depth_loss(logits, labels, torch.tensor([known, known])) for known in (True, False)]
    calm = [
        depth_loss(torch.zeros(2, 8, 8), labels, torch.tensor([known, known]))
        for known in (True, False)
    ]
    assert both[0] > calm[0]
    assert both[1] == calm[1]


def test_clicks_that_are_heeded_cost_nothing():
    logits = torch.full((1, 2, 8, 8), -30.0)
    logits[..., 4:] = 30  # the right half, from pixel 16 on
    coords = torch.tensor([[[24.0, 10.0], [6.0, 10.0], [0.0, 0.0]]])
    assert float(click_loss(logits, coords, torch.tensor([[1, 0, -1]]), 4)) < 1e-6
    assert float(click_loss(logits, coords, torch.tensor([[0, 0, -1]]), 4)) == pytest.approx(15)
    assert float(click_loss(logits, coords, torch.tensor([[-1, -1, -1]]), 4)) == 0
