from __future__ import annotations

import math

import pytest
import torch

from napari_sam.training.fields import InstanceTargets, instance_targets
from napari_sam.training.losses import (
    FIELD_WEIGHT,
    UNLABELLED,
    click_loss,
    instance_loss,
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
    loss = prompt_loss(logits, iou, TRUTH)
    (loss.masks + loss.score).sum().backward()
    learns = logits.grad.abs().sum((0, 2, 3)) > 0
    assert learns.tolist() == [True, False, True, False]
    assert loss.best.tolist() == [1]
    assert loss.reached[0].tolist() == pytest.approx([0, 0, 1, 0])
    assert loss.score.tolist() == pytest.approx([(0.1 + 0.9 + 0.7 + 0.2) / 4])
    assert iou.grad[0].tolist() == pytest.approx([0.25, 0.25, -0.25, 0.25])
    single = mask_loss(logits.detach(), TRUTH)[0]
    assert single[2] < single[1] < single[3]
    torch.testing.assert_close(loss.masks.detach(), single[0] + single[2:3])


def test_the_loss_of_each_object_is_its_own():
    logits = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    iou = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))
    truth = (torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(2)) > 0.6).float()
    together = prompt_loss(logits, iou, truth)
    assert together.masks.shape == together.score.shape == together.best.shape == (3,)
    for k in range(3):
        one = slice(k, k + 1)
        alone = prompt_loss(logits[one], iou[one], truth[one])
        for part, own in zip(together, alone, strict=True):
            torch.testing.assert_close(part[one], own)


def test_the_instance_head_learns_foreground_and_field():
    share = torch.tensor([[[0.0, 0.25], [1.0, 1.0]]])
    field = torch.tensor([[[[0.0, 0.1], [0.6, 0]], [[0.0, 0], [0.8, -0.5]]]])
    near = torch.zeros(1, 2, 2, dtype=torch.bool)
    targets = InstanceTargets(share, field, field[:, 0], near)
    answer = torch.zeros(1, 3, 2, 2)
    squares = 0.1**2 + (0.6**2 + 0.8**2) + 0.5**2
    known = torch.tensor(True)
    wanted = math.log(2) + FIELD_WEIGHT * squares / 4
    assert float(instance_loss(answer, targets, known)) == pytest.approx(wanted)
    # where not all is labelled, the upper left cell counts a little, and its field may be anything
    total = 3 + UNLABELLED
    wanted = math.log(2) + FIELD_WEIGHT * squares / total
    assert float(instance_loss(answer, targets, ~known)) == pytest.approx(wanted)
    answer[0, 1:, 0, 0] = 9.0
    assert float(instance_loss(answer, targets, ~known)) == pytest.approx(wanted)
    answer[0, 0, 0, 0] = 9.0
    sure = UNLABELLED * math.log(1 + math.exp(9))
    wanted = (3 * math.log(2) + FIELD_WEIGHT * squares + sure) / total
    assert float(instance_loss(answer, targets, ~known)) == pytest.approx(wanted)
    near[0, 0, 0] = True  # it adjoins an object
    cost = math.log(1 + math.exp(9)) + FIELD_WEIGHT * 2 * 81
    wanted = (3 * math.log(2) + FIELD_WEIGHT * squares + cost) / 4
    assert float(instance_loss(answer, targets, ~known)) == pytest.approx(wanted, rel=1e-5)


def test_a_right_answer_of_the_instance_head_costs_nothing():
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 8:24, 8:40] = 1
    labels[:, 24:40, 8:40] = 2
    targets = instance_targets(labels)
    right = torch.cat([targets.foreground[:, None] * 60 - 30, targets.field], dim=1)
    known = torch.tensor([True, False])[:, None, None]
    assert float(instance_loss(right, targets, known)) < 1e-6
    right[:, 1:] *= -1
    assert float(instance_loss(right, targets, known)) > 0.1


def test_what_is_not_labelled_is_unknown_but_in_planes_in_which_all_is():
    labels = torch.zeros(2, 64, 64, dtype=torch.int64)
    labels[:, 24:40, 24:40] = 3
    targets = instance_targets(labels)
    answer = torch.zeros(2, 3, 16, 16, requires_grad=True)
    instance_loss(answer, targets, torch.tensor([True, False])[:, None, None]).backward()
    pull = answer.grad[:, 0].abs() / answer.grad[:, 0].abs().max()
    assert (pull[0] == 1).all()
    heeded = pull == 1
    torch.testing.assert_close(pull[1][~heeded[1]], torch.full((196,), UNLABELLED))
    # the object, 16 cells, and two cells around it (three of half the size), without the corners
    wanted = torch.zeros(16, 16, dtype=torch.bool)
    wanted[4:12, 4:12] = True
    wanted[4:12:7, 4:12:7] = False
    assert torch.equal(heeded[1], wanted)


def test_clicks_that_are_heeded_cost_nothing():
    logits = torch.full((1, 2, 8, 8), -30.0)
    logits[..., 4:] = 30  # the right half, from pixel 16 on
    coords = torch.tensor([[[24.0, 10.0], [6.0, 10.0], [0.0, 0.0]]])
    assert float(click_loss(logits, coords, torch.tensor([[1, 0, -1]]), 4)) < 1e-6
    assert float(click_loss(logits, coords, torch.tensor([[0, 0, -1]]), 4)) == pytest.approx(15)
    assert float(click_loss(logits, coords, torch.tensor([[-1, -1, -1]]), 4)) == 0


def test_where_labels_are_not_complete_the_ground_may_teach_nothing():
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    labels[:, 24:40, 24:40] = 3
    targets = instance_targets(labels)
    answer = torch.zeros(1, 3, 16, 16, requires_grad=True)
    complete = torch.zeros(1, 16, 16, dtype=torch.bool)
    complete[:, :2] = True
    instance_loss(answer, targets, complete, unlabelled=0.0).backward()
    taught = answer.grad[0, 0] != 0
    assert taught[:2].all()
    assert not taught[2:4].any()
    assert taught[6:10, 6:10].all()
    assert not taught[12:].any()
