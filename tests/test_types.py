from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_sam.types import (
    Mask,
    MaskLogits,
    Plane,
    Prediction,
    PredictRequest,
    Prompts,
    SliceKey,
    Stroke,
)

STACK = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)


def test_key_reads_the_plane_of_a_four_dimensional_array():
    key = SliceKey(displayed=(2, 3), fixed=((0, 1), (1, 2)))
    assert key.index == (1, 2, slice(None), slice(None))
    np.testing.assert_array_equal(key.read(STACK), STACK[1, 2])


def test_key_reads_any_pair_of_axes():
    key = SliceKey(displayed=(0, 2), fixed=((1, 2), (3, 4)))
    np.testing.assert_array_equal(key.read(STACK), STACK[:, 2, :, 4])


def test_key_transposes_when_columns_come_first():
    key = SliceKey(displayed=(3, 1), fixed=((0, 0), (2, 1)))
    np.testing.assert_array_equal(key.read(STACK), STACK[0, :, 1, :].T)


def test_key_cuts_a_window():
    key = SliceKey((2, 3), ((0, 0), (1, 0)), window=(1, 2, 4, 3))
    np.testing.assert_array_equal(key.read(STACK), STACK[0, 0, 2:3, 1:4])


def test_window_of_a_transposed_plane_is_in_its_own_rows_and_columns():
    key = SliceKey((3, 1), ((0, 0), (2, 1)), window=(1, 2, 3, 5))
    np.testing.assert_array_equal(key.read(STACK), STACK[0, :, 1, :].T[2:5, 1:3])


def test_key_leaves_colours_behind_the_plane():
    coloured = np.arange(4 * 5 * 6 * 3).reshape(4, 5, 6, 3)
    key = SliceKey((1, 2), ((0, 3),))
    np.testing.assert_array_equal(key.read(coloured), coloured[3])


def test_key_reads_lazy_arrays_and_levels():
    key = SliceKey((2, 3), ((0, 1), (1, 0)), level=1)
    plane = key.read([STACK, da.from_array(STACK * 2, chunks=2)])
    assert type(plane) is np.ndarray
    np.testing.assert_array_equal(plane, STACK[1, 0] * 2)


def test_keys_are_hashable_values():
    assert {SliceKey((0, 1)): 1}[SliceKey((0, 1))] == 1
    assert SliceKey((0, 1)) != SliceKey((0, 1), window=(0, 0, 1, 1))


def test_a_plane_knows_its_size_and_reads_when_it_is_asked():
    plane = Plane(STACK, SliceKey((2, 3), ((0, 1), (1, 2))))
    assert plane.size == (4, 5)
    np.testing.assert_array_equal(plane.read(), STACK[1, 2])
    turned = Plane([STACK, STACK[..., ::2]], SliceKey((3, 1), ((0, 0), (2, 1)), level=1))
    assert turned.size == (3, 3)
    np.testing.assert_array_equal(turned.read(), STACK[0, :, 1, ::2].T)
    coloured = Plane(np.zeros((6, 7, 3)))
    assert coloured.size == (6, 7)
    assert coloured.read().shape == (6, 7, 3)


def test_a_window_of_a_plane_is_another_plane_of_the_same_size():
    plane = Plane(STACK, SliceKey((2, 3), ((0, 0), (1, 0))), (0.0, 9.0))
    part = plane.within((1, 2, 4, 3))
    assert part.size == plane.size
    assert part.contrast == plane.contrast
    np.testing.assert_array_equal(part.read(), STACK[0, 0, 2:3, 1:4])
    assert part.whole.same_as(plane)
    assert not part.same_as(plane)


def test_planes_are_the_same_with_one_array_place_and_contrast():
    plane = Plane(STACK, SliceKey((2, 3), ((0, 0), (1, 0))), (0.0, 9.0))
    assert plane.same_as(Plane(STACK, SliceKey((2, 3), ((0, 0), (1, 0))), (0.0, 9.0)))
    assert not plane.same_as(Plane(STACK.copy(), plane.key, plane.contrast))
    assert not plane.same_as(Plane(STACK, SliceKey((2, 3), ((0, 0), (1, 1))), plane.contrast))
    assert not plane.same_as(Plane(STACK, plane.key))


