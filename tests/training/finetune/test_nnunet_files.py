"""Sets of nnU-Net and YOLO as examples: `train` and `audit` read them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.steps import drive
from napari_sam.training.finetune import reading
from napari_sam.training.finetune.collect import collect
from napari_sam.training.finetune.nnunet_files import nnunet_cases, objects_in, read_case

SIZE = (20, 30)
CLASSES = {1: "cell", 2: "nucleus", 3: "border", 4: "ignore"}


def semantic() -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[2:8, 2:8] = 1
    found[2:8, 9:15] = 1
    found[2:8, 8] = 3
    found[12:16, 3:9] = 2
    found[15:, 20:] = 4
    return found


def data_set(folder: Path, name: str = "case_0001") -> Path:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 4000, SIZE).astype(np.uint16)
    tifffile.imwrite(folder / "imagesTr" / f"{name}_0000.tif", image)
    tifffile.imwrite(folder / "labelsTr" / f"{name}.tif", semantic())
    labels = {"background": 0, **{one: k for k, one in CLASSES.items()}}
    data = {"channel_names": {"0": "x"}, "labels": labels, "numTraining": 1, "file_ending": ".tif"}
    (folder / "dataset.json").write_text(json.dumps(data))
    return folder


def test_pieces_of_classes_become_objects_and_borders_go_to_the_nearest() -> None:
    labels, names, unknown = objects_in(semantic(), CLASSES)
    assert len(names) == 3
    assert sorted(names.values()) == ["cell", "cell", "nucleus"]
    left, right = int(labels[4, 4]), int(labels[4, 12])
    assert left != right
    assert set(labels[2:8, 8].tolist()) <= {left, right}
    assert not labels[15:, 20:].any()
    assert unknown is not None
    assert (unknown == (semantic() == 4)).all()


def test_the_only_class_object_is_none() -> None:
    labels, names, unknown = objects_in((semantic() == 1).astype(np.uint8), {1: "object"})
    assert labels.max() == 2
    assert names == {}
    assert unknown is None


def test_a_set_of_nnunet_is_examples(tmp_path: Path) -> None:
    (one,) = drive(collect([data_set(tmp_path / "Dataset001_x")])).examples
    assert sorted(one.classes.values()) == ["cell", "cell", "nucleus"]
    assert one.complete is not None
    assert (one.complete == (semantic() != 4)).all()


def test_a_case_without_an_image_is_named(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "Dataset001_x")
    next((folder / "imagesTr").iterdir()).unlink()
    with pytest.raises(ValueError, match=r"case_0001\.tif has no image case_0001_0000"):
        drive(collect([folder]))


def test_another_dataset_json_is_refused(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "Dataset001_x")
    (folder / "dataset.json").write_text(json.dumps({"modality": {}}))
    with pytest.raises(ValueError, match=r"dataset\.json of nnU-Net v2 has labels"):
        nnunet_cases(folder)


def volumes(folder: Path) -> Path:
    """Make a set of one case of three planes, with an object through all of them."""
    folder = data_set(folder)
    image = np.random.default_rng(1).integers(0, 4000, (5, *SIZE)).astype(np.uint16)
    labels = np.where(semantic() == 1, np.uint8(1), np.uint8(0))
    for part, name, pixels in (
        ("imagesTr", "case_0001_0000", image),
        ("labelsTr", "case_0001", np.stack([labels] * 5)),
    ):
        tifffile.imwrite(folder / part / f"{name}.tif", pixels, photometric="minisblack")
    return folder


def test_cases_of_one_name_in_two_sets_are_two_stacks(tmp_path: Path) -> None:
    folders = [volumes(tmp_path / name / "Dataset001_x") for name in "ab"]
    found = drive(collect(folders)).examples
    assert [one.stack == found[0].stack for one in found] == [True] * 5 + [False] * 5
    assert found[0].stack
    assert len({one.stack for one in found}) == 2


def test_a_case_that_does_not_fit_into_the_memory_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = data_set(tmp_path / "Dataset001_x")
    free = SimpleNamespace(available=2 * 20 * 30 * (1 + 10 + 8))
    monkeypatch.setattr(reading.psutil, "virtual_memory", lambda: free)
    (case,) = nnunet_cases(folder)
    assert len(list(read_case(case, None))) == 1
    free.available -= 2
    with pytest.raises(ValueError, match=r"case_0001\.tif takes 1.1e-05 GB .* cut the case into"):
        list(read_case(case, None))


def test_borders_go_to_the_nearest_object_wherever_they_are() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[5:10, 5:10] = labels[5:10, 13:18] = 1
    labels[5:10, 10:13] = 3  # between both
    labels[30, 50] = 3  # far from both
    found, _, _ = objects_in(labels, CLASSES)
    left, right = found[7, 7], found[7, 15]
    assert found[7, 10:13].tolist() in ([left, left, right], [left, right, right])
    assert found[30, 50] == right
    labels[5:10, 10:13] = 0  # now the object is outside the box of the border
    found, _, _ = objects_in(labels, CLASSES)
    assert found[30, 50] == found[7, 15] != found[7, 7]


def test_regions_end_only_their_own_set(tmp_path: Path) -> None:
    good, bad = (data_set(tmp_path / name) for name in ("Dataset001_x", "Dataset002_y"))
    data = json.loads((bad / "dataset.json").read_text())
    data["labels"]["cell"] = [1, 2]
    (bad / "dataset.json").write_text(json.dumps(data))
    found = drive(collect([bad, good]))
    assert len(found.examples) == 1
    (refused,) = found.refused
    assert "has regions, labels of several numbers, which are not read" in refused.sentence
    assert refused.sentence.endswith("Dataset002_y is left out")


def test_labels_may_be_real_numbers(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "Dataset001_x")
    path = folder / "labelsTr" / "case_0001.tif"
    tifffile.imwrite(path, semantic().astype(np.float32))
    (one,) = drive(collect([folder])).examples
    assert sorted(one.classes.values()) == ["cell", "cell", "nucleus"]
    for value in (0.5, -1, 256, np.nan):
        pixels = semantic().astype(np.float32)
        pixels[0, 0] = value
        tifffile.imwrite(path, pixels)
        with pytest.raises(ValueError, match="float32, and not all are whole numbers from 0 to"):
            drive(collect([folder]))


def test_names_of_cases_are_no_patterns(tmp_path: Path) -> None:
    (one,) = drive(collect([data_set(tmp_path / "Dataset001_x", "case[1]")])).examples
    assert one.name == "case[1]"


def test_what_border_and_ignore_were_taken_as_is_said(tmp_path: Path) -> None:
    (one,) = drive(collect([data_set(tmp_path / "Dataset001_x")])).examples
    assert one.notice == (
        'the class "border" was taken as edges of objects; the class "ignore" was taken as ground '
        "of which nothing is known"
    )
    data = json.loads((tmp_path / "Dataset001_x" / "dataset.json").read_text())
    data["labels"] = {"background": 0, "cell": 1}
    (tmp_path / "Dataset001_x" / "dataset.json").write_text(json.dumps(data))
    assert drive(collect([tmp_path / "Dataset001_x"])).examples[0].notice == ""


def test_labels_without_an_image_are_named(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, SIZE).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    for name in "ab":
        line = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
        (tmp_path / "labels" / f"{name}.txt").write_text(line)
    (tmp_path / "labels" / "classes.txt").write_text("cell\n")
    (tmp_path / "README.txt").write_text("12 images of cells\n")
    with zipfile.ZipFile(tmp_path / "labels" / "c.zip", "w") as archive:
        archive.writestr("1.roi", b"Iout")
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as archive:
        archive.writestr("1.py", b"")
    found = drive(collect([tmp_path]))
    assert len(found.examples) == 1
    assert [one.sentence for one in found.refused] == [
        "b.txt has no image b that belongs to it; b.txt is left out",
        "c.zip has no image c that belongs to it; c.zip is left out",
    ]


def test_a_set_of_yolo_is_examples(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for folder in ("images", "labels"):
            (tmp_path / folder / part).mkdir(parents=True)
        pixels = np.random.default_rng(len(part)).integers(0, 255, SIZE).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / part / f"{part}_a.png")
        text = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
        (tmp_path / "labels" / part / f"{part}_a.txt").write_text(text)
    (tmp_path / "data.yaml").write_text('names:\n  0: "cell"\n  1: "nucleus"\n')
    found = drive(collect([tmp_path])).examples
    assert [sorted(one.classes.values()) for one in found] == [["nucleus"]] * 2
    assert [int((one.labels > 0).sum()) for one in found] == [96, 96]  # 12 x 8 pixels
