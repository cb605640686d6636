from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from napari_sam import masks as one_by_one
from napari_sam.training.fields import LABELS
from napari_sam.training.prompts import (
    CENTRAL,
    GROWN,
    MIN_PIXELS,
    STROKE,
    PromptBatch,
    background_clicks,
    box_of,
    choose_objects,
    click_in,
    corrected,
    disturbed,
    first_prompts,
    following_prompts,
    loosened,
)
from napari_sam.training.rng import DeviceRandom

SIZE = 64


def rectangles(count=400, seed=0):
    """Return rectangles at different places."""
    out = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
    rng = np.random.default_rng(seed)
    for mask in out:
        x, y = rng.integers(0, SIZE - 20, 2)
        mask[y : y + rng.integers(6, 20), x : x + rng.integers(6, 20)] = True
    return out


def blots(count, seed=0):
    """Return objects of smooth, irregular form."""
    noise = np.random.default_rng(seed).normal(size=(count, SIZE, SIZE))
    smooth = np.stack([ndimage.gaussian_filter(plane, 6) for plane in noise])
    smooth -= np.quantile(smooth, 0.75, axis=(1, 2), keepdims=True)
    return torch.from_numpy(smooth > 0)


def at(masks, coords):
    """Return what masks (P, S, S) say at coordinates (P, 2), (x, y)."""
    column, row = coords.round().long().clamp(0, masks.shape[-1] - 1).unbind(1)
    return masks[torch.arange(len(masks)), row, column]


def depth_of(mask):
    return ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]


def nothing(count, cells=16):
    """Return prompts that say nothing."""
    return PromptBatch(
        torch.zeros(count, 1, 2),
        torch.full((count, 1), -1),
        torch.full((count, 4), torch.nan),
        torch.full((count, cells, cells), torch.nan),
    )


# --- objects -----------------------------------------------------------------------------------


def test_the_anchor_is_chosen_first_and_no_speck_ever():
    labels = torch.zeros(4, SIZE, SIZE, dtype=torch.int64)
    for k in range(5):
        labels[:, 10 * k : 10 * k + 6, :10] = k + 1
    labels[:, :3, 20:23] = 9  # 9 pixels
    labels[1] *= labels[1] == 3  # only one object
    labels[2] *= labels[2] == 9  # only a speck
    labels[3] *= labels[3] != 4  # the anchor is missing
    anchor = torch.tensor([4, 3, 9, 4])
    others = set()
    for seed in range(30):
        chosen, valid = choose_objects(labels, anchor, 3, DeviceRandom(seed))
        assert valid.tolist() == [True, True, False, True]
        assert chosen[0, 0] == 4
        assert len(set(chosen[0].tolist())) == 3
        assert set(chosen[0].tolist()) <= {1, 2, 3, 4, 5}
        assert chosen[1].tolist() == [3, 3, 3]
        assert len(set(chosen[3].tolist())) == 3
        assert set(chosen[3].tolist()) <= {1, 2, 3, 5}
        others |= set(chosen[0, 1:].tolist())
    assert others == {1, 2, 3, 5}


def test_objects_of_just_enough_pixels_are_chosen():
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[0, 0, :MIN_PIXELS] = LABELS - 1
    labels[0, 4, : MIN_PIXELS - 1] = 2
    chosen, valid = choose_objects(labels, torch.tensor([2]), 2, DeviceRandom(0))
    assert chosen.tolist() == [[LABELS - 1] * 2]
    assert valid.all()


# --- clicks and boxes --------------------------------------------------------------------------


def test_clicks_lie_anywhere_on_their_objects_but_nowhere_else():
    ring = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    ring[10:50, 10:50] = True
    ring[14:46, 14:46] = False
    masks = ring.expand(4000, SIZE, SIZE)
    clicks = click_in(masks, DeviceRandom(0), 0.0)
    assert torch.equal(clicks, clicks.round())
    assert at(masks, clicks).all()
    hit = torch.zeros(SIZE, SIZE)
    hit.index_put_(clicks.long().flip(1).unbind(1), torch.ones(4000), accumulate=True)
    wanted = 4000 / int(ring.sum())
    assert float(hit[:, :32].sum() / 4000) == pytest.approx(0.5, abs=0.03)
    assert float(hit[ring].mean()) == pytest.approx(wanted)
    assert float(hit[ring].var()) == pytest.approx(wanted, rel=0.2)  # as chance has it


@pytest.mark.parametrize("central", [0.0, 0.6, 1.0])
def test_every_click_hits(central):
    masks = torch.cat([rectangles(), blots(100)])
    assert at(masks, click_in(masks, DeviceRandom(1), central)).all()