def test_a_request_keeps_what_was_asked():
    plane, prompts = Plane(STACK), Prompts([(1, 2)])
    request = PredictRequest(plane, prompts)
    assert request.plane.image is STACK
    assert request.prompts is prompts
    assert request.multimask_output is None


def test_prompts_take_lists_and_default_to_object_points():
    prompts = Prompts([(1, 2), (3, 4)])
    np.testing.assert_array_equal(prompts.point_coords, [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(prompts.point_labels, [1, 1])
    assert prompts.point_coords.dtype == np.float64
    assert prompts.point_labels.dtype == np.int64
    assert not prompts.empty


def test_prompts_copy_what_they_are_given():
    coords = np.array([[1.0, 2.0]])
    prompts = Prompts(coords, [1])
    coords[:] = 9
    np.testing.assert_array_equal(prompts.point_coords, [[1.0, 2.0]])


def test_no_prompt_is_empty_and_any_one_is_not():
    assert Prompts().empty
    assert Prompts([], []).empty
    assert not Prompts(box=[0, 0, 1, 1]).empty
    assert not Prompts(mask_input=np.zeros((4, 4))).empty


def test_prompts_move_points_box_and_the_frame_of_the_mask():
    mask = np.ones((4, 4), np.float32)
    moved = Prompts([(1, 2)], [0], [0, 1, 2, 3], mask).moved(10, -1)
    np.testing.assert_array_equal(moved.point_coords, [[11, 1]])
    np.testing.assert_array_equal(moved.point_labels, [0])
    np.testing.assert_array_equal(moved.box, [10, 0, 12, 2])
    np.testing.assert_array_equal(moved.mask_input, mask)  # a bare array lies where it is asked
    logits = MaskLogits(mask, (0.5, 1.5, 8.5, 9.5), (1, 2, 9, 10))
    moved = Prompts(mask_input=logits).moved(10, -1).mask_input
    assert moved.values is mask
    assert moved.frame == (10.5, 0.5, 18.5, 8.5)
    assert moved.window is None


def test_regions_and_strokes_move_turn_and_have_an_extent():
    stroke = Stroke(np.array([(1.0, 2.0), (3.0, 5.0)]), 0)
    prompts = Prompts(region=[(1, 2), (9, 2), (5, 8)], strokes=[stroke])
    assert not prompts.empty
    assert not Prompts([(1, 2)], strokes=[stroke]).ambiguous
    assert prompts.extent.tolist() == [1, 2, 9, 8]
    assert Prompts(box=(1, 2, 3, 4)).extent.tolist() == [1, 2, 3, 4]
    assert Prompts([(1, 2)]).extent is None
    moved = prompts.moved(10, -1)
    assert moved.region.tolist() == [[11, 1], [19, 1], [15, 7]]
    assert moved.strokes[0].path.tolist() == [[11, 1], [13, 4]]
    assert moved.strokes[0].label == 0
    turned = prompts.turned()
    assert turned.region.tolist() == [[2, 1], [2, 9], [8, 5]]
    assert turned.strokes[0].path.tolist() == [[2, 1], [5, 3]]
    assert Prompts([(1, 2)], box=(0, 1, 2, 3)).turned().box.tolist() == [1, 0, 3, 2]
    with pytest.raises(ValueError, match="a box or a region, but here are both"):
        Prompts(box=(0, 1, 2, 3), region=prompts.region)
    with pytest.raises(ValueError, match="must be finite"):
        Stroke([(1, np.nan)])


def test_prompts_with_another_mask_keep_the_rest():
    prompts = Prompts([(1, 2)], [0], [0, 1, 2, 3], np.ones((4, 4)))
    other = MaskLogits(np.zeros((2, 2), np.float32), (0, 0, 8, 8))
    changed = prompts.with_mask(other)
    assert changed.mask_input is other
    np.testing.assert_array_equal(changed.point_coords, prompts.point_coords)
    np.testing.assert_array_equal(changed.point_labels, prompts.point_labels)
    np.testing.assert_array_equal(changed.box, prompts.box)
    assert prompts.with_mask(None).mask_input is None


def test_logits_are_two_dimensional():
    with pytest.raises(ValueError, match=r"are \(1, 4, 4\)"):
        MaskLogits(np.zeros((1, 4, 4), np.float32), (0, 0, 4, 4))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"point_coords": [(1, 2, 3)]}, r"\(N, 2\), but is \(1, 3\)"),
        ({"point_coords": [(1, 2)], "point_labels": [1, 0]}, "1 points need 1 labels"),
        ({"point_coords": [(1, 2)], "point_labels": [2]}, "but one is 2"),
        ({"point_coords": [(1, 2)], "point_labels": [-1]}, "but one is -1"),
        ({"point_coords": [(np.nan, 2)]}, "finite"),
        ({"box": [0, 0, 1]}, "has 3"),
        ({"box": [3, 0, 1, 1]}, "x0 <= x1"),
        ({"box": [0, 0, np.inf, 1]}, "x0 <= x1"),
        ({"mask_input": np.zeros((1, 4, 4))}, r"but is \(1, 4, 4\)"),
    ],
)
def test_wrong_prompts_are_refused_with_the_number_that_was_wrong(arguments, text):
    with pytest.raises(ValueError, match=text):
        Prompts(**arguments)


