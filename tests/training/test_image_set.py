from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_examples import blocks, from_labels
from torch.nn import functional as F

from napari_sam.training.fields import LABELS
from napari_sam.training.image_set import LEVELS, ImageSet


def noisy(name, shape, seed, **facts):
    """Return an image of noise with one object, at a corner."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape[:2], np.int32)
    labels[:5, :7] = 3
    item = from_labels(labels, name, **facts)
    return replace(item, image=rng.integers(0, 256, shape).astype(np.uint8))


IMAGES = [
    noisy("a", (40, 57), 0),
    noisy("b", (33, 21, 3), 1),
    noisy("c", (64, 64), 2),
    noisy("d", (17, 90, 3), 3, source="other"),
]


@pytest.fixture(scope="module")
def images():
    return ImageSet.of(IMAGES)


def planes(item):
    """Return pixels (1, 3, H, W) float, 0..255."""
    pixels = torch.from_numpy(item.image).float()
    pixels = pixels[..., None].expand(-1, -1, 3) if pixels.ndim == 2 else pixels
    return pixels.permute(2, 0, 1)[None]


def shrunk(pixels, level):
    """Return pixels (1, 3, H, W) after means of four; the last of an odd side is doubled."""
    for _ in range(level):
        h, w = pixels.shape[-2:]
        pixels = F.avg_pool2d(F.pad(pixels, (0, w % 2, 0, h % 2), mode="replicate"), 2)
    return pixels


def anywhere(item, seed=0, size=24):
    """Return coordinates (1, S, S, 2) in an image and beyond its edges."""
    h, w = item.labels.shape
    unit = torch.rand(1, size, size, 2, generator=torch.Generator().manual_seed(seed))
    return (unit * 1.5 - 0.25) * torch.tensor([w, h])


@pytest.mark.parametrize("level", range(LEVELS))
def test_pixels_are_read_as_grid_sample_reads_one_image(images, level):
    for index, item in enumerate(IMAGES):
        coords = anywhere(item)
        own = shrunk(planes(item), level).round()
        h, w = own.shape[-2:]
        unit = (coords + 0.5) / 2**level / torch.tensor([w, h]) * 2 - 1
        wanted = F.grid_sample(own, unit, align_corners=False, padding_mode="zeros") / 255
        read = images.read_pixels(torch.tensor([index]), torch.tensor([level]), coords)
        torch.testing.assert_close(read, wanted, atol=2e-5, rtol=0)
    assert images.strata == (("blocks", "blocks"), ("other", "blocks"))


def test_images_and_levels_are_read_together_as_alone(images):
    coords = torch.cat([anywhere(item, k) for k, item in enumerate(IMAGES)])
    order, level = torch.tensor([2, 0, 3, 1]), torch.tensor([0, 3, 1, 2])
    pixels = images.read_pixels(order, level, coords)
    labels = images.read_labels(order, coords)
    for k in range(4):
        one = slice(k, k + 1)
        alone = images.read_pixels(order[one], level[one], coords[one])
        assert torch.equal(alone[0], pixels[k])
        assert torch.equal(images.read_labels(order[one], coords[one])[0], labels[k])


@pytest.mark.parametrize("level", range(LEVELS))
def test_each_level_is_the_mean_of_four_pixels_of_the_one_before(images, level):
    for index, item in enumerate(IMAGES):
        wanted = shrunk(planes(item), level)
        h, w = wanted.shape[-2:]
        assert images.size[level, index].tolist() == [h, w]
        steps = [(torch.arange(n) + 0.5) * 2**level - 0.5 for n in (h, w)]
        coords = torch.stack([steps[1].expand(h, w), steps[0][:, None].expand(h, w)], dim=-1)
        read = images.read_pixels(torch.tensor([index]), torch.tensor([level]), coords[None])
        # each level is rounded by itself, not one after the other
        assert (read * 255 - wanted).abs().max() <= 0.501


def test_labels_are_those_of_the_nearest_pixel():
    item = blocks(shape=(61, 130))
    images = ImageSet.of([IMAGES[0], item])
    index = images.size[0].tolist().index([61, 130])
    coords = anywhere(item, size=64)
    column, row = coords.round().long().unbind(-1)
    inside = (column >= 0) & (column < 130) & (row >= 0) & (row < 61)
    assert 0.2 < inside.float().mean() < 0.8
    whole = torch.from_numpy(item.labels).long()
    wanted = whole[row.clamp(0, 60), column.clamp(0, 129)] * inside
    assert torch.equal(images.read_labels(torch.tensor([index]), coords), wanted)
    assert wanted.unique().tolist() == [0, 1, 2]


def test_objects_are_listed_by_image_with_middle_and_longest_side():
    labels = np.zeros((50, 60), np.int32)
    labels[3:13, 20:24] = 7  # rows 3..12, columns 20..23
    labels[30, 40] = 2
    images = ImageSet.of([blocks(shape=(60, 110)), from_labels(labels, "b")])
    assert images.first.tolist() == [0, 2]
    assert images.count.tolist() == [2, 2]
    rows = [[1, 24.5, 24.5, 30], [2, 74.5, 24.5, 30], [2, 40, 30, 1], [7, 21.5, 7.5, 10]]
    assert images.objects.tolist() == rows
    assert images.images_of.tolist() == [[0, 2]]


def test_neighbours_are_the_planes_beside_in_one_stack_of_one_source():
    def plane(name, stack, place, source="s", shape=(64, 64)):
        return blocks(name, shape, source=source, stack=stack, place=place)

    images = ImageSet.of(
        [
            plane("0", "x", 3),
            plane("1", "x", 5),
            plane("2", "x", 4),
            plane("3", "y", 4),
            plane("4", "x", 6, shape=(64, 80)),  # of another shape
            plane("5", "", 4),
            plane("6", "", 5),
            plane("7", "x", 4, source="t"),
        ]
    )
    wanted = [[-1, 2], [2, -1], [0, 1], [-1, -1], [-1, -1], [-1, -1], [-1, -1], [-1, -1]]
    assert images.neighbours.tolist() == wanted


def test_a_kind_and_a_source_in_it_count_by_the_fourth_root_of_their_objects():
    def dots(source, kind, count):
        labels = np.zeros((10, 100), np.int32)
        labels.flat[: 2 * count : 2] = np.arange(1, count + 1)
        image = np.zeros(labels.shape, np.uint8)
        return replace(from_labels(labels[:, :16], source=source, kind=kind), image=image[:, :16])

    def many(source, kind, counts):
        return [dots(source, kind, count) for count in counts]

    items = many("a", "x", [8, 8]) + many("b", "x", [8] * 30 + [0]) + many("c", "y", [1])
    images = ImageSet.of(items)
    assert images.strata == (("a", "x"), ("b", "x"), ("c", "y"))
    assert images.images_of.tolist() == [[0, 2], [2, 30], [32, 1]]  # one shows nothing
    x, y = 256**0.25, 1.0  # objects of a kind
    a, b = 16**0.25, 240**0.25
    wanted = torch.tensor([x * a / (a + b), x * b / (a + b), y]) / (x + y)
    torch.testing.assert_close(images.odds, wanted)


def test_exhaustive_goes_with_its_image():
    items = [blocks("a", exhaustive=False), blocks("b", source="a"), blocks("c", exhaustive=False)]
    assert ImageSet.of(items).exhaustive.tolist() == [True, False, False]  # sorted by source


def test_what_cannot_be_learnt_from_is_refused():
    nothing = from_labels(np.zeros((8, 8), np.int32))
    with pytest.raises(ValueError, match="none of the images holds an object"):
        ImageSet.of([nothing])
    large = np.zeros((8, 8), np.int32)
    large[2, 2] = LABELS
    item = replace(nothing, labels=large)
    with pytest.raises(ValueError, match=f"below {LABELS}, but one is {LABELS}"):
        ImageSet.of([item])
    assert len(ImageSet.of([nothing, blocks()]).count) == 1


def test_ground_that_may_hold_more_objects_stays_marked_and_is_no_object():
    item = blocks("a")
    labels = item.labels.copy()
    labels[labels == 2] = -1
    images = ImageSet.of([replace(item, labels=labels)])
    assert 2 not in images.objects[:, 0].tolist()
    assert images.objects[:, 0].min() == 1
    grid = torch.tensor([[[[70.0, 20.0], [20.0, 20.0], [5.0, 5.0], [-3.0, 5.0]]]])
    read = images.read_labels(torch.zeros(1, dtype=torch.int64), grid)
    assert read[0, 0].tolist() == [-1, 1, 0, 0]
