"""`convert`: training sets of other systems, checked by their readers or their rules, and back."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from skimage import draw, io

from napari_sam.cli import main
from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.coco_files import write_coco
from napari_sam.formats.image_reference import reference_to
from napari_sam.formats.label_images import write_labels
from napari_sam.formats.label_tiff import read_label_tiff, write_label_tiff
from napari_sam.formats.ome_zarr import write_ome_zarr
from napari_sam.formats.project import write_project
from napari_sam.formats.training_sets.known import TRAINING_SETS
from napari_sam.objects import SegmentedObject
from napari_sam.objects.complete import COMPLETE
from napari_sam.objects.documents import key_to_json
from napari_sam.types import SliceKey

SIZE = (40, 60)
CLASSES = {1: "nucleus", 2: "nucleus", 3: "cell"}


def labels() -> np.ndarray:
    """A ring, one that touches it, two pieces, and one without a class."""
    found = np.zeros(SIZE, np.int32)
    found[2:12, 2:12] = 1
    found[5:8, 5:8] = 0
    found[2:12, 12:20] = 2
    found[20:30, 5:15] = found[25:30, 30:40] = 3
    found[33:38, 45:58] = 9
    return found


def image(seed: int = 0, shape: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 60000, shape).astype(np.uint16)


def annotation(pixels: np.ndarray, **properties: Any) -> Annotation:
    n = pixels.ndim
    axes, scale = ("z", "y", "x")[-n:], (2.0, 0.5, 0.5)[-n:]
    geometry = Geometry(axes, scale, ("micrometer",) * n, (0.0,) * n)
    objects = {k: SegmentedObject(k, {}, name) for k, name in CLASSES.items()}
    return Annotation(pixels, objects, geometry, properties, "cells")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Five labelled planes of 16 bit with classes."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for k, name in enumerate("abcde"):
        tifffile.imwrite(folder / f"{name}.tif", image(k))
        write_label_tiff(annotation(labels()), folder / f"{name}_labels.tif")
    return folder


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A labelled stack of six planes, the first and last of them empty."""
    folder = tmp_path / "stack"
    folder.mkdir()
    found = np.stack([labels()] * 6)
    found[[0, 5]] = 0
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(folder / "s.ome.tif", image(0, found.shape), metadata=metadata)
    write_labels(folder / "s_labels.tif", found, "ZYX", (2.0, 0.5, 0.5))
    return folder


def convert(capsys: Any, *arguments: Any, code: int = 0) -> dict[str, Any]:
    assert main(["convert", *map(str, arguments)]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: Any, *arguments: Any) -> str:
    assert main(["convert", *map(str, arguments)]) == 2
    *_, text = capsys.readouterr().err.splitlines()  # the others are progress
    assert text.startswith("napari-sam: ")
    return str(text)


def same_objects(found: np.ndarray, wanted: np.ndarray) -> None:
    """Check that labels are equal but for their numbers."""
    pairs = np.unique(np.stack([found.ravel(), wanted.ravel()]), axis=1)
    assert len(pairs.T) == len(np.unique(wanted)) == len(np.unique(found))
    assert (found > 0).tolist() == (wanted > 0).tolist()


# -- each system's form --------------------------------------------------------------------------


@pytest.mark.parametrize("border", [False, True])
def test_nnunet(pairs: Path, tmp_path: Path, capsys: Any, border: bool) -> None:
    out = tmp_path / "Dataset001_cells"
    flags = ["--border"] if border else []
    summary = convert(capsys, pairs, "-o", out, "--to", "nnunet", "--split", 0.8, *flags)
    assert (summary["images"], summary["held_out"], summary["objects"]) == (5, 1, 20)
    data = json.loads((out / "dataset.json").read_text())
    numbers = data["labels"]
    edges = ["border"] if border else []
    assert list(numbers) == ["background", "cell", "nucleus", "object", *edges]
    assert list(numbers.values()) == list(range(len(numbers)))  # nnU-Net's rule: consecutive
    assert data["channel_names"] == {"0": "channel 0"}
    assert data["numTraining"] == len(list((out / "labelsTr").iterdir())) == 4
    assert len(list((out / "labelsTs").iterdir())) == 1
    assert data["overwrite_image_reader_writer"] == "NaturalImage2DIO"
    for path in (out / "labelsTr").iterdir():
        picture = io.imread(out / "imagesTr" / f"{path.stem}_0000.tif")  # as that reader does
        np.testing.assert_array_equal(picture, tifffile.imread(pairs / path.name))
        found = np.array([*numbers])[io.imread(path)]
        assert (found != "background").tolist() == (labels() > 0).tolist()
        wall = "border" if border else "nucleus"
        assert (found[5, 10:14] == ["nucleus", wall, wall, "nucleus"]).all()
        assert (found[22, 10], found[27, 35], found[35, 50]) == ("cell", "cell", "object")
    lost = summary["lost"].get("objects of one class that touch, which become one region")
    assert lost == (None if border else 10)


