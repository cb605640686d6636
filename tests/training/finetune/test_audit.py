"""What an audit finds: each kind, with the right labels, and nothing in sound examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_sam.models.pocket import PocketModel
from napari_sam.training.finetune.audit import Audit, audit
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.findings import KINDS, REMOVABLE, Finding
from napari_sam.training.finetune.seen import POCKET, Sight

SIDE = 160


def cells(seed: int = 0, name: str = "", count: int = 12, side: int = SIDE) -> Example:
    """Make an image of bright discs, each labelled."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((side, side), np.int32)
    image = rng.normal(40, 6, (side, side))
    places = [(20 + 38 * (k // 4), 20 + 38 * (k % 4)) for k in range(count)]
    for k, place in enumerate(places, 1):
        radius = 8 + 3 * rng.random()
        y, x = place + rng.integers(-5, 6, 2)
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        labels[inside] = k
        image[inside] = rng.normal(160, 10, int(inside.sum()))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    return Example(name or f"image {seed}", pixels, labels)


def kinds(found: Audit) -> list[str]:
    return [one.kind for one in found.findings]


def only(found: Audit) -> Finding:
    (one,) = found.findings
    return one


def test_sound_examples_have_no_findings() -> None:
    found = audit([cells(k) for k in range(5)])
    assert found.findings == ()
    assert found.as_text().splitlines() == [
        "5 images, 60 labelled objects, 12 to 12 an image",
        "diameter as the model sees it: below 4 0, 4 to 16 0, 16 to 64 0, 64 to 256 60, from 256 0",
        "image: image 0 12, image 1 12, image 2 12, image 3 12, image 4 12",
        "nothing to look at was found",
    ]


def with_speck(height: int, width: int) -> Example:
    """Return cells with one more object, 50, in the upper right."""
    one = cells()
    labels = one.labels.copy()
    labels[0:height, 100 : 100 + width] = 50
    return replace(one, labels=labels)


def test_tiny_objects() -> None:
    found = only(audit([with_speck(3, 4)], sight=Sight(SIDE)))  # as it is
    assert found.kind == "tiny"
    assert found.labels == (50,)
    assert found.boxes == ((100, 0, 104, 3),)
    assert found.sentence == (
        "label 50 of image 0 has fewer than 16 pixels as the model sees the image: leave it out"
    )


def test_objects_are_tiny_at_the_size_of_the_model() -> None:
    found = only(audit([with_speck(5, 5)], sight=Sight(120)))  # three quarters: 14 pixels
    assert found.labels == (50,)
    assert found.sentence.endswith("leave it out, or cut the image into smaller ones")
    assert audit([with_speck(5, 5)], sight=Sight(130)).findings == ()


@pytest.mark.parametrize(
    ("sight", "scale"),
    [
        (Sight(), 6.4),  # a small image is magnified
        (POCKET, 3.2),
        (Sight(512, 2.0), 2.0),
        (Sight(80), 0.5),  # a long one is reduced, as for answers
        (Sight(110), 110 / 160),
    ],
)
def test_sizes_are_those_in_the_input_of_the_model(sight: Sight, scale: float) -> None:
    assert sight.scale((SIDE, 100)) == pytest.approx(scale)
    specks = [with_speck(1, length) for length in (2, 6, 15)]
    seen = [bool(audit([one], sight=sight).findings) for one in specks]
    assert seen == [length * scale**2 < 16 for length in (2, 6, 15)]
    sizes = audit([replace(cells(), labels=specks[2].labels)], sight=sight).balance.sizes
    diameter = 2 * np.sqrt(15 / np.pi) * scale
    assert sizes[0] == ("below 4", int(diameter < 4))


def test_the_bundled_model_is_known_without_loading_it() -> None:
    assert Sight(PocketModel.image_size, PocketModel.largest_scale) == POCKET


def test_pieces_far_apart_and_close() -> None:
    one = cells()
    labels = one.labels.copy()
    labels[labels == 12] = 1  # at the other end of the image
    x0, y0, x1, _ = one.boxes[6]
    labels[y0 + 7 : y0 + 10, x0:x1][labels[y0 + 7 : y0 + 10, x0:x1] == 6] = 0
    pieces = [f for f in audit([replace(one, labels=labels)]).findings if f.kind == "pieces"]
    assert [one.labels for one in pieces] == [(1,), (6,)]
    assert pieces[0].sentence.startswith("label 1 of image 0 lies in separate pieces, far apart")
    assert pieces[1].sentence.startswith("label 6 of image 0 lies in separate pieces, close")


def test_two_discs_under_one_label() -> None:
    one = cells()
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = one.labels.copy()
    y0, x0 = one.boxes[6][1], one.boxes[6][0]
    second = (rows - y0 - 9) ** 2 + (columns - x0 - 26) ** 2 <= 81
    labels[second] = 6
    image = np.where(second, np.uint8(160), one.image)
    found = only(audit([replace(one, labels=labels, image=image)]))
    assert (found.kind, found.labels) == ("merged", (6,))
    assert "label 6 of image 0 looks like several objects that touch" in found.sentence


def test_shapes_that_all_have_necks_are_no_merges() -> None:
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for k in range(9):
        y, x = 25 + 50 * (k // 3), 20 + 50 * (k % 3)
        for shift in (0, 15):
            labels[(rows - y) ** 2 + (columns - x - shift) ** 2 <= 64] = k + 1
    image = np.where(labels > 0, np.uint8(160), np.uint8(40))
    assert "merged" not in kinds(audit([Example("a", image, labels)]))


def test_unlabelled_neighbours() -> None:
    one = cells()
    labels = np.where(np.isin(one.labels, (3, 8)), np.int32(0), one.labels)
    found = only(audit([replace(one, labels=labels)]))
    assert found.kind == "unlabelled"
    assert found.labels == ()
    assert len(found.boxes) == 2
    for box, label in zip(sorted(found.boxes), sorted(one.boxes[k] for k in (3, 8)), strict=False):
        del label
        x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
        assert one.labels[y, x] in (3, 8)
    assert found.sentence.startswith("2 places in image 0 look like the labelled objects")


def test_what_is_not_complete_is_not_searched() -> None:
    one = cells()
    labels = np.where(one.labels == 3, np.int32(0), one.labels)
    sparse = replace(one, labels=labels, complete=np.zeros(labels.shape, bool))
    assert audit([sparse]).findings == ()
    text = audit([sparse]).as_text()
    assert "of 1 of 1 images it is not known of every place whether there is an object" in text


def test_unlabelled_proposals_of_a_model() -> None:
    one = replace(cells(), image=np.zeros((SIDE, SIDE), np.uint8))  # nothing to see for statistics
    labels = np.where(one.labels == 3, np.int32(0), one.labels)
    found = audit([replace(one, labels=labels)], proposals=[one.labels]).findings
    assert [(each.kind, each.boxes) for each in found] == [("unlabelled", (one.boxes[3],))]
    with pytest.raises(ValueError, match="1 examples need as many proposals"):
        audit([one], proposals=[])


def test_shifted_labels() -> None:
    one = cells()
    moved = replace(one, labels=np.roll(one.labels, (7, -5), (0, 1)))
    found = [each for each in audit([moved]).findings if each.kind == "shifted"]
    assert len(found) == 1
    assert "fit better 5 pixels to the right and 7 pixels up" in found[0].sentence


def test_shifts_of_large_images_are_found_at_a_smaller_size() -> None:
    one = cells()
    large = replace(
        one,
        image=np.kron(one.image, np.ones((4, 4), np.uint8)),
        labels=np.roll(np.kron(one.labels, np.ones((4, 4), np.int32)), 28, axis=0),
    )
    found = [each for each in audit([large]).findings if each.kind == "shifted"]
    assert "fit better 28 pixels up" in found[0].sentence


def test_labels_of_other_images() -> None:
    images = [cells(k) for k in range(6)]
    wrong = [
        replace(one, image=np.random.default_rng(k).integers(0, 255, (SIDE, SIDE)).astype(np.uint8))
        for k, one in enumerate(images)
    ]
    found = [each for each in audit(wrong).findings if each.example is None]
    assert [each.kind for each in found] == ["shifted"]
    assert found[0].sentence.startswith("the outlines of most of 6 images follow no edges")


def test_duplicates() -> None:
    images = [cells(k) for k in range(3)]
    noise = np.random.default_rng(9).integers(0, 3, (SIDE, SIDE)).astype(np.uint8)
    near = replace(images[1], name="near", image=images[1].image + noise * (images[1].image < 250))
    same = replace(images[0], name="same", image=images[0].image.copy())
    found = audit([*images, near, same])
    assert kinds(found) == ["duplicate", "duplicate"]
    assert [one.example for one in found.findings] == [4, 3]
    assert "near is nearly the same image as image 1" in found.findings[1].sentence
    assert "same has the same image and labels as image 0" in found.findings[0].sentence
    assert len(found.without_kinds("duplicate")) == 3


def test_layers_and_neighbouring_planes_are_no_duplicates() -> None:
    one = replace(cells(), group="stack")
    layer = replace(one, name="layer", labels=np.where(one.labels == 1, one.labels, 0))
    nearly = replace(one, name="plane", image=one.image ^ 1)
    assert "duplicate" not in kinds(audit([one, layer, nearly]))


def test_empty_images() -> None:
    none = replace(cells(), labels=np.zeros((SIDE, SIDE), np.int32))
    known = [one for one in audit([cells(1), none]).findings if one.kind == "empty"]
    assert "unless there is nothing to find in it" in known[0].sentence
    sparse = replace(none, complete=np.zeros((SIDE, SIDE), bool))
    unknown = [one for one in audit([cells(1), sparse]).findings if one.kind == "empty"]
    assert "nothing is learnt from it" in unknown[0].sentence
    assert unknown[0].example == 1


def test_balance() -> None:
    classes = {k: "cell" if k > 2 else "mitosis" for k in range(1, 13)}
    few = [
        replace(one, labels=np.where(one.labels == 5, one.labels, 0))
        for one in (cells(1), cells(2))
    ]
    found = audit(
        [replace(cells(), classes=classes), *few],
        proposals=[None, few[0].labels] * 1 + [few[1].labels],
    )
    assert found.balance.objects == 14
    assert found.balance.classes == (("cell", 10), ("mitosis", 2), ("no class", 2))
    assert [one.sentence for one in found.findings] == [
        "the class mitosis has 2 objects of 14: label more of them",
        "image 0 holds 12 of 14 objects: label more in the other images",
    ]


def test_too_few_objects() -> None:
    one = cells()
    single = replace(one, labels=np.where(one.labels == 5, one.labels, 0))
    assert [each.sentence for each in audit([single]).findings] == [
        "1 object in all: label a few more, so that some are left to judge by"
    ]


def test_notices_and_refused_files_are_findings() -> None:
    planes = [
        replace(cells(k), name=f"stack {k}", group="stack", notice="labels were stored as float32")
        for k in range(3)
    ]
    refused = Finding("unreadable", "b is left out")
    found = audit(planes, [refused])
    assert kinds(found) == ["unreadable", "converted"]
    assert found.findings[1].sentence == "stack 0 and 2 more planes: labels were stored as float32"
    assert found.as_text().splitlines()[-2] == "unreadable: b is left out"


def test_many_findings_of_a_kind_are_cut_short() -> None:
    refused = [Finding("unreadable", f"{k} is left out") for k in range(8)]
    lines = audit([cells()], refused).as_text().splitlines()
    assert lines[-1] == "unreadable: and 3 more like this"
    assert len([line for line in lines if line.startswith("unreadable")]) == 6


def test_what_is_left_out_is_unknown_ground() -> None:
    one = cells()
    labels = np.where(one.labels == 3, np.int32(0), one.labels)
    labels[0:3, 100:104] = 50
    found = audit([replace(one, labels=labels)], sight=Sight(SIDE))
    assert kinds(found) == ["tiny", "unlabelled"]
    (left,) = found.without(found.findings)
    assert 50 not in left.objects
    assert left.complete is not None
    assert not left.complete[0:3, 100:104].any()
    assert not left.complete[(one.labels == 3) & (left.labels == 0)][:-2].all()
    (same,) = found.without([])
    assert same is found.examples[0]
    assert found.without_kinds("tiny")[0].complete is not None


def test_shifted_and_empty_images_are_left_out() -> None:
    moved = replace(cells(), labels=np.roll(cells().labels, (7, -5), (0, 1)))
    none = replace(cells(1), labels=np.zeros((SIDE, SIDE), np.int32))
    found = audit([moved, none, cells(2)])
    assert [one.name for one in found.without_kinds("shifted", "empty")] == ["image 2"]


def test_the_picture_shows_each_place() -> None:
    one = cells()
    labels = one.labels.copy()
    labels[0:3, 100:104] = 50
    found = audit([replace(one, labels=labels), cells(1)], sight=Sight(SIDE))
    picture = found.as_picture()
    assert picture.dtype == np.uint8
    assert picture.shape == (6 + 180 + 34 + 6, 6 + 180 + 6, 3)
    frame = (picture == (255, 190, 0)).all(axis=2)
    assert frame.any()  # around the tiny object
    sound = audit([cells(1), cells(2)]).as_picture()
    assert sound.shape[1] == 6 + 2 * 186
    assert not (sound == (255, 190, 0)).all(axis=2).any()


def test_all_kinds_are_explained() -> None:
    assert set(REMOVABLE) < set(KINDS)
