"""`synthesize`: files in, labelled pairs out that other commands read, errors in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from skimage import draw

from napari_sam.cli import main
from napari_sam.steps import drive
from napari_sam.training.finetune.collect import collect

SIZE = (80, 100)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """Two labelled images with three discs each."""
    folder = tmp_path / "real"
    folder.mkdir()
    for number in range(2):
        image = np.random.default_rng(number).integers(990, 1010, SIZE).astype(np.uint16)
        labels = np.zeros(SIZE, np.uint8)
        for label, place in enumerate([(20, 20), (50, 60), (60, 15)], 1):
            inside = draw.disk(place, 7 + label + number)
            image[inside] += 3000
            labels[inside] = label
        tifffile.imwrite(folder / f"{number}.tif", image)
        tifffile.imwrite(folder / f"{number}_labels.tif", labels)
    return folder


def run(capsys: pytest.CaptureFixture[str], *argv: Any) -> tuple[int, str, str]:
    code = main(["synthesize", *map(str, argv)])
    out, err = capsys.readouterr()
    return code, out, err


def test_pairs_that_are_read_as_labelled_images(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    code, out, _ = run(capsys, real, "-o", made, "-n", 3, "--objects", "2:4", "--noise", "0:0.02")
    assert code == 0
    found = json.loads(out)
    assert (found["images"], found["cut"], found["grounds"]) == (3, 6, 2)
    examples = drive(collect([made])).examples
    assert len(examples) == 3
    assert sum(len(one.objects) for one in examples) == found["objects"]
    assert tifffile.imread(made / "synthetic_00000.tif").dtype == np.uint16


def test_more_images_are_added_and_other_parameters_refused(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    run(capsys, real, "-o", made, "-n", 2)
    times = {one.name: one.stat().st_mtime_ns for one in made.glob("*.tif")}
    code, out, _ = run(capsys, real, "-o", made, "-n", 3)
    assert json.loads(out)["images"] == 3
    assert all((made / name).stat().st_mtime_ns == time for name, time in times.items())
    code, _, err = run(capsys, real, "-o", made, "-n", 3, "--rotation", "-10:10")
    assert code == 2
    assert "other inputs or parameters; choose another name or give --overwrite" in err
    code, out, _ = run(capsys, real, "-o", made, "-n", 1, "--rotation", "-10:10", "--overwrite")
    assert (code, json.loads(out)["images"]) == (0, 1)
    assert len(list(made.glob("*.tif"))) == 2


def test_labels_and_images_of_two_folders(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for path in real.glob("*_labels.tif"):
        path.rename(labels / path.name.replace("_labels", ""))
    code, out, _ = run(capsys, labels, real, "-o", tmp_path / "made", "-n", 1)
    assert (code, json.loads(out)["cut"]) == (0, 6)


def test_a_corrupt_file_is_named_and_left_out(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (real / "0.tif").write_bytes(b"no image")
    code, out, err = run(capsys, real, "-o", tmp_path / "made", "-n", 1)
    assert code == 1
    assert json.loads(out)["cut"] == 3
    assert "0_labels.tif is left out" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-n", 0], "at least 1 image is made, but -n is 0"),
        (["-n", 1, "--scale", "9"], "scale lies from 0.3 to 3 and does not fall, but is 9 to 9"),
        (["-n", 1, "--scale", "big"], "a range is LOW:HIGH, but is big"),
        (["-n", 1, "--seed", "-1"], "seed"),
    ],
)
def test_errors(
    real: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[Any],
    said: str,
) -> None:
    code, _, err = run(capsys, real, "-o", tmp_path / "made", *options)
    assert code == 2
    assert said in err
    assert not (tmp_path / "made").exists()


def test_the_result_does_not_lie_among_the_input(
    real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, real, "-o", real, "-n", 1, "--overwrite")
    assert code == 2
    assert "would lie among the input" in err
    assert len(list(real.iterdir())) == 4