def test_nnunet_volumes_with_spacing(stack: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "Dataset002_stack"
    convert(capsys, stack, "-o", out, "--to", "nnunet", "--volumes")
    data = json.loads((out / "dataset.json").read_text())
    assert data["overwrite_image_reader_writer"] == "Tiff3DIO"
    assert data["labels"] == {"background": 0, "object": 1}
    for folder, name in (("imagesTr", "s_0000.tif"), ("labelsTr", "s.tif")):
        beside = json.loads((out / folder / "s.json").read_text())  # Tiff3DIO's rule
        assert beside == {"spacing": [2.0, 0.5, 0.5]}
        assert tifffile.imread(out / folder / name).shape == (6, *SIZE)
    found = tifffile.imread(out / "labelsTr" / "s.tif")
    assert (found[2] == (labels() > 0)).all()
    assert not found[0].any()


def test_nnunet_ignores_what_is_not_complete(tmp_path: Path, capsys: Any) -> None:
    found = np.stack([labels()] * 3)
    tifffile.imwrite(tmp_path / "v.tif", image(0, found.shape), metadata={"axes": "ZYX"})
    key = key_to_json(SliceKey((1, 2), ((0, 1),)))
    regions = [{"plane": key, "box": None}]
    write_project(annotation(found, **{COMPLETE: regions}), tmp_path / "v.samproj")
    out = tmp_path / "Dataset003_v"
    source = next(one for one in tmp_path.iterdir() if (one / "project.json").exists())
    convert(capsys, source, tmp_path / "v.tif", "-o", out, "--to", "nnunet", "--volumes")
    numbers = json.loads((out / "dataset.json").read_text())["labels"]
    assert numbers["ignore"] == max(numbers.values())  # nnU-Net's rule: the highest
    semantic = tifffile.imread(out / "labelsTr" / "v.tif")
    assert (semantic[1] == numbers["ignore"]).sum() == 0
    assert ((semantic[0] == numbers["ignore"]) == (labels() == 0)).all()
    planes = convert(capsys, source, tmp_path / "v.tif", "-o", tmp_path / "y", "--to", "yolo")
    assert (planes["images"], planes["empty_planes_left_out"]) == (1, 2)


@pytest.mark.parametrize(
    ("to", "image_at", "labels_at"),
    [
        ("cellpose", "train/{}.tif", "train/{}_masks.tif"),
        ("stardist", "train/images/{}.tif", "train/masks/{}.tif"),
    ],
)
def test_label_images_of_16_bit(
    pairs: Path, tmp_path: Path, capsys: Any, to: str, image_at: str, labels_at: str
) -> None:
    summary = convert(capsys, pairs, "-o", tmp_path / "set", "--to", to)
    assert summary["lost"] == {"objects that lose their class": 15}
    for name in "abcde":
        picture = tifffile.imread(tmp_path / "set" / image_at.format(name))
        np.testing.assert_array_equal(picture, tifffile.imread(pairs / f"{name}.tif"))
        found = tifffile.imread(tmp_path / "set" / labels_at.format(name))
        assert found.dtype == np.uint16
        assert np.unique(found).tolist() == [0, 1, 2, 3, 4]  # without gaps
        same_objects(found, labels())


def test_coco_is_read_by_pycocotools(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    summary = convert(capsys, pairs, "-o", tmp_path / "set", "--to", "coco", "--split", 0.8)
    assert summary["lost"] == {"images stretched to 8 bit": 5}
    counts = []
    for part in ("train", "val"):
        read = COCO(tmp_path / "set" / f"annotations_{part}.json")
        capsys.readouterr()
        assert {one["id"]: one["name"] for one in read.cats.values()} == {
            1: "cell", 2: "nucleus", 3: "object",
        }  # fmt: skip
        counts.append(len(read.imgs))
        for number, one in read.imgs.items():
            assert Image.open(tmp_path / "set" / "images" / one["file_name"]).mode == "L"
            found = np.zeros(SIZE, np.int32)
            for k, each in enumerate(read.imgToAnns[number], 1):
                mask = read.annToMask(each).astype(bool)
                assert each["area"] == mask.sum()
                y, x = np.nonzero(mask)
                box = [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
                assert each["bbox"] == box
                found[mask] = k
            same_objects(found, labels())
    assert counts == [4, 1]


def test_sa1b_has_the_published_fields(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    convert(capsys, pairs, "-o", tmp_path / "set", "--to", "sa1b")
    data = json.loads((tmp_path / "set/train/c.json").read_text())
    assert {*data["image"]} == {"image_id", "width", "height", "file_name"}
    assert (tmp_path / "set/train" / data["image"]["file_name"]).is_file()
    found = np.zeros(SIZE, np.int32)
    for k, one in enumerate(data["annotations"], 1):
        assert {*one} == {
            "id", "segmentation", "bbox", "area", "predicted_iou", "stability_score",
            "crop_box", "point_coords",
        }  # fmt: skip
        found[coco_mask.decode(one["segmentation"]).astype(bool)] = k
        (x, y), *_ = one["point_coords"]
        assert found[int(y), int(x)] == k
    same_objects(found, labels())


def test_yolo(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "set"
    summary = convert(capsys, pairs, "-o", out, "--to", "yolo", "--split", 0.8)
    assert summary["lost"] == {
        "images stretched to 8 bit": 5,
        "objects whose holes are filled: a polygon has none": 5,
    }
    text = (out / "data.yaml").read_text()
    assert "train: images/train\nval: images/val\n" in text
    names = re.findall(r"  (\d): \"(\w+)\"", text)
    assert names == [("0", "cell"), ("1", "nucleus"), ("2", "object")]
    (held,) = (out / "labels/val").iterdir()
    assert (out / "images/val" / f"{held.stem}.png").is_file()
    found = np.zeros(SIZE, np.int32)
    for k, line in enumerate(held.read_text().splitlines(), 1):
        kind, *numbers = map(float, line.split())
        assert len(numbers) >= 6
        assert all(0 <= one <= 1 for one in numbers)
        assert kind == [1, 1, 0, 2][k - 1]
        x, y = np.array(numbers).reshape(-1, 2).T * [[SIZE[1]], [SIZE[0]]]
        found[draw.polygon(y - 0.5, x - 0.5, SIZE)] = k  # pixel centres at whole numbers
    filled = labels()
    filled[5:8, 5:8] = 1
    assert (found > 0)[filled > 0].all()
    assert abs(int((found > 0).sum()) - int((filled > 0).sum())) <= 60  # edges of that drawing


# -- back in -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [one for one in TRAINING_SETS if one != "nnunet"])
def test_a_set_is_read_back(pairs: Path, tmp_path: Path, capsys: Any, to: str) -> None:
    convert(capsys, pairs, "-o", tmp_path / "set", "--to", to, "--split", 0.8)
    back = convert(capsys, tmp_path / "set", "-o", tmp_path / "back", "--to", "labels")
    assert (back["images"], back["objects"]) == (5, 20)
    wanted = labels()
    if to == "yolo":
        wanted[5:8, 5:8] = 1
    parts = [{one["name"]: one["part"] for one in rows(tmp_path / k)} for k in ("set", "back")]
    assert parts[0] == parts[1]  # what was held out is not learnt from now
    assert sorted(parts[1].values()) == ["held out"] + ["train"] * 4
    for name in "abcde":
        folder = tmp_path / "back" / ("train" if parts[1][name] == "train" else "val")
        found = read_label_tiff(folder / f"{name}_labels.tif")
        same_objects(found.labels, wanted)
        named = {int(found.labels[y, x]) for y, x in ((3, 3), (3, 15))}
        if to in ("yolo", "coco", "labels"):
            assert {found.objects[k].category for k in named} == {"nucleus"}
            assert found.objects[int(found.labels[22, 8])].category == "cell"
            assert int(found.labels[35, 50]) not in found.objects  # it has no class


def test_nnunet_is_read_back_with_borders(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    convert(capsys, pairs, "-o", tmp_path / "set", "--to", "nnunet", "--border")
    back = convert(capsys, tmp_path / "set", "-o", tmp_path / "back", "--to", "labels")
    assert "each connected piece of a class became an object" in back["notices"]
    found = read_label_tiff(tmp_path / "back/train/b_labels.tif")
    wanted = labels()
    wanted[25:30, 30:40] = 5  # the other piece
    same_objects(found.labels, wanted)
    assert found.objects[int(found.labels[4, 11])].category == "nucleus"


@pytest.mark.parametrize("to", ["stardist", "labels"])
def test_volumes_are_read_back(stack: Path, tmp_path: Path, capsys: Any, to: str) -> None:
    convert(capsys, stack, "-o", tmp_path / "set", "--to", to, "--volumes")
    convert(capsys, tmp_path / "set", "-o", tmp_path / "back", "--to", "labels", "--volumes")
    found = read_label_tiff(tmp_path / "back/train/s_labels.tif")
    same_objects(found.labels, tifffile.imread(stack / "s_labels.tif"))
    assert found.geometry.scale == (2.0, 0.5, 0.5)


# -- splits, stacks, kinds of images -------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_stack_is_never_divided(stack: Path, tmp_path: Path, capsys: Any) -> None:
    text = refused(capsys, stack, "-o", tmp_path / "a", "--to", "yolo", "--split", 0.5)
    assert "one stack" in text
    more = stack / "t.tif"
    tifffile.imwrite(more, image(7, (6, *SIZE)), metadata={"axes": "ZYX"})
    write_labels(stack / "t_labels.tif", np.stack([labels()] * 6), "ZYX")
    summary = convert(capsys, stack, "-o", tmp_path / "b", "--to", "yolo", "--split", 0.5)
    assert (summary["images"], summary["empty_planes_left_out"]) == (10, 2)
    parts = {(one["source"], one["part"]) for one in rows(tmp_path / "b")}
    assert len(parts) == 2
    assert {part for _, part in parts} == {"train", "held out"}
    assert {one["plane"] for one in rows(tmp_path / "b") if "s.ome" in one["source"]} == set("1234")


def test_numbered_planes_of_one_stack_stay_together(tmp_path: Path, capsys: Any) -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for k in range(8):
        picture = np.exp(-((x - 10 - 5 * k) ** 2 + (y - 20) ** 2) / 80) * 200
        tifffile.imwrite(tmp_path / f"z{k:03d}.tif", picture.astype(np.uint8))
        tifffile.imwrite(tmp_path / f"z{k:03d}_labels.tif", labels().astype(np.uint8))
    text = refused(capsys, tmp_path, "-o", tmp_path.parent / "o", "--to", "yolo", "--split", 0.5)
    assert "one stack" in text


def test_groups_by_a_regular_expression(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    arguments = (pairs, "-o", tmp_path / "set", "--to", "yolo", "--split", 0.5)
    convert(capsys, *arguments, "--group", "/([ab]|[cde])[^/]*$", "--seed", 3)
    found = {one["name"]: one["part"] for one in rows(tmp_path / "set")}
    assert {one["group"] for one in rows(tmp_path / "set")} == set("abcde")
    again = (*arguments[:2], tmp_path / "again", *arguments[3:])
    convert(capsys, *again, "--group", "/([ab]|[cde])[^/]*$", "--seed", 3)
    assert {one["name"]: one["part"] for one in rows(tmp_path / "again")} == found
    text = refused(
        capsys, pairs, "-o", tmp_path / "c", "--to", "yolo", "--split", 0.5, "--group", "q"
    )
    assert "--group 'q' matches nothing in" in text


def test_equal_images_are_of_one_group(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    for name in "bcde":
        (pairs / f"{name}.tif").write_bytes((pairs / "a.tif").read_bytes())
    text = refused(capsys, pairs, "-o", tmp_path / "s", "--to", "yolo", "--split", 0.5)
    assert "not divided" in text


def test_colours_and_channels(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = np.random.default_rng(0).integers(0, 255, (*SIZE, 4)).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "c.png")
    tifffile.imwrite(folder / "c_labels.tif", labels())
    convert(capsys, folder, "-o", tmp_path / "n", "--to", "nnunet")
    assert json.loads((tmp_path / "n/dataset.json").read_text())["channel_names"] == {
        "0": "R", "1": "G", "2": "B",
    }  # fmt: skip
    assert (io.imread(tmp_path / "n/imagesTr/c_0000.tif") == rgb[..., :3]).all()
    convert(capsys, folder, "-o", tmp_path / "y", "--to", "yolo")
    assert (np.asarray(Image.open(tmp_path / "y/images/train/c.png")) == rgb[..., :3]).all()
    two = image(3, (2, *SIZE))
    tifffile.imwrite(folder / "c.ome.tif", two, metadata={"axes": "CYX"})
    (folder / "c.png").unlink()
    convert(capsys, folder, "-o", tmp_path / "n2", "--to", "nnunet")
    for k in range(2):
        assert (io.imread(tmp_path / f"n2/imagesTr/c_000{k}.tif") == two[k]).all()
    back = convert(capsys, tmp_path / "n2", "-o", tmp_path / "b2", "--to", "labels")
    assert back["images"] == 1
    assert (tifffile.imread(tmp_path / "b2/train/c.tif") == two).all()
    convert(capsys, folder, "-o", tmp_path / "s2", "--to", "stardist")
    found = tifffile.imread(tmp_path / "s2/train/images/c.tif")
    assert (found == np.moveaxis(two, 0, -1)).all()


def test_masks_that_share_pixels(tmp_path: Path, capsys: Any) -> None:
    """COCO keeps them; label images give the pixels to the smaller one, and say so."""
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "i.png")
    polygons = [[[0, 0, 20, 0, 20, 20, 0, 20]], [[5, 5, 10, 5, 10, 10, 5, 10]]]
    entries = [
        {"id": k, "image_id": 1, "category_id": 1, "segmentation": one, "iscrowd": 0}
        for k, one in enumerate(polygons, 1)
    ]
    data = {
        "images": [{"id": 1, "file_name": "i.png", "height": 40, "width": 60}],
        "annotations": entries,
        "categories": [{"id": 1, "name": "leaf"}],
    }
    (tmp_path / "set.json").write_text(json.dumps(data))
    convert(capsys, tmp_path / "set.json", "-o", tmp_path / "c", "--to", "coco")
    found = json.loads((tmp_path / "c/annotations.json").read_text())
    assert [one["area"] for one in found["annotations"]] == [400, 25]
    assert found["categories"][0]["name"] == "leaf"
    summary = convert(capsys, tmp_path / "set.json", "-o", tmp_path / "p", "--to", "cellpose")
    assert summary["lost"]["objects that lose pixels to a smaller one above them"] == 1
    assert np.bincount(tifffile.imread(tmp_path / "p/train/i_masks.tif").ravel())[1:].tolist() in (
        [375, 25], [25, 375],
    )  # fmt: skip


def test_two_files_and_two_folders(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    a, b = tmp_path / "img", tmp_path / "lab"
    a.mkdir(), b.mkdir()
    for name in "ab":
        (a / f"{name}.tif").write_bytes((pairs / f"{name}.tif").read_bytes())
        (b / f"{name}.tif").write_bytes((pairs / f"{name}_labels.tif").read_bytes())
    assert convert(capsys, b, a, "-o", tmp_path / "1", "--to", "yolo")["images"] == 2
    other = tmp_path / "other.tif"
    other.write_bytes((b / "a.tif").read_bytes())
    assert convert(capsys, other, a / "b.tif", "-o", tmp_path / "2", "--to", "yolo")["objects"] == 4
    (a / "b.tif").unlink()
    summary = convert(capsys, b, a, "-o", tmp_path / "3", "--to", "yolo", code=1)
    assert summary["images"] == 1
    assert "b.tif has no image" in summary["left_out"][0]


def test_coco_of_ours_and_its_image(tmp_path: Path, capsys: Any) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "cells.png")
    write_coco(annotation(labels()), tmp_path / "cells.coco.json")
    arguments = (tmp_path / "cells.coco.json", tmp_path / "cells.png", "-o", tmp_path / "o")
    assert convert(capsys, *arguments, "--to", "labels")["objects"] == 4
    found = read_label_tiff(tmp_path / "o/train/cells_labels.tif")
    assert (found.labels == labels()).all()
    assert found.objects[3].category == "cell"


def test_a_project_names_its_image(tmp_path: Path, capsys: Any) -> None:
    """What is to be checked counts as unknown."""
    pixels = image(0)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    reference = reference_to(pixels, SIZE, tmp_path / "a.tif", tmp_path)
    objects = {1: SegmentedObject(1, {}, "cell"), 2: SegmentedObject(2, {}, "cell", "to check")}
    stored = replace(annotation(labels()), objects=objects, image=reference)
    write_project(stored, tmp_path / "x.samproject")
    out = tmp_path / "Dataset001_x"
    summary = convert(capsys, tmp_path / "x.samproject", "-o", out, "--to", "nnunet")
    assert summary["objects"] == 3
    numbers = json.loads((out / "dataset.json").read_text())["labels"]
    semantic = tifffile.imread(out / "labelsTr" / "a.tif")
    assert ((semantic == numbers["ignore"]) == (labels() == 2)).all()
    assert ((semantic == numbers["cell"]) == (labels() == 1)).all()


def test_ome_zarr_with_labels_in_it_and_beside_it(tmp_path: Path, capsys: Any) -> None:
    place = tmp_path / "in" / "a.ome.zarr"
    group = zarr.open_group(place, mode="w", zarr_format=2)
    shape = (2, *SIZE)
    group.create_array("0", data=image(0, shape), chunks=(1, *SIZE))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = {"type": "scale", "scale": [2.0, 0.5, 0.5]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    stored = annotation(np.stack([labels()] * 2))
    (place / "labels").mkdir()
    write_ome_zarr(stored, place / "labels" / "cells", version="0.4")
    write_ome_zarr(stored, tmp_path / "cells.ome.zarr")
    for number, sources in enumerate(([tmp_path / "in"], [tmp_path / "cells.ome.zarr", place])):
        out = tmp_path / f"Dataset00{number}_a"
        convert(capsys, *sources, "-o", out, "--to", "nnunet", "--volumes")
        numbers = json.loads((out / "dataset.json").read_text())["labels"]
        found = np.array([*numbers])[tifffile.imread(out / "labelsTr" / "a.tif")]
        assert found[1, 3, 3] == "nucleus"
        assert found[1, 35, 50] == "object"
        assert (tifffile.imread(out / "imagesTr" / "a_0000.tif") == image(0, shape)).all()
        beside = json.loads((out / "imagesTr" / "a.json").read_text())
        assert beside == {"spacing": [2.0, 0.5, 0.5]}


def test_coco_of_a_stack_of_ours(tmp_path: Path, capsys: Any) -> None:
    found = np.stack([labels(), labels()])
    tifffile.imwrite(tmp_path / "cells.tif", image(0, found.shape), metadata={"axes": "ZYX"})
    write_coco(annotation(found), tmp_path / "cells.coco.json")
    arguments = (tmp_path / "cells.coco.json", tmp_path / "cells.tif", "-o")
    convert(capsys, *arguments, tmp_path / "o", "--to", "labels", "--volumes")
    assert (read_label_tiff(tmp_path / "o/train/cells_labels.tif").labels == found).all()
    assert convert(capsys, *arguments, tmp_path / "p", "--to", "yolo")["images"] == 2


# -- refusals ------------------------------------------------------------------------------------


def test_a_bad_file_is_named_and_the_others_are_done(
    pairs: Path, tmp_path: Path, capsys: Any
) -> None:
    (pairs / "b_labels.tif").write_bytes(b"no image")
    tifffile.imwrite(pairs / "c.tif", image(0, (3, 3)))
    summary = convert(capsys, pairs, "-o", tmp_path / "s", "--to", "yolo", code=1)
    assert summary["images"] == 3
    text = " ".join(summary["left_out"])
    assert "b_labels.tif" in text
    assert "c_labels.tif" in text


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--to", "yolo", "--volumes"], "learns from planes"),
        (["--to", "coco", "--border"], "no --border"),
        (["--to", "yolo", "--split", "1.5"], "between 0 and 1"),
        (["--to", "yolo", "--group", "("], "regular expression"),
        (["--to", "nnunet", "--volumes"], "no labelled volume"),
    ],
)
def test_what_cannot_be(
    pairs: Path, tmp_path: Path, capsys: Any, flags: list[str], text: str
) -> None:
    assert text in refused(capsys, pairs, "-o", tmp_path / "s", *flags)
    assert not (tmp_path / "s").exists()


def test_only_an_earlier_set_is_replaced(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "s"
    convert(capsys, pairs, "-o", out, "--to", "yolo")
    assert "--overwrite" in refused(capsys, pairs, "-o", out, "--to", "coco")
    convert(capsys, pairs, "-o", out, "--to", "coco", "--overwrite")
    assert not (out / "data.yaml").exists()
    assert "replace the input" in refused(capsys, pairs, "-o", tmp_path, "--to", "coco")
    again = (capsys, pairs, "-o", out, "--to", "coco", "--overwrite")
    (out / "images" / "mine.png").write_bytes(b"kept")
    assert f"images{os.sep}mine.png is not of the training set" in refused(*again)
    assert (out / "images" / "mine.png").read_bytes() == b"kept"
    (out / "images" / "mine.png").unlink()
    assert convert(*again)["images"] == 5
    (out / "manifest.csv").write_text("name,mass\na,1\n")
    assert "no training set" in refused(*again)
    (out / "manifest.csv").unlink()
    assert "no training set" in refused(*again)


def test_nifti(tmp_path: Path, capsys: Any) -> None:
    """Pairs of NIfTI, and a set of nnU-Net that holds them."""
    found = np.stack([labels()] * 3, axis=-1).transpose(1, 0, 2)  # (x, y, z)
    pixels = np.random.default_rng(0).integers(0, 999, found.shape).astype(np.int16)
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    folder = tmp_path / "in"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(pixels, affine), folder / "a.nii.gz")
    nibabel.save(nibabel.Nifti1Image(found.astype(np.uint8), affine), folder / "a_labels.nii.gz")
    out = tmp_path / "Dataset001_a"
    summary = convert(capsys, folder, "-o", out, "--to", "nnunet", "--volumes")
    assert summary["objects"] == 4
    semantic = tifffile.imread(out / "labelsTr" / "a.tif")
    picture = tifffile.imread(out / "imagesTr" / "a_0000.tif")
    assert picture.shape == semantic.shape == (3, *SIZE)
    # both were turned alike, whatever the directions of the axes of the file mean
    values = {tuple(one) for one in np.stack([picture.ravel(), semantic.ravel()], 1).tolist()}
    wanted = np.stack([pixels.ravel(), (found > 0).ravel()], 1)
    assert values == {tuple(one) for one in wanted.astype(int).tolist()}
    assert json.loads((out / "labelsTr" / "a.json").read_text())["spacing"] == [2000, 500, 500]


def test_nnunet_keeps_its_own_names(tmp_path: Path, capsys: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", image())
    objects = {1: SegmentedObject(1, {}, "background"), 2: SegmentedObject(2, {}, "ignore")}
    write_label_tiff(replace(annotation(labels()), objects=objects), tmp_path / "a_labels.tif")
    convert(capsys, tmp_path, "-o", tmp_path.parent / f"{tmp_path.name}_o", "--to", "nnunet")
    data = json.loads((tmp_path.parent / f"{tmp_path.name}_o" / "dataset.json").read_text())
    assert data["labels"] == {
        "background": 0, "background (class)": 1, "ignore (class)": 2, "object": 3,
    }  # fmt: skip


def test_a_glob_of_labelled_files(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    found = convert(capsys, pairs / "[ab]_labels.tif", "-o", tmp_path / "set", "--to", "labels")
    assert found["images"] == 2
    assert sorted(one.name for one in (tmp_path / "set" / "train").glob("*_labels.tif")) == [
        "a_labels.tif",
        "b_labels.tif",
    ]


# -- what a set must not lose --------------------------------------------------------------------


def test_an_equal_plane_joins_stacks(stack: Path, tmp_path: Path, capsys: Any) -> None:
    """A stack and one that holds one of its planes are not divided, and neither is the plane."""
    other = image(7, (6, *SIZE))
    other[3] = tifffile.imread(stack / "s.ome.tif")[1]
    tifffile.imwrite(stack / "t.tif", other, metadata={"axes": "ZYX"})
    write_labels(stack / "t_labels.tif", np.stack([labels()] * 6), "ZYX")
    tifffile.imwrite(stack / "plane.tif", other[4])
    tifffile.imwrite(stack / "plane_labels.tif", labels())
    arguments = (stack, "-o", tmp_path / "set", "--to", "yolo", "--split", 0.5)
    assert "not divided" in refused(capsys, *arguments)
    tifffile.imwrite(stack / "free.tif", image(9))
    tifffile.imwrite(stack / "free_labels.tif", labels())
    convert(capsys, *arguments)
    groups = {(one["group"], one["part"]) for one in rows(tmp_path / "set")}
    assert len(groups) == 2


def test_volumes_of_one_file_stay_one_group(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shape = (3, 2, *SIZE)
    tifffile.imwrite(folder / "v.ome.tif", image(0, shape), metadata={"axes": "TZYX"})
    write_labels(folder / "v_labels.tif", np.broadcast_to(labels(), shape).copy(), "TZYX")
    flags = ("--to", "nnunet", "--volumes")
    assert convert(capsys, folder, "-o", tmp_path / "Dataset001_v", *flags)["images"] == 3
    back = (capsys, tmp_path / "Dataset001_v", "-o", tmp_path / "back", "--to", "yolo")
    assert "not divided" in refused(*back, "--split", 0.5)
    convert(*back)
    assert len({one["group"] for one in rows(tmp_path / "back")}) == 1


def test_a_name_like_that_of_labels_replaces_none(pairs: Path, tmp_path: Path, capsys: Any) -> None:
    a, b = tmp_path / "img", tmp_path / "lab"
    a.mkdir(), b.mkdir()
    for k, name in enumerate(("a", "a_masks", "A_labels")):
        tifffile.imwrite(a / f"{name}.tif", image(k))
        tifffile.imwrite(b / f"{name}.tif", labels() * (k == 0) + (labels() == 1) * (k > 0))
    for to, mark in (("cellpose", "_masks"), ("labels", "_labels")):
        out = tmp_path / to
        assert convert(capsys, b, a, "-o", out, "--to", to)["images"] == 3
        assert len(list((out / "train").iterdir())) == 6
        assert len(np.unique(tifffile.imread(out / "train" / f"a{mark}.tif"))) == 5
        assert convert(capsys, out, "-o", tmp_path / f"{to}2", "--to", "yolo")["objects"] == 6


@pytest.mark.parametrize(
    ("kind", "stored"),
    [("int64", "int32"), ("float16", "float32"), ("bool", "uint8"), ("uint64", "int32")],
)
def test_types_that_ome_has_not(tmp_path: Path, capsys: Any, kind: str, stored: str) -> None:
    pixels = (image() % 2000).astype(kind)
    np.save(tmp_path / "a.npy", pixels)
    np.save(tmp_path / "b.npy", image().astype(np.int64) << 40)
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}_labels.tif", labels())
    out = tmp_path.parent / f"{tmp_path.name}_{kind}"
    summary = convert(capsys, tmp_path, "-o", out, "--to", "cellpose", code=1)
    assert "up to 32 bits" in " ".join(summary["left_out"])
    found = tifffile.imread(out / "train" / "a.tif")
    assert found.dtype == stored
    assert (found == pixels).all()
    assert sorted(one.name for one in (out / "train").iterdir()) == ["a.tif", "a_masks.tif"]


def test_any_track_is_a_label(tmp_path: Path, capsys: Any) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "i.png")
    tracks = [0, -4, 2**40, "seven", 5, None, "seven"]
    entries = [
        {"id": k, "image_id": 1, "segmentation": [[x, 0, x + 4, 0, x + 4, 4, x, 4]], "track_id": t}
        for k, (x, t) in enumerate(zip(range(0, 56, 8), tracks, strict=True), 1)
    ]
    data = {"images": [{"id": 1, "file_name": "i.png"}], "annotations": entries, "categories": []}
    (tmp_path / "set.json").write_text(json.dumps(data))
    convert(capsys, tmp_path / "set.json", "-o", tmp_path / "o", "--to", "labels")
    found = read_label_tiff(tmp_path / "o/train/i_labels.tif").labels[1, 1:56:8]
    assert found[4] == 5
    assert found[3] == found[6]
    assert len({*found.tolist()} - {0}) == 6


def test_nothing_stays_of_a_stack_that_fails(
    stack: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    """It fails at its third plane; the other files are written as if it were not there."""
    tifffile.imwrite(stack / "z.tif", image(3))
    tifffile.imwrite(stack / "z_labels.tif", labels())
    for to, kind in TRAINING_SETS.items():

        class Failing(kind.writer):  # type: ignore[name-defined, misc]
            def add(self, one: Any) -> None:
                super().add(one)
                if one.name.endswith("3"):
                    raise ValueError("the plane is broken")

        out, alone = tmp_path / to, tmp_path / f"{to}_alone"
        wanted = convert(capsys, stack / "z_labels.tif", "-o", alone, "--to", to)
        monkeypatch.setitem(TRAINING_SETS, to, replace(kind, writer=Failing))
        found = convert(capsys, stack, "-o", out, "--to", to, code=1)
        assert found["left_out"] == ["the plane is broken; s_labels.tif is left out"]
        for key in ("images", "objects", "lost", "empty_planes_left_out", "notices"):
            assert found[key] == wanted[key]
        names = [sorted(str(p.relative_to(k)) for p in k.rglob("*")) for k in (out, alone)]
        assert names[0] == names[1]
        for name in ("dataset.json", "data.yaml"):
            if (out / name).is_file():
                assert (out / name).read_text() == (alone / name).read_text()


def test_borders_keep_thin_objects_and_ends_of_volumes(tmp_path: Path, capsys: Any) -> None:
    """Lines two pixels wide, one of them beside another object; and columns of a volume."""
    found = np.zeros((2, *SIZE), np.int32)
    found[:, 5:15, 5:15] = 1
    found[:, 5:15, 15:17] = 2
    found[:, 20:22, 5:30] = 3
    found[0, 30:36, 5:11], found[1, 30:36, 5:11] = 4, 5
    tifffile.imwrite(tmp_path / "v.tif", image(0, found.shape), metadata={"axes": "ZYX"})
    write_labels(tmp_path / "v_labels.tif", found, "ZYX")
    out = tmp_path.parent / f"{tmp_path.name}_o"
    flags = ("--to", "nnunet", "--volumes", "--border")
    summary = convert(capsys, tmp_path, "-o", out, *flags)
    lost = "objects so thin that they keep their innermost pixels, without a whole border"
    assert summary["lost"] == {lost: 4}  # 2, 3, and the two above each other
    numbers = json.loads((out / "dataset.json").read_text())["labels"]
    semantic = tifffile.imread(out / "labelsTr" / "v.tif")
    inner = semantic == numbers["object"]
    assert inner[:, 6:14, 6:14].all()  # both ends of the volume are no border
    assert (semantic[:, 5:15, 15] == numbers["border"]).all()  # towards the other object
    assert inner[:, 5:15, 16].any()
    assert not inner[:, 5:15, 14].any()
    assert {*np.unique(found[inner]).tolist()} == {1, 2, 3, 4, 5}


def test_an_island_in_a_hole(tmp_path: Path, capsys: Any) -> None:
    found = np.zeros(SIZE, np.int32)
    found[2:32, 2:42] = 1
    found[6:28, 6:38] = 0
    found[12:20, 12:20] = 1
    tifffile.imwrite(tmp_path / "a.tif", image())
    tifffile.imwrite(tmp_path / "a_labels.tif", found)
    out = tmp_path.parent / f"{tmp_path.name}_o"
    summary = convert(capsys, tmp_path, "-o", out, "--to", "yolo")
    assert summary["lost"]["objects whose holes are filled: a polygon has none"] == 1
    convert(capsys, out, "-o", tmp_path / "back", "--to", "labels")
    back = tifffile.imread(tmp_path / "back/train/a_labels.tif")
    wanted = np.zeros(SIZE, bool)
    wanted[2:32, 2:42] = True
    assert ((back > 0) == wanted).all()


@pytest.mark.parametrize("to", ["yolo", "coco", "nnunet"])
def test_a_class_that_is_called_object(tmp_path: Path, capsys: Any, to: str) -> None:
    objects = {1: SegmentedObject(1, {}, "object"), 2: SegmentedObject(2, {}, "cell")}
    for name in "ab":  # 3 and 9 have no class
        tifffile.imwrite(tmp_path / f"{name}.tif", image(ord(name)))
        stored = replace(annotation(labels() * (name == "b")), objects=objects)
        write_label_tiff(stored, tmp_path / f"{name}_labels.tif")
    out = tmp_path.parent / f"{tmp_path.name}_o"
    convert(capsys, tmp_path, "-o", out, "--to", to)
    if to == "nnunet":
        found = json.loads((out / "dataset.json").read_text())["labels"]
        assert [*found] == ["background", "cell", "object", "object_"]
        return
    convert(capsys, out, "-o", tmp_path / "back", "--to", "labels")
    back = read_label_tiff(tmp_path / "back/train/b_labels.tif")
    spots = [(3, 3), (3, 15), (22, 8), (35, 50)]
    named = [back.objects.get(int(back.labels[spot])) for spot in spots]
    assert [one.category if one else "" for one in named] == ["object", "cell", "", ""]


def test_classes_of_yolo_keep_their_numbers(tmp_path: Path, capsys: Any) -> None:
    """Also those without an object; the set is laid out as Roboflow writes it."""
    names = "train: ../train/images\nval: ../valid/images\n\nnc: 3\nnames: ['z', 'empty', 'a']\n"
    folder = tmp_path / "in"
    for k, part in enumerate(("train", "valid")):
        for inner in ("images", "labels"):
            (folder / part / inner).mkdir(parents=True)
        Image.fromarray((image(k) // 256).astype(np.uint8)).save(folder / part / f"images/{k}.png")
        text = f"{2 - 2 * k} 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
        (folder / part / f"labels/{k}.txt").write_text(text)
    (folder / "data.yaml").write_text(names)
    (folder / "README.roboflow.txt").write_text("Exported.\n")
    summary = convert(capsys, folder, "-o", tmp_path / "out", "--to", "yolo")
    assert (summary["images"], summary["left_out"]) == (2, [])
    listed = re.findall(r"  (\d): \"(\w+)\"", (tmp_path / "out" / "data.yaml").read_text())
    assert listed == [("0", "z"), ("1", "empty"), ("2", "a")]
    for k in range(2):
        assert (tmp_path / f"out/labels/train/{k}.txt").read_text()[0] == str(2 - 2 * k)


def test_a_plain_ome_zarr_beside_its_labels(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "in"
    group = zarr.open_group(folder / "a.ome.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=image(), chunks=SIZE)
    axes = [{"name": name, "type": "space"} for name in "yx"]
    scale = {"type": "scale", "scale": [1.0, 1.0]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    write_label_tiff(annotation(labels()), folder / "a_labels.tif")
    summary = convert(capsys, folder, "-o", tmp_path / "out", "--to", "labels")
    assert (summary["images"], summary["objects"], summary["left_out"]) == (1, 4, [])
