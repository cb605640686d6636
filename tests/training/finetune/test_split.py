"""Examples divided without leakage."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.series import series_of
from napari_sam.training.finetune.split import split


def disc_image(
    name: str, count: int = 4, group: str = "", place: int = 0, side: int = 100
) -> Example:
    """Make an image of its own with so many objects in a row."""
    labels = np.zeros((side, side * 2), np.int32)
    for k in range(count):
        left = 5 + k * (side * 2 - 10) // count
        labels[20:30, left : left + 10] = k + 1
    rng = np.random.default_rng(zlib.crc32(f"{name} {place}".encode()))
    image = rng.integers(0, 255, labels.shape).astype(np.uint8)
    return Example(name, image, labels, group=group, stack=group, place=place)


def names(examples: list[Example]) -> set[str]:
    return {one.name for one in examples}


def test_groups_stay_together_and_the_share_is_met() -> None:
    images = [disc_image(f"{g}{k}", group=f"g{g}") for g in range(8) for k in range(2)]
    found = split(images, 0.25, seed=1)
    assert len(found.held_out) == 4
    assert len(found.learn) == 12
    assert not {one.group for one in found.held_out} & {one.group for one in found.learn}
    assert found.sentence == "2 of 8 images or stacks are held out, 16 of 64 objects"


def test_the_same_seed_gives_the_same_division_and_others_differ() -> None:
    images = [disc_image(str(k)) for k in range(12)]
    parts = [names(split(images, seed=seed).held_out) for seed in (0, 0, 1, 2, 3)]
    assert parts[0] == parts[1]
    assert len({frozenset(part) for part in parts}) > 1


def test_the_same_image_under_two_names_stays_on_one_side() -> None:
    images = [disc_image(str(k)) for k in range(6)]
    double = Example("copy of 2", images[2].image.copy(), images[2].labels)
    for seed in range(5):
        found = split([*images, double], seed=seed)
        held = names(found.held_out)
        assert ("2" in held) == ("copy of 2" in held)


def test_a_stack_is_cut_into_blocks_with_a_gap() -> None:
    planes = [disc_image(f"p{k}", group="stack", place=k) for k in range(40)]
    found = split(planes, 0.25)
    held = sorted(one.place for one in found.held_out)
    learn = sorted(one.place for one in found.learn)
    assert len(held) == 10
    assert held == list(range(held[0], held[0] + 10))
    assert len(learn) == 28  # two planes between the blocks are in neither
    assert min(abs(a - b) for a in held for b in learn) == 3
    assert found.sentence == (
        "a block of 10 of 40 planes is held out, 2 planes between the parts are left out, "
        "40 of 152 objects"
    )


def test_one_plane_between_the_parts_is_named_as_one() -> None:
    planes = [disc_image(f"p{k}", group="stack", place=k) for k in range(12)]
    assert "held out, 1 plane between the parts is left out, " in split(planes).sentence


def series(folder: str, count: int, smooth: float, first: int = 0) -> list[Example]:
    """Make files of one plane each, whose neighbours resemble each other if `smooth`."""
    pixels = np.random.default_rng(0).normal(size=(count, 64, 64))
    pixels = ndimage.gaussian_filter(pixels, (smooth, 4, 4))
    pixels = np.clip(128 + 60 * pixels / pixels.std(), 0, 255).astype(np.uint8)
    labels = np.zeros((64, 64), np.int32)
    labels[5:10, 5:10] = 1
    return [
        Example(f"z{k:03}", one, labels, group=str(Path(folder) / f"s01_z{k:03}.tif"))
        for k, one in enumerate(pixels, first)
    ]


def test_neighbouring_planes_in_single_files_are_cut_into_blocks() -> None:
    found = split(series("a", 12, 2.0, first=4), 0.25)
    held = sorted(int(one.name[1:]) for one in found.held_out)
    learn = sorted(int(one.name[1:]) for one in found.learn)
    assert held in ([4, 5, 6], [13, 14, 15])
    assert len(learn) == 8
    assert min(abs(a - b) for a in held for b in learn) == 2
    assert found.sentence == (
        "a block of 3 of 12 planes is held out, 1 plane between the parts is left out, "
        "3 of 11 objects; 12 numbered files are neighbouring planes of one stack"
    )


def test_series_of_two_folders_are_two_stacks() -> None:
    found = split([*series("a", 6, 2.0), *series("b", 7, 2.0)], 0.4)
    assert {len(found.held_out), len(found.learn)} == {6, 7}
    assert found.sentence.endswith("; 13 numbered files are neighbouring planes of 2 stacks")


@pytest.mark.parametrize("count", [4, 12])
def test_numbered_images_that_do_not_resemble_each_other_are_no_series(count: int) -> None:
    images = series("a", count, 0.0)
    assert series_of(images) == {}
    assert split(images).sentence.endswith("are held out, 3 of 12 objects") == (count == 12)
    assert series_of(series("a", 3, 2.0)) == {}  # too few


def test_few_planes_are_cut_at_one_place() -> None:
    planes = [disc_image(f"p{k}", group="stack", place=k) for k in range(2)]
    found = split(planes, 0.25)
    assert len(found.held_out) == len(found.learn) == 2
    assert sum(len(one.objects) for one in found.held_out) == 2
    widths = {one.labels.shape[1] for one in [*found.held_out, *found.learn]}
    assert len(widths) == 2
    assert sum(widths) == 190


def test_objects_that_the_cut_divides_are_unknown() -> None:
    labels = np.zeros((40, 200), np.int32)
    labels[5:15, 5:20] = 1
    labels[20:30, 15:190] = 2
    labels[5:15, 185:195] = 3
    found = split([Example("a", np.zeros((40, 200), np.uint8), labels)], 0.5)
    parts = [*found.held_out, *found.learn]
    assert sorted(one.objects for one in parts) == [(1,), (3,)]
    for one in parts:
        assert one.complete is not None  # what is left of the long one is no background
        assert int((~one.complete).sum()) % 10 == 0
        assert not one.complete.all()


def test_an_image_of_one_object_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="1 labelled objects in a cannot be divided"):
        split([disc_image("a", count=1)])
    with pytest.raises(ValueError, match="no object is labelled"):
        split([disc_image("a", count=0)])


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_lies_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        split([disc_image("a")], share)
