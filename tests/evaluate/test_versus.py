from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tiny import DiscModel, SceneModel, discs

from napari_sam.evaluate.judged import kin_of
from napari_sam.evaluate.paired import Bootstrap, FoundPlane, precision_difference
from napari_sam.evaluate.scores import found_objects
from napari_sam.evaluate.versus import comparing
from napari_sam.steps import drive
from napari_sam.training.finetune.examples import Example

SHAPE = (96, 128)
RADIUS = 9
PLACES = (
    ((20, 20), (60, 30), (100, 22)),
    ((26, 60), (64, 72), (104, 50)),
    ((18, 44), (50, 18), (88, 66)),
)


class Discs(DiscModel):
    """Answers the first point, or the middle of the box, with a disc; never looks at the image."""

    def decode(self, features, coords, labels, boxes, *given):
        if boxes is not None and not coords.shape[1]:
            coords = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        return super().decode(features, coords, labels, boxes, *given)


class Boxless(SceneModel):
    """Knows objects under points, and nothing of boxes."""

    def decode(self, features, coords, labels, boxes, *given):
        answers = super().decode(features, coords, labels, boxes, *given)
        if coords.shape[1]:
            return answers
        return answers._replace(low_res_logits=np.full_like(answers.low_res_logits, -20))


def image_of(places):
    return discs(SHAPE, places, RADIUS)


def labels_of(places):
    labels = np.zeros(SHAPE, np.int32)
    for label, place in enumerate(places, start=1):
        labels[discs(SHAPE, [place], RADIUS) > 0] = label
    return labels


def right_set(**more):
    return [Example(f"{k}", image_of(p), labels_of(p), **more) for k, p in enumerate(PLACES)]


def wrong_set():
    """Each image with the labels of another one."""
    others = (*PLACES[1:], PLACES[0])
    return [
        Example(f"{k}", image_of(own), labels_of(other))
        for k, (own, other) in enumerate(zip(PLACES, others, strict=True))
    ]


def compared(before, after, examples, **options):
    return drive(comparing(before, after, examples, **options))


def by_name(versus):
    return {row.figure: row for row in versus.rows}


def test_a_model_that_got_better_is_taken():
    versus = compared(Discs(3.0), SceneModel(), right_set())
    rows = by_name(versus)
    assert list(rows) == [
        "1 click", "2 clicks", "4 clicks", "8 clicks", "box", "NoC@85", "everything AP50"
    ]  # fmt: skip
    assert rows["1 click"].objects == 9
    assert rows["1 click"].after > 0.95 > 0.3 > rows["1 click"].before
    assert rows["NoC@85"].before == 9
    assert rows["NoC@85"].after == 1
    assert rows["everything AP50"].after == 1
    assert rows["everything AP50"].before == 0
    assert all(row.gains and not row.loses for row in rows.values())
    assert versus.better
    assert versus.images == 3
    assert versus.verdict.startswith("The trained model is better: IoU after 1 click rises from 0.")
    assert versus.verdict.endswith("9 objects of 3 images that it did not learn from.")


def test_labels_of_other_images_are_refused_although_all_figures_rise():
    versus = compared(SceneModel(), Discs(RADIUS), wrong_set(), everything=False)
    rows = by_name(versus)
    assert rows["1 click"].gains
    assert rows["1 click"].after > 0.8
    assert not versus.better
    assert "does not look at the image; check that the labels belong" in versus.verdict


def test_the_control_passes_a_model_that_looks_at_the_image():
    versus = compared(Discs(3.0), SceneModel(), right_set(), everything=False)
    assert versus.control.gains
    assert versus.control.before < 0.2 < 0.95 < versus.control.after


def test_the_same_model_is_not_better():
    versus = compared(SceneModel(), SceneModel(), right_set())
    assert not versus.better
    assert "does not rise beyond the noise (+0.000" in versus.verdict
    assert all(row.difference == row.low == row.high == 0 for row in versus.rows[:-1])
    assert versus.changes == ()


