"""Sources of labelled images that are damaged, or hold no labels."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile

from napari_sam.images import plane_stack
from napari_sam.images.labelled import find_labelled, read_labelled

IMAGE = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
LABELS = (IMAGE > 100).astype(np.int64)


def refused(path, sentence):
    with pytest.raises(ValueError, match=sentence):
        list(read_labelled(path))


def encrypted(content):
    """Set the flag of encryption in both headers of each entry of a zip file."""
    damaged = bytearray(content)
    for sign, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = damaged.find(sign)
        while place >= 0:
            damaged[place + offset] |= 1
            place = damaged.find(sign, place + 4)
    return bytes(damaged)


@pytest.mark.parametrize("case", ["empty", "text", "torn", "encrypted", "array", "no labels"])
def test_sources_that_cannot_be_read(tmp_path, case):
    path = tmp_path / "source.npz"
    np.savez(path, image_000=IMAGE, labels_000=LABELS)
    content = path.read_bytes()
    if case == "array":
        np.save(tmp_path / "a.npy", IMAGE)
        content = (tmp_path / "a.npy").read_bytes()
    elif case == "no labels":
        np.savez(path, image_000=IMAGE)
        content = path.read_bytes()
    else:
        content = {
            "empty": b"",
            "text": b"no archive",
            "torn": content[: len(content) // 2],
            "encrypted": encrypted(content),
        }[case]
    path.write_bytes(content)
    refused(path, "source.npz is not a source of labelled images: .")


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (LABELS * 0.5, "whole numbers"),
        (LABELS - 1, "-1 to 0"),
        (LABELS * 2**40, "go from 0 to 2147483647"),
        (LABELS[1:], "its labels are"),
    ],
)
def test_labels_that_would_change_are_refused(tmp_path, labels, sentence):
    np.savez(tmp_path / "source.npz", image_000=IMAGE, labels_000=labels)
    refused(tmp_path / "source.npz", sentence)


def test_large_labels_of_a_pair_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    tifffile.imwrite(tmp_path / "a_labels.tif", LABELS.astype(np.uint32) * 2**31)
    refused(tmp_path / "a_labels.tif", "go from 0 to 2147483647")


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "source.npz")
    refused(tmp_path / "source.npz", "it is no file")
    with pytest.raises(ValueError, match="neither a folder nor a file"):
        find_labelled(tmp_path / "source.npz")


def test_a_source_that_expands_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plane_stack, "LIMIT_BYTES", 10**6)
    empty = np.zeros((2000, 2000), np.uint8)
    np.savez_compressed(tmp_path / "source.npz", image_000=empty, labels_000=empty)
    refused(tmp_path / "source.npz", "expands to")


def test_a_series_of_stacks_is_read_plane_by_plane(tmp_path):
    values = np.arange(2 * 3 * 8 * 9, dtype=np.uint8).reshape(2, 3, 8, 9)
    for name in ("a.tif", "a_labels.tif"):
        tifffile.imwrite(tmp_path / name, values, imagej=True, metadata={"axes": "TZYX"})
    planes = list(read_labelled(tmp_path / "a_labels.tif"))
    assert [plane.name for plane in planes] == [f"a {t} {z}" for t in (0, 1) for z in (0, 1, 2)]
    assert np.array_equal(planes[4].image, values[1, 1])
