from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_examples import blocks, brightness, from_labels
from torch.nn import functional as F

from napari_sam.training import crops
from napari_sam.training.crops import (
    LARGEST_SCALE,
    LONGEST,
    SCALES,
    VANISHED,
    draw_crops,
    draw_views,
    warp_grid,
)
from napari_sam.training.drawn import Drawn
from napari_sam.training.image_set import ImageSet
from napari_sam.training.rng import DeviceRandom

SIZE = 64


@pytest.fixture(scope="module")
def images():
    return ImageSet.of([blocks("a"), blocks("b", (110, 170))])


@pytest.fixture
def plain(monkeypatch):
    """Crops as they are, with no other contrast, colour or noise."""

    def same(pixels, style, rng):
        return pixels, torch.zeros(len(pixels), dtype=torch.bool)

    monkeypatch.setattr(crops, "photometric", same)


def scale_of(views):
    """Return pixels of the crop for each pixel of the image (B,), by area."""
    right = views.coords[:, 0, 1] - views.coords[:, 0, 0]
    down = views.coords[:, 1, 0] - views.coords[:, 0, 0]
    return (right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]).abs() ** -0.5


def inner(labels, label, pixels=2):
    """Return where a label (B,) is, without its border."""
    mask = (labels == label[:, None, None]).float()[:, None]
    beside = F.pad(1 - mask, (pixels,) * 4, value=1.0)
    return F.max_pool2d(beside, 2 * pixels + 1, 1)[:, 0] == 0


def test_a_crop_holds_the_object_that_it_was_cut_about(images):
    views = draw_views(images, 400, SIZE, DeviceRandom(0))
    labels = images.read_labels(views.image, views.coords)
    shown = (labels == views.anchor[:, None, None]).flatten(1).any(1)
    assert shown.float().mean() > 0.93  # turned crops that stay in the image may lose a corner
    assert set(views.image.tolist()) == {0, 1}
    assert set(views.anchor.tolist()) == set(range(1, 13))
    middle = np.zeros((400, 400), np.int32)
    middle[190:210, 190:210] = 3  # far from the image's edges
    views = draw_views(ImageSet.of([from_labels(middle)]), 200, SIZE, DeviceRandom(0))
    labels = ImageSet.of([from_labels(middle)]).read_labels(views.image, views.coords)
    assert (labels == 3).flatten(1).any(1).all()


def test_an_object_fits_into_its_crop_and_is_no_speck():
    for side in (3, 30, 300):
        labels = np.zeros((600, 800), np.int32)
        labels[150 : 150 + side, 250 : 250 + side] = 1
        views = draw_views(ImageSet.of([from_labels(labels)]), 300, SIZE, DeviceRandom(1))
        shown = scale_of(views) * side
        assert float(shown.max()) <= 0.951 * SIZE
        assert float(shown.min()) >= min(8.0, 6.0 * side) * 0.999
        if side == 300:  # much larger than a crop at the scale that a model sees
            assert float(shown.min()) >= 0.449 * SIZE
            assert float(shown.max()) > 0.9 * SIZE


@pytest.mark.parametrize("longest", [60, 160, 700])
def test_crops_are_seen_about_as_a_model_sees_the_image(longest):
    labels = np.zeros((50, longest), np.int32)
    labels[10:22, 20:32] = 1  # 12 pixels need no other scale
    views = draw_views(ImageSet.of([from_labels(labels)]), 600, 256, DeviceRandom(2))
    policy = min(LONGEST / longest, LARGEST_SCALE)
    relative = scale_of(views) / policy
    least = max(SCALES[0], 8 / 12 / policy)
    assert least * 0.999 <= float(relative.min()) < least * 1.1
    assert 0.95 * SCALES[1] < float(relative.max()) <= 1.001 * SCALES[1]
    wanted = (-(relative * policy).log2() + 0.5).floor().clamp(0, 3)
    edge = ((-(relative * policy).log2() + 0.5) % 1 - 0.5).abs() > 0.49
    assert torch.equal(views.level[~edge], wanted.long()[~edge])


def test_crops_are_turned_mirrored_and_stretched(images):
    views = draw_views(images, 600, SIZE, DeviceRandom(3))
    right = views.coords[:, 0, 1] - views.coords[:, 0, 0]
    down = views.coords[:, 1, 0] - views.coords[:, 0, 0]
    mirrored = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0] < 0
    assert 0.4 < mirrored.float().mean() < 0.6
    torch.testing.assert_close((right * down).sum(1), torch.zeros(600), atol=1e-2, rtol=0)
    stretch = (right.norm(dim=1) / down.norm(dim=1)).log()
    assert float(stretch.std()) == pytest.approx(2 * 0.08, rel=0.15)
    angle = torch.atan2(right[:, 1], right[:, 0])
    upright = (angle / (np.pi / 2) - (angle / (np.pi / 2)).round()).abs() < 1e-3
    assert 0.4 < upright.float().mean() < 0.6
    quarter = ((angle > 0.1) & (angle < 1.47)).float().mean()
    assert float(quarter) == pytest.approx(0.5 / 4 * (1.37 / (np.pi / 2)), abs=0.04)