def test_a_model_that_got_worse_is_not_taken():
    versus = compared(SceneModel(), Discs(4.0), right_set(), everything=False)
    assert not versus.better
    assert "does not look at the image" in versus.verdict
    assert by_name(versus)["1 click"].loses


def test_a_gain_in_clicks_does_not_pay_for_a_loss_in_boxes():
    versus = compared(Discs(6.0), Boxless(), right_set(), everything=False)
    assert by_name(versus)["1 click"].gains
    assert not versus.better
    assert versus.verdict.startswith("The trained model is not taken: box gets worse (-0.")


def test_of_few_objects_nothing_is_told():
    versus = compared(Discs(3.0), SceneModel(), right_set()[:1], everything=False)
    assert not versus.better
    assert "only 3 objects could be compared, at least 6 are needed" in versus.verdict
    assert "hold out 3 more, and label more images for that" in versus.verdict
    assert "better" not in versus.as_text().splitlines()[1]
    assert "paired bootstrap over objects, as there is one image" in versus.as_text()


@pytest.mark.parametrize(
    ("rise", "low", "count", "reason"),
    [
        (0.05, -0.01, 9, "beyond the noise (+0.050, 95 % interval -0.010 to +0.070); about 4 more "
                      "held-out objects like these would tell"),
        (0.05, 0.0, 25, "beyond the noise (+0.050, 95 % interval +0.000 to +0.070)"),
        (0.005, 0.0, 25, "beyond the noise (+0.005, 95 % interval +0.000 to +0.070)"),
        (0.005, 0.0, 9, "beyond the noise (+0.005, 95 % interval +0.000 to +0.070); about 11 more "
                        "held-out objects like these would tell"),
        (0.05, -0.2, 9, "beyond the noise (+0.050, 95 % interval -0.200 to +0.070)"),
        (0.005, 0.001, 9, "rises by less than 0.01 (+0.005, 95 % interval +0.001 to +0.070), which "
                          "9 objects cannot tell from chance; about 11 more held-out objects like "
                          "these would tell"),
    ],
)  # fmt: skip
def test_a_small_gain_of_few_objects_says_how_many_would_tell(rise, low, count, reason):
    versus = compared(Discs(3.0), SceneModel(), right_set(), everything=False)
    first = versus.rows[0]._replace(before=0.5, after=0.5 + rise, low=low, high=0.07)
    pairs = tuple(replace(versus.pairs[0], group=0, track=track) for track in range(count))
    changed = replace(versus, rows=(first, *versus.rows[1:]), pairs=pairs)
    assert not changed.better
    assert changed.verdict.endswith(f" {reason}.")


def test_more_objects_of_the_same_images_are_not_asked_for():
    versus = compared(Discs(3.0), SceneModel(), right_set(), everything=False)
    first = versus.rows[0]._replace(before=0.5, after=0.55, low=-0.01, high=0.07)
    changed = replace(versus, rows=(first, *versus.rows[1:]))
    assert changed.verdict.endswith("(+0.050, 95 % interval -0.010 to +0.070).")


def test_of_two_images_it_is_said_that_they_are_few():
    said = "How much images differ is hardly known from two: the intervals tell little beyond their"
    for count in (2, 3):
        versus = compared(Discs(3.0), SceneModel(), right_set()[:count], everything=False)
        assert (said in versus.as_text()) == (count == 2)


def test_a_small_gain_of_many_objects_is_one():
    versus = compared(Discs(3.0), SceneModel(), right_set(), everything=False)
    first = versus.rows[0]._replace(before=0.5, after=0.505, low=0.001, high=0.07)
    pairs = [replace(pair, track=9 * k + pair.track) for k in range(3) for pair in versus.pairs]
    assert replace(versus, rows=(first, *versus.rows[1:]), pairs=tuple(pairs)).better


