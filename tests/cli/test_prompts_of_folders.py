"""`segment FOLDER --prompts DIR`: a file for each image, in each form, also of DICOM series."""

from __future__ import annotations

import json

import numpy as np
import pytest
from medical import phantom, write_series
from PIL import Image
from roifile import ImagejRoi, roiwrite

from napari_sam.images.readers import read_image

VALUES, FOUND = phantom((5, 40, 48), ((2, 14, 15, 6), (3, 27, 33, 5)))
BOX = (27, 21, 40, 34)
"""x0, y0, x1, y1 around the second sphere, in plane 3."""


def rois(path, *, stack):
    x0, y0, x1, y1 = BOX
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    roi = ImagejRoi.frompoints(corners, name="one")
    if stack:
        roi.position = 4
    if path.suffix == ".zip":
        roiwrite(path, [roi])
    else:
        roi.tofile(path)


def write_prompts(path, stack):
    """Write the box in the form that the ending of a file tells."""
    x0, y0, x1, y1 = BOX
    width, height = x1 - x0, y1 - y0
    if path.suffix == ".json":
        image = {"id": 12, "file_name": path.stem, **({"plane": [3]} if stack else {})}
        one = {"image_id": 12, "category_id": 1, "bbox": [x0, y0, width, height], "score": 0.9}
        path.write_text(json.dumps({"images": [image], "annotations": [one]}))
    elif path.suffix == ".geojson":
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        if stack:
            shape["plane"] = {"c": -1, "z": 3, "t": 0}
        path.write_text(json.dumps([{"type": "Feature", "geometry": shape, "properties": {}}]))
    elif path.suffix == ".txt":
        middle = (x0 + width / 2) / 48, (y0 + height / 2) / 40
        path.write_text(f"0 {middle[0]} {middle[1]} {width / 48} {height / 40}\n")
    elif path.suffix in (".csv", ".tsv"):
        names, values = ["x0", "y0", "x1", "y1"], [*BOX]
        if stack:
            names, values = [*names, "z"], [*values, 3]
        tab = "," if path.suffix == ".csv" else "\t"
        path.write_text(f"{tab.join(names)}\n{tab.join(map(str, values))}\n")
    else:
        rois(path, stack=stack)


@pytest.mark.parametrize("suffix", ["json", "geojson", "txt", "csv", "tsv", "roi", "zip"])
def test_each_form_finds_its_image(succeed, stub, tmp_path, suffix):
    """A picture, and two series whose folders have names with dots."""
    data, prompts, out = tmp_path / "data", tmp_path / "prompts", tmp_path / "out"
    (data / "sub").mkdir(parents=True)
    (prompts / "sub").mkdir(parents=True)
    grey = (np.clip(VALUES[3], 0, 300) * 0.8).astype(np.uint8)
    Image.fromarray(grey).save(data / "sub" / "a.png")
    write_prompts(prompts / "sub" / f"a.{suffix}", stack=False)
    series = () if suffix == "txt" else ("1.2.3", "sub/1.2.4")
    for name in series:
        write_series(data / name, VALUES)
        write_prompts(prompts / f"{name}.{suffix}", stack=True)
    found = json.loads(succeed("segment", data, "-o", out, "--prompts", prompts))
    assert (found["done"], found["failed"]) == (1 + len(series), {})
    wanted = FOUND[3] == 2
    for name in ("sub/a", *series):
        labels = read_image(out / f"{name}.tif").data
        plane = labels if labels.ndim == 2 else labels[3]
        assert np.count_nonzero(plane & wanted) / np.count_nonzero((plane > 0) | wanted) > 0.7
        assert np.count_nonzero(labels) == np.count_nonzero(plane)


def test_a_folder_of_texts_for_each_stack(succeed, stub, tmp_path):
    """YOLO has no planes: a text for each."""
    data, prompts, out = tmp_path / "data", tmp_path / "prompts", tmp_path / "out"
    for name in ("1.2.3", "sub/1.2.4"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        write_series(data / name, VALUES)
        (prompts / name).mkdir(parents=True)
        for k in range(len(VALUES)):
            (prompts / name / f"{k}.txt").write_text("")
        write_prompts(prompts / name / "3.txt", stack=True)
    found = json.loads(succeed("segment", data, "-o", out, "--prompts", prompts))
    assert (found["done"], found["objects"]) == (2, 2)
    for name in ("1.2.3", "sub/1.2.4"):
        labels = read_image(out / f"{name}.tif").data
        assert np.flatnonzero(labels.any((1, 2))).tolist() == [3]
        assert np.count_nonzero(labels[3] * (FOUND[3] == 2)) > 30
