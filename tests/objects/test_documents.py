"""Objects and edits as JSON: the same again, and whatever is damaged is a sentence."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import random

import numpy as np
import pytest
from journal_work import work

from napari_sam.objects.documents import (
    edit_from_json,
    edit_to_json,
    object_from_json,
    object_to_json,
    prompts_from_json,
    prompts_to_json,
)
from napari_sam.objects.drawn import DrawnRow, rows_of
from napari_sam.objects.edit import Edit
from napari_sam.objects.patch import Patch
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.types import Mask, Prompts, SliceKey, Stroke

NONSENSE = (None, -1, 0, 2**70, 1.5, float("nan"), "", "x", "AAAA", [], {}, [[]], [1, 2], True)


def whole_edit():
    mask = Mask.of(np.eye(5, dtype=bool), (3, 2), (20, 30))
    prompts = Prompts([[4, 3], [5, 5.5]], [1, 0], box=[3, 2, 7, 6])
    outlines = {
        SliceKey((1, 2), ((0, 4),)): Outline(mask, prompts, 2, 0.75, "propagated", "m", "abc"),
        SliceKey((0, 2), ((1, 4),), (0, 0, 5, 5), 1): Outline(mask),
    }
    one = SegmentedObject(3, outlines, "cell", "finished", "ann", 12.5, {"size": [1, None]})
    old = np.zeros((2, 4, 5), np.uint16)
    new = old.copy()
    new[:, 1:3, 2] = (3, 400)
    return Edit(
        "object 3",
        (Patch.of((slice(1, 3), slice(0, 4), slice(5, 10)), old, new),),
        {3: (None, one), 4: (one, None)},
        {"classes": (None, [{"name": "cell", "colour": "#ff0000", "key": "1"}])},
        (DrawnRow("points", "positive", ((1.0, 2.5, 3.0),), 2),),
        (DrawnRow("shapes", "rectangle", ((1.0, 2.0, 3.0), (1.0, 9.0, 9.0)), -3),),
    )


def text(edit):
    return json.dumps(edit_to_json(edit), allow_nan=False)


def test_an_edit_is_the_same_again():
    edit = whole_edit()
    again = edit_from_json(json.loads(text(edit)))
    assert text(again) == text(edit)
    assert again.properties == edit.properties
    assert [row.owner for row in (*again.removed, *again.added)] == [2, -3]
    np.testing.assert_array_equal(again.patches[0].new(), edit.patches[0].new())
    assert again.patches[0].before == edit.patches[0].before
    (key, outline), _ = again.objects[3][1].outlines.items()
    assert key == SliceKey((1, 2), ((0, 4),))
    np.testing.assert_array_equal(outline.prompts.point_coords, [[4, 3], [5, 5.5]])


def test_regions_and_scribbles_are_the_same_again_and_older_files_have_none():
    region, path = [(1.5, 2.0), (9.25, 2.0), (5.0, 8.5)], [(2.0, 3.0), (4.0, 3.5)]
    strokes = [Stroke(np.array(path), 1), Stroke(np.array(path) + 20, 0)]
    data = json.loads(json.dumps(prompts_to_json(Prompts(region=region, strokes=strokes))))
    assert data["region"] == [list(place) for place in region]
    assert [one["label"] for one in data["strokes"]] == [1, 0]
    again = prompts_from_json(data)
    np.testing.assert_array_equal(again.region, region)
    assert [one.label for one in again.strokes] == [1, 0]
    np.testing.assert_array_equal(again.strokes[1].path, np.array(path) + 20)
    plain = prompts_to_json(Prompts([(1, 2)]))
    assert set(plain) == {"points", "box"}
    old = prompts_from_json(plain)
    assert (old.region, old.strokes) == (None, ())
    for wrong in ({"region": [[1, 2]]}, {"strokes": [{"path": [[1, 2]], "label": 2}]}):
        with pytest.raises(ValueError, match=r"3 vertices|1 or 0"):
            prompts_from_json(plain | wrong)


def test_prompts_of_every_kind_are_drawn_as_they_were():
    path = np.array([(2.0, 3.0), (4.0, 3.5)])
    prompts = Prompts(
        [(7, 8)], region=[(1, 2), (9, 2), (5, 8)], strokes=[Stroke(path), Stroke(path + 20, 0)]
    )
    rows = rows_of(prompts, SliceKey((0, 2), ((1, 6),)), 3)
    assert [(row.layer, row.mark) for row in rows] == [
        ("points", "object"),
        ("shapes", "polygon"),
        ("shapes", "path"),
        ("shapes", "background path"),
    ]
    assert rows[1].vertices == ((2, 6, 1), (2, 6, 9), (8, 6, 5))
    assert rows[3].vertices == ((23, 6, 22), (23.5, 6, 24))
    assert [row.is_begun for row in rows] == [False] * 4
    assert DrawnRow("shapes", "path", ((1.0, 2.0, 3.0), (1.0, 2.5, 3.5))).is_begun
    assert DrawnRow("shapes", "polygon", ((1.0, 2.0, 3.0), (1.0, 9.0, 9.0))).is_begun


def test_an_object_is_the_same_again():
    one = whole_edit().objects[3][1]
    again = object_from_json(json.loads(json.dumps(object_to_json(one))))
    assert object_to_json(again) == object_to_json(one)
    assert again.locked


def test_random_objects_are_the_same_again():
    for target in itertools.islice(work(3), 60):
        for one in target.store.objects.values():
            data = json.loads(json.dumps(object_to_json(one)))
            assert object_to_json(object_from_json(data)) == data


def places(data, at=()):
    """Yield the path of each value in a document."""
    yield at
    if isinstance(data, dict | list):
        entries = data.items() if isinstance(data, dict) else enumerate(data)
        for name, one in list(entries):
            yield from places(one, (*at, name))


def damaged(data, rng):
    found = copy.deepcopy(data)
    for _ in range(rng.randrange(1, 4)):
        *way, last = rng.choice([at for at in places(found) if at])
        holder = found
        for name in way:
            holder = holder[name]
        if rng.random() < 0.25:
            del holder[last]
        elif isinstance(holder[last], str) and holder[last] and rng.random() < 0.5:
            cut = rng.randrange(len(holder[last]))
            holder[last] = holder[last][:cut] + rng.choice("Az9/+=\x00é") + holder[last][cut + 1 :]
        elif type(holder[last]) is int and rng.random() < 0.5:
            holder[last] += rng.choice((-1, 1, 1000, -(2**40), 2**40))
        else:
            holder[last] = rng.choice(NONSENSE)
        if not found:
            break
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_document_is_a_sentence(seed):
    rng, data, refused = random.Random(seed), edit_to_json(whole_edit()), 0
    for _ in range(500):
        found = damaged(data, rng)
        with contextlib.suppress(ValueError):  # anything else fails the test
            refused += 1
            edit_from_json(found)
            refused -= 1
    assert refused > 250
