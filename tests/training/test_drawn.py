from __future__ import annotations

import ast
import importlib

import pytest
import torch

from napari_sam.training import drawn
from napari_sam.training.canvas import Canvas
from napari_sam.training.drawn import KINDS, draw
from napari_sam.training.medical import draw_body, draw_smear, draw_ultrasound
from napari_sam.training.micrographs import draw_rods, draw_sheet
from napari_sam.training.shapes import arrange, capsule_distance, capsules, number


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def canvas(seed: int, count: int = 4, size: int = 128) -> Canvas:
    return Canvas(count, size, generator(seed))


def areas(labels: torch.Tensor) -> torch.Tensor:
    """Pixels of each object of one image."""
    return torch.bincount(labels.flatten())[1:]


def touching_pairs(labels: torch.Tensor) -> int:
    """Pairs of objects of one image that share a border."""
    pairs = []
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        border = (one != other) & (one > 0) & (other > 0)
        pairs.append(torch.stack((one[border], other[border]), 1).sort(1).values)
    return len(torch.cat(pairs).unique(dim=0))


def discs(*rows: tuple[float, float, float]) -> torch.Tensor:
    y, x, radius = torch.tensor(rows).T[:, None]
    zero = torch.zeros_like(y)
    return capsules(y, x, zero, zero, radius, zero)


def plane(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    steps = torch.arange(size).float()
    return steps[:, None].expand(size, size)[None], steps.expand(size, size)[None]


def test_same_seed_same_images():
    first, second, other = (draw(6, 64, generator(seed)) for seed in (3, 3, 4))
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first.images, other.images)


def test_one_generator_goes_on():
    source = generator(3)
    assert not torch.equal(draw(2, 64, source).images, draw(2, 64, source).images)


@pytest.mark.parametrize(("count", "size"), [(1, 128), (5, 192), (2, 256), (7, 16), (3, 48)])
def test_shapes_types_and_ranges(count, size):
    images, labels, exhaustive = draw(count, size, generator(size))
    assert images.shape == (count, 3, size, size)
    assert images.dtype == torch.float32
    assert labels.shape == (count, size, size)
    assert labels.dtype == torch.int32
    assert exhaustive.shape == (count,)
    assert exhaustive.dtype == torch.bool
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 0.01


@pytest.mark.parametrize("size", [0, 24, -16, 130])
def test_a_size_that_is_no_multiple_of_16_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size}"):
        draw(1, size, generator(0))


@pytest.mark.parametrize("size", [16, 128])
def test_every_image_has_objects_of_12_pixels(size):
    for seed in range(6):
        for labels in draw(16, size, generator(seed)).labels:
            assert len(areas(labels)) >= 1
            assert areas(labels).min() >= 12  # numbered without gaps, too


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS], ids=lambda kind: kind.__name__)
def test_every_kind_is_finite_and_has_objects(kind):
    shown = 0
    for seed in range(4):
        images, labels, exhaustive = kind(canvas(seed, 6, 64))
        assert images.shape == (6, 3, 64, 64)
        assert exhaustive.shape == (6,)
        assert torch.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1
        shown += int((labels.flatten(1).amax(1) > 0).sum())
    assert shown >= 22  # of 24; `draw` puts a disc into the others


@pytest.mark.parametrize("kind", [draw_rods, draw_sheet], ids=lambda kind: kind.__name__)
def test_dense_kinds_touch(kind):
    labels = torch.cat([kind(canvas(seed)).labels for seed in range(4)])
    pairs = [touching_pairs(plane) for plane in labels]
    objects = [int(plane.max()) for plane in labels]
    assert sum(pairs) > 0.5 * sum(objects)


def test_kinds_with_unlabelled_things_are_not_exhaustive():
    for kind in (draw_smear, draw_ultrasound, draw_body):
        assert not kind(canvas(0, 3, 64)).exhaustive.any()
    assert draw_rods(canvas(0, 3, 64)).exhaustive.all()


def test_blank_images_are_not_exhaustive():
    degraded = KINDS[-1][0]
    images, labels, exhaustive = degraded(canvas(0, 96, 64))
    inside = (labels > 0)[:, None]
    smooth = torch.nn.functional.avg_pool2d(images.mean(1, keepdim=True), 17, 1)
    blank = smooth.flatten(1).std(1) < 0.004  # nothing but noise
    assert inside.flatten(1).any(1).all()
    assert 5 < int(blank.sum()) < 48
    assert not exhaustive[blank].any()
    assert int(exhaustive.sum()) > 20