def test_central_clicks_are_near_the_middle_of_the_object():
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    generator = np.random.default_rng(0)
    masks = []
    for _ in range(200):
        row, column, reach = *generator.uniform(22, 42, 2), generator.uniform(5, 20)
        stretch = generator.uniform(0.8, 1.25)
        masks.append(((y - row) * stretch) ** 2 + ((x - column) / stretch) ** 2 < reach**2)
    clicks = click_in(torch.stack(masks), DeviceRandom(2), 1.0)
    middles = torch.tensor([one_by_one.middle_of(mask.numpy()) for mask in masks])
    away = (clicks - middles).abs().amax(1)
    assert float(away.median()) < 2
    assert float(away.quantile(0.85)) < 3
    assert float(away.max()) < 7  # of a wide object several cells are the deepest
    error = (clicks - middles).mean(0)
    assert float(error.abs().max()) < 0.8  # to no side


def test_central_clicks_on_small_objects_are_central():
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    places = np.random.default_rng(0).uniform(28, 36, (400, 2))
    masks = torch.stack([(y - row) ** 2 + (x - column) ** 2 < 5**2 for row, column in places])
    error = click_in(masks, DeviceRandom(0), 1.0) - torch.from_numpy(places[:, ::-1].copy())
    assert float(error.abs().quantile(0.9)) < 2.5
    assert float(error.abs().max()) < 4
    assert float(error.mean(0).abs().max()) < 0.4


def test_central_clicks_are_nearly_as_deep_as_the_deepest_place():
    masks = blots(300).numpy()
    clicks = click_in(torch.from_numpy(masks), DeviceRandom(2), 1.0).round().long()
    depths = [depth_of(mask) for mask in masks]
    lost = [d.max() - d[y, x] for d, (x, y) in zip(depths, clicks.tolist(), strict=True)]
    assert np.median(lost) < 1.5
    assert max(lost) < 4


def test_as_many_clicks_are_central_as_told():
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, 4:60, 4:60] = True
    clicks = click_in(mask.expand(2000, -1, -1), DeviceRandom(3), CENTRAL)
    near = ((clicks - 31.5).abs() < 4).all(1)
    assert float(near.float().mean()) == pytest.approx(0.6 + 0.4 * 64 / 56**2, abs=0.05)


def test_boxes_are_tight():
    masks = rectangles()
    masks[7] = False
    boxes = box_of(masks)
    assert boxes[7].isnan().all()
    for k in (*range(7), *range(8, 60)):
        assert boxes[k].tolist() == one_by_one.box_of(masks[k].numpy()).tolist()
    dot = torch.zeros(1, 8, 8, dtype=torch.bool)
    dot[0, 7, 0] = True
    assert box_of(dot).tolist() == [[0, 7, 0, 7]]


def test_half_of_the_boxes_are_moved_by_a_tenth_of_their_sides():
    boxes = torch.tensor([[100.0, 120.0, 139.0, 199.0]]).expand(4000, 4)  # 40 by 80 pixels
    moved = loosened(boxes, 256, DeviceRandom(0))
    same = (moved == boxes).all(1)
    assert float(same.float().mean()) == pytest.approx(0.5, abs=0.03)
    error = (moved - boxes)[~same]
    assert error.std(0).tolist() == pytest.approx([4, 8, 4, 8], rel=0.08)
    assert error.abs().max() <= 20
    edge = loosened(torch.tensor([[0.0, 0.0, 63.0, 63.0]]).expand(500, 4), 64, DeviceRandom(0))
    assert 0 <= float(edge.min()) <= float(edge.max()) <= 63
    small = torch.tensor([[5.0, 5.0, 6.0, 6.0]]).expand(500, 4)
    kept = loosened(small, 64, DeviceRandom(0))
    assert (kept[:, 2:] > kept[:, :2]).all()
    assert loosened(torch.full((3, 4), torch.nan), 64, DeviceRandom(0)).isnan().all()


# --- first prompts -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    objects = rectangles(3000)
    return objects, first_prompts(objects, 4, DeviceRandom(1))


def test_every_object_gets_a_click_a_box_or_a_rough_mask(drawn):
    _, prompts = drawn
    clicked = prompts.labels[:, 0] == 1
    boxed = ~prompts.boxes.isnan().any(1)
    rough = ~prompts.mask_input.isnan().any((1, 2))
    assert (clicked | boxed | rough).all()

    def share(what):
        return float(what.float().mean())

    assert share(rough) == pytest.approx(0.1, abs=0.02)
    assert share(clicked) == pytest.approx(0.9 * 0.6 + 0.1 * 0.3, abs=0.03)
    assert share(boxed) == pytest.approx(0.9 * 0.5 + 0.1 * 0.2, abs=0.03)
    assert share(clicked & boxed) == pytest.approx(0.9 * 0.1, abs=0.02)
    assert share(rough & ~clicked & ~boxed) == pytest.approx(0.1 * 0.5, abs=0.02)
    assert prompts.labels.unique().tolist() == [-1, 1]
    assert prompts.mask_input.shape == (3000, 16, 16)
    assert prompts.mask_input[~rough].isnan().all()
    assert not prompts.coords[~clicked].any()