def test_without_an_object_there_is_nothing_to_compare():
    empty = [Example("e", image_of(PLACES[0]), np.zeros(SHAPE, np.int32))]
    with pytest.raises(ValueError, match="no object is left to compare the models on; label"):
        compared(SceneModel(), SceneModel(), empty)


def test_everything_is_not_scored_where_labels_are_not_complete():
    part = np.zeros(SHAPE, bool)
    versus = compared(Discs(3.0), SceneModel(), right_set(complete=part))
    assert "everything AP50" not in by_name(versus)
    assert "AP50 is not measured: no image is known to be labelled completely" in versus.as_text()
    assert versus.better


def test_classes_have_rows_of_their_own():
    examples = right_set(classes={1: "cell", 2: "cell", 3: "debris"})
    versus = compared(Discs(3.0), SceneModel(), examples, clicks=2, everything=False)
    assert {name: rows[0].objects for name, rows in versus.classes.items()} == {
        "cell": 6, "debris": 3
    }  # fmt: skip
    rows = {line[:18].strip(): line for line in versus.as_text().splitlines()}
    assert rows["cell: 1 click"].endswith("better")
    assert rows["debris: box"].rstrip().endswith("too few to tell")
    assert not versus.classes["debris"][0].gains


def test_the_same_seed_gives_the_same_figures_and_they_fit_into_json():
    given = (Discs(3.0), SceneModel(), right_set())
    first, second = (compared(*given, clicks=2, everything=False, seed=3) for _ in range(2))
    assert first.rows == second.rows
    found = json.loads(json.dumps(first.as_dict()))
    assert found["better"] is True
    assert found["1 click"] == [round(value, 4) for value in first.rows[0][1:5]]
    assert found["columns"] == ["before", "after", "low", "high"]
    assert len(json.loads(json.dumps(first.objects_as_dicts()))) == 9


def test_the_picture_shows_what_changed_most():
    examples = right_set()
    examples[0].image[:] = image_of(PLACES[1])  # the later model sees other objects here
    versus = compared(Discs(6.0), SceneModel(), examples, everything=False)
    assert [change.gain > 0 for change in versus.changes] == [True] * 6 + [False] * 3
    gains = [change.gain for change in versus.changes]
    assert gains == sorted(gains, reverse=True)
    worst = versus.changes[-1]
    assert worst.name == "0"
    assert worst.truth.sum() == (labels_of(PLACES[0]) == worst.label).sum()
    assert worst.first.any()
    assert not worst.last.any()
    picture = versus.picture()
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {(255, 210, 0), (90, 180, 255), (255, 120, 200)} <= colours