def test_sources_are_drawn_with_their_odds():
    many = [blocks(str(k), source="many") for k in range(16)]  # of 192 objects
    few = from_labels(np.eye(60, dtype=np.int32), source="few", kind="other")  # of one
    images = ImageSet.of([*many, few])
    views = draw_views(images, 2000, 8, DeviceRandom(0))
    wanted = 192**0.25 / (192**0.25 + 1)
    few_index = images.strata.index(("few", "other"))
    first = int(images.images_of[few_index, 0])
    assert float((views.image != first).float().mean()) == pytest.approx(wanted, abs=0.03)


def test_labels_lie_where_the_pixels_are(images, plain):
    batch = draw_crops(images, 30, 0, 0, SIZE, DeviceRandom(4))
    assert batch.images.shape == (30, 3, SIZE, SIZE)
    assert batch.labels.shape == (30, SIZE, SIZE)
    assert batch.labels.dtype == batch.anchor.dtype == torch.int64
    assert batch.earlier_images.shape == (0, 3, SIZE, SIZE)
    assert batch.earlier_labels.shape == (0, SIZE, SIZE)
    seen = 0
    for label in range(1, 13):
        where = inner(batch.labels, torch.full((30,), label), 3)
        pixels = batch.images[:, 0][where] * 255
        seen += len(pixels)
        assert (pixels - brightness(label)).abs().max() < 1.01 if len(pixels) else True
    assert seen > 20_000
    ground = inner(batch.labels, torch.zeros(30, dtype=torch.int64), 3)
    assert batch.images[:, 0][ground].max() * 255 < 11


