from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from napari_sam.stack.lineage import _Forms, _links, divided, successors
from napari_sam.stack.partition import best_pairs
from napari_sam.stack.pieces import Pieces
from napari_sam.stack.tracks import Track, tracked, tracks_in, write_tracks
from napari_sam.steps import drive, mapped
from napari_sam.types import Progress


def disc(plane, row, column, radius, label):
    y, x = np.ogrid[: plane.shape[0], : plane.shape[1]]
    plane[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = label


def series(*frames):
    """Return frames (T, 60, 80) with discs (row, column, radius); labels are mixed."""
    planes = np.zeros((len(frames), 60, 80), np.int32)
    for t, discs in enumerate(frames):
        for k, one in enumerate(discs):
            disc(planes[t], *one, 10 * t + len(discs) - k)
    return planes


def followed(planes, **options):
    """Return labels and tracks."""
    labels = planes.copy()

    def keep(step):
        if not isinstance(step, Progress):
            labels[step[0]] = step[1]

    return labels, drive(mapped(tracked(dict(enumerate(planes)), **options), keep))


def test_objects_that_move_keep_their_labels():
    planes = series(*[[(20, 15 + 4 * t, 8), (45, 60 - 4 * t, 7)] for t in range(5)])
    labels, tracks = followed(planes)
    assert tracks == [Track(1, 0, 4), Track(2, 0, 4)]
    for t in range(5):
        assert labels[t, 20, 15 + 4 * t] == labels[0, 20, 15]
        assert labels[t, 45, 60 - 4 * t] == labels[0, 45, 60]
    assert followed(planes, largest=30)[1] == [Track(31, 0, 4), Track(32, 0, 4)]


def test_a_small_object_that_moves_by_its_size_is_followed():
    labels, tracks = followed(series(*[[(20, 10 + 7 * t, 4)] for t in range(6)]))
    assert tracks == [Track(1, 0, 5)]
    assert labels[5, 20, 45] == 1


def test_an_object_that_divides_ends_and_its_daughters_name_it():
    still = (45, 15, 8)
    planes = series(
        *[[(25, 40, 10), still]] * 2,
        [(25, 33, 6), (25, 47, 6), still],
        [(25, 30, 6), (25, 50, 6), still],
        [(25, 28, 6), (25, 52, 6), still],
    )
    labels, tracks = followed(planes)
    mother = int(labels[1, 25, 40])
    daughters = {int(labels[2, 25, 33]), int(labels[2, 25, 47])}
    assert [track for track in tracks if track.parent] == [
        Track(label, 2, 4, mother) for label in sorted(daughters)
    ]
    assert Track(mother, 0, 1) in tracks
    assert Track(int(labels[0, 45, 15]), 0, 4) in tracks
    assert labels[1, 25, 33] == labels[1, 25, 47] == mother


def test_an_object_that_comes_in_beside_another_is_no_daughter():
    planes = series(*[[(25, 40, 9)]] * 2, *[[(25, 40, 9), (25, 58, 6)]] * 3)
    _, tracks = followed(planes)
    assert [track.parent for track in tracks] == [0, 0]


def test_an_outline_that_is_in_two_in_one_frame_is_no_division():
    planes = series(*[[(25, 40, 9)]] * 5)
    planes[2][:25][planes[2][:25] > 0] = 99
    labels, tracks = followed(planes)
    assert tracks == [Track(1, 0, 4)]
    np.testing.assert_array_equal(labels, (planes > 0).astype(np.int32))


def test_a_frame_in_which_an_object_is_missing_is_closed():
    planes = series(*[[(25, 40, 9)]] * 5)
    planes[2] = 0
    labels, tracks = followed(planes)
    assert tracks == [Track(1, 0, 4)]
    np.testing.assert_array_equal(labels[2], labels[1])


def test_frames_without_objects():
    assert followed(np.zeros((3, 5, 5), np.int32))[1] == []
    assert drive(tracked({})) == []


def test_frames_that_cannot_be_followed_are_refused():
    with pytest.raises(ValueError, match="frames have whole numbers"):
        drive(tracked({"a": np.zeros((2, 2), int)}))
    with pytest.raises(ValueError, match="largest label lies between"):
        drive(tracked({}, largest=-1))
    with pytest.raises(ValueError, match="of integers"):
        drive(tracked({0: np.zeros((2, 2))}))


def test_tracks_are_written_as_the_cell_tracking_challenge_does(tmp_path):
    write_tracks(tmp_path / "res_track.txt", [Track(1, 0, 4), Track(2, 5, 9, 1)])
    assert (tmp_path / "res_track.txt").read_text() == "1 0 4 0\n2 5 9 1\n"


def test_tracks_of_labels_that_were_changed():
    planes = series(*[[(25, 40, 10)]] * 2, *[[(25, 33, 6), (25, 47, 6)]] * 3)
    labels, tracks = followed(planes)
    parents = {track.label: track.parent for track in tracks if track.parent}
    frames = dict(enumerate(labels))
    assert drive(tracks_in(frames, parents)) == tracks
    left, right = sorted(parents)
    labels[4][labels[4] == left] = 0
    labels[3:][labels[3:] == right] = 0
    mother = parents[left]
    assert drive(tracks_in(frames, parents)) == [
        Track(mother, 0, 1), Track(left, 2, 3, mother), Track(right, 2, 2, mother)
    ]  # fmt: skip
    labels[2][20, 40] = mother  # it no longer ends before its daughters begin
    assert [one.parent for one in drive(tracks_in(frames, parents))] == [0, 0, 0]
    labels[labels == mother] = 0
    assert drive(tracks_in(frames, parents)) == [Track(left, 2, 3), Track(right, 2, 2)]


def test_every_part_of_the_work_says_how_far_it_is():
    frames = dict(enumerate(series(*[[(20, 15 + 4 * t, 8)] for t in range(5)])))
    steps = [step for step in tracked(frames) if isinstance(step, Progress)]
    assert all(0 <= step.done <= step.total for step in steps)
    for text in ("compared 5 of 5 frames", "tracked 5 of 5 frames", "paired 4 of 5 frames"):
        assert text in [step.text for step in steps]
    assert sum("divisions" in step.text for step in steps) == 5


def small_pieces(places, diameters=None):
    """Return pieces of frames of squares at places (N, 2) that do not overlap."""
    pieces = Pieces()
    for t, points in enumerate(places):
        start, sides = len(pieces), [4] * len(points) if diameters is None else diameters[t]
        pieces.planes += [t] * len(points)
        pieces.labels += range(1, len(points) + 1)
        pieces.areas += [side**2 for side in sides]
        pieces.boxes += [(y, x, y + n, x + n) for (y, x), n in zip(points, sides, strict=True)]
        pieces.in_plane[t] = slice(start, len(pieces))
    return pieces


def test_thousands_of_objects_are_followed_in_little_memory():
    y, x = (axis.ravel() * 6 for axis in np.mgrid[:60, :60])
    frames = [list(zip((y + t).tolist(), (x + t).tolist(), strict=True)) for t in range(3)]
    pieces = small_pieces(frames)
    tracemalloc.start()
    after = drive(successors(pieces))
    assert drive(divided(pieces, after)) == {}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert after == [*range(3600, 3 * 3600), *[-1] * 3600]
    assert peak < 30e6  # a number for each two objects of two frames would take 100 MB


def test_divisions_are_looked_for_in_small_steps():
    y, x = (axis.ravel() * 20 for axis in np.mgrid[:30, :30])
    mothers = list(zip(y.tolist(), x.tolist(), strict=True))
    daughters = [(row, column + step) for row, column in mothers for step in (-3, 5)]
    frames = [mothers, daughters, daughters]
    pieces = small_pieces(frames, [[6] * 900, [4] * 1800, [4] * 1800])
    after = drive(successors(pieces))
    said = []
    mothers_of = drive(divided(pieces, after), said.append)
    assert len(said) == 3 + 900 // 256 + 2 * (1800 // 256)
    assert mothers_of == {900 + k: k // 2 for k in range(1800)}


def test_the_worth_of_links_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    places = [[tuple(p) for p in rng.integers(0, 200, (300, 2)).tolist()] for _ in range(2)]
    pieces = small_pieces(places, [rng.integers(2, 30, 300).tolist() for _ in range(2)])
    forms = _Forms.of(pieces)
    first, second = np.arange(300), np.arange(300, 600)
    a, b, worth = _links(forms, first, second, None)
    apart = np.linalg.norm(forms.middles[first][:, None] - forms.middles[second], axis=2)
    areas = forms.areas[first][:, None], forms.areas[second]
    reach = 1.5 * np.maximum(forms.diameters[first][:, None], forms.diameters[second])
    expected = 0.5 * (1 - apart / reach) * np.minimum(*areas) / np.maximum(*areas)
    rows, columns = np.nonzero(expected >= 0.2)
    assert (a.tolist(), (b - 300).tolist()) == (rows.tolist(), columns.tolist())
    np.testing.assert_allclose(worth, expected[rows, columns])


@pytest.mark.parametrize("seed", range(5))
def test_the_pairs_chosen_are_worth_most(seed):
    rng = np.random.default_rng(seed)
    table = rng.random((30, 25)) * (rng.random((30, 25)) < 0.2)
    rows, columns = np.nonzero(table)
    order = rng.permutation(len(rows))
    rows, columns = rows[order], columns[order]
    chosen = best_pairs(rows, columns, table[rows, columns])
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == len(chosen)
    best = table[linear_sum_assignment(table, maximize=True)].sum()
    assert table[rows[chosen], columns[chosen]].sum() == pytest.approx(best)