def test_a_batch_mixes_kinds(monkeypatch):
    def plain(tone):
        def kind(canvas):
            images = torch.full((canvas.count, 3, canvas.size, canvas.size), tone)
            labels = torch.ones((canvas.count, canvas.size, canvas.size), dtype=torch.int32)
            return drawn.Drawn(images, labels, canvas.all_of(True))

        return kind

    monkeypatch.setattr(drawn, "KINDS", ((plain(0.25), 0.75), (plain(0.5), 0.25)))
    tones = draw(400, 16, generator(0)).images[:, 0, 0, 0]
    assert 0.65 < (tones == 0.25).float().mean() < 0.85
    assert (tones[1:] != tones[:-1]).sum() > 80  # in no order


def test_an_image_without_objects_gets_one(monkeypatch):
    def nothing(canvas):
        images = torch.zeros((canvas.count, 3, canvas.size, canvas.size))
        labels = torch.zeros((canvas.count, canvas.size, canvas.size), dtype=torch.int32)
        return drawn.Drawn(images, labels, canvas.all_of(True))

    monkeypatch.setattr(drawn, "KINDS", ((nothing, 1.0),))
    images, labels, _ = draw(20, 32, generator(0))
    for image, plane in zip(images, labels, strict=True):
        assert areas(plane)[0] >= 12
        assert torch.equal(image[0] > 0.5, plane == 1)


def test_objects_share_their_overlap_halfway():
    owner, depth = arrange(capsule_distance, discs((16, 12, 8), (16, 20, 8)), plane(32))
    assert owner[0, 16, 12] == 0
    assert owner[0, 16, 20] == 1
    assert (depth[0, 16, 15], depth[0, 16, 17]) == pytest.approx((1, 1), abs=0.01)
    assert depth[0, 16, 12] == pytest.approx(4, abs=0.01)  # to the border between them
    assert depth[0, 16, 4] == pytest.approx(0, abs=0.01)  # to its own edge
    assert depth[0, 16, 1] == pytest.approx(-3, abs=0.01)


def test_the_upper_object_owns_the_overlap():
    table, order = discs((16, 12, 8), (16, 20, 8)), torch.tensor([[0.9, 0.1]])
    owner, depth = arrange(capsule_distance, table, plane(32), priority=order)
    assert owner[0, 16, 18] == 0
    assert owner[0, 16, 22] == 1
    assert depth[0, 16, 18] == pytest.approx(2, abs=0.01)
    assert depth[0, 16, 22] == pytest.approx(2, abs=0.01)  # to where the upper one begins


def test_parts_of_one_object_have_no_border():
    table, names = discs((16, 12, 6), (16, 20, 6)), torch.tensor([[3.0, 3.0]])
    owner, depth = arrange(capsule_distance, table, plane(32), names=names)
    assert owner[0, 16, 16] == 3
    assert depth[0, 16, 16] == pytest.approx(2, abs=0.01)


def test_many_candidates_give_what_all_of_them_give():
    source = canvas(5, 2)
    y, x, radius = source.uniform(0, 128, 3, 150).unbind(1)
    table = capsules(y, x, y, radius / 30, 2 + radius / 40, 0 * y)
    few = arrange(capsule_distance, table, plane(128), nearest=8)
    every = arrange(capsule_distance, table, plane(128), nearest=150)
    same = (few.owner == every.owner) | (every.depth < -8)
    assert same.float().mean() > 0.999


def test_small_objects_get_no_number():
    layout = arrange(capsule_distance, discs((8, 8, 1.2), (20, 20, 4), (8, 24, 3)), plane(32))
    labels = number(layout, layout.depth > 0, 3)
    assert labels.dtype == torch.int32
    assert labels[0, 8, 8] == 0
    assert {int(labels[0, 20, 20]), int(labels[0, 8, 24])} == {1, 2}
    assert areas(labels[0]).tolist() == [int((labels == 1).sum()), int((labels == 2).sum())]


@pytest.mark.parametrize("name", ["canvas", "shapes", "micrographs", "medical", "drawn"])
def test_nothing_goes_through_numpy(name):
    module = importlib.import_module(f"napari_sam.training.{name}")
    with open(module.__file__) as file:
        tree = ast.parse(file.read())
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert not imported & {"numpy", "scipy", "skimage"}
    assert not any(
        isinstance(node, ast.Attribute) and node.attr in ("numpy", "cpu") for node in ast.walk(tree)
    )