def test_first_clicks_hit_and_first_boxes_are_near(drawn):
    objects, prompts = drawn
    clicked = prompts.labels[:, 0] == 1
    assert at(objects, prompts.coords[:, 0])[clicked].all()
    boxed = ~prompts.boxes.isnan().any(1)
    error = (prompts.boxes - box_of(objects))[boxed].abs().amax(1)
    assert float((error == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert error.max() <= 20


def test_without_odds_there_are_clicks_and_boxes_alone():
    prompts = first_prompts(rectangles(), 4, DeviceRandom(1), odds=0)
    assert prompts.mask_input.isnan().all()
    assert ((prompts.labels[:, 0] == 1) | ~prompts.boxes.isnan().any(1)).all()


def test_a_stroke_is_several_points_on_the_object():
    objects = blots(200)
    prompts = first_prompts(objects, 4, DeviceRandom(0), slots=STROKE)
    assert prompts.coords.shape == (200, STROKE, 2)
    clicked = prompts.labels[:, 0] == 1
    assert (prompts.labels == prompts.labels[:, :1]).all()
    for slot in range(STROKE):
        assert at(objects, prompts.coords[:, slot])[clicked].all()
    apart = (prompts.coords[:, 0] - prompts.coords[:, 1]).norm(dim=1)[clicked]
    assert float(apart.median()) > 5


def test_prompts_come_from_the_seed():
    batches = [first_prompts(rectangles(40), 4, DeviceRandom(seed)) for seed in (3, 3, 4)]
    for one, two in zip(batches[0], batches[1], strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(batches[0].coords, batches[2].coords)


def test_rough_masks_are_like_their_objects_but_not_equal():
    objects = rectangles()
    rough = disturbed(objects, 4, DeviceRandom(4)) > 0
    truth = F.avg_pool2d(objects[:, None].float(), 4)[:, 0] > 0.5
    both, either = (rough & truth).flatten(1).sum(1), (rough | truth).flatten(1).sum(1)
    overlap = both / either.clamp(min=1)
    assert 0.4 < float(overlap.mean()) < 0.9
    assert float(overlap.std()) > 0.05
    assert float((rough.sum() / truth.sum()).log().abs()) < 0.2
    assert disturbed(torch.zeros(2, 64, 64, dtype=torch.bool), 4, DeviceRandom(0)).isfinite().all()


def test_prompts_are_chosen_one_by_one():
    one, two = first_prompts(rectangles(3), 4, DeviceRandom(0)), nothing(3)
    mixed = one.where(torch.tensor([True, False, True]), two)
    for part, a, b in zip(mixed, one, two, strict=True):
        for k, own in enumerate((a, b, a)):
            torch.testing.assert_close(part[k], own[k], rtol=0, atol=0, equal_nan=True)


# --- the next plane ----------------------------------------------------------------------------


def test_following_prompts_know_only_the_earlier_outline():
    earlier = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    earlier[:, 20:40, 10:50] = True  # 40 wide, 20 high
    prompts = following_prompts(earlier.expand(3000, -1, -1), 4, DeviceRandom(0))
    clicked = prompts.labels[:, 0] == 1
    boxed = ~prompts.boxes.isnan().any(1)
    assert float(clicked.float().mean()) == pytest.approx(0.35, abs=0.03)
    assert float(boxed.float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not (clicked & boxed).any()
    x, y = 40 * GROWN, 20 * GROWN
    box = torch.tensor([10 - x, 20 - y, 49 + x, 39 + y])
    torch.testing.assert_close(prompts.boxes[boxed], box.expand(int(boxed.sum()), 4))
    depth = depth_of(earlier[0].numpy())
    column, row = prompts.coords[clicked, 0].round().long().unbind(1)
    assert depth[row, column].min() >= depth.max() - 3.5
    assert prompts.mask_input.isnan().all()
    assert prompts.mask_input.shape == (3000, 16, 16)
    assert not prompts.coords[~clicked].any()


def test_a_following_box_stays_in_the_plane():
    full = torch.ones(200, SIZE, SIZE, dtype=torch.bool)
    boxes = following_prompts(full, 4, DeviceRandom(0)).boxes
    boxes = boxes[~boxes.isnan().any(1)]
    assert torch.equal(boxes, torch.tensor([0.0, 0, 63, 63]).expand(len(boxes), 4))


# --- beside objects ----------------------------------------------------------------------------


def test_background_clicks_keep_away_from_what_is_not_known():
    labels = torch.full((50, SIZE, SIZE), -1)
    labels[:, 20:30, 20:30] = 0
    labels[25:] = -1
    prompts, found = background_clicks(labels, 4, DeviceRandom(0))
    assert found.tolist() == [True] * 25 + [False] * 25
    assert prompts.coords[:25].min() >= 22
    assert prompts.coords[:25].max() <= 27


def test_background_clicks_lie_beside_all_objects():
    labels = torch.zeros(300, SIZE, SIZE, dtype=torch.int64)
    labels[:, :, :50] = torch.arange(1, SIZE + 1)[:, None]
    labels[100:200, 30:34, 50:] = 3
    labels[200:] = 1
    prompts, found = background_clicks(labels, 4, DeviceRandom(0))
    assert found.tolist() == [True] * 200 + [False] * 100
    x, y = prompts.coords[:200, 0].unbind(1)
    assert x.min() == 52  # two pixels lie between
    assert x.max() == 63
    assert y.min() == 0
    assert y.max() == 63
    assert ((y[100:] <= 27) | (y[100:] >= 36)).all()
    assert (y[:100] - 31.5).abs().min() < 3
    assert prompts.labels.tolist() == [[1]] * 300
    assert prompts.boxes.isnan().all()
    assert prompts.mask_input.shape == (300, 16, 16)
    assert prompts.mask_input.isnan().all()


# --- corrections -------------------------------------------------------------------------------


def logits_of(masks):
    return masks.float() * 10 - 5


def test_a_correction_clicks_in_the_deepest_error():
    truth, answer = blots(300, 1), blots(300, 2)
    answer[:100] = truth[:100] & answer[:100]  # something is missed
    answer[100:200] |= truth[100:200]  # there is too much
    low = logits_of(answer[:, 2::4, 2::4])
    prompts = corrected(nothing(300), truth, low, DeviceRandom(0))
    assert prompts.coords.shape == (300, 2, 2)
    seen, near = set(), 0
    for k in range(300):
        coarse, found = truth[k, 2::4, 2::4].numpy(), low[k].numpy() > 0
        (x, y), label = one_by_one.worst_click(coarse, found)
        assert prompts.labels[k, 1] == label
        error = coarse & ~found if label else found & ~coarse
        depth = depth_of(error)
        column, row = (prompts.coords[k, 1] // 4).long().tolist()
        assert depth[row, column] == depth.max()  # in the deepest error, always
        centre = torch.tensor([column, row]) * 4 + 1.5
        assert (prompts.coords[k, 1] - centre).abs().max() <= 1
        near += max(abs(column - x), abs(row - y)) <= 1
        seen.add(label)
    assert seen == {0, 1}
    assert near > 280  # of equally deep places another may be taken


def test_a_correction_keeps_what_was_said_and_passes_the_answer_on():
    objects = torch.zeros(3, SIZE, SIZE, dtype=torch.bool)
    objects[:, 8:40, 8:40] = True
    answer = torch.zeros(3, 16, 16, dtype=torch.bool)
    answer[1:, 2:10, 2:10] = True  # the second one is right
    answer[2, 11:15, 11:15] = True  # too much
    low = logits_of(answer)
    first = first_prompts(objects, 4, DeviceRandom(0))
    second = corrected(first, objects, low, DeviceRandom(0))
    assert second.coords.shape == (3, 2, 2)
    assert torch.equal(second.coords[:, :1], first.coords)
    assert torch.equal(second.labels[:, :1], first.labels)
    assert second.labels[:, 1].tolist() == [1, -1, 0]
    assert ((second.coords[0, 1] - 23.5).abs() <= 4).all()  # the middle of 8..39
    assert ((second.coords[2, 1] - 51.5).abs() <= 4).all()  # of 44..59
    assert torch.equal(second.mask_input, low)
    torch.testing.assert_close(second.boxes, first.boxes, rtol=0, atol=0, equal_nan=True)
    third = corrected(second, objects, low, DeviceRandom(1))
    assert third.labels.shape == (3, 3)


def test_an_error_at_the_edge_of_the_plane_is_no_deeper_than_it_is():
    truth = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    truth[:, :, :8] = True  # two cells at the plane's edge
    truth[:, 20:40, 30:50] = True  # five cells
    prompts = corrected(nothing(1), truth, torch.full((1, 16, 16), -5.0), DeviceRandom(0))
    x, y = prompts.coords[0, 1]
    assert abs(x - 39.5) <= 3
    assert abs(y - 29.5) <= 3
