"""Prompts of other systems' files: each form, with the right places, classes and scores."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
from pycocotools import mask as coco_mask

from napari_sam.formats.prompt_files.contract import PromptChoice, PromptFile
from napari_sam.formats.prompt_files.gaze import fixations
from napari_sam.formats.prompt_files.known import is_foreign, read_prompt_file

SIZE = (40, 60)
STACK = (3, *SIZE)


def read(path: Path, text: Any, shape: tuple[int, ...] = SIZE, **choice: Any) -> PromptFile:
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return read_prompt_file(path, shape, PromptChoice(**choice))


def mask() -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[4:10, 10:20] = 1
    found[4:6, 10:12] = 0
    return found


def result(image: Any, **more: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 2, "bbox": [10, 4, 8, 6], "score": 0.75, **more}


# -- COCO results --------------------------------------------------------------------------------


def test_boxes_of_detectron2(tmp_path: Path) -> None:
    (one,) = read(tmp_path / "r.json", [result(7)]).prompts
    assert one.prompts.box is not None
    assert one.prompts.box.tolist() == [10, 4, 17, 9]  # centres of 8 x 6 pixels
    assert (one.category, one.score, one.where) == ("class 2", 0.75, "entry 1")
    assert one.outline is None
    assert one.place == ()


def test_masks_of_detectron2(tmp_path: Path) -> None:
    lengths = coco_mask.encode(np.asfortranarray(mask()))
    lengths["counts"] = lengths["counts"].decode()
    (one,) = read(tmp_path / "r.json", [result(7, segmentation=lengths)]).prompts
    assert one.outline is not None
    assert (np.asarray(one.outline) == mask()).all()
    assert one.prompts.box is not None
    assert one.prompts.box.tolist() == [10, 4, 19, 9]
    x, y = one.prompts.point_coords[0].astype(int)
    assert mask()[y, x]


@pytest.mark.parametrize("name", ["000000000139.jpg", "frame_139.png"])
def test_the_image_of_results_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    data = [result(139, score=0.1), result(140), result(139, score=0.3)]
    found = read(tmp_path / "r.json", data, image=name)
    assert [one.score for one in found.prompts] == [0.1, 0.3]
    assert [one.where for one in found.prompts] == ["entry 1", "entry 3"]


def test_the_image_of_results_is_chosen(tmp_path: Path) -> None:
    data = [result("a"), result("b", score=0.2)]
    (one,) = read(tmp_path / "r.json", data, image="x.png", image_id="b").prompts
    assert one.score == 0.2
    with pytest.raises(
        ValueError, match=r"r\.json has results of the images a, b; say with --image"
    ):
        read(tmp_path / "r.json", data, image="x.png")


def test_names_of_classes_and_images_of_a_coco_file(tmp_path: Path) -> None:
    data = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [result(1), result(2, score=0.5)],
        "categories": [{"id": 2, "name": "nucleus"}],
    }
    (one,) = read(tmp_path / "r.json", data, image="b.png").prompts
    assert (one.category, one.score) == ("nucleus", 0.5)


def test_planes_of_a_coco_file(tmp_path: Path) -> None:
    images = [{"id": k, "file_name": f"s#{k}", "plane": [k]} for k in range(3)]
    data = {"images": images, "annotations": [result(2), result(0)]}
    found = read(tmp_path / "r.json", data, STACK).prompts
    assert [one.place for one in found] == [(2,), (0,)]
    with pytest.raises(ValueError, match="does not tell the planes"):
        read(tmp_path / "r.json", [result(1)], STACK)


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (("s_z0.png", "s_z1.png", "s_z2.png"), [2, 0]),
        (("s_001.png", "s_002.png", "s_003.png"), [2, 0]),
        (("s/0.tif", "s/1.tif", "t/2.tif"), [0]),
        (("a\\s-slice 2.png", "s-slice 3.png", "s-slice 1.png"), [0, 1]),
    ],
)
def test_planes_that_names_of_images_tell(
    tmp_path: Path, names: tuple[str, ...], places: list[int]
) -> None:
    images = [{"id": k + 7, "file_name": name} for k, name in enumerate(names)]
    data = {"images": images, "annotations": [result(9), result(7)]}
    found = read(tmp_path / "r.json", data, STACK, image="s.tif").prompts
    assert [one.place for one in found] == [(k,) for k in places]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (
            ("s_z1", "s_z2"),
            "planes 1 to 2, but it is not known whether they count from 0 or from 1",
        ),
        (("s_z0", "s_z3"), "planes 0 to 3, but the image has 3 planes"),
        (("s_z9", "s_z11"), "planes 9 to 11, but the image has 3 planes"),
        (("s", "t"), 'give each image a "plane", such as [3], or call the images s_z0, s_z1'),
        (("s_left", "s_right"), "has results of the images"),
    ],
)
def test_names_that_do_not_tell_planes(tmp_path: Path, names: tuple[str, ...], text: str) -> None:
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(names)]
    data = {"images": images, "annotations": [result(0), result(1)]}
    with pytest.raises(ValueError, match=re.escape(text)):
        read(tmp_path / "r.json", data, STACK, image="s.tif")


def test_planes_over_time_that_names_tell(tmp_path: Path) -> None:
    names = [f"s_t{t}_z{z}" for t in range(2) for z in range(3)]
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(names)]
    data = {"images": images, "annotations": [result(1), result(5)]}
    found = read(tmp_path / "r.json", data, (2, *STACK), image="s.tif").prompts
    assert [one.place for one in found] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("names", "shape", "axes", "places"),
    [
        (("s_z2_t0", "s_z0_t1"), (2, *STACK), "TZ", [(0, 2), (1, 0)]),
        (("s_slice2_frame0", "s_slice0_frame1"), (2, *STACK), "", [(0, 2), (1, 0)]),
        (("s_0_2", "s_1_0"), (2, *STACK), "TZ", [(0, 2), (1, 0)]),
        (("s_time0", "s_time2"), STACK, "T", [(0,), (2,)]),
        (("s_t0_z5", "s_t1_z5"), (2, 1, *STACK[-2:]), "TZ", [(0, 0), (1, 0)]),
    ],
)
def test_words_in_names_tell_the_axis(tmp_path: Path, names, shape, axes, places) -> None:
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(names)]
    data = {"images": images, "annotations": [result(0), result(1)]}
    found = read(tmp_path / "r.json", data, shape, image="s.tif", axes=axes).prompts
    assert [one.place for one in found] == places


@pytest.mark.parametrize(
    ("names", "shape", "text"),
    [
        (("s_t0", "s_t1", "s_t2"), STACK, "s_t0.png names planes of t, but the image has planes"),
        (("s_z0", "s_1", "s_2"), STACK, "s_z0.png and s_1.png name planes in two ways"),
        (("a/s_z0", "b/s_z0", "b/s_z1"), STACK, "a/s_z0.png and b/s_z0.png name one plane"),
        (("s10", "s11", "s12"), STACK, "has results of the images"),
        (("s_2_z0", "s_1_z1"), (2, *STACK), "has results of the images"),
        (("s_z0_z1", "s_z1_z1"), (2, *STACK), "has results of the images"),
        (("s_t0_z5", "s_t1_z6"), (2, 1, *STACK[-2:]), "planes 5 to 6, but the image has 1 plane;"),
    ],
)
def test_names_that_tell_another_image_or_axis(tmp_path: Path, names, shape, text: str) -> None:
    images = [{"id": k, "file_name": f"{name}.png"} for k, name in enumerate(names)]
    data = {"images": images, "annotations": [result(0), result(1)]}
    axes = "TZ"[-len(shape[:-2]) :]
    with pytest.raises(ValueError, match=re.escape(text)):
        read(tmp_path / "r.json", data, shape, image="s.tif", axes=axes)


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_all_planes(tmp_path: Path, first: int) -> None:
    data = [result(first + k) for k in (2, 0, 1, 2)]
    found = read(tmp_path / "r.json", data, STACK, image="s.tif").prompts
    assert [one.place for one in found] == [(2,), (0,), (1,), (2,)]
    with pytest.raises(ValueError, match="say with --image-id"):
        read(tmp_path / "r.json", data[:2], STACK, image="s.tif")


def test_unsure_results_are_left_out(tmp_path: Path) -> None:
    found = read(tmp_path / "r.json", [result(1), result(1, score=0.2)], least_score=0.5)
    assert len(found.prompts) == 1
    assert "1 prompt with a score below 0.5" in found.notice


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([result(1), {"image_id": 1, "bbox": [1, 2, 3]}], "r.json: entry 2: a box is x, y"),
        ([result(1, score="high")], "r.json: entry 1: a score is"),
        ({"x": 1}, "r.json is a list of results"),
        ("{", "r.json is no JSON text: line 1"),
    ],
)
def test_errors_of_json_name_the_entry(tmp_path: Path, data: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        read(tmp_path / "r.json", data)


def named(*names: str, **more: Any) -> dict[str, Any]:
    """Return a COCO file with a result for each image, numbered from 1."""
    images = [{"id": k, "file_name": name, **more} for k, name in enumerate(names, 1)]
    return {"images": images, "annotations": [result(k) for k in range(1, len(names) + 1)]}


def test_results_of_another_image_are_refused(tmp_path: Path) -> None:
    """Also of one image, and where the number of ours is the id of another."""
    path = tmp_path / "r.json"
    for data, image in ((named("a.png"), "b.png"), (named("a.png", "b.png"), "frame_2.png")):
        with pytest.raises(ValueError, match=r"has results of the images? 1 \(a.png\).*--image-id"):
            read(path, data, image=image)
    assert len(read(path, named("a.png"), image="b.png", image_id="1").prompts) == 1
    assert len(read(path, named("x/b.jpg", "a.png"), image="b.tif").prompts) == 1
    assert len(read(path, named("a.png")).prompts) == 1  # nobody knows the name of the image
    with pytest.raises(ValueError, match="--image-id"):
        read(path, named("1/b.png", "2/b.png"), image="b.png")


def test_results_of_an_image_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert len(read(path, named("a.png", height=40, width=60), image="a.png").prompts) == 1
    with pytest.raises(ValueError, match=r"1 \(a.png\) has 60 x 40 pixels, but this one has 40 x"):
        read(path, named("a.png", height=60, width=40), image="a.png")


def test_planes_of_other_stacks_are_passed(tmp_path: Path) -> None:
    data = named("s.tif#1", "t.tif#2", "s.tif#0")
    for one, plane in zip(data["images"], (1, 2, 0), strict=True):
        one["plane"] = [plane]
    found = read(tmp_path / "r.json", data, STACK, image="s.tif").prompts
    assert [one.place for one in found] == [(1,), (0,)]
    (one,) = read(tmp_path / "r.json", data, STACK, image="s.tif", image_id="2").prompts
    assert one.place == (2,)
    with pytest.raises(ValueError, match="has results of the images 1"):
        read(tmp_path / "r.json", data, STACK, image="u.tif")


# -- YOLO ----------------------------------------------------------------------------------------


def test_boxes_and_polygons_of_yolo(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [cell, nucleus]\n")
    square = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5 0.9"
    text = f"1 0.5 0.5 0.2 0.25 0.875\n\n{square}\n1 0.5 0.5 0.2 0.25\n"
    found = read(tmp_path / "a.txt", text).prompts
    assert [one.where for one in found] == ["line 1", "line 3", "line 4"]
    assert [one.category for one in found] == ["nucleus", "cell", "nucleus"]
    assert [one.score for one in found] == [0.875, 0.9, None]
    box = found[0].prompts.box
    assert box is not None
    np.testing.assert_allclose(box, [24, 15, 35, 24])  # 12 x 10 pixels in the middle
    assert found[1].prompts.box is not None
    assert found[1].outline is None
    np.testing.assert_allclose(found[1].prompts.box, [6, 4, 29, 19])


def test_a_folder_of_texts_is_a_stack(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"a_{k}.txt").write_text("0 0.5 0.5 0.2 0.2\n" * k)
    found = read_prompt_file(tmp_path, STACK).prompts
    assert [one.place for one in found] == [(1,), (2,), (2,)]
    assert found[-1].where == "line 2 of a_2.txt"


def test_errors_of_yolo_name_the_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 2 of a\.txt"):
        read(tmp_path / "a.txt", "0 0.5 0.5 0.2 0.2\n0 0.5 x 0.2 0.2\n")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("0 0.5 0.5 0.2 0.2 85", "a.txt: line 2: a score is a number from 0 to 1, but is 8.5"),
        ("0 0.1 0.1 1.5 0.1 0.5 0.5", "a.txt: line 2: corners of a polygon"),
    ],
)
def test_yolo_in_pixels_or_per_cent_is_refused(tmp_path: Path, line: str, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        read(tmp_path / "a.txt", f"0 0.5 0.5 0.2 0.2\n{line.replace(' 85', ' 8.5')}\n")


# -- tables --------------------------------------------------------------------------------------


def test_points_of_a_table(tmp_path: Path) -> None:
    text = "x;y;class;score\n1.5;2;cell;0.5\n3;4;;\n"
    one, other = read(tmp_path / "p.csv", text).prompts
    assert one.prompts.point_coords.tolist() == [[1.5, 2.0]]
    assert (one.category, one.score, one.where) == ("cell", 0.5, "line 2")
    assert (other.category, other.score, other.number) == ("", None, 2)


def test_points_of_one_object_and_beside_it(tmp_path: Path) -> None:
    text = "X,Y,object,label\n1,2,a,object\n5,6,a,background\n7,8,b,1\n9,9,c,0\n"
    found = read(tmp_path / "p.csv", text)
    one, other = found.prompts
    assert one.prompts.point_coords.tolist() == [[1, 2], [5, 6]]
    assert one.prompts.point_labels.tolist() == [1, 0]
    assert other.prompts.point_coords.tolist() == [[7, 8]]
    assert "1 object of background points alone" in found.notice


def test_boxes_and_planes_of_a_table(tmp_path: Path) -> None:
    (one,) = read(tmp_path / "p.csv", "x0,y0,x1,y1,slice\n1,2,8,9,2\n", STACK).prompts
    assert one.prompts.box is not None
    assert one.prompts.box.tolist() == [1, 2, 8, 9]
    assert one.place == (2,)
    (two,) = read(tmp_path / "q.csv", "x,y,t,z\n1,2,1,0\n", (2, 3, *SIZE)).prompts
    assert two.place == (1, 0)


def test_points_that_napari_saved(tmp_path: Path) -> None:
    text = "index,axis-0,axis-1,axis-2\n0.0,2.0,7.5,3.5\n"
    (one,) = read(tmp_path / "p.csv", text, STACK).prompts
    assert one.prompts.point_coords.tolist() == [[3.5, 7.5]]
    assert one.place == (2,)


@pytest.mark.parametrize(
    ("text", "shape", "error"),
    [
        ("x,y\n1,2\n3,q\n", SIZE, "p.csv: line 3: y is a number"),
        ("x,y\n1,nan\n", SIZE, "p.csv: line 2: y is a number"),
        ("a,b\n1,2\n", SIZE, "p.csv: line 1 names the columns"),
        ("x,y,label\n1,2,maybe\n", SIZE, "p.csv: line 2: label is"),
        ("x0,y0,x1,y1\n5,2,1,9\n", SIZE, "p.csv: line 2: a box has"),
        ("x,y\n1,2\n", STACK, "p.csv: a stack needs a column z"),
        ("x,y,z\n1,2,3\n", STACK, "p.csv: line 2: z = 3 lies outside"),
        ("x,y,z\n1,2,0.5\n", STACK, "p.csv: line 2: z is a whole number"),
        ("x,y,class\n1,2\n", SIZE, "p.csv: line 2 has 2 of the 3 cells"),
        ("axis-0,axis-1,axis-2\n1,2,3\n", SIZE, "p.csv: line 1 names 3 axes"),
        ("axis-0,axis-1\n1,2\n", STACK, "p.csv: line 1 names 2 axes"),
        ("x,y,z\n1,2,3\n", SIZE, "p.csv: it names planes of z, but the image is one plane"),
        ("x,y,z,t\n1,2,1,2\n", STACK, "p.csv: it names planes of z and of t"),
        ("x,y,z,t\n1,2,1,2\n1,2,2,1\n", STACK, "p.csv: it names planes of z and of t"),
        ("x,y,class,Category\n1,2,a,b\n", SIZE, "several columns of class: class, Category"),
        ("x,y,score\n1,2,0.5\n1,2,85\n", SIZE, "p.csv: line 3: a score is a number from 0 to 1"),
        ("x,y,time\n1,2,0\n1,2,-1\n", SIZE, "p.csv: line 3: time goes back"),
        ("x,y,time\n1,2,0\n1,2,16\n1,2,32\n", SIZE, "call the column time_ms"),
    ],
)
def test_errors_of_a_table_name_the_line(
    tmp_path: Path, text: str, shape: tuple[int, ...], error: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        read(tmp_path / "p.csv", text, shape)


def test_the_axis_of_planes_is_the_one_that_counts(tmp_path: Path) -> None:
    for text, places in (
        ("x,y,z,t\n1,2,0,2\n1,2,0,1\n", [(2,), (1,)]),
        ("x,y,z,t\n1,2,1,0\n1,2,1,0\n", [(1,), (1,)]),
        ("x,y,z,t\n1,2,9,2\n1,2,9,1\n", [(2,), (1,)]),
        ("x,y,z,t\n1,2,0,0\n", [(0,)]),
        ("x,y,frame\n1,2,2\n", [(2,)]),
    ):
        assert [one.place for one in read(tmp_path / "p.csv", text, STACK).prompts] == places


def test_labels_and_objects_of_boxes(tmp_path: Path) -> None:
    """A label of a box is its class; boxes of one object have one number."""
    text = "x0,y0,x1,y1,label,object,z\n1,2,8,9,cell,b,0\n1,2,8,9,,a,0\n1,2,8,9,cell,b,1\n"
    found = read(tmp_path / "p.csv", text, STACK).prompts
    assert [(one.number, one.category) for one in found] == [(1, "cell"), (2, ""), (1, "cell")]


# -- a gaze --------------------------------------------------------------------------------------


def test_fixations_by_dispersion() -> None:
    """Two places where a gaze rests, a jump between them, and one that is too short."""
    xy = np.array([[10, 10], [11, 10], [10, 11], [11, 11]] + [[30, 20]] * 2 + [[50, 30]] * 5, float)
    times = np.arange(len(xy)) * 0.05
    assert fixations(xy, times.tolist(), 0.15, 2.0) == [(0, 3), (6, 10)]
    assert fixations(xy, times.tolist(), 0.15, 1.5) == [(6, 10)]
    assert fixations(xy, times.tolist(), 0.05, 2.0) == [(0, 3), (4, 5), (6, 10)]
    assert fixations(xy, times.tolist(), 0.3, 2.0) == []
    assert fixations(np.zeros((0, 2)), [], 0.1, 1.0) == []


def test_a_fixation_grows_until_it_would_be_too_wide() -> None:
    xy = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    assert fixations(xy, np.arange(10.0).tolist(), 2.0, 3.0) == [(0, 3), (4, 7)]


@pytest.mark.parametrize(("column", "unit"), [("time", 1.0), ("time_ms", 1e3), ("Time [ms]", 1e3)])
def test_a_gaze_becomes_clicks(tmp_path: Path, column: str, unit: float) -> None:
    rows = [(10 + k % 2, 20, k) for k in range(20)] + [(40, 5, 20 + k) for k in range(3)]
    rows += [(50, 30, 23 + k) for k in range(12)]
    lines = [f"{x},{y},{k * unit / 60}" for x, y, k in rows]  # 60 points a second
    found = read(tmp_path / "g.csv", "\n".join([f"x,y,{column}", *lines]), dispersion=4.0)
    places = [one.prompts.point_coords.tolist() for one in found.prompts]
    assert places == [[[10.5, 20.0]], [[50.0, 30.0]]]
    assert [one.where for one in found.prompts] == ["lines 2 to 21", "lines 25 to 36"]
    assert found.notice == "3 points at which the gaze did not rest"


# -- ImageJ and QuPath ---------------------------------------------------------------------------


def test_rois(tmp_path: Path) -> None:
    points = roifile.ImagejRoi.frompoints(np.array([[3.5, 4.5], [8.5, 9.5]]), name="p")
    points.roitype = roifile.ROI_TYPE.POINT
    square = roifile.ImagejRoi.frompoints(np.array([[5, 6], [15, 6], [15, 12], [5, 12]]), name="b")
    triangle = roifile.ImagejRoi.frompoints(np.array([[20, 5], [35, 5], [20, 20]]), name="t")
    path = tmp_path / "set.zip"
    roifile.roiwrite(path, [points, square, triangle])
    found = read_prompt_file(path, SIZE).prompts
    box, area, *clicks = found
    assert box.prompts.box is not None
    assert box.prompts.box.tolist() == [5, 6, 14, 11]
    assert box.outline is None
    assert area.outline is not None
    assert area.outline.area > 90
    assert len(clicks) == 2
    assert [one.number for one in found] == [1, 2, 3, 4]


def feature(kind: str, coordinates: Any, **more: Any) -> dict[str, Any]:
    plane = more.pop("plane", None)
    geometry = {"type": kind, "coordinates": coordinates}
    if plane is not None:
        geometry["plane"] = plane
    return {"type": "Feature", "geometry": geometry, "properties": more}


def test_geojson_of_qupath(tmp_path: Path) -> None:
    ring = [[10, 4], [20, 4], [20, 10], [10, 10], [10, 4]]
    tumour = {"classification": {"name": "Tumor", "color": [200, 0, 0]}}
    measured = {"measurements": {"Detection probability": 0.625, "Area": 60}}
    triangle = [[[30, 5], [45, 5], [30, 20], [30, 5]]]
    holes = [[[0, 20], [10, 20], [10, 30], [0, 30]], [[2, 22], [4, 22], [4, 24], [2, 24]]]
    data = {
        "type": "FeatureCollection",
        "features": [
            feature("Polygon", [ring], **tumour, **measured),
            feature("Polygon", triangle),
            feature("MultiPolygon", [holes]),
            feature("Point", [5.5, 6.5]),
            feature("LineString", [[1.5, 1.5], [9.5, 1.5]]),
        ],
    }
    box, area, ring_area, click, line = read(tmp_path / "q.geojson", data).prompts
    assert box.prompts.box is not None
    assert box.prompts.box.tolist() == [10, 4, 19, 9]
    assert (box.category, box.score, box.where) == ("Tumor", 0.625, "feature 1")
    assert area.outline is not None
    assert area.outline.area == pytest.approx(112, abs=8)
    assert ring_area.outline is not None
    assert ring_area.outline.area == 96
    assert click.prompts.point_coords.tolist() == [[5, 6]]  # the centre of a pixel
    assert line.prompts.strokes[0].path.tolist() == [[1, 1], [9, 1]]


def test_geojson_names_planes_and_may_be_called_json(tmp_path: Path) -> None:
    data = [feature("Point", [5, 6], plane={"c": -1, "z": 2, "t": 0})]
    (one,) = read(tmp_path / "q.json", data, STACK).prompts
    assert one.place == (2,)
    with pytest.raises(ValueError, match=r"q\.json: it names planes of z, but the image is one"):
        read(tmp_path / "q.json", data, SIZE)
    both = [feature("Point", [5, 6], plane={"z": k, "t": k}) for k in (1, 2)]
    with pytest.raises(ValueError, match=r"q\.json: it names planes of z and of t"):
        read(tmp_path / "q.json", both, STACK)
    series = [feature("Point", [5, 6], plane={"z": 7, "t": k}) for k in (1, 2)]
    assert [one.place for one in read(tmp_path / "q.json", series, STACK).prompts] == [(1,), (2,)]
    data.append(feature("Point", [5, 6], plane={"c": -1, "z": 3, "t": 0}))
    with pytest.raises(ValueError, match=r"q\.json: feature 2: a plane is a number from 0 to 2"):
        read(tmp_path / "q.json", data, STACK)
    with pytest.raises(ValueError, match=r"q\.json: feature 1: its geometry is"):
        read(tmp_path / "q.json", [feature("Circle", [1])])


# -- all -----------------------------------------------------------------------------------------


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(ValueError, match="prompts are read from .json"):
        read_prompt_file(tmp_path / "a.docx", SIZE)
    with pytest.raises(ValueError, match="there is no file"):
        read_prompt_file(tmp_path / "b.csv", SIZE)


def test_what_holds_prompts_alone(tmp_path: Path) -> None:
    for name, text, foreign in (
        ("a.csv", "x,y", True),
        ("b.json", json.dumps([result(1)]), True),
        ("c.json", json.dumps({"type": "FeatureCollection", "features": []}), True),
        ("d.json", json.dumps({"images": [], "annotations": [result(1)]}), False),
        ("e.txt", "0 1 1 1 1", False),
    ):
        (tmp_path / name).write_text(text)
        assert is_foreign(tmp_path / name) is foreign


def test_only_finite_least_scores(tmp_path: Path) -> None:
    """Without one, all stay."""
    assert len(read(tmp_path / "r.json", [result(1, score=-3.5)]).prompts) == 1
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="the least score is a finite number"):
            PromptChoice(least_score=value)


def test_nothing_is_said_of_nothing(tmp_path: Path) -> None:
    """A gaze that rests all the time, and a file without a result."""
    lines = "\n".join(f"3,4,{k / 60}" for k in range(20))
    assert read(tmp_path / "g.csv", f"x,y,time\n{lines}").notice == ""
    assert read(tmp_path / "r.json", [], image="a.png").prompts == ()
