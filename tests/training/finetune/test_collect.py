"""Examples from files as users have them: each format, with the right values."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.coco_files import write_coco
from napari_sam.formats.image_reference import reference_to
from napari_sam.formats.imagej_roi import write_rois
from napari_sam.formats.label_tiff import write_label_tiff
from napari_sam.formats.ome_zarr import write_ome_zarr
from napari_sam.formats.project import write_project
from napari_sam.images.transforms import to_rgb8
from napari_sam.masks import to_rle
from napari_sam.objects import SegmentedObject
from napari_sam.objects.complete import COMPLETE
from napari_sam.objects.documents import key_to_json
from napari_sam.objects.segmented import Outline
from napari_sam.steps import drive
from napari_sam.training.finetune import layers, reading
from napari_sam.training.finetune.collect import Collected, collect
from napari_sam.types import Mask, Prompts, SliceKey

SIZE = (20, 30)


def image(seed: int = 0, shape: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def labels(shape: tuple[int, ...] = SIZE) -> np.ndarray:
    found = np.zeros(shape, np.uint16)
    found[..., 2:8, 3:9] = 7
    found[..., 10:15, 12:20] = 300
    return found


def collected(*sources: Path, **options: Any) -> Collected:
    return drive(collect(sources, **options))


def geometry(dimensions: int = 2) -> Geometry:
    axes = ("z", "y", "x")[-dimensions:]
    return Geometry(axes, (1.0,) * dimensions, ("pixel",) * dimensions, (0.0,) * dimensions)


# -- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_name", "label_name"),
    [
        ("a.tif", "a_labels.tif"),
        ("a.png", "a_masks.png"),
        ("a_img.png", "a_masks.png"),
        ("a.png", "a_cp_masks.tif"),
        ("images/a.png", "labels/a.png"),
        ("images/a.png", "Masks/a_mask.tif"),
    ],
)
def test_pairs_are_found_by_their_names(tmp_path: Path, image_name: str, label_name: str) -> None:
    for name, pixels in ((image_name, image()), (label_name, labels())):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith(".png"):
            Image.fromarray(pixels).save(tmp_path / name)
        else:
            tifffile.imwrite(tmp_path / name, pixels)
    found = collected(tmp_path)
    assert found.refused == ()
    (one,) = found.examples
    assert np.array_equal(one.labels, labels())
    assert one.labels.dtype == np.int32
    assert one.image.shape == SIZE  # grey
    assert one.complete is None
    assert one.notice == ""


@pytest.mark.parametrize("name", ["a.tif", "a_labels.tif"])
def test_one_pair_may_be_named_by_either_file(tmp_path: Path, name: str) -> None:
    for stem in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{stem}.tif", image())
        tifffile.imwrite(tmp_path / f"{stem}_labels.tif", labels())
    assert [one.name for one in collected(tmp_path / name).examples] == ["a"]


def test_the_contrast_is_applied(tmp_path: Path) -> None:
    pixels = np.linspace(1000, 3000, 600).reshape(SIZE).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    tifffile.imwrite(tmp_path / "a_labels.tif", labels())
    (one,) = collected(tmp_path).examples
    assert (one.image.min(), one.image.max()) == (0, 255)


def test_a_stack_is_one_group_and_planes_without_labels_are_left_out(tmp_path: Path) -> None:
    stored = labels((5, *SIZE))
    stored[[1, 4]] = 0
    tifffile.imwrite(tmp_path / "a.tif", image(shape=(5, *SIZE)))
    tifffile.imwrite(tmp_path / "a_labels.tif", stored)
    found = collected(tmp_path).examples
    assert [one.place for one in found] == [0, 2, 3]
    assert len({one.group for one in found}) == len({one.stack for one in found}) == 1
    assert found[0].stack
    assert [one.name for one in found] == ["a 0", "a 2", "a 3"]
    assert found[0].notice == "2 of 5 planes hold no label and are left out"


def test_sparse_labels_leave_the_ground_unknown(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    tifffile.imwrite(tmp_path / "a_labels.tif", labels())
    (one,) = collected(tmp_path, complete=False).examples
    assert one.sparse
    assert int(one.known.sum()) == 36 + 40


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (labels((20, 31)), "a_labels.tif is 20 x 31 pixels, but its image a.tif 20 x 30 pixels"),
        (labels((30, 20)), "rows and columns look swapped"),
        (labels().astype(np.float32) + 0.5, "float32 that are no whole numbers"),
        (labels().astype(np.int16) - 2, "it holds -2, but labels are not negative"),
    ],
)
def test_one_bad_pair_is_left_out_with_a_sentence(
    tmp_path: Path, stored: np.ndarray, sentence: str
) -> None:
    for stem in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{stem}.tif", image())
        tifffile.imwrite(tmp_path / f"{stem}_labels.tif", labels())
    tifffile.imwrite(tmp_path / "a_labels.tif", stored)
    found = collected(tmp_path)
    assert [one.name for one in found.examples] == ["b"]
    (refused,) = found.refused
    assert refused.kind == "unreadable"
    assert sentence in refused.sentence
    assert refused.sentence.endswith("a_labels.tif is left out")


def test_labels_without_an_image_are_named(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a_labels.tif", labels())
    with pytest.raises(ValueError, match=r"nothing to learn from: a_labels.tif has no image a.tif"):
        collected(tmp_path)
    with pytest.raises(ValueError, match="there is no file or folder"):
        collected(tmp_path / "b")


def test_labels_in_a_jpeg_are_refused(tmp_path: Path) -> None:
    Image.fromarray(image()).save(tmp_path / "a.png")
    Image.fromarray(labels().astype(np.uint8)).save(tmp_path / "a_labels.jpg")
    with pytest.raises(ValueError, match="compressed with loss"):
        collected(tmp_path)


def test_stacks_of_one_name_in_two_folders_are_two(tmp_path: Path) -> None:
    for k, folder in enumerate(("A", "B")):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "stack.v2.tif", image(k, (5, *SIZE)))
        tifffile.imwrite(tmp_path / folder / "stack.v2_labels.tif", labels((5, *SIZE)))
    found = collected(tmp_path).examples
    assert [one.place for one in found] == [*range(5), *range(5)]
    assert [one.name for one in found[:3]] == ["stack.v2 0", "stack.v2 1", "stack.v2 2"]
    stacks = [one.stack for one in found]
    assert stacks[:5] == [stacks[0]] * 5
    assert stacks[5:] == [stacks[5]] * 5
    assert stacks[0] != stacks[5]


def test_a_file_of_cellpose_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    np.save(tmp_path / "a_seg.npy", np.array({"masks": labels()}, object), allow_pickle=True)
    with pytest.raises(ValueError, match="export the masks from cellpose as TIFF or PNG"):
        collected(tmp_path)
    np.save(tmp_path / "a_seg.npy", labels())  # plain labels of this name are read
    (one,) = collected(tmp_path).examples
    assert len(one.objects) == 2


# -- values that are converted -------------------------------------------------------------------


def converted(tmp_path: Path, stored: np.ndarray, name: str = "a_labels.tif") -> Any:
    tifffile.imwrite(tmp_path / "a.tif", image())
    if name.endswith(".png"):
        Image.fromarray(stored).save(tmp_path / name)
    elif name.endswith(".npy"):
        np.save(tmp_path / name, stored)
    else:
        tifffile.imwrite(tmp_path / name, stored)
    (one,) = collected(tmp_path).examples
    return one


@pytest.mark.parametrize("true", [True, np.uint8(1), np.uint8(255), np.float32(1)])
def test_a_mask_becomes_an_object_for_each_piece(tmp_path: Path, true: Any) -> None:
    stored = np.where(labels() > 0, true, type(true)(0))
    one = converted(tmp_path, stored, "a_labels.npy")
    assert one.objects == (1, 2)
    assert np.array_equal(one.labels == 1, labels() == 7)
    assert "each connected piece became an object" in one.notice


def test_one_object_of_label_1_stays_as_it_is(tmp_path: Path) -> None:
    one = converted(tmp_path, (labels() == 7).astype(np.uint8))
    assert one.objects == (1,)
    assert one.notice == ""


def test_whole_floats_become_labels(tmp_path: Path) -> None:
    one = converted(tmp_path, labels().astype(np.float32))
    assert np.array_equal(one.labels, labels())
    assert one.notice == "labels were stored as float32; all are whole numbers"


def test_minus_one_is_unknown_ground(tmp_path: Path) -> None:
    stored = labels().astype(np.int16)
    stored[18:] = -1
    one = converted(tmp_path, stored)
    assert one.objects == (7, 300)
    assert np.array_equal(one.known, stored >= 0)
    assert "nothing is known" in one.notice


def test_large_labels_are_renumbered(tmp_path: Path) -> None:
    one = converted(tmp_path, labels().astype(np.uint32) * 10**7)
    assert one.objects == (1, 2)
    assert np.array_equal(one.labels == 2, labels() == 300)
    assert "renumbered" in one.notice


def test_colours_become_labels(tmp_path: Path) -> None:
    stored = np.zeros((*SIZE, 3), np.uint8)
    stored[labels() == 7] = 200, 0, 0
    stored[labels() == 300] = 0, 0, 9
    one = converted(tmp_path, stored, "a_labels.png")
    assert one.objects == (9, 200 << 16)
    assert np.array_equal(one.labels == 9, labels() == 300)
    assert "each colour became a label" in one.notice


def test_equal_channels_are_one(tmp_path: Path) -> None:
    stored = np.stack([(labels() > 0).astype(np.uint8) * 255] * 3, axis=-1)
    one = converted(tmp_path, stored, "a_labels.png")
    assert one.objects == (1, 2)
    assert one.notice.startswith("labels were stored in equal channels; a mask of true and false")


@pytest.mark.parametrize(
    ("ground", "sentence"), [(40, "none is black"), (None, "looks like a pic")]
)
def test_pictures_are_no_labels(tmp_path: Path, ground: int | None, sentence: str) -> None:
    stored = image(shape=(*SIZE, 3))
    if ground is not None:
        stored[:] = ground
        stored[labels() == 7] = 200, 0, 0
    with pytest.raises(ValueError, match=sentence):
        converted(tmp_path, stored, "a_labels.png")


# -- other formats -------------------------------------------------------------------------------


def test_a_source_of_many_images_knows_its_stacks(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "many.npz",
        image_000=image(0), labels_000=labels(), image_001=image(1), labels_001=labels(),
        stack=np.array(["s", ""]), z=np.array([4, -1]),
    )  # fmt: skip
    first, second = collected(tmp_path / "many.npz").examples
    assert (first.group, first.place) == ("many s", 4)
    assert (second.group, second.name) == ("", "many 001")


def annotation(folder: Path, properties: Any = None) -> Annotation:
    """Return labels of a stack whose image lies in a folder; object 7 has a class and a prompt."""
    pixels = image(shape=(3, *SIZE))
    tifffile.imwrite(folder / "a.tif", pixels, photometric="minisblack")
    stored = labels((3, *SIZE)).astype(np.int32)
    stored[1:] = 0
    key = SliceKey((1, 2), ((0, 0),))
    said = Prompts([[5.0, 4.0]], [1])
    outline = Outline(Mask.of(stored[0] == 7), said)
    objects = {
        7: SegmentedObject(7, {key: outline}, "cell"),
        300: SegmentedObject(
            300, {key: Outline(Mask.of(stored[0] == 300))}, "debris", status="to check"
        ),
    }
    reference = reference_to(pixels, pixels.shape, folder / "a.tif", folder)
    return Annotation(stored, objects, geometry(3), properties or {}, "a", image=reference)


def marks(*boxes: tuple[int, int, int, int] | None) -> dict[str, Any]:
    planes = [SliceKey((1, 2), ((0, k),)) for k in range(len(boxes))]
    return {
        COMPLETE: [
            {"plane": key_to_json(key), "box": None if box is None else list(box)}
            for key, box in zip(planes, boxes, strict=True)
        ]
    }


def test_a_project_is_known_where_it_is_marked(tmp_path: Path) -> None:
    write_project(annotation(tmp_path, marks((0, 0, 9, 9), None)), tmp_path / "x.samproject")
    first, second = collected(tmp_path / "x.samproject").examples
    assert first.objects == (7,)  # the other one is to be checked
    assert first.classes == {7: "cell"}
    assert first.prompts[7][0].point_coords.tolist() == [[5.0, 4.0]]
    assert first.complete is not None
    assert int(first.complete.sum()) == 100
    assert (second.place, second.objects, second.complete) == (1, (), None)
    assert first.group == second.group


def test_a_project_without_marks_is_sparse(tmp_path: Path) -> None:
    write_project(annotation(tmp_path), tmp_path / "x.samproject")
    (one,) = collected(tmp_path).examples  # found in the folder as well
    assert one.sparse
    assert one.objects == (7,)


def test_a_project_of_another_image_is_refused(tmp_path: Path) -> None:
    write_project(annotation(tmp_path), tmp_path / "x.samproject")
    tifffile.imwrite(tmp_path / "a.tif", image(5, (3, *SIZE)), photometric="minisblack")
    with pytest.raises(ValueError, match="a.tif is not the image of x.samproject: 3 of 3 planes"):
        collected(tmp_path / "x.samproject")
    (tmp_path / "a.tif").unlink()
    with pytest.raises(ValueError, match="the image of x.samproject is not found"):
        collected(tmp_path / "x.samproject")


def test_a_label_file_of_ours_is_known_where_it_is_marked(tmp_path: Path) -> None:
    write_label_tiff(annotation(tmp_path, marks(None)), tmp_path / "a_labels.tif")
    (one,) = collected(tmp_path).examples
    assert one.complete is not None  # but for the object that is to be checked
    assert int((~one.complete).sum()) == 40
    assert one.classes == {7: "cell"}


def test_ome_zarr_with_labels_in_it(tmp_path: Path) -> None:
    import zarr

    place = tmp_path / "a.ome.zarr"
    group = zarr.open_group(place, mode="w", zarr_format=2)
    group.create_array("0", data=image(), chunks=SIZE)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = {"type": "scale", "scale": [1.0, 1.0]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    (place / "labels").mkdir()
    known = {7: SegmentedObject(7, {}, "cell")}
    stored = Annotation(labels().astype(np.int32), known, geometry())
    write_ome_zarr(stored, place / "labels" / "cells", version="0.4")
    for source in (place, tmp_path):
        (one,) = collected(source).examples
        assert np.array_equal(one.labels, labels())
        assert np.array_equal(one.image.shape, SIZE)
        assert one.classes == {7: "cell"}


def test_rois_beside_their_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    stored = labels().astype(np.int32)
    objects = {
        k: SegmentedObject(k, {SliceKey((0, 1)): Outline(Mask.of(stored == k))}) for k in (7, 300)
    }
    write_rois(Annotation(stored, objects, geometry()), tmp_path / "a.zip")
    (one,) = collected(tmp_path).examples
    assert one.complete is None
    assert np.array_equal(one.labels > 0, stored > 0)


# -- COCO and SA-1B ------------------------------------------------------------------------------


def rle(mask: np.ndarray) -> dict[str, Any]:
    return to_rle(mask.astype(bool))


def rectangle(y0: int, y1: int, x0: int, x1: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_coco_with_images_of_different_sizes(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "val2017").mkdir()
    Image.fromarray(image()).save(tmp_path / "val2017" / "a.png")
    Image.fromarray(image(1, (10, 12))).save(tmp_path / "val2017" / "b.png")
    data = {
        "images": [
            {"id": 5, "file_name": "a.png", "height": 20, "width": 30},
            {"id": 6, "file_name": "b.png", "height": 10, "width": 12},
        ],
        "categories": [{"id": 3, "name": "cell"}, {"id": 4, "name": "debris"}],
        "annotations": [
            {"image_id": 5, "category_id": 3, "segmentation": [[2, 2, 8, 2, 8, 6, 2, 6]]},
            {"image_id": 5, "category_id": 4, "segmentation": rle(rectangle(8, 12, 10, 20))},
            {"image_id": 5, "iscrowd": 1, "segmentation": rle(rectangle(15, 20, 0, 30))},
            {"image_id": 5, "category_id": 3, "bbox": [1, 1, 3, 3]},
            {"image_id": 6, "segmentation": rle(rectangle(1, 3, 1, 4, (10, 12)))},
        ],
    }
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(data))
    first, second = collected(tmp_path / "annotations").examples
    assert first.objects == (1, 2)
    assert np.array_equal(first.labels == 1, rectangle(2, 6, 2, 8))
    assert np.array_equal(first.labels == 2, rectangle(8, 12, 10, 20))
    assert first.classes == {1: "cell", 2: "debris"}
    assert first.complete is not None
    assert np.array_equal(first.complete, ~rectangle(15, 20, 0, 30))  # the crowd is unknown
    assert second.complete is None
    assert int((second.labels == 1).sum()) == 6


def test_coco_of_ours_finds_its_planes(tmp_path: Path) -> None:
    stored = annotation(tmp_path)
    write_coco(stored, tmp_path / "a.coco.json")
    found = collected(tmp_path / "a.coco.json").examples
    assert [one.place for one in found] == [0, 1, 2]
    assert np.array_equal(found[0].labels > 0, labels() > 0)
    assert sorted(found[0].classes.values()) == ["cell", "debris"]
    pixels = tifffile.imread(tmp_path / "a.tif")
    assert np.corrcoef(found[2].image.ravel(), pixels[2].ravel())[0, 1] > 0.99


def coco_of(*names: str, size: tuple[int, int] = SIZE) -> str:
    """Return a COCO file of images with one object each, further down in each next one."""
    images = [
        {"id": k, "file_name": name, "height": size[0], "width": size[1]}
        for k, name in enumerate(names)
    ]
    entries = [
        {"image_id": k, "segmentation": [[2, 2 + k, 8, 2 + k, 8, 6 + k, 2, 6 + k]]}
        for k in range(len(names))
    ]
    return json.dumps({"images": images, "annotations": entries})


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image(seed)).save(path)


def shows(one: Any, seed: int) -> bool:
    """Return whether an example is of the image that `save` drew, but for its contrast."""
    return float(np.corrcoef(one.image.ravel(), image(seed).ravel())[0, 1]) > 0.99


@pytest.mark.parametrize("root", ["", "images"])
def test_coco_tells_images_of_one_name_by_their_folders(tmp_path: Path, root: str) -> None:
    for k in range(2):
        save(tmp_path / root / f"seq{k}" / "0001.png", k)
    (tmp_path / "annotations").mkdir()
    names = ("seq1/0001.png", "seq0\\0001.png")
    (tmp_path / "annotations" / "all.json").write_text(coco_of(*names))
    first, second = collected(tmp_path).examples
    assert shows(first, 1)
    assert shows(second, 0)
    assert first.boxes == {1: (2, 2, 8, 6)}
    assert second.boxes == {1: (2, 3, 8, 7)}


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (("0001.png",), ("seq0/0001.png", "seq1/0001.png")),
        (("other/0001.png",), ("seq0/0001.png", "seq1/0001.png")),
        (("seq0/0001.png", "seq1/0001.png"), ("images/0001.png",)),
        (("0001.jpg", "0001.jpeg"), ("images/0001.png",)),
    ],
)
def test_coco_images_of_one_name_are_never_mixed_up(
    tmp_path: Path, names: tuple[str, ...], files: tuple[str, ...]
) -> None:
    for k, file in enumerate(files):
        save(tmp_path / file, k)
    (tmp_path / "all.json").write_text(coco_of(*names))
    with pytest.raises(ValueError, match=r"several images are called 0001"):
        collected(tmp_path / "all.json")


def test_a_coco_image_in_another_folder_is_found_by_a_name_of_its_own(tmp_path: Path) -> None:
    save(tmp_path / "images" / "0001.png", 3)
    (tmp_path / "all.json").write_text(coco_of("export/0001.png"))
    (one,) = collected(tmp_path / "all.json").examples
    assert shows(one, 3)
    save(tmp_path / "val" / "0001.png", 4)
    found = collected(tmp_path / "all.json", tmp_path / "val").examples  # the folder says which
    assert shows(found[0], 4)


@pytest.mark.parametrize("name", ["../a.png", "/data/a.png", "C:\\data\\a.png"])
def test_coco_paths_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    save(tmp_path / "a.png", 0)
    (tmp_path / "all.json").write_text(coco_of(name))
    with pytest.raises(ValueError, match="name images by their path from the folder of this file"):
        collected(tmp_path / "all.json")


def test_coco_polygons_of_another_size_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 0)
    (tmp_path / "all.json").write_text(coco_of("a.png", size=(40, 60)))
    with pytest.raises(ValueError, match=r"a.png is 40 x 60 pixels, but a.png is 20 x 30"):
        collected(tmp_path / "all.json")


def sa1b(masks: list[np.ndarray], size: tuple[int, int] = SIZE) -> dict[str, Any]:
    return {
        "image": {"image_id": 1, "file_name": "sa_1.jpg", "height": size[0], "width": size[1]},
        "annotations": [
            {"id": k, "segmentation": rle(mask), "predicted_iou": 0.9, "stability_score": 0.95}
            for k, mask in enumerate(masks)
        ],
    }


def test_sa1b_masks_that_overlap_are_layers_of_one_image(tmp_path: Path) -> None:
    whole, part, other = rectangle(2, 14, 2, 14), rectangle(4, 10, 4, 10), rectangle(16, 20, 2, 20)
    touching = rectangle(2, 14, 13, 29)  # shares a column with the first one, which is smaller
    Image.fromarray(image(shape=(*SIZE, 3))).save(tmp_path / "sa_1.jpg")
    (tmp_path / "sa_1.json").write_text(json.dumps(sa1b([part, whole, other, touching])))
    first, second = collected(tmp_path).examples
    assert first.group == second.group
    assert first.image is second.image
    assert first.sparse
    assert second.sparse
    assert [int((first.labels == k).sum()) for k in first.objects] == [144, 72, 192 - 12]
    assert np.array_equal(second.labels > 0, part)
    assert second.name == "sa_1, layer 2"


def test_a_record_with_compressed_lengths_and_one_of_another_size(tmp_path: Path) -> None:
    Image.fromarray(image()).save(tmp_path / "sa_1.png")
    data = sa1b([])
    # 20 x 30: 41 background, 3 object, 556 background
    text = {"size": [20, 30], "counts": "Y13\\a0"}
    data["annotations"] = [{"segmentation": text}]
    (tmp_path / "sa_1.json").write_text(json.dumps(data))
    (one,) = collected(tmp_path / "sa_1.json").examples
    assert np.array_equal(one.labels > 0, rectangle(1, 4, 2, 3))
    data["annotations"] = [{"segmentation": {"size": [20, 31], "counts": [620]}}]
    (tmp_path / "sa_1.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"20 x 31 pixels, but the image 20 x 30"):
        collected(tmp_path / "sa_1.json")


def test_a_record_without_its_image_and_other_json(tmp_path: Path) -> None:
    (tmp_path / "sa_1.json").write_text(json.dumps(sa1b([rectangle(1, 4, 2, 3)])))
    with pytest.raises(ValueError, match="names the image sa_1.jpg, which is not found"):
        collected(tmp_path)
    (tmp_path / "sa_1.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(ValueError, match="no COCO file and no record of SA-1B"):
        collected(tmp_path)


# -- large sets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["project", "label file"])
def test_planes_are_read_only_until_there_are_too_many(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = annotation(tmp_path)
    given.labels[:] = labels((3, *SIZE))
    known = {7: SegmentedObject(7, {}, "cell")}  # without an outline, in all planes
    if kind == "project":
        write_project(replace(given, objects=known), tmp_path / "x.samproject")
    else:
        write_label_tiff(replace(given, objects=known), tmp_path / "a_labels.tif")
    read = []
    monkeypatch.setattr(layers, "to_rgb8", lambda *args: read.append(1) or to_rgb8(*args))
    assert len(collected(tmp_path).examples) == len(read) == 3
    read.clear()
    with pytest.raises(ValueError, match=r"the labelled planes of .* take more than 3e-06 GB"):
        collected(tmp_path, limit=3000)  # a plane takes 3600
    assert len(read) == 1


def test_a_label_file_that_does_not_fit_into_the_memory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_label_tiff(annotation(tmp_path), tmp_path / "a_labels.tif")
    tifffile.imwrite(tmp_path / "b.tif", image())
    tifffile.imwrite(tmp_path / "b_labels.tif", labels())
    monkeypatch.setattr("napari_sam.images.tiff_files.LIMIT_BYTES", 1000)
    assert [one.name for one in collected(tmp_path).examples] == ["a 0", "b"]
    monkeypatch.setattr(reading, "FREE_PART", 1e-9)
    (refused,) = collected(tmp_path).refused
    assert re.search(r"a_labels.tif takes 3.6e-06 GB of memory, and .* free", refused.sentence)


def test_label_files_of_other_programs_are_read_plane_by_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planes = np.stack([image(k) for k in range(4)])
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack")
    tifffile.imwrite(tmp_path / "a_labels.tif", labels((4, *SIZE)), photometric="minisblack")
    monkeypatch.setattr("napari_sam.images.tiff_files.LIMIT_BYTES", 1000)
    monkeypatch.setattr(reading, "FREE_PART", 1e-9)
    monkeypatch.setattr(reading, "read_label_tiff", None)  # reads the whole file
    found = collected(tmp_path)
    assert found.refused == ()
    assert [one.name for one in found.examples] == [f"a {k}" for k in range(4)]
    assert all(np.array_equal(one.labels, labels()) for one in found.examples)


def test_at_least_one_file_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    tifffile.imwrite(tmp_path / "a_labels.tif", labels())
    with pytest.raises(ValueError, match="at least 1 file is read, but most is 0"):
        collected(tmp_path, most=0)


def test_large_sets_are_bounded(tmp_path: Path) -> None:
    for k in range(6):
        tifffile.imwrite(tmp_path / f"{k}.tif", image(k))
        tifffile.imwrite(tmp_path / f"{k}_labels.tif", labels())
    with pytest.raises(ValueError, match="the first 3 of 6 files take more than 7e-06 GB"):
        collected(tmp_path, limit=7000)
    assert [one.name for one in collected(tmp_path, most=3).examples] == ["0", "2", "5"]


# -- what comes from strangers -------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"images": [{"id": []}], "annotations": []},
        {
            "images": [{"id": 1, "plane": 3, "file_name": "a.tif"}],
            "annotations": [{"image_id": {}}],
        },
        {"images": 5, "annotations": []},
        {"image": 5, "annotations": [{"segmentation": {"size": [1], "counts": 4}}]},
        {"image": {"file_name": "a.tif"}, "annotations": [{"segmentation": "x"}]},
        {"images": [], "categories": [{"id": {}}], "annotations": []},
        {"image": {"file_name": "../../a\0"}, "annotations": 3},
        [1, 2],
    ],
)
def test_hostile_records_are_one_sentence(tmp_path: Path, data: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="nothing to learn from"):
        collected(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["a.npz", "a_labels.tif", "a.json", "a_labels.npy"])
def test_damaged_files_are_one_sentence(tmp_path: Path, name: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    (tmp_path / name).write_bytes(b"II*\0 damaged")
    with pytest.raises(ValueError, match="nothing to learn from"):
        collected(tmp_path)
