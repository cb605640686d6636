from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.training.simulate import (
    STROKE,
    beside_objects,
    corrected,
    disturbed,
    first_prompts,
)


def masks(count=200, size=64):
    """Return rectangles at different places."""
    out = torch.zeros(count, size, size, dtype=torch.bool)
    rng = np.random.default_rng(0)
    for mask in out:
        x, y = rng.integers(0, size - 20, 2)
        mask[y : y + rng.integers(6, 20), x : x + rng.integers(6, 20)] = True
    return out


@pytest.fixture(scope="module")
def drawn():
    objects = masks()
    return objects, first_prompts(objects, 4, np.random.default_rng(1))


def test_every_object_gets_a_click_a_box_or_a_rough_mask(drawn):
    _, prompts = drawn
    clicked = prompts.labels[:, 0] == 1
    boxed = ~prompts.boxes.isnan().any(1)
    rough = ~prompts.mask_input.isnan().any((1, 2))
    assert (clicked | boxed | rough).all()
    assert 0.03 < rough.float().mean() < 0.2
    assert (rough & ~clicked & ~boxed).any()
    assert 0.5 < clicked.float().mean() < 0.7
    assert 0.4 < boxed.float().mean() < 0.6
    assert (clicked & boxed).any()
    assert set(prompts.labels.unique().tolist()) == {-1, 1}
    assert prompts.mask_input.shape == (200, 16, 16)


def test_rough_masks_are_like_their_objects_but_not_equal():
    objects = masks()[:60]
    rng = np.random.default_rng(4)
    overlaps = []
    for mask in objects:
        rough = disturbed(mask, 4, rng) > 0
        truth = torch.nn.functional.avg_pool2d(mask[None].float(), 4)[0] > 0.5
        overlaps.append(float((rough & truth).sum() / (rough | truth).sum().clamp(min=1)))
    assert 0.4 < np.mean(overlaps) < 0.9
    assert np.std(overlaps) > 0.05


def test_without_odds_there_are_clicks_and_boxes_alone():
    prompts = first_prompts(masks(), 4, np.random.default_rng(1), odds=0)
    assert prompts.coords.shape[1] == 1
    assert prompts.mask_input.isnan().all()
    assert ((prompts.labels[:, 0] == 1) | ~prompts.boxes.isnan().any(1)).all()


def test_some_strokes_are_several_points():
    slots = {
        first_prompts(masks()[:5], 4, np.random.default_rng(k)).coords.shape[1] for k in range(40)
    }
    assert slots == {1, STROKE}


def test_clicks_lie_on_their_objects(drawn):
    objects, prompts = drawn
    on = 0
    clicked = torch.nonzero(prompts.labels[:, 0] == 1)[:, 0]
    for k in clicked:
        x, y = prompts.coords[k, 0].round().long().clamp(0, 63)
        on += bool(objects[k, y, x])
        rows, columns = torch.nonzero(objects[k]).T
        assert rows.min() - 2 <= y <= rows.max() + 2
        assert columns.min() - 2 <= x <= columns.max() + 2
    assert on > 0.9 * len(clicked)


def test_boxes_are_near_the_true_ones_and_half_of_them_exact(drawn):
    objects, prompts = drawn
    exact = []
    for k in torch.nonzero(~prompts.boxes.isnan().any(1))[:, 0]:
        rows, columns = torch.nonzero(objects[k]).T
        true = torch.stack([columns.min(), rows.min(), columns.max(), rows.max()])
        x0, y0, x1, y1 = prompts.boxes[k]
        assert 0 <= x0 < x1 <= 63
        assert 0 <= y0 < y1 <= 63
        exact.append(torch.equal(prompts.boxes[k], true.float()))
        assert (prompts.boxes[k] - true).abs().max() <= 20
    assert 0.35 < np.mean(exact) < 0.65


def test_corrections_click_on_what_is_missed_and_what_is_too_much():
    objects = torch.zeros(3, 64, 64, dtype=torch.bool)
    objects[:, 8:40, 8:40] = True
    low = torch.full((3, 16, 16), -5.0)
    low[1, 2:10, 2:10] = 5  # right
    low[2, 2:10, 2:10] = 5
    low[2, 11:15, 11:15] = 5  # too much
    first = first_prompts(objects, 4, np.random.default_rng(0))
    second = corrected(first, objects, low, np.random.default_rng(0))
    assert second.coords.shape == (3, 2, 2)
    assert torch.equal(second.coords[:, :1], first.coords)
    assert second.labels[:, 1].tolist() == [1, -1, 0]
    x, y = second.coords[0, 1]
    assert 8 <= x < 40
    assert 8 <= y < 40
    x, y = second.coords[2, 1]
    assert 43 <= x <= 60
    assert 43 <= y <= 60
    assert torch.equal(second.mask_input, low)
    assert torch.equal(second.boxes.isnan(), first.boxes.isnan())


def test_clicks_beside_objects_lie_beside_them():
    labels = torch.zeros(4, 32, 32, dtype=torch.int32)
    labels[:, :, :28] = torch.arange(1, 5)[:, None, None]
    labels[3] = 1  # full
    known = torch.tensor([True, False, True, True])
    owner, prompts = beside_objects(labels, known, 4, np.random.default_rng(0))
    assert owner.tolist() == [0, 2]
    assert (prompts.coords[..., 0] >= 28).all()
    assert (prompts.labels == 1).all()
    assert prompts.boxes.isnan().all()
    assert prompts.mask_input.shape == (2, 8, 8)
    assert beside_objects(labels, ~known, 4, np.random.default_rng(0)) is not None
    assert beside_objects(labels[3:], known[3:], 4, np.random.default_rng(0)) is None


def test_a_known_neighbour_is_the_rough_mask():
    objects = masks(300)
    beside = torch.roll(objects, 2, 2)
    beside[:150] = False
    prompts = first_prompts(objects, 4, np.random.default_rng(5), beside=beside)
    rough = ~prompts.mask_input.isnan().any((1, 2))
    assert 1.5 < rough[150:].sum() / rough[:150].sum() < 8
    for k in 150 + torch.nonzero(rough[150:])[:, 0]:
        soft = torch.nn.functional.avg_pool2d(beside[k][None].float(), 4)[0]
        assert ((prompts.mask_input[k] > 0) == (soft > 0.5)).all()
