"""Kinds of prompt, and which prompt belongs to which object."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest

from napari_sam.cli.prompt_text import read_prompts
from napari_sam.images.readers import StackImage
from napari_sam.predict.grouping import group_prompts, owner_of
from napari_sam.predict.prompt_kinds import (
    PROMPT_KINDS,
    PlacedPrompt,
    PromptKind,
    kind_in,
    read_prompt,
    shape_mark,
    shape_of,
)
from napari_sam.predict.prompt_values import LEAST_BOX, add_points
from napari_sam.types import Prompts

PLANE = StackImage(np.zeros((40, 50), np.uint8), "YX")
STACK = StackImage(np.zeros((5, 40, 50), np.uint8), "ZYX")


def placed(name, *values, owner=None):
    return PlacedPrompt(PROMPT_KINDS[name], np.array(values, np.float64), owner)


def said(prompts):
    """Return a value that can be compared: (x, y, label) of each point, and the box."""
    points = [(*xy, k) for xy, k in zip(prompts.point_coords, prompts.point_labels, strict=True)]
    return points, None if prompts.box is None else tuple(prompts.box)


def groups(*given):
    return {number: said(prompts) for number, prompts in group_prompts(given)}


def test_kinds_are_named_by_themselves_and_can_be_told_apart():
    assert list(PROMPT_KINDS) == [kind.name for kind in PROMPT_KINDS.values()]
    flags = ["--point", "--background", "--box", "--region", "--scribble", "--background-scribble"]
    assert [kind.flag for kind in PROMPT_KINDS.values()] == flags
    without = {name for name, kind in PROMPT_KINDS.items() if not kind.begins}
    assert without == {"background", "background_scribble"}
    points = [kind for kind in PROMPT_KINDS.values() if kind.layer == "points"]
    for tell in (lambda k: k.marks, lambda k: k.colour, lambda k: k.symbol, lambda k: k.button):
        assert len({tell(kind) for kind in points}) == len(points)


@pytest.mark.parametrize(("mark", "name"), [("object", "point"), ("background", "background")])
def test_points_are_told_apart_by_their_feature(mark, name):
    one = read_prompt("points", mark, np.array([[3.5, 7.0]]), owner=4)
    assert (one.kind.name, one.values.tolist(), one.owner) == (name, [3.5, 7.0], 4)
    assert one.box is None


def test_what_bears_no_known_mark_is_no_prompt():
    assert kind_in("points", "nan") is None
    assert read_prompt("points", "nan", np.zeros((1, 2))) is None


def test_a_rectangle_is_the_box_around_it():
    one = read_prompt("shapes", "rectangle", np.array([[9.0, 4], [3, 12], [5, 2]]))
    assert one.kind.name == "box"
    assert one.values.tolist() == one.box.tolist() == [3, 2, 9, 12]
    assert one.place.tolist() == [6, 7]


def test_a_polygon_is_a_region_and_a_path_a_scribble():
    path = np.array([[9.0, 4], [3, 12], [5, 2]])
    region = read_prompt("shapes", "polygon", path)
    assert (region.kind.name, region.values.tolist()) == ("region", path.tolist())
    assert region.box.tolist() == [3, 2, 9, 12]
    for mark in ("path", "line"):
        assert read_prompt("shapes", mark, path).kind.name == "scribble"
        one = read_prompt("shapes", shape_mark(mark, "background"), path)
        assert one.kind.name == "background_scribble"
        assert shape_of(shape_mark(mark, "background")) == (mark, "background")
        assert (one.box, one.place.tolist()) == (None, [3, 12])
    assert shape_mark("polygon", "background") == "polygon"
    assert shape_of("path") == ("path", "object")


def test_an_ellipse_is_a_region_with_its_area():
    corners = np.array([[10.0, 4], [10, 24], [50, 24], [50, 4]])  # as napari has them, (x, y)
    region = read_prompt("shapes", "ellipse", corners)
    assert region.kind.name == "region"
    x, y = (region.values - (30, 14)).T
    np.testing.assert_allclose((x / 20) ** 2 + (y / 10) ** 2, 1, atol=1e-5)
    np.testing.assert_allclose(region.box, [10, 4, 50, 24], atol=1e-5)
    area = np.abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(np.pi * 20 * 10, rel=0.01)


@pytest.mark.parametrize("shape", ["rectangle", "ellipse", "polygon"])
@pytest.mark.parametrize(("width", "height"), [(1.9, 9), (9, 1.9), (0, 0)])
def test_a_box_or_region_with_a_short_side_is_only_begun(shape, width, height):
    corners = np.array([[3, 4], [3 + width, 4], [3 + width, 4 + height], [3, 4 + height]])
    assert read_prompt("shapes", shape, corners) is None
    assert read_prompt("shapes", "polygon", np.array([[3.0, 4], [9, 9]])) is None
    least = np.array([[3, 4], [3 + LEAST_BOX, 4 + LEAST_BOX]])
    assert read_prompt("shapes", "rectangle", least).box.tolist() == [3, 4, 5, 6]
    assert read_prompt("shapes", "path", np.array([[3.0, 4], [4, 5]])) is None


@pytest.mark.parametrize(
    ("form", "counts"), [("X,Y", {2}), ("X0,Y0,X1,Y1", {4}), ("X0,Y0,X1,Y1,...", {4, 6, 8})]
)
def test_a_form_says_how_many_numbers_there_are(form, counts):
    kind = PromptKind("k", "ks", form, "", add_points, "place", "shapes", "add_path", np.array)
    assert {count for count in range(1, 10) if kind.takes(count)} == counts


def test_boxes_are_objects_and_points_belong_where_they_lie():
    found = groups(
        placed("point", 45, 35),  # in no box
        placed("point", 20, 10),  # on the edge of the first
        placed("background", 0, 0),
        placed("point", 12, 12),
        placed("point", 22, 20),  # in the second
        placed("point", 19, 14),  # in both
        placed("box", 5, 5, 20, 15),
        placed("box", 18, 12, 30, 30),
    )
    ground = (0.0, 0.0, 0)
    assert found == {
        1: ([(20, 10, 1), (12, 12, 1), ground], (5, 5, 20, 15)),
        2: ([(22, 20, 1), ground], (18, 12, 30, 30)),
        3: ([(45, 35, 1), (19, 14, 1), ground], None),
    }
    assert list(found) == [1, 2, 3]


def test_nothing_is_no_object():
    assert group_prompts([]) == []


def test_two_objects_of_points_exist_side_by_side():
    found = groups(
        placed("point", 30, 30, owner=5),
        placed("point", 1, 1, owner=2),
        placed("background", 9, 9, owner=2),
        placed("point", 2, 2, owner=2),
    )
    assert list(found) == [2, 5]
    assert found == {
        2: ([(1, 1, 1), (2, 2, 1), (9, 9, 0)], None),  # what begins an object comes first
        5: ([(30, 30, 1)], None),  # the background point is the other's
    }


def test_an_owner_counts_more_than_the_place():
    found = groups(
        placed("box", 0, 0, 9, 9, owner=1), placed("point", 4, 4, owner=2), placed("point", 5, 5)
    )
    assert found == {
        1: ([], (0, 0, 9, 9)),
        2: ([(4, 4, 1)], None),
        3: ([(5, 5, 1)], None),  # boxes with an owner draw no points in
    }


def test_those_without_an_owner_get_numbers_that_no_owner_has():
    found = groups(
        placed("point", 4, 4),
        placed("box", 0, 0, 3, 3),
        placed("point", 1, 1, owner=7),
        placed("background", 8, 8),
    )
    assert found == {
        7: ([(1, 1, 1)], None),
        8: ([(8, 8, 0)], (0, 0, 3, 3)),
        9: ([(4, 4, 1), (8, 8, 0)], None),
    }


@pytest.mark.parametrize("owner", [None, 3])
def test_background_points_alone_are_no_object(owner):
    given = [placed("background", 1, 1, owner=owner), placed("point", 1, 1, owner=4)]
    with pytest.raises(ValueError, match="background points need an object: a foreground point or"):
        group_prompts(given)


def test_an_object_takes_one_box():
    boxes = [placed("box", 1, 2, 3, 4), placed("box", 5, 6, 7, 8.5)]
    assert [number for number, _ in group_prompts(boxes)] == [1, 2]
    owned = [PlacedPrompt(box.kind, box.values, owner=1) for box in boxes]
    with pytest.raises(ValueError, match=r"one box, but here are two: 1,2,3,4 and 5,6,7,8\.5"):
        group_prompts(owned)


@pytest.mark.parametrize("owner", [None, 1])
def test_an_inverted_box_is_refused(owner):
    with pytest.raises(ValueError, match="x0 <= x1"):
        group_prompts([placed("box", 9, 0, 3, 3, owner=owner), placed("point", 1, 1)])


@pytest.mark.parametrize(
    ("point", "owner"),
    [
        ((2, 2), 4),
        ((10, 2), 4),  # on the edge
        ((10.1, 10), 6),
        ((9, 9.5), None),  # in both
        ((30, 2), None),
        ((np.nan, 2), None),
        ([(1, 1), (3, 3)], 4),
        ([(1, 1), (30, 3)], None),  # not all of it
    ],
)
def test_a_point_is_the_box_s_that_alone_contains_it(point, owner):
    assert owner_of(point, {4: (0, 0, 10, 10), 6: np.array([9, 9.0, 20, 20])}) == owner


@pytest.fixture
def trail(monkeypatch):
    """A kind that the package does not have: a path whose vertices lie on the object."""
    kind = PromptKind(
        name="trail",
        plural="trails",
        form="X0,Y0,X1,Y1,...",
        help="a path along one object",
        give=partial(add_points, label=1),
        scope="place",
        layer="shapes",
        mode="add_path",
        read=lambda xy, mark: xy if len(xy) > 1 else None,
        marks=("trail",),
    )
    monkeypatch.setitem(PROMPT_KINDS, kind.name, kind)
    return kind


def test_a_new_kind_is_read_from_its_layer(trail):
    path = np.array([[2.0, 3], [4, 5], [6, 5]])
    one = read_prompt("shapes", "trail", path)
    assert one.kind is trail
    assert read_prompt("shapes", "trail", path[:1]) is None  # begun
    assert read_prompt("shapes", "rectangle", path).kind.name == "box"
    points = [(2, 3, 1), (4, 5, 1), (6, 5, 1)]
    assert groups(one) == {1: (points, None)}
    assert groups(one, placed("box", 0, 0, 9, 9)) == {1: (points, (0, 0, 9, 9))}
    assert groups(one, placed("box", 0, 0, 5, 9)) == {1: ([], (0, 0, 5, 9)), 2: (points, None)}
    assert groups(one, placed("background", 0, 0, owner=3), PlacedPrompt(trail, path, 3)) == {
        3: ([*points, (0, 0, 0)], None),
        4: (points, None),
    }


def test_a_new_kind_is_read_from_text(trail):
    given = {"trail": ["2,3,4,5,6,5"], "background": ["0,0"]}
    [prompts] = read_prompts(PLANE, given)[None]
    assert said(prompts) == ([(2, 3, 1), (4, 5, 1), (6, 5, 1), (0, 0, 0)], None)
    found = read_prompts(STACK, {"trail": ["2,3,4,5,3", "2,3,4,5,9,9,1"], "point": ["7,7,3"]})
    assert {z: [said(prompts) for prompts in some] for z, some in found.items()} == {
        1: [([(2, 3, 1), (4, 5, 1), (9, 9, 1)], None)],
        3: [([(7, 7, 1), (2, 3, 1), (4, 5, 1)], None)],
    }
    assert list(found) == [1, 3]


@pytest.mark.parametrize(
    ("image", "text", "sentence"),
    [
        (PLANE, "2,3,4", "--trail is X0,Y0,X1,Y1,... in this image, but '2,3,4' has 3 numbers"),
        (PLANE, "2,3,4,five", "--trail is X0,Y0,X1,Y1,..., numbers and commas"),
        (STACK, "2,3,4,5,6,7", "needs its plane: --trail X0,Y0,X1,Y1,...,Z, not '2,3,4,5,6,7'"),
        (PLANE, "2,3,60,5", "(60, 5) lies outside the image"),
    ],
)
def test_a_new_kind_is_refused_with_the_same_sentences(trail, image, text, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        read_prompts(image, {"trail": [text]})


def test_regions_and_scribbles_are_typed_as_rows_of_corners():
    given = {
        "region": ["5,5,20,5,20,15,5,15"],
        "scribble": ["6,6,9,9", "30,30,40,32"],
        "background_scribble": ["0,20,5,30"],
    }
    boxed, free = read_prompts(PLANE, given)[None]
    assert boxed.region.tolist() == [[5, 5], [20, 5], [20, 15], [5, 15]]
    assert [(one.path.tolist(), one.label) for one in boxed.strokes] == [
        ([[6, 6], [9, 9]], 1),
        ([[0, 20], [5, 30]], 0),
    ]
    assert (free.region, [one.label for one in free.strokes]) == (None, [1, 0])
    assert list(read_prompts(STACK, {"region": ["5,5,20,5,20,15,3"]})) == [3]
    series = StackImage(np.zeros((2, 5, 40, 50), np.uint8), "TZYX")
    [(places, [prompts])] = read_prompts(series, {"region": ["5,5,20,5,20,15,9,9,3,1"]}).items()
    assert (places, len(prompts.region)) == ((1, 3), 4)  # the plane comes last
    with pytest.raises(ValueError, match=r"needs its plane: --region X,Y,X,Y,X,Y,\.\.\.,Z"):
        read_prompts(STACK, {"region": ["5,5,20,5,20,15"]})
    with pytest.raises(ValueError, match="has 4 numbers"):
        read_prompts(PLANE, {"region": ["5,5,20,5"]})


def test_a_sentence_names_the_flags_that_there_are(trail):
    with pytest.raises(ValueError, match=r"--scribble, --trail, or --prompts FILE$"):
        read_prompts(PLANE, {"point": []})


def test_a_kind_need_be_no_list_of_numbers(monkeypatch, tmp_path):
    kind = PromptKind(
        name="earlier_mask",
        plural="earlier masks",
        form="FILE",
        help="logits of an earlier answer",
        give=Prompts.with_mask,
        scope="object",
        layer="shapes",
        mode="add_path",
        read=lambda xy, mark: None,
        marks=("no shape",),
        parse=np.load,
    )
    monkeypatch.setitem(PROMPT_KINDS, kind.name, kind)
    path = tmp_path / "logits.npy"
    np.save(path, np.eye(4, dtype=np.float32))
    assert kind.flag == "--earlier-mask"
    given = {"earlier_mask": [str(path)], "point": ["3,3"]}
    masked, free = read_prompts(PLANE, given)[None]
    assert np.array_equal(masked.mask_input, np.eye(4))
    assert said(free) == ([(3, 3, 1)], None)
    [(z, [masked])] = read_prompts(STACK, {"earlier_mask": [f"{path},2"]}).items()
    assert z == 2
    assert np.array_equal(masked.mask_input, np.eye(4))
    with pytest.raises(ValueError, match="needs its plane: --earlier-mask FILE,Z"):
        read_prompts(STACK, {"earlier_mask": [str(path)]})
