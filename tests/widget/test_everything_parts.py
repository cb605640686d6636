"""Parts of everything mode that need no window: what the user changed, thresholds, words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image
from tiny import SceneModel, discs

from napari_sam.everything.amg_params import AmgParams
from napari_sam.objects.edit import Edit
from napari_sam.objects.patch import patches_between
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.join import StoredPlanes
from napari_sam.types import Plane, Progress, SliceKey
from napari_sam.widget.features.everything.edited import UneditedPlanes, UserEdits
from napari_sam.widget.features.everything.extent import extents
from napari_sam.widget.features.everything.selection import LiveSelection
from napari_sam.widget.features.everything.voxels import voxel_size
from napari_sam.widget.time_left import TimeLeft, in_words

KEY = SliceKey((1, 2), ((0, 1),))
TURNED = SliceKey((2, 0), ((1, 4),))


@pytest.fixture
def volume():
    """Labels 1, 2 and 3 in planes of (3, 8, 10)."""
    labels = np.zeros((3, 8, 10), np.int32)
    labels[:, 1:4, 1:4], labels[:, 4:7, 1:4], labels[:, 2:6, 6:9] = 1, 2, 3
    return labels


def changed(before, after):
    index = tuple(slice(None) for _ in before.shape)
    return UserEdits((Edit("by hand", tuple(patches_between(index, before, after))),))


def test_nothing_is_kept_where_nothing_was_changed(volume):
    after = volume.copy()
    after[0, 0, 0] = 9
    edits = changed(volume, after)
    selected = np.full((8, 10), 20, np.int32)
    assert edits.kept(KEY, after[1]) is None
    assert edits.merged(KEY, after[1], selected) is selected
    assert UserEdits().largest == 0
    assert edits.largest == 9


@pytest.mark.parametrize("key", [KEY, TURNED], ids=["xy", "turned"])
def test_changed_objects_stay_and_deleted_ones_stay_away(volume, key):
    after = volume.copy()
    after[after == 1] = 0  # deleted
    after[:, 6, 1:4] = 0  # object 2 is cut
    after[:, 0, 9] = 8  # drawn
    edits = changed(volume, after)

    def plane(array):
        return array[1] if key is KEY else array[:, 4 if array.ndim == 3 else 0].T

    if key is TURNED:  # row 4 of all planes, as displayed: (10, 3)
        after[:, 4, 2] = 0
        edits = changed(volume, after)
    now, selected = plane(after), plane(volume) + 10 * (plane(volume) > 0)
    merged = edits.merged(key, now, selected.astype(np.int32))
    assert not (merged == 11).any()
    assert not (merged == 12).any()
    assert np.array_equal(merged == 13, plane(volume) == 3)
    assert np.array_equal(merged == 2, now == 2)
    assert np.array_equal(merged == 8, now == 8)
    assert edits.largest == 8


def test_objects_with_a_class_or_status_are_the_users():
    labels = np.zeros((12, 12), np.int32)
    labels[1:5, 1:5], labels[7:11, 7:11] = 3, 4
    selected = np.zeros_like(labels)
    selected[1:5, 1:6], selected[7:11, 7:11] = 8, 9
    own = UserEdits(objects=frozenset({3}))
    assert own
    assert own.largest == 3
    merged = own.merged(SliceKey((0, 1)), labels, selected)
    expected = np.zeros_like(labels)
    expected[1:5, 1:5], expected[7:11, 7:11] = 3, 9
    assert np.array_equal(merged, expected)


def test_what_remains_of_an_object_is_no_speck(volume):
    after = volume.copy()
    after[1, 2:6, 6] = 8  # drawn over a quarter of object 3, which is redrawn as a new one
    edits = changed(volume, after)
    selected = np.zeros((8, 10), np.int32)
    selected[2:6, 5:7] = 20
    assert not (edits.merged(KEY, after[1], selected) == 20).any()
    selected[2:6, 4:7] = 20
    now = np.where(after[1] == 3, 0, after[1])
    assert (edits.merged(KEY, now, selected) == 20).sum() == 8
    assert not (edits.merged(KEY, now, selected, least_area=9) == 20).any()


def test_planes_are_linked_without_what_was_changed(volume):
    after = volume.copy()
    after[0][after[0] == 1] = 8
    edits = changed(volume, after)
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(3)]
    planes = UneditedPlanes(StoredPlanes(after, keys, 0), edits)
    assert list(planes) == [0, 1, 2]
    assert set(np.unique(planes[0])) == {0, 2, 3}
    assert set(np.unique(planes[1])) == {0, 1, 2, 3}


def test_a_threshold_that_moves_counts_for_planes_that_are_done():
    image = np.stack([discs((64, 64), [(16, 16), (46, 40)], 8)] * 3)
    planes = [Plane(image, SliceKey((1, 2), ((0, z),))) for z in range(3)]
    low = AmgParams(points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    high = AmgParams(points_per_side=8, pred_iou_thresh=0.95, stability_score_thresh=0.5)
    now = low
    live = LiveSelection(image, {}, lambda: now, first=7)
    steps = live.found(Session(SamPredictor(SceneModel())), planes)
    seen = {}
    moved = None
    while moved is None:
        try:
            step = next(steps)
        except StopIteration as end:
            moved = end.value
            continue
        if not isinstance(step, Progress):
            seen.setdefault(step.plane.key.fixed[0][1], []).append(step.values.tolist())
            if len(seen) == 2:
                now = high
    assert moved
    assert seen[0][0] == [8, 9]
    assert [seen[z][-1] for z in range(3)] == [[], [], []]
    now = low
    anew = [step.values.tolist() for step in live.anew()]
    assert all(len(values) == 2 for values in anew)
    assert len(set(np.concatenate(anew))) == 6


def stack_of(shape, names):
    layer = SimpleNamespace(axis_labels=names)
    dims = SimpleNamespace(axis_labels=tuple(str(k - len(shape)) for k in range(len(shape))))
    transform = {"units": Image(np.zeros(shape)).units}
    return SimpleNamespace(shape=shape, layer=layer, transform=transform), dims


def test_all_planes_means_what_it_says():
    frame, dims = stack_of((4, 3, 8, 9), ("t", "z", "y", "x"))
    key = SliceKey((2, 3), ((0, 2), (1, 1)))
    every, z, t = extents(frame, key, dims)
    assert [one.text for one in (every, z, t)] == [
        "all t and z (12 planes)",
        "all z (3 planes)",
        "all t (4 planes)",
    ]
    assert len(set(every.planes(key, frame.shape))) == 12
    assert [one.fixed for one in z.planes(key, frame.shape)] == [((0, 2), (1, k)) for k in range(3)]
    assert [one.fixed for one in t.planes(key, frame.shape)] == [((0, k), (1, 1)) for k in range(4)]
    assert (every.linking_axis, z.linking_axis, t.linking_axis) == (1, 1, 0)


def test_axes_without_names_and_of_one_plane():
    frame, dims = stack_of((1, 5, 8, 9), ("-4", "-3", "-2", "-1"))
    key = SliceKey((2, 3), ((0, 0), (1, 1)))
    assert [one.text for one in extents(frame, key, dims)] == ["all axis 1 (5 planes)"]
    dims.axis_labels = ("time", "depth", "-2", "-1")
    assert [one.text for one in extents(frame, key, dims)] == ["all depth (5 planes)"]
    flat, dims = stack_of((8, 9), ("y", "x"))
    assert extents(flat, SliceKey((0, 1)), dims) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (20, "less than a minute"),
        (70, "about a minute"),
        (250, "about 4 minutes"),
        (3700, "about 62 minutes"),
        (7300, "about 2 hours"),
    ],
)
def test_time_in_words(seconds, words):
    assert in_words(seconds) == words


def test_time_left_is_said_once_it_is_known():
    now = [0.0]
    left = TimeLeft(lambda: now[0])
    now[0] = 1.0
    assert left.text(0, 100) == ""
    assert left.text(10, 100) == ""
    now[0] = 60.0
    assert left.text(20, 100) == ", about 4 minutes left"
    assert left.text(100, 100) == ""
    now[0] = 70.0
    assert left.text(0, 10) == ""  # another part of the work
    now[0] = 100.0
    assert left.text(2, 10) == ", about 2 minutes left"


def test_an_axis_has_a_name_while_napari_removes_its_slider():
    image = SimpleNamespace(axis_labels=("-3", "-2", "-1"))
    units = Image(np.zeros((3, 8, 10))).units
    frame = SimpleNamespace(shape=(3, 8, 10), layer=image, transform={"units": units})
    for labels, name in ((("z", "y", "x"), "z"), (("y", "x"), "axis 0"), ((), "axis 0")):
        (offered,) = extents(frame, KEY, SimpleNamespace(axis_labels=labels))
        assert offered.text == f"all {name} (3 planes)"


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"scale": (2, 0.5, 0.5)}, (0.5, "µm³")),
        ({"affine": np.diag([0.0, 1, 1, 1])}, (1, "voxels")),
        ({"scale": (1e200, 1e200, 1)}, (1, "voxels")),
    ],
)
def test_voxels_without_a_volume_are_counted(options, size):
    layer = Image(np.zeros((3, 4, 5)), units=("um",) * 3)
    names = ("scale", "translate", "rotate", "shear")
    transform = {name: getattr(layer, name) for name in names}
    transform |= {"affine": np.eye(4), "units": layer.units, **options}
    with np.errstate(over="ignore"):
        assert voxel_size(transform, (0, 1, 2)) == size