def test_crops_come_from_the_seed(images):
    batches = [draw_crops(images, 6, 2, 2, SIZE, DeviceRandom(seed)) for seed in (4, 4, 5)]
    for one, two in zip(batches[0], batches[1], strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(batches[0].images, batches[2].images)
    assert not torch.equal(batches[0].labels, batches[2].labels)


def test_as_many_crops_as_told_show_drawn_scenes(images, plain, monkeypatch):
    def scene(count, size, generator):
        labels = torch.zeros(count, size, size, dtype=torch.int32)
        labels[:, 10:20, 10:30] = 900
        known = torch.arange(count) > 0
        return Drawn(torch.full((count, 3, size, size), 0.77), labels, known)

    monkeypatch.setattr(crops, "draw", scene)
    known = ImageSet.of([blocks(stack="x", place=k) for k in range(2)])
    places = set()
    for seed in range(4):
        batch = draw_crops(known, 8, 3, 4, SIZE, DeviceRandom(seed))
        shown = (batch.images - 0.77).abs().mean((1, 2, 3)) < 0.06
        anchored = batch.anchor == 900
        assert int(anchored.sum()) == 3
        assert torch.equal(shown, anchored)
        whole = batch.complete.flatten(1).all(1)
        assert int(whole.sum()) == 7
        assert anchored[~whole].all()
        places |= set(anchored.nonzero()[:, 0].tolist())
        # their earlier planes are their own, moved
        early = batch.earlier_labels.flatten(1).amax(1)
        assert torch.equal(early == 900, anchored[:4])
    assert len(places) > 5


def test_an_anchor_of_a_drawn_scene_is_one_of_its_labels(images):
    batch = draw_crops(images, 9, 8, 0, SIZE, DeviceRandom(1))
    shown = (batch.labels == batch.anchor[:, None, None]).flatten(1).any(1)
    assert int(shown.sum()) >= 8
    assert (batch.anchor > 0).all()


def test_earlier_planes_show_the_same_objects_moved_a_little(plain, images):
    overlaps, moved = [], 0
    for seed in range(12):
        batch = draw_crops(images, 6, 0, 6, SIZE, DeviceRandom(seed))
        for k in range(6):
            own, early = batch.labels[k], batch.earlier_labels[k]
            moved += not torch.equal(own, early)
            for label in own.unique()[1:].tolist():
                one, two = own == label, early == label
                overlaps.append(float((one & two).sum() / (one | two).sum()))
        where = inner(batch.earlier_labels, batch.anchor, 3)
        wanted = torch.from_numpy(brightness(batch.anchor))[:, None, None].expand_as(where)
        error = (batch.earlier_images[:, 0] * 255 - wanted)[where].abs()
        assert float(error.max()) < 1.5  # pixels and labels have moved alike
    assert moved > 65
    assert 0.35 < np.mean(overlaps) < 0.9


def test_some_objects_have_ended_and_are_gone_from_image_and_labels(plain, images):
    ended, left = 0, []
    for seed in range(30):
        batch = draw_crops(images, 8, 0, 8, SIZE, DeviceRandom(seed))
        had = (batch.earlier_labels == batch.anchor[:, None, None]).flatten(1).sum(1) > 12
        gone = had & ~(batch.labels == batch.anchor[:, None, None]).flatten(1).any(1)
        ended += int(gone.sum())
        other = F.max_pool2d((batch.labels > 0).float()[:, None], 7, 1, 3)[:, 0] > 0
        own = torch.from_numpy(brightness(batch.anchor))[:, None, None] / 255
        like = ((batch.images[:, 0] - own).abs() < 0.02) & ~other
        left += like[gone].flatten(1).sum(1).tolist()
    assert ended / 240 == pytest.approx(VANISHED, abs=0.08)
    assert np.mean(left) < 10
    assert max(left) < 150


def test_an_earlier_plane_is_a_neighbour_of_the_stack_where_there_is_one(plain, monkeypatch):
    monkeypatch.setattr(crops, "VANISHED", 0.0)

    def plane(place, stack="x"):
        labels = np.zeros((200, 200), np.int32)
        labels[70 + 4 * place : 100, 70:110] = 5
        item = from_labels(labels, str(place), stack=stack, place=place)
        return replace(item, image=np.full((200, 200), 30 * (place + 1), np.uint8))

    def places(batch):
        """Return the planes (B,) that present and earlier images show."""
        both = batch.images[:, 0], batch.earlier_images[:, 0]
        return [(x.flatten(1).median(1).values * 255 / 30).round() - 1 for x in both]

    stack = ImageSet.of([plane(k) for k in range(6)])
    pairs = set()
    for seed in range(8):
        batch = draw_crops(stack, 8, 0, 8, 32, DeviceRandom(seed))
        own, early = places(batch)
        beside = (own - early).abs()
        assert (beside[(own > 0) & (own < 5)] == 1).all()
        assert set(beside.tolist()) <= {0, 1}  # the first and the last plane have one neighbour
        pairs |= set(zip(own.tolist(), early.tolist(), strict=True))
        assert (batch.earlier_labels == 5).flatten(1).any(1).float().mean() > 0.8
    assert {(2, 1), (2, 3), (3, 2), (3, 4)} <= pairs
    assert not {(1, 1), (2, 2), (3, 3), (4, 4)} & pairs
    loose = ImageSet.of([plane(k, "") for k in range(6)])
    own, early = places(draw_crops(loose, 8, 0, 8, 32, DeviceRandom(0)))
    assert torch.equal(own, early)


def test_what_has_faded_is_not_taken_for_empty(images, monkeypatch):
    def faded(pixels, style, rng):
        return pixels, torch.arange(len(pixels)) % 2 == 0

    monkeypatch.setattr(crops, "photometric", faded)
    batch = draw_crops(images, 6, 0, 2, SIZE, DeviceRandom(0))
    assert batch.complete[:, 0, 0].tolist() == [False, True] * 3
    partly = ImageSet.of([blocks("a", exhaustive=False)])
    assert not draw_crops(partly, 6, 0, 0, SIZE, DeviceRandom(0)).complete.any()


def test_a_warp_of_nothing_keeps_every_pixel_and_a_middle_stays():
    none = torch.zeros(3)
    steps = (torch.arange(9) + 0.5) / 9 * 2 - 1
    grid = warp_grid(9, DeviceRandom(0), none, none)
    wanted = torch.stack([steps.expand(9, 9), steps[:, None].expand(9, 9)], dim=-1)
    torch.testing.assert_close(grid, wanted.expand(3, 9, 9, 2))
    middle = torch.stack([steps[[2, 7, 4]], steps[[5, 1, 4]]], dim=1)
    turned = warp_grid(9, DeviceRandom(0), none + 1, none, middle)
    for k, (column, row) in enumerate(((2, 5), (7, 1), (4, 4))):
        torch.testing.assert_close(turned[k, row, column], middle[k])
        assert float((turned[k] - wanted).abs().max()) > 0.02


def test_a_warp_moves_as_far_as_it_says():
    many, reach = torch.zeros(4000), 0.4
    moved = warp_grid(5, DeviceRandom(0), many, many + reach) - warp_grid(
        5, DeviceRandom(1), many, many
    )
    mean = moved.mean((1, 2))  # of the bends only the mean over 25 is left
    wanted = reach * (0.12**2 + 0.07**2 / 25) ** 0.5
    assert float(mean.std()) == pytest.approx(wanted, rel=0.05)


def test_ground_that_may_hold_more_objects_is_not_complete_and_has_no_label():
    item = blocks("a")
    labels = np.where(item.labels > 3, -1, item.labels)
    whole, partly = (
        draw_crops(ImageSet.of([replace(item, labels=given)]), 12, 0, 4, SIZE, DeviceRandom(3))
        for given in (np.where(item.labels > 3, 0, item.labels), labels)
    )
    assert whole.complete.any()
    assert torch.equal(whole.labels, partly.labels)
    assert torch.equal(whole.earlier_labels, partly.earlier_labels)
    assert not (partly.complete & ~whole.complete).any()
    lost = whole.complete & ~partly.complete
    assert lost.any()
    assert not (lost & (partly.labels > 0)).any()