@pytest.mark.parametrize(
    ("image", "key", "text"),
    [
        (STACK, SliceKey((0, 1)), "has no plane on the axes"),
        (STACK, SliceKey((2, 2), ((0, 0), (1, 0))), "has no plane on the axes"),
        (STACK, SliceKey((2, 9), ((0, 0), (1, 0))), "has no plane on the axes"),
        (STACK, SliceKey((2, 3), ((0, 2), (1, 0))), "no plane 2 on axis 0"),
        (STACK, SliceKey((2, 3), ((0, 0), (1, 0)), window=(0, 0, 6, 2)), "no part of 4 x 5"),
        (STACK, SliceKey((2, 3), ((0, 0), (1, 0)), window=(2, 0, 2, 2)), "no part of"),
        ([STACK], SliceKey((2, 3), ((0, 0), (1, 0)), level=1), "an image is an array"),
        (np.array(3), SliceKey((0, 1)), "has no plane"),
        (None, SliceKey((0, 1)), "an image is an array"),
    ],
)
def test_planes_that_an_image_lacks_are_refused(image, key, text):
    with pytest.raises(ValueError, match=text):
        Plane(image, key).read()
    with pytest.raises(ValueError, match=text):
        _ = Plane(image, key).size


def test_planes_with_other_channels_are_not_the_same():
    image = np.zeros((4, 5, 6))
    one = Plane(image, channels=[0, 2])
    assert one.channels == (0, 2)
    assert one.same_as(Plane(image, channels=(0, 2)))
    assert not one.same_as(Plane(image))
    assert not one.same_as(Plane(image, channels=(0, 2), revision=1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mask_input_holds_finite_numbers(value):
    values = np.full((4, 4), value, np.float32)
    for mask_input in (values, MaskLogits(values, (0, 0, 1, 1)), np.zeros((0, 4))):
        with pytest.raises(ValueError, match="mask_input"):
            Prompts([(1, 1)], mask_input=mask_input)


@pytest.mark.parametrize(
    "frame", [(0, 0, 0, 1), (0, 5, 4, 1), (0, 0, np.inf, 1), (np.nan, 0, 1, 1)]
)
def test_the_frame_of_logits_rises(frame):
    with pytest.raises(ValueError, match="frame"):
        MaskLogits(np.zeros((4, 4), np.float32), frame)


def prediction(scores, presence=1.0):
    masks = tuple(Mask.of(np.ones((2, 2), bool)) for _ in scores)
    logits = np.arange(len(scores) * 4, dtype=np.float32).reshape(-1, 2, 2)
    frame, window = (-0.5, -0.5, 1.5, 1.5), (0, 0, 2, 2)
    return Prediction(masks, np.float32(scores), logits, frame, window, presence)


def test_best_is_the_mask_of_the_highest_score():
    assert prediction([0.2, 0.9, 0.5]).best == 1


def test_an_answer_gives_its_logits_with_their_place():
    logits = prediction([0.2, 0.9]).logits(1)
    np.testing.assert_array_equal(logits.values, [[4, 5], [6, 7]])
    assert logits.frame == (-0.5, -0.5, 1.5, 1.5)
    assert logits.window == (0, 0, 2, 2)


def test_an_object_is_present_from_one_half_on():
    assert prediction([0.9]).present
    assert prediction([0.9], 0.5).present
    assert not prediction([0.9], 0.49).present