def test_contrast_is_left_as_it_is():
    seen = []

    class Noting(SceneModel):
        def encode(self, rgb):
            seen.append(rgb)
            return super().encode(rgb)

    dim = [Example("dim", image_of(PLACES[0]) // 4 + 100, labels_of(PLACES[0]))]
    compared(SceneModel(), Noting(), dim, clicks=1, everything=False)
    assert (seen[0].min(), seen[0].max()) == (100, 150)


def test_progress_says_which_image():
    steps = list(comparing(Discs(), SceneModel(), right_set(), everything=False))
    assert [(step.done, step.total) for step in steps] == [(k, 6) for k in range(6)]
    assert steps[-1].text == "comparing on 2"


def test_a_bootstrap_draws_images():
    rng = np.random.default_rng(0)
    apart = Bootstrap([0] * 50 + [1] * 50, range(100), rng)
    before, after = np.zeros(100), np.repeat([1.0, 0.0], 50)
    found = apart.difference("x", before, after)
    assert (found.before, found.after, found.low, found.high) == (0, 0.5, 0, 1)
    mixed = Bootstrap(range(100), range(100), np.random.default_rng(0)).difference(
        "x", before, after
    )
    assert 0.38 < mixed.low < 0.42
    assert 0.58 < mixed.high < 0.62
    one = Bootstrap([7] * 100, range(100), np.random.default_rng(0)).difference("x", before, after)
    assert 0.38 < one.low < 0.42
    part = apart.difference("x", before, after, chosen=after > 0)
    assert (part.objects, part.low, part.high) == (50, 1, 1)


def test_the_precision_of_one_plane_has_an_interval():
    yes, no = np.ones(40, bool), np.arange(40) < 20
    plane = FoundPlane(no, yes, 20, 0, 3, tuple(range(40)))
    found = precision_difference([plane], "AP50", np.random.default_rng(0))
    assert found.before == pytest.approx(20 / 60)
    assert found.after == 1
    assert 0.5 < found.low < 2 / 3 < found.high < 0.85
    assert precision_difference([FoundPlane(no[:0], no[:0], 3, 4, 0, ())], "x", None) is None


def test_planes_of_the_same_objects_tell_no_more_than_one():
    yes, no = np.ones(40, bool), np.arange(40) < 20
    plane = FoundPlane(no, yes, 20, 3, 0, tuple(range(40)))
    one, ten = (precision_difference([plane] * n, "x", np.random.default_rng(0)) for n in (1, 10))
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
    gains = np.random.default_rng(0).normal(0.02, 0.1, 20)
    once, often = (
        Bootstrap([0] * 20 * n, [*range(20)] * n, np.random.default_rng(0)).difference(
            "x", np.zeros(20 * n), np.tile(gains, n)
        )
        for n in (1, 10)
    )
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert once.low < 0 < once.high


@pytest.mark.parametrize("stacks", [1, 2])
def test_chance_seldom_looks_like_a_gain_in_a_stack(stacks):
    rng = np.random.default_rng(0)
    tracks = np.tile(np.arange(20), 10)
    groups = (tracks % stacks).tolist()
    draws = Bootstrap(groups, tracks.tolist(), rng)
    gains = losses = 0
    for _ in range(1000):
        change = rng.normal(0, 0.1, 20)[tracks] + rng.normal(0, 0.02, 200)
        found = draws.difference("x", np.zeros(200), change)
        gains, losses = gains + found.gains, losses + found.loses
    assert gains <= 45
    assert losses <= 45


def test_chance_seldom_looks_like_a_gain_of_few_objects():
    rng = np.random.default_rng(0)
    draws = Bootstrap([0] * 6, range(6), rng)
    found = [draws.difference("x", np.zeros(6), rng.normal(0, 0.1, 6)) for _ in range(2000)]
    assert 0.01 < np.mean([one.gains for one in found]) < 0.055  # 0.08 with plain percentiles
    wide = Bootstrap([0] * 200, range(200), rng)
    change = rng.normal(0, 0.1, 200)
    many = wide.difference("x", np.zeros(200), change)
    plain = np.percentile(wide.weights @ change / 200, (2.5, 97.5))
    assert (many.low, many.high) == pytest.approx(plain, abs=0.002)


@pytest.mark.parametrize(("images", "share"), [(2, 0.07), (3, 0.04), (4, 0.04)])
def test_chance_seldom_looks_like_a_gain_where_images_differ(images, share):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(images), 30)
    draws = Bootstrap(groups, range(len(groups)), rng)
    gains = 0
    for _ in range(600):
        change = rng.normal(0, 0.05, images)[groups] + rng.normal(0, 0.1, len(groups))
        gains += draws.difference("x", np.zeros(len(groups)), change).gains
    assert gains <= share * 600  # 8 to 16 % where objects are counted in place of images


def test_the_precision_of_few_images_is_as_wide_as_they_are_few():
    hits = [np.arange(40) < count for count in (21, 25, 29)]
    none = np.arange(40) < 20
    planes = [FoundPlane(none, hit, 0, 0, k, tuple(range(40 * k, 40 * k + 40)))
              for k, hit in enumerate(hits)]  # fmt: skip
    found = precision_difference(planes, "x", np.random.default_rng(0))
    assert found.difference == pytest.approx(5 / 40)
    assert found.low < 0.01
    assert found.high > 0.24


def test_of_one_or_two_objects_nothing_is_told():
    draws = Bootstrap([0, 0, 1, 1], [0, 1, 2, 2], np.random.default_rng(0))
    for chosen in ([True, False, False, False], [False, False, True, True], [True] * 4):
        found = draws.difference("x", np.zeros(4), np.ones(4), chosen=np.array(chosen))
        assert not found.gains
    assert (found.objects, found.different) == (4, 3)


GRID = [(x, y) for y in (16, 48, 80) for x in (20, 60, 100)]


def stack_of(count, linked):
    """A stack in which nine discs stand still; where labels are not linked, they change."""
    planes = []
    for place in range(count):
        labels = np.zeros(SHAPE, np.int32)
        for label, at in enumerate(GRID, start=1):
            shown = label if linked else 1 + (label + place) % 9
            labels[discs(SHAPE, [at], RADIUS) > 0] = shown
        image = image_of(GRID) + np.uint8(place)
        stack = "s" if linked else ""
        planes.append(Example(f"z{place}", image, labels, None, {}, "f", stack, place))
    return planes


@pytest.mark.parametrize("linked", [True, False])
def test_an_object_of_a_stack_is_one_object_in_all_its_planes(linked):
    planes = stack_of(3, linked)
    kin = kin_of(planes)
    assert {one.group for one in kin} == {kin[0].group}
    assert len({one.image for one in kin}) == 3
    here = [
        [own.tracks[plane.labels[y, x]] for x, y in GRID]
        for own, plane in zip(kin, planes, strict=True)
    ]
    assert here[0] == here[1] == here[2]
    assert len(set(here[0])) == 9


def test_layers_of_an_image_are_one_image_of_several_objects():
    image, rest = image_of(PLACES[0]), right_set()[1]
    layers = [
        Example(f"layer {k}", image, labels_of(PLACES[0][k : k + 1]), group=f"file {k}")
        for k in range(2)
    ]
    first, second, other = kin_of([*layers, rest])
    assert (first.image, first.group) == (second.image, second.group)
    assert other.image != first.image
    assert other.group != first.group
    assert first.tracks[1] != second.tracks[1]


def test_the_verdict_counts_objects_of_a_stack_once():
    versus = compared(Discs(1.0), SceneModel(), stack_of(2, True), clicks=1, everything=False)
    assert (versus.objects, versus.images, versus.groups) == (9, 2, 1)
    assert versus.rows[0].objects == 18
    assert "9 objects of a stack, in 2 planes, that it did not learn from" in versus.verdict
    assert "paired bootstrap over objects, as there is one stack" in versus.as_text()
    few = [plane.without(range(6, 10)) for plane in stack_of(2, True)]
    again = compared(Discs(1.0), SceneModel(), few, clicks=1, everything=False)
    assert len(again.pairs) == 10
    assert "only 5 objects could be compared" in again.verdict


def test_a_limit_takes_other_objects_in_each_plane_of_a_stack():
    options = {"clicks": 1, "everything": False, "limit": 3}
    versus = compared(Discs(1.0), SceneModel(), stack_of(3, True), **options)
    assert [one.before.label for one in versus.pairs] == [1, 5, 9, 2, 3, 4, 6, 7, 8]
    assert versus.objects == 9


def test_objects_are_found_above_half_their_union():
    truth = np.zeros((20, 30), int)
    truth[:10, :10], truth[:10, 20:] = 3, 8
    labels = np.zeros_like(truth)
    labels[:9, :10], labels[:5, 20:], labels[15:] = 1, 2, 4
    found, extra = found_objects(labels, truth)
    assert found.tolist() == [True, False]
    assert extra == 2
