"""Synthetic images: exact labels, ground that stays, the seed, resuming, kinds of images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage import draw

from napari_sam.formats.label_tiff import read_label_tiff
from napari_sam.formats.training_sets.contract import SetObject
from napari_sam.images.readers import StackImage
from napari_sam.steps import drive
from napari_sam.training.sets.labelled_stack import LabelledStack, PlaneObjects
from napari_sam.training.synthesis.bank import Bank, gathered
from napari_sam.training.synthesis.cutting import cuts, signed_distance
from napari_sam.training.synthesis.defects import DEFECTS
from napari_sam.training.synthesis.filling import filled
from napari_sam.training.synthesis.params import SynthesisParams
from napari_sam.training.synthesis.pasting import FEATHER, Canvas, Posed
from napari_sam.training.synthesis.synthesising import (
    PARTIAL,
    RECORD,
    removed,
    synthesising,
    synthetic,
)
from napari_sam.types import Mask

SIZE = (96, 120)
LEVEL, BRIGHT = 50, 120
"""Of the ground, and of objects above it."""
PLAIN = SynthesisParams(brightness=(0, 0), contrast=(1, 1))


def labelled(seed: int = 0) -> tuple[np.ndarray, list[SetObject]]:
    """An image of 8 bit with four ellipses, two of them of each class, and one on the border."""
    rng = np.random.default_rng(seed)
    image = np.full(SIZE, LEVEL) + rng.integers(-3, 4, SIZE)
    labels = np.zeros(SIZE, np.int32)
    places = [(20, 20), (20, 70), (70, 30), (70, 90), (48, 0)]
    for label, place in enumerate(places, 1):
        rows, columns = draw.ellipse(*place, 8, 12, SIZE, rotation=label)
        image[rows, columns] += BRIGHT
        labels[rows, columns] = label
    objects = [
        SetObject(k, Mask.of(labels == k), "odd" if k % 2 else "even")
        for k in range(1, len(places) + 1)
    ]
    return image.astype(np.uint8), objects


def item(image: np.ndarray, objects: list[SetObject], name: str = "one") -> Any:
    axes = "YXS" if image.ndim == 3 else "YX"

    def read() -> Iterator[LabelledStack]:
        stack = StackImage(image, axes)
        yield LabelledStack(
            name, Path(name), stack, ((),), lambda place: PlaneObjects(tuple(objects)), ("even",)
        )

    return name, read


@pytest.fixture(scope="module")
def bank() -> Bank:
    return drive(gathered([item(*labelled())], 0))


def test_an_object_at_the_border_is_not_cut(bank: Bank) -> None:
    (found,) = bank.cuts.values()
    assert [one.label for one in found] == [1, 2, 3, 4]
    assert bank.classes == ("even", "odd")


def test_ground_of_the_filled_plane_looks_like_the_ground(bank: Bank) -> None:
    (ground,) = bank.grounds
    image, _ = labelled()
    empty = ground.empty()[..., 0]
    np.testing.assert_array_equal(empty[~ground.holes], image[~ground.holes])
    inside = empty[ground.holes]
    assert inside.mean() == pytest.approx(LEVEL, abs=1)
    assert inside.std() == pytest.approx(image[~ground.holes].std(), rel=0.2)  # not too smooth


def test_a_sloping_level_goes_on_in_a_hole() -> None:
    slope = np.add.outer(np.arange(64.0), 2 * np.arange(64.0))[..., None]
    holes = np.zeros((64, 64), bool)
    holes[25:40, 20:36] = True
    found = filled(slope, holes, np.random.default_rng(0))
    assert np.abs(found - slope)[holes].mean() < 8  # of 45 within the hole


def test_labels_are_the_pasted_pixels_and_the_rest_is_ground(bank: Bank) -> None:
    """Objects are far brighter than the ground: half way between them is the outline."""
    one, made = synthetic(bank, 3, PLAIN, 0)
    labels = np.zeros(SIZE, int)
    for each in one.planes[0]:
        labels[each.mask.part][each.mask.bits] = each.label
    assert len(made["objects"]) == len(one.planes[0]) >= 3
    away = ndimage.distance_transform_edt(labels == 0) > FEATHER + 0.5
    ground = np.rint(bank.grounds[0].empty()[..., 0])
    np.testing.assert_array_equal(one.image[away], ground[away])
    bright = one.image > LEVEL + BRIGHT / 2
    assert (bright != (labels > 0)).mean() < 0.01
    assert (bright & away).sum() == 0


def test_an_object_that_is_not_turned_has_its_very_pixels(bank: Bank) -> None:
    still = SynthesisParams(
        objects=(3, 3), scale=(1, 1), rotation=(0, 0), flips=False, touching=0, brightness=(0, 0)
    )
    one, made = synthetic(bank, 0, still, 0)
    _, objects = labelled()
    assert len(made["objects"]) == 3
    for each, record in zip(one.planes[0], made["objects"], strict=True):
        source = objects[record["label"] - 1]
        np.testing.assert_array_equal(each.mask.bits, source.mask.bits)
        assert each.category == source.category


def test_contrast_to_the_ground_is_kept_on_brighter_ground(bank: Bank) -> None:
    (found,) = bank.cuts.values()
    canvas = Canvas(np.full((60, 60, 1), 100.0, np.float32))
    made = {"contrast": 1.0, "brightness": 0.0}
    cut = found[0]
    canvas.paste(Posed(cut.pixels - cut.ring, cut.distance, made), False, 1.0, rng())
    assert canvas.image[canvas.labels == 1].mean() == pytest.approx(100 + BRIGHT, abs=1)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_scale_stays_in_its_range(bank: Bank) -> None:
    double = SynthesisParams(objects=(1, 1), scale=(1.9, 2.0))
    _, objects = labelled()
    for number in range(5):
        one, made = synthetic(bank, number, double, 0)
        (record,), (each,) = made["objects"], one.planes[0]
        assert 1.9 <= record["scale"] <= 2.0
        area = objects[record["label"] - 1].mask.area * record["scale"] ** 2
        assert each.mask.area == pytest.approx(area, rel=0.05)


def test_number_of_objects_stays_in_its_range(bank: Bank) -> None:
    few = SynthesisParams(objects=(2, 4), scale=(0.5, 0.5))
    counts = {len(synthetic(bank, number, few, 0)[0].objects) for number in range(12)}
    assert counts == {2, 3, 4}


def test_objects_touch_where_all_are_to(bank: Bank) -> None:
    one, _ = synthetic(bank, 0, SynthesisParams(objects=(4, 4), touching=1.0), 0)
    apart, _ = synthetic(bank, 0, SynthesisParams(objects=(4, 4), touching=0.0), 0)
    assert len(one.objects) == len(apart.objects) == 4
    assert [pieces(each) for each in (one, apart)] == [1, 4]


def pieces(one: Any) -> int:
    taken = np.any([np.asarray(each.mask) for each in one.objects], axis=0)
    return int(ndimage.label(taken, np.ones((3, 3)))[1])


def test_no_more_than_a_part_of_an_object_is_hidden(bank: Bank) -> None:
    many = SynthesisParams(objects=(40, 40), overlap=0.3, scale=(1, 1), touching=0)
    one, made = synthetic(bank, 0, many, 0)
    _, objects = labelled()
    hidden = 0
    for each, record in zip(one.objects, made["objects"], strict=True):
        whole = objects[record["label"] - 1].mask.area
        assert each.mask.area > 0.7 * whole * 0.95  # turning changes the area a little
        hidden += each.mask.area < 0.93 * whole
    assert hidden > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("colours", [False, True])
def test_kinds_of_images(dtype: Any, colours: bool) -> None:
    image, objects = labelled()
    pixels = image.astype(dtype) * (200 if dtype == np.uint16 else 1)
    if colours:
        pixels = np.stack([pixels, pixels // 2, pixels // 4], -1)
    found = drive(gathered([item(pixels, objects)], 0))
    one, _ = synthetic(found, 0, PLAIN, 0)
    assert one.image.dtype == dtype
    assert one.image.shape == pixels.shape
    assert one.axes == ("YXS" if colours else "YX")
    inside = np.any([np.asarray(each.mask) for each in one.objects], axis=0)
    inside = ndimage.binary_erosion(inside, iterations=3)
    assert one.image[inside].mean() == pytest.approx(
        pixels[image > LEVEL + BRIGHT / 2].mean(), rel=0.1
    )


def test_kinds_are_not_mixed() -> None:
    image, objects = labelled()
    colour = np.stack([image] * 3, -1)
    found = drive(gathered([item(image, objects, "grey"), item(colour, objects, "colour")], 0))
    for number in range(6):
        _, made = synthetic(found, number, SynthesisParams(), 0)
        assert {each["source"] for each in made["objects"]} == {made["ground"]}


def test_an_empty_image_is_a_ground() -> None:
    flat = np.full(SIZE, LEVEL, np.uint8)
    found = drive(gathered([item(*labelled()), item(flat, [], "empty")], 0))
    assert [one.name for one in found.grounds] == ["one", "empty"]
    assert not found.grounds[1].holes.any()


def test_unknown_ground_is_no_ground() -> None:
    image, objects = labelled()
    unknown = np.zeros(SIZE, bool)
    unknown[:5] = True

    def read() -> Iterator[LabelledStack]:
        plane = PlaneObjects(tuple(objects), unknown)
        yield LabelledStack("x", Path("x"), StackImage(image, "YX"), ((),), lambda place: plane)

    with pytest.raises(ValueError, match="no complete plane has 25% of its pixels free"):
        drive(gathered([("x", read)], 0))


def test_the_bank_takes_no_more_memory_than_it_may() -> None:
    items = [item(*labelled(seed), f"image{seed}") for seed in range(6)]
    whole, part = (drive(gathered(items, 0, most)) for most in (10**9, 60_000))
    again = drive(gathered(items, 0, 60_000))
    assert sum(one.nbytes for one in part.grounds) <= 60_000
    assert 0 < len(part.grounds) < len(whole.grounds) == 6
    assert [one.name for one in part.grounds] == [one.name for one in again.grounds]


def test_neighbours_are_not_cut_with_an_object() -> None:
    """Where another object lies in the margin there are the nearest pixels of something else."""
    image = np.full((30, 30), 10, np.uint8)
    image[10:20, 8:14], image[10:20, 15:22] = 100, 250
    objects = [SetObject(k, Mask.of(image == v)) for k, v in ((1, 100), (2, 250))]
    first, _ = cuts(image[..., None], objects, "")
    assert first.pixels.max() == 100
    assert first.ring == pytest.approx(10)


def test_signed_distance_is_half_a_pixel_at_the_edge() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1:4, 1:4] = True
    assert signed_distance(mask)[2].tolist() == [-0.5, 0.5, 1.5, 0.5, -0.5]


@pytest.mark.parametrize("name", DEFECTS)
def test_defects_change_the_image_and_not_the_labels(bank: Bank, name: str) -> None:
    clean, _ = synthetic(bank, 1, SynthesisParams(), 0)
    params = SynthesisParams(**{name: (1.5, 1.5) if name == "blur" else (0.3, 0.3)})
    spoilt, made = synthetic(bank, 1, params, 0)
    assert list(made["defects"]) == [name]
    assert not np.array_equal(spoilt.image, clean.image)
    for a, b in zip(clean.objects, spoilt.objects, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
    change = spoilt.image.astype(float) - clean.image
    if name == "noise":
        assert change.std() == pytest.approx(0.3 * np.ptp(bank.grounds[0].limits), rel=0.2)
    if name == "blur":
        assert np.abs(np.diff(spoilt.image.astype(float))).max() < BRIGHT / 2
    if name == "uneven":
        assert change.max() <= 1  # below the range
        assert change.min() < -10
    if name == "saturation":
        assert (spoilt.image == spoilt.image.max()).mean() > 0.05


def contents(folder: Path) -> dict[str, bytes]:
    return {one.name: tifffile.imread(one).tobytes() for one in folder.glob("*.tif")}


def test_the_seed_and_a_run_that_goes_on(bank: Bank, tmp_path: Path) -> None:
    whole, parts, other = (tmp_path / name for name in ("whole", "parts", "other"))
    drive(synthesising(bank, whole, 4, SynthesisParams(), 7))
    steps = synthesising(bank, parts, 4, SynthesisParams(), 7)
    for _ in range(3):
        next(steps)
    steps.close()
    (parts / PARTIAL).mkdir()  # what a killed process leaves
    (parts / PARTIAL / "x.tif").write_bytes(b"half")
    with (parts / RECORD).open("a") as file:
        file.write('{"name": "synth')
    first = parts / "synthetic_00000.tif"
    before = first.stat().st_mtime_ns
    texts = [one.text for one in synthesising(bank, parts, 4, SynthesisParams(), 7)]
    assert texts == ["synthetic image 3 of 4", "synthetic image 4 of 4"]
    assert first.stat().st_mtime_ns == before
    assert contents(parts) == contents(whole)
    assert (parts / RECORD).read_bytes() == (whole / RECORD).read_bytes()
    assert not (parts / PARTIAL).exists()
    drive(synthesising(bank, other, 4, SynthesisParams(), 8))
    assert contents(other) != contents(whole)


def test_files_and_their_record(bank: Bank, tmp_path: Path) -> None:
    made = drive(synthesising(bank, tmp_path, 2, SynthesisParams(), 0))
    head, *lines = map(json.loads, (tmp_path / RECORD).read_text().splitlines())
    assert head["seed"] == 0
    assert head["parameters"]["scale"] == [0.8, 1.25]
    assert lines == json.loads(json.dumps(made))
    labels = read_label_tiff(tmp_path / "synthetic_00001_labels.tif")
    assert labels.labels.max() == len(made[1]["objects"])
    odd = [each["label"] % 2 for each in made[1]["objects"]]
    names = [labels.objects[k].category for k in sorted(labels.objects)]
    assert names == ["odd" if one else "even" for one in odd]


def test_other_sets_are_not_mixed_in_or_removed(bank: Bank, tmp_path: Path) -> None:
    drive(synthesising(bank, tmp_path / "a", 1, SynthesisParams(), 0))
    with pytest.raises(ValueError, match="synthetic images of other inputs or parameters"):
        drive(synthesising(bank, tmp_path / "a", 2, SynthesisParams(touching=0.9), 0))
    (tmp_path / "a" / "mine.txt").write_text("mine")
    removed(tmp_path / "a")
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["mine.txt"]
    with pytest.raises(ValueError, match="holds something else"):
        drive(synthesising(bank, tmp_path / "a", 1, SynthesisParams(), 0))
    with pytest.raises(ValueError, match="is a file; name a folder"):
        drive(synthesising(bank, tmp_path / "a" / "mine.txt", 1, SynthesisParams(), 0))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scale": (1.2, 0.8)}, "scale lies from 0.3 to 3 and does not fall, but is 1.2 to 0.8"),
        ({"overlap": 0.9}, "overlap lies from 0 to 0.5 and does not fall, but is 0.9"),
        ({"noise": (0, float("nan"))}, "noise lies"),
        ({"objects": (0, 20_000)}, "objects lies"),
    ],
)
def test_wrong_parameters(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SynthesisParams(**wrong)


def test_no_whole_object() -> None:
    image, objects = labelled()
    with pytest.raises(ValueError, match="there is no whole object to cut"):
        drive(gathered([item(image, objects[-1:])], 0))


def test_values_that_are_not_finite_are_left_out() -> None:
    image, objects = labelled()
    wrong = image.astype(np.float32)
    wrong[0, 0] = np.nan
    found = drive(gathered([item(wrong, objects, "bad"), item(image, objects, "good")], 0))
    assert found.refused == ["bad has values that are not finite; it is left out"]
    assert [one.name for one in found.grounds] == ["good"]
