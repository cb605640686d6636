from __future__ import annotations

import math

import pytest
import torch
from scipy import ndimage

from napari_sam.training.augment import FADED, REACH, Style, blur, photometric, removed
from napari_sam.training.rng import DeviceRandom


class Calm(DeviceRandom):
    """Draws no change that comes by chance."""

    def chance(self, *shape, odds):
        return torch.zeros(shape, dtype=torch.bool)

    def uniform(self, *shape, low=0.0, high=1.0):
        return torch.full(shape, high)


def some(count=5, size=32, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def plain(count=5, **changes):
    """Return a style that changes nothing but what is named."""
    style = {
        "mix": torch.eye(3).expand(count, 3, 3),
        "inverted": torch.zeros(count, dtype=torch.bool),
        "gamma": torch.ones(count),
        "gain": torch.ones(count),
        "offset": torch.zeros(count),
    }
    return Style(**style | changes)


@pytest.mark.parametrize("seed", range(3))
def test_blur_is_that_of_scipy_and_each_image_has_its_own(seed):
    images = some(4, 24, seed)
    sigma = torch.tensor([0.4, 1.2, 0.0, 1.6])
    blurred = blur(images, sigma)
    for k, value in enumerate(sigma.tolist()):
        for channel in range(3):
            wanted = images[k, channel].numpy()
            if value:
                wanted = ndimage.gaussian_filter(wanted, value, mode="nearest", radius=REACH)
            torch.testing.assert_close(
                blurred[k, channel], torch.from_numpy(wanted), atol=1e-3, rtol=0
            )
    assert torch.equal(blurred[2], images[2])


def test_blur_reaches_far_enough():
    point = torch.zeros(1, 1, 25, 25)
    point[..., 12, 12] = 1
    steps = torch.arange(25.0) - 12
    spread = blur(point, torch.tensor([1.3]))[0, 0]
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    assert float((spread.sum(0) * steps**2).sum()) == pytest.approx(1.3**2, rel=0.02)


CHANGES = {
    "nothing": ({}, lambda x: x),
    "inverted": ({"inverted": torch.ones(5, dtype=torch.bool)}, lambda x: 1 - x),
    "gamma": ({"gamma": torch.full((5,), 2.0)}, lambda x: x**2),
    "gain": (
        {"gain": torch.full((5,), 0.7), "offset": torch.full((5,), 0.1)},
        lambda x: 0.7 * x + 0.1,
    ),
    "clipped": ({"offset": torch.full((5,), 0.5)}, lambda x: (x + 0.5).clamp(max=1)),
    "mixed": (
        {"mix": torch.tensor([[0, 1.0, 0], [0.5, 0, 0.5], [0, 0, 0]]).expand(5, 3, 3)},
        lambda x: torch.stack([x[:, 1], (x[:, 0] + x[:, 2]) / 2, torch.zeros_like(x[:, 0])], 1),
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_style_changes_what_it_says(name):
    change, wanted = CHANGES[name]
    images = some().clamp(min=1e-3)
    shown, faded = photometric(images, plain(**change), Calm(0))
    torch.testing.assert_close(shown, wanted(images), atol=2e-4, rtol=0)
    assert not faded.any()


def test_each_crop_has_its_own_style():
    inverted = torch.tensor([True, False, True, False, False])
    gain = torch.tensor([1.0, 0.5, 0.5, 1.0, 0.2])
    images = some()
    shown, _ = photometric(images, plain(inverted=inverted, gain=gain), Calm(0))
    for k in range(5):
        own = 1 - images[k] if inverted[k] else images[k]
        torch.testing.assert_close(shown[k], own * gain[k], atol=2e-4, rtol=0)


def test_changes_stay_in_range_and_come_from_the_seed():
    images = some(40)
    runs = []
    for seed in (1, 1, 2):
        rng = DeviceRandom(seed)
        runs.append(photometric(images, Style.drawn(40, rng), rng)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert runs[0].shape == images.shape
    assert 0 <= float(runs[0].min()) <= float(runs[0].max()) <= 1
    changed = (runs[0] - images).abs().amax((1, 2, 3)) > 1e-3
    assert changed.float().mean() > 0.7


def test_what_is_hardly_to_be_seen_is_told():
    images = (torch.arange(32) // 4 % 2).float().expand(1500, 3, 32, 32)
    shown, faded = photometric(images, plain(1500), DeviceRandom(0))
    spread = 4 * math.sqrt(FADED * (1 - FADED) / 1500)
    assert abs(float(faded.float().mean()) - FADED) < spread
    contrast = (shown[..., 4:8].mean((1, 2, 3)) - shown[..., :4].mean((1, 2, 3))).abs()
    assert float(contrast[faded].max()) < 0.15
    assert float(contrast[~faded].min()) > 0.3
    flat = contrast[faded] < 0.02  # 0 or nearly so in a third
    assert 0.15 < float(flat.float().mean()) < 0.6


def test_styles_are_drawn_as_often_as_they_say():
    style = Style.drawn(3000, DeviceRandom(0))
    assert float(style.inverted.float().mean()) == pytest.approx(0.12, abs=0.025)
    same = (style.mix == torch.eye(3)).flatten(1).all(1)
    assert float(same.float().mean()) == pytest.approx(0.85 + 0.15 * 0.3 / 6, abs=0.03)
    assert float((style.gamma == 1).float().mean()) == pytest.approx(0.5, abs=0.04)
    ungained = (style.gain == 1) & (style.offset == 0)
    assert float(ungained.float().mean()) == pytest.approx(0.4, abs=0.04)
    other = style.mix[~same]
    grey = (other[:, 0] == other[:, 1]).all(1)
    assert float(grey.float().mean()) == pytest.approx(0.4, abs=0.1)
    torch.testing.assert_close(other[grey].sum(2), torch.ones(int(grey.sum()), 3))
    for part in (style.gain, style.offset.abs()):
        assert part.isfinite().all()
    assert 0.6 <= float(style.gain.min()) < 0.7
    assert 0.14 < float(style.offset.max()) <= 0.15


def test_a_neighbouring_plane_looks_much_alike():
    rng = DeviceRandom(0)
    style = Style.drawn(600, rng)
    beside = style.beside(400, rng)
    assert torch.equal(beside.mix, style.mix[:400])
    assert torch.equal(beside.inverted, style.inverted[:400])
    for own, other in ((style.gamma, beside.gamma), (style.gain, beside.gain)):
        assert float((other / own[:400]).log().std()) == pytest.approx(0.08, rel=0.15)
    assert float((beside.offset - style.offset[:400]).std()) == pytest.approx(0.03, rel=0.15)


def test_a_removed_object_is_painted_over_with_what_surrounds_it():
    steps = torch.linspace(0.2, 0.5, 64)
    ground = steps.expand(3, 3, 64, 64).clone()
    masks = torch.zeros(3, 64, 64, dtype=torch.bool)
    masks[0, 20:36, 24:40] = True
    masks[1, 2:9, 40:62] = True
    images = torch.where(masks[:, None], 1.0, ground)
    painted = removed(images, masks)
    assert float((painted - ground).abs().max()) < 0.12
    assert float((painted - ground)[masks[:, None].expand_as(ground)].abs().mean()) < 0.05
    near = torch.nn.functional.max_pool2d(masks[:, None].float(), 7, 1, 3) > 0
    assert torch.equal(torch.where(near, 0.0, painted), torch.where(near, 0.0, ground))
    assert torch.equal(painted[2], images[2])


def test_the_ground_of_a_removed_object_keeps_its_texture():
    noise = 0.5 + 0.05 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    images = noise.expand(1, 3, 64, 64).clone()
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 24:40, 24:40] = True
    images[:, :, 24:40, 24:40] = 0.9
    inside = removed(images, masks)[0, 0, 26:38, 26:38]
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(inside.std()) == pytest.approx(0.05, rel=0.3)


@pytest.mark.parametrize("side", [6, 24, 40])
def test_on_an_even_ground_nothing_is_left_of_a_removed_object(side):
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[:, 10 : 10 + side, 12 : 12 + side] = True
    images = torch.where(masks[:, None], 1.0, 0.5).expand(1, 3, 64, 64)
    even = torch.full((1, 3, 64, 64), 0.5)
    torch.testing.assert_close(removed(images, masks), even, atol=1e-5, rtol=0)


def test_an_object_that_fills_the_plane_is_no_error():
    full = torch.ones(1, 64, 64, dtype=torch.bool)
    assert removed(some(1, 64), full).isfinite().all()
