"""Examples from the values of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam.objects import Canvas, ObjectStore, SegmentedObject
from napari_sam.objects.complete import mark_complete
from napari_sam.objects.segmented import Outline
from napari_sam.steps import drive
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.layers import each_plane, gathered
from napari_sam.types import Mask, Prompts, SliceKey

SHAPE = (4, 20, 30)
PLANE = SliceKey((1, 2), ((0, 1),))


def stack() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)


def labels() -> np.ndarray:
    found = np.zeros(SHAPE, np.int32)
    found[1, 2:8, 3:9] = 5
    found[2, 10:14, 10:20] = 6
    return found


def read(*args: Any, **options: Any) -> list[Example]:
    return drive(gathered(each_plane(*args, **options)))


def test_planes_with_labels_are_examples_of_one_stack() -> None:
    first, second = read(stack(), labels(), name="cells")
    assert [first.name, second.name] == ["cells 1", "cells 2"]
    assert (first.place, second.place) == (1, 2)
    assert first.stack == second.stack != ""
    assert first.group == "cells"
    assert (first.objects, second.objects) == ((5,), (6,))
    assert first.sparse
    assert np.array_equal(first.labels, labels()[1])


def test_marks_of_a_store_say_what_is_complete() -> None:
    store = ObjectStore(Canvas(labels()))
    store.adopt(mark_complete(store, PLANE, (0, 0, 4, 9)))
    store.adopt(mark_complete(store, SliceKey((1, 2), ((0, 3),))))
    found = {one.place: one for one in read(stack(), labels(), properties=store.properties)}
    assert sorted(found) == [1, 2, 3]
    assert found[1].complete is not None
    assert int(found[1].complete.sum()) == 50
    assert found[2].sparse
    assert found[3].complete is None
    whole = read(stack(), labels(), properties=store.properties, complete=True)
    assert all(one.complete is None for one in whole)


def test_objects_bring_classes_prompts_and_their_planes() -> None:
    stored = labels()
    stored[:, 15, 20:25] = 9  # drawn in a plane of the axes 0 and 2
    side = SliceKey((0, 2), ((1, 15),))
    said = Prompts([[22.0, 1.0]], [1], mask_input=np.zeros((4, 4), np.float32))
    objects = {
        5: SegmentedObject(5, {PLANE: Outline(Mask.of(stored[1] == 5))}, "cell"),
        6: SegmentedObject(6, {}, "cell", status="to check"),
        9: SegmentedObject(9, {side: Outline(Mask.of(stored[:, 15] == 9), said)}, "fibre"),
    }
    found = read(stack(), stored, objects)
    by_shape = {one.labels.shape: one for one in found if 9 in one.prompts}
    (one,) = by_shape.values()
    assert one.labels.shape == (4, 30)
    assert one.classes == {9: "fibre"}
    assert one.prompts[9][0].mask_input is None
    assert one.prompts[9][0].point_coords.tolist() == [[22.0, 1.0]]
    assert not any(6 in one.objects for one in found)  # to be checked


def test_objects_are_learnt_in_the_planes_they_were_drawn_in() -> None:
    stored = labels()
    stored[:, 15, 20:25] = 9
    side = SliceKey((0, 2), ((1, 15),))
    objects = {
        5: SegmentedObject(5, {PLANE: Outline(Mask.of(stored[1] == 5))}),
        9: SegmentedObject(9, {side: Outline(Mask.of(stored[:, 15] == 9))}),
    }
    found = {one.name: one for one in read(stack(), stored, objects, complete=True)}
    flat = found["image 1"]
    assert flat.objects == (5,)
    assert flat.complete is not None  # what crosses the plane is unknown, not ground
    assert np.array_equal(~flat.complete, stored[1] == 9)
    assert found["image 2"].objects == (6,)  # without an outline, in every plane
    assert found["image 15"].objects == (9,)


def test_contrast_and_colours() -> None:
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[..., 1] = 100
    (one, _) = read(image, labels())
    assert one.image.shape == (20, 30, 3)
    grey = np.full(SHAPE, 50, np.uint16)
    (one, _) = read(grey, labels(), contrast=(0, 100))
    assert one.image.shape == (20, 30)
    assert set(np.unique(one.image)) == {128}


def test_planes_are_brought_to_square_pixels() -> None:
    (one, _) = read(stack(), labels(), spacing=(1.0, 2.0, 1.0))
    assert one.labels.shape == (40, 30)
    assert one.boxes == {5: (3, 4, 9, 16)}
    assert one.image.shape == (40, 30)


def test_labels_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match="choose the labels that were made for it"):
        read(stack()[:, 1:], labels())
    with pytest.raises(ValueError, match="whole numbers from 0"):
        read(stack(), labels() - 1)


def test_a_plane_at_a_time() -> None:
    steps = each_plane(stack(), labels())
    found = [next(steps) for _ in range(8)]
    texts = [one.name if isinstance(one, Example) else one.text for one in found]
    assert texts == [
        *["looking for labels"] * 4,
        *["image 1", "reading plane 1 of 2", "image 2", "reading plane 2 of 2"],
    ]


class Counted:
    """An image that tells which planes were read."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.shape, self.ndim = pixels, pixels.shape, pixels.ndim
        self.dtype = pixels.dtype
        self.planes: list[Any] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.planes.append(index[0])
        return self.pixels[index]


def test_images_of_planes_in_which_nothing_is_known_are_not_read() -> None:
    image = Counted(stack())
    objects = {6: SegmentedObject(6, {}, status="to check")}
    (one,) = read(image, labels(), objects)
    assert one.place == 1
    assert image.planes == [1]
    whole = read(image, labels(), objects, complete=True)  # there the rest is ground
    assert [one.place for one in whole] == [1, 2]
    assert whole[1].complete is not None
    assert np.array_equal(~whole[1].complete, labels()[2] == 6)
