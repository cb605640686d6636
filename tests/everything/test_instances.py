from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from tiny import true_fields

from napari_sam.evaluate.scores import average_precision
from napari_sam.everything.instance_fit import fit_of, part_about
from napari_sam.everything.instances import FlowFields, doubled, instances_of

SIDE = 256
Y, X = np.mgrid[:SIDE, :SIDE]


def disc(x, y, radius):
    return np.hypot(X - x, Y - y) <= radius


def rod(x, y, length, width, degrees):
    """A rod with round ends about (x, y)."""
    along, across = turned(x, y, degrees)
    beyond = np.maximum(np.abs(along) - (length - width) / 2, 0)
    return np.hypot(beyond, across) <= width / 2


def arc(x, y, radius, width, degrees):
    """A bent worm: a part of a ring about (x, y), `degrees` long, open to the right."""
    angle = np.degrees(np.arctan2(Y - y, X - x)) % 360
    on_ring = np.abs(np.hypot(X - x, Y - y) - radius) <= width / 2
    return on_ring & (np.abs(angle - 180) <= degrees / 2)


def turned(x, y, degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (X - x) * cos + (Y - y) * sin, (Y - y) * cos - (X - x) * sin


def labelled(*masks):
    """Labels of masks; a later one lies below the earlier ones."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for label, mask in enumerate(masks, start=1):
        labels[mask & (labels == 0)] = label
    return labels


SCENES = {
    "a disc": labelled(disc(120, 130, 40)),
    "discs of all sizes": labelled(disc(20, 20, 7), disc(60, 30, 16), disc(160, 150, 90)),
    "small discs": labelled(
        *(disc(x, y, 8) for x in range(20, 250, 30) for y in range(20, 250, 30))
    ),
    "touching discs": labelled(disc(70, 100, 31), disc(132, 100, 31), disc(101, 152, 31)),
    "touching tiny discs": labelled(disc(100, 100, 9), disc(118, 100, 9), disc(109, 116, 9)),
    "a large and a small disc that touch": labelled(disc(100, 120, 60), disc(172, 120, 13)),
    "touching rods side by side": labelled(
        *(rod(120 + 14 * k * 0.5, 100 + 14 * k * 0.866, 120, 14, -30) for k in range(4))
    ),
    "rods end to end": labelled(*(rod(45 + 62 * k, 120, 62, 18, 0) for k in range(3))),
    "rods end to end, aslant": labelled(
        *(rod(70 + 50 * k, 70 + 50 * k, 70.7, 16, 45) for k in range(3))
    ),
    "bent worms": labelled(arc(130, 130, 100, 16, 200), arc(150, 130, 60, 16, 220)),
    "a ring": labelled(disc(128, 128, 80) & ~disc(128, 128, 50)),
    "a disc in a ring": labelled(disc(128, 128, 45), disc(128, 128, 80) & ~disc(128, 128, 50)),
    "cut by the border": labelled(disc(0, 100, 40), disc(255, 255, 60), disc(128, 5, 20)),
    "all of it": labelled(np.ones((SIDE, SIDE), bool)),
}


def on_grid(labels, stride=2):
    """The label under the middle of each cell."""
    return labels[stride // 2 :: stride, stride // 2 :: stride]


def blurred(fields, cells=0.7, noise=0.0):
    rng = np.random.default_rng(0)
    added = ndimage.gaussian_filter(rng.normal(size=(3, *fields.foreground.shape)), (0, 1, 1))
    added *= noise / added.std()
    foreground = ndimage.gaussian_filter(fields.foreground, cells)
    field = ndimage.gaussian_filter(fields.field, (0, cells, cells))
    return FlowFields(
        np.float32(foreground + added[0]), np.float32(field + added[1:]), fields.stride
    )


@pytest.mark.parametrize("name", SCENES)
def test_perfect_fields_give_every_object_once(name):
    truth = on_grid(SCENES[name])
    labels = instances_of(true_fields(SCENES[name]))
    assert labels.shape == truth.shape
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) - {0} == set(range(1, truth.max() + 1))
    assert average_precision(labels, truth)[4] == 1  # at an IoU of 0.7


@pytest.mark.parametrize("name", SCENES)
def test_blur_and_noise_are_borne(name):
    truth = on_grid(SCENES[name])
    fields = blurred(true_fields(SCENES[name]), noise=0.05)
    assert average_precision(instances_of(fields), truth)[0] >= 0.75


def test_objects_are_connected_and_not_too_small():
    fields = true_fields(labelled(disc(60, 60, 30), disc(150, 60, 9), disc(200, 60, 2)))
    labels = instances_of(fields)
    areas = [int(n) for n in np.bincount(labels.ravel())[1:]]
    assert areas == pytest.approx([np.pi * 15**2, np.pi * 4.5**2], rel=0.08)
    assert instances_of(fields, smallest=100).max() == 1
    for label in (1, 2):
        assert ndimage.label(labels == label)[1] == 1


def test_a_higher_threshold_gives_smaller_objects():
    fields = true_fields(SCENES["a disc"])
    low, high = (np.count_nonzero(instances_of(fields, foreground)) for foreground in (0.2, 0.8))
    assert low > high > 0.8 * low


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 1), (3, 4)])
def test_grids_of_a_few_cells(size):
    nothing = FlowFields(np.zeros(size, np.float32), np.zeros((2, *size), np.float32), 4.0)
    assert instances_of(nothing).tolist() == np.zeros((2 * size[0], 2 * size[1])).tolist()
    full = FlowFields(np.ones(size, np.float32), np.zeros((2, *size), np.float32), 4.0)
    labels = instances_of(full, smallest=1)
    assert labels.shape == (2 * size[0], 2 * size[1])
    assert 0 <= fit_of(full, np.ones(size, bool)) <= 1


def test_fields_are_checked():
    with pytest.raises(ValueError, match=r"field must be \(2, 3, 4\), but is \(2, 3, 5\)"):
        FlowFields(np.zeros((3, 4), np.float32), np.zeros((2, 3, 5), np.float32), 4.0)


def test_padding_is_cut_off():
    fields = FlowFields(np.zeros((8, 8), np.float32), np.zeros((2, 8, 8), np.float32), 4.0)
    cut = fields.within((17, 12))
    assert cut.foreground.shape == (5, 3)
    assert cut.field.shape == (2, 5, 3)


def test_doubling_keeps_a_slope():
    ramp = np.arange(6, dtype=np.float32)[:, None] + np.zeros(3, np.float32)
    fine = doubled(ramp[None])
    assert fine.shape == (1, 12, 6)
    np.testing.assert_allclose(fine[0, 1:-1, 0], np.arange(10) / 2 + 0.25)
    assert fine[0, 0, 0] == 0
    assert fine[0, -1, 0] == 5


def test_the_depth_has_no_hole_at_centres():
    fine = true_fields(SCENES["a disc"]).finer
    assert np.hypot(*fine.field)[65, 60] < 0.3
    assert fine.depth[65, 60] == pytest.approx(0.8, abs=0.03)
    assert fine.depth[65, 60] >= fine.depth[65, 45]


def test_paths_against_the_field_end_at_the_centre():
    fine = true_fields(SCENES["bent worms"]).finer
    for label in (1, 2):
        own = on_grid(SCENES["bent worms"]) == label
        rows, columns = np.divmod(fine.ends[own], own.shape[1])
        far = np.hypot(rows - np.median(rows), columns - np.median(columns))
        assert np.mean(far <= 4) > 0.95
        assert own[int(np.median(rows)), int(np.median(columns))]


def test_the_part_about_a_mask():
    mask = np.zeros((20, 30), bool)
    assert part_about(mask) is None
    mask[4:7, 25] = True
    assert part_about(mask, 3) == (slice(1, 10), slice(22, 29))


@pytest.mark.parametrize("name", SCENES)
def test_true_masks_fit(name):
    fields = true_fields(SCENES[name]).finer
    truth = on_grid(SCENES[name])
    for label in range(1, truth.max() + 1):
        assert fit_of(fields, truth == label) > 0.75


def test_wrong_masks_fit_less():
    fields = true_fields(SCENES["touching discs"]).finer
    truth = on_grid(SCENES["touching discs"])
    first = truth == 1
    x = np.arange(truth.shape[1])
    wrong = {
        "two objects": (truth == 1) | (truth == 2),
        "half an object": first & (x > 35),
        "too large": ndimage.binary_dilation(first, iterations=4),
        "too small": ndimage.binary_erosion(first, iterations=4),
        "elsewhere": np.roll(first, 10, axis=1),
        "background": on_grid(disc(30, 220, 20)),
    }
    right = fit_of(fields, first)
    worse = {name: fit_of(fields, mask) for name, mask in wrong.items()}
    assert max(worse.values()) < right - 0.05, (right, worse)
    assert fit_of(fields, np.zeros_like(first)) == 0
    assert worse["background"] == 0
