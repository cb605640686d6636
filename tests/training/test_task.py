from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from napari_sam.models.pocket_encoder import STRIDE, PocketFeatures
from napari_sam.training.crops import Crops
from napari_sam.training.prompts import GROWN, STROKE, box_of
from napari_sam.training.rng import DeviceRandom
from napari_sam.training.task import BACKGROUND, PROMPTS, draw_task


def crops_of(labels, anchor, earlier=None, exhaustive=True):
    """Return crops of labels (B, S, S) and features of them and of their earlier planes."""
    count, size = len(labels), labels.shape[-1]
    earlier = labels[:0] if earlier is None else earlier
    crops = Crops(
        torch.zeros(count, 3, size, size),
        labels,
        anchor,
        torch.full(labels.shape, exhaustive),
        torch.zeros(len(earlier), 3, size, size),
        earlier,
    )
    planes = torch.arange(count + len(earlier)).float()[:, None, None, None]
    return crops, PocketFeatures(*(planes.expand(-1, 2, 2, 2) for _ in range(4)))


def squares(count, size=64):
    """Return labels (B, S, S) of four squares of 12 pixels, numbered from 1."""
    labels = torch.zeros(count, size, size, dtype=torch.int64)
    for k in range(4):
        labels[:, 16 * k + 2 : 16 * k + 14, 16 * k + 2 : 16 * k + 14] = k + 1
    return labels


def test_each_crop_asks_for_its_anchor_first_and_for_others():
    labels, anchor = squares(50), torch.arange(50) % 4 + 1
    task = draw_task(*crops_of(labels, anchor, exhaustive=False), 1, DeviceRandom(0))
    assert task.owner.tolist() == [k for k in range(50) for _ in range(PROMPTS)]
    assert task.masks.shape == (50 * PROMPTS, 64, 64)
    asked = (labels[task.owner] * task.masks).flatten(1).amax(1)
    assert torch.equal(task.masks, labels[task.owner] == asked[:, None, None])
    assert torch.equal(asked[::PROMPTS], anchor)
    assert all(len(set(three)) == PROMPTS for three in asked.view(50, PROMPTS).tolist())
    for part in (task.weight, task.present, task.known):
        assert part.tolist() == [1] * 50 * PROMPTS
    assert task.guide is None


def test_some_last_prompts_are_clicks_on_background_where_it_is_known():
    labels, anchor = squares(600), torch.ones(600, dtype=torch.int64)
    task = draw_task(*crops_of(labels, anchor), 1, DeviceRandom(0))
    nothing = ~task.masks.flatten(1).any(1)
    assert not nothing.view(600, PROMPTS)[:, :-1].any()
    share = float(nothing.view(600, PROMPTS)[:, -1].float().mean())
    assert share == pytest.approx(BACKGROUND, abs=0.07)
    assert torch.equal(task.present, (~nothing).float())
    assert torch.equal(task.weight, task.present)
    assert task.known.all()
    column, row = task.first.coords[nothing, 0].long().unbind(1)
    assert not labels[task.owner[nothing], row, column].any()
    assert (task.first.labels[nothing] == 1).all()
    assert task.first.boxes[nothing].isnan().all()
    assert task.first.mask_input[nothing].isnan().all()
    strokes = draw_task(*crops_of(labels, anchor), STROKE, DeviceRandom(0))
    assert strokes.masks.flatten(1).any(1).all()
    assert strokes.first.coords.shape == (600 * PROMPTS, STROKE, 2)


def test_objects_with_an_earlier_plane_are_chosen_and_prompted_there():
    labels, earlier = squares(60), squares(40).roll(2, 2)
    labels[:20][labels[:20] == 3] = 0  # ended
    anchor = torch.full((60,), 3)
    task = draw_task(*crops_of(labels, anchor, earlier), 1, DeviceRandom(0))
    guided = 40 * PROMPTS
    ended = torch.zeros(60 * PROMPTS, dtype=torch.bool)
    ended[: 20 * PROMPTS : PROMPTS] = True
    assert not task.masks[ended].any()
    assert not task.present[ended].any()
    assert not task.weight[ended].any()
    assert task.known.all()
    # no clicks on background there: of the others all are present
    assert task.present[:guided][~ended[:guided]].all()
    guide = task.guide
    assert guide.owner.tolist() == [k for k in range(40) for _ in range(PROMPTS)]
    assert guide.s16[:, 0, 0, 0].tolist() == list(range(60, 100))
    outline = guide.mask > 0
    own = outline.view(40, PROMPTS, 16, 16)[:, 0]
    wanted = F.avg_pool2d((earlier == 3).float()[:, None], STRIDE)[:, 0]
    assert torch.equal(own, wanted > 0.5)
    torch.testing.assert_close(guide.mask[::PROMPTS], (wanted - 0.5) * 16)
    old = torch.stack([earlier[k // PROMPTS] == 3 for k in range(0, guided, PROMPTS)])
    boxes = task.first.boxes[:guided:PROMPTS]
    known = ~boxes.isnan().any(1)
    assert 3 < int(known.sum()) < 20
    error = (boxes - box_of(old))[known].abs()
    assert float(error.max()) == pytest.approx(GROWN * 12, abs=1e-4)
    assert task.first.mask_input[:guided].isnan().all()
    assert len(task.first.coords) == len(task.masks) == 60 * PROMPTS


def test_of_a_crop_without_an_object_nothing_is_learnt():
    labels, anchor = squares(8), torch.ones(8, dtype=torch.int64)
    labels[:4] = 0
    labels[3, 5, 5:10] = 1  # a speck
    task = draw_task(*crops_of(labels, anchor, exhaustive=False), 1, DeviceRandom(0))
    learnt = torch.arange(8).repeat_interleave(PROMPTS) >= 4
    for part in (task.weight, task.known, task.present):
        assert torch.equal(part > 0, learnt)


def test_in_a_crop_of_which_all_is_known_to_be_empty_nothing_is_found():
    labels, anchor = torch.zeros(500, 64, 64, dtype=torch.int64), torch.ones(500).long()
    task = draw_task(*crops_of(labels, anchor), 1, DeviceRandom(0))
    known = task.known.view(500, PROMPTS)
    assert not known[:, :-1].any()
    assert float(known[:, -1].mean()) == pytest.approx(BACKGROUND, abs=0.07)
    assert not task.present.any()
    assert not task.weight.any()
