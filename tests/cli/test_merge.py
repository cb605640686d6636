"""`everything --part` and `merge`: the parts of a stack, joined as in a single run."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import tifffile
import zarr

from napari_sam.images import readers as io

QUICK = ("--points-per-side", "8", "--pred-iou-thresh", "0", "--stability-score-thresh", "0")


def balls(path, axes="ZYX", planes=12):
    """Write a stack of two bright balls, or of moving discs."""
    z, y, x = np.mgrid[:planes, :48, :64]
    image = np.full(z.shape, 20, np.uint8)
    for cz, cy, cx in ((4, 20, 16), (7, 28, 46)):
        image[(2 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 144] = 200
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": axes})
    return path


def parts_of(succeed, image, folder, bounds, *more):
    for begin, end in pairwise(bounds):
        out = folder / f"part_{begin:02d}.ome.zarr"
        succeed(
            "everything", image, "-o", out, "--slices", f"{begin}:{end}", "--part", *QUICK, *more
        )
    return folder / "part_*.ome.zarr"


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_parts_are_joined_as_in_a_single_run(stub, succeed, tmp_path, axes):
    image = balls(tmp_path / "image.tif", axes)
    table = ["--tracks", tmp_path / "alone.txt"] if axes == "TYX" else []
    alone = json.loads(
        succeed("everything", image, "-o", tmp_path / "alone.ome.zarr", *QUICK, *table)
    )
    parts = parts_of(succeed, image, tmp_path, (0, 5, 6, 12))
    table = ["--tracks", tmp_path / "merged.txt"] if axes == "TYX" else []
    merged = json.loads(succeed("merge", parts, "-o", tmp_path / "merged.ome.zarr", *table))
    assert merged["objects"] == alone["objects"] == 2
    assert merged["parts"] == 3
    one, other = (
        zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r") for name in ("alone", "merged")
    )
    assert np.array_equal(one["0"][:], other["0"][:])
    assert one.attrs["provenance"] == other.attrs["provenance"]
    if table:
        assert (tmp_path / "alone.txt").read_text() == (tmp_path / "merged.txt").read_text()


def test_the_least_volume_counts_when_parts_are_joined(stub, succeed, tmp_path):
    image = balls(tmp_path / "image.tif")
    more = ["--least-volume", "100", "--spacing", "1,1,1"]
    parts = parts_of(succeed, image, tmp_path, (0, 2, 12), *more)
    assert json.loads(succeed("merge", parts, "-o", tmp_path / "merged.tif"))["objects"] == 2
    succeed("everything", image, "-o", tmp_path / "alone.tif", *QUICK, *more)
    alone, merged = (io.read_image(tmp_path / f"{name}.tif").data for name in ("alone", "merged"))
    assert np.array_equal(alone, merged)


def test_what_is_no_whole_stack_is_refused(stub, succeed, fail, tmp_path):
    image = balls(tmp_path / "image.tif")
    parts_of(succeed, image, tmp_path, (0, 4, 8))
    first, second = tmp_path / "part_00.ome.zarr", tmp_path / "part_04.ome.zarr"
    out = tmp_path / "merged.ome.zarr"
    assert "planes 8 to 11 are in no part" in fail("merge", first, second, "-o", out)
    assert "planes 0 to 3 are in no part" in fail("merge", second, "-o", out)
    assert "is in another part, too" in fail("merge", first, first, "-o", out)
    other = tmp_path / "other.ome.zarr"
    rest = ["--slices", "8:12", "--part", "--box-nms-thresh", "0.5"]
    succeed("everything", image, "-o", other, *QUICK, *rest)
    line = fail("merge", first, second, other, "-o", out)
    assert "no parts of one stack: they differ in parameters" in line
    whole = tmp_path / "whole.ome.zarr"
    succeed("everything", image, "-o", whole)
    assert "is no part of a stack; make it with everything --part" in fail(
        "merge", whole, "-o", out
    )
    assert not out.exists()
    changed = io.read_image(image).data + 1
    tifffile.imwrite(image, changed, imagej=True, metadata={"axes": "ZYX"})
    succeed("everything", image, "-o", other, *QUICK, "--slices", "8:12", "--part", "--overwrite")
    assert "they differ in part" in fail("merge", first, second, other, "-o", out)


def test_two_results_need_two_names(stub, succeed, fail, tmp_path):
    image = balls(tmp_path / "image.tif", "TYX")
    parts = parts_of(succeed, image, tmp_path, (0, 6, 12))
    out = tmp_path / "merged.tif"
    assert "give two names" in fail("merge", parts, "-o", out, "--tracks", out)


def test_parts_need_planes_and_a_place(stub, fail, tmp_path):
    image = balls(tmp_path / "image.tif")
    out = tmp_path / "part.ome.zarr"
    assert "goes together with --slices" in fail("everything", image, "-o", out, "--part")
    some = ["--slices", "0:4", "--part"]
    assert "needs -o NAME.ome.zarr" in fail("everything", image, "-o", tmp_path / "a.tif", *some)
    line = fail("everything", image, "-o", out, *some, "--cluster", "local")
    assert "--cluster is of a whole stack" in line
