from __future__ import annotations

import io
import json
import lzma
from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest

from napari_sam.training import labelled_images
from napari_sam.training.labelled_images import LabelledImage, read_packed, write_packed

ALL = ("train", "validation", "unseen", "apart")


def noisy(shape, seed=0):
    """Return a smooth pattern with some noise, (H, W) or (H, W, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = 120 + 60 * np.sin(rows / 9) + 40 * np.cos(columns / 7)
    if len(shape) == 3:  # colours that differ from pixel to pixel
        waves = np.stack([waves, 255 - waves, waves / 2 + 40 * (columns % 2)], axis=-1)
    return np.clip(waves + rng.normal(0, 4, shape), 0, 255).astype(np.uint8)


def example(name="a", part="train", shape=(60, 81), highest=40_000, source="blocks"):
    labels = np.random.default_rng(1).integers(0, highest + 1, shape[:2]).astype(np.int32)
    labels.flat[0] = highest
    return LabelledImage(source, "blocks, drawn", name, part, noisy(shape), labels)


def decibel(before, after):
    return 10 * np.log10(255**2 / np.mean((before.astype(float) - after) ** 2))


@pytest.mark.parametrize("highest", [1, 255, 256, 40_000, 65_535, 65_536, 2**31 - 1])
def test_labels_stay_exact(tmp_path, highest):
    images = [example("a", highest=highest), example("b", shape=(7, 300), highest=3)]
    write_packed(tmp_path / "p", images)
    packed = read_packed(tmp_path / "p", ["train"])
    for before, after in zip(images, packed, strict=True):
        np.testing.assert_array_equal(before.labels, after.labels)
        assert after.labels.dtype == np.int32
    assert packed[0].labels.max() == highest


@pytest.mark.parametrize("shape", [(96, 130), (96, 130, 3), (35, 50), (5, 3, 3)])
def test_pixels_stay_close(tmp_path, shape):
    before = example(shape=shape)
    write_packed(tmp_path / "p", [before])
    (after,) = read_packed(tmp_path / "p", ["train"])
    assert after.image.shape == shape
    assert after.image.dtype == np.uint8
    assert decibel(before.image, after.image) > 36


def test_colours_are_not_halved(tmp_path):
    before = example(shape=(64, 64, 3))
    stripes = np.full((64, 64, 3), 90, np.uint8)
    stripes[:, ::2, 0] = 200
    before = replace(before, image=stripes)
    write_packed(tmp_path / "p", [before])
    (after,) = read_packed(tmp_path / "p", ["train"])
    assert np.abs(after.image.astype(int) - stripes).mean() < 4


def test_a_higher_quality_is_closer_and_larger(tmp_path):
    before = example()
    found = {}
    for quality in (30, 95):
        write_packed(tmp_path / "p", [before], quality)
        (after,) = read_packed(tmp_path / "p", ["train"])
        found[quality] = decibel(before.image, after.image), (tmp_path / "p").stat().st_size
    assert found[95][0] > found[30][0] + 3
    assert found[95][1] > found[30][1]


def test_all_that_is_known_of_an_image_comes_back_in_order(tmp_path):
    images = [
        replace(example("one"), exhaustive=False, stack="patient 3", place=7),
        example("two", "validation"),
        example("three", "train", shape=(20, 30, 3), source="other"),
        example("four", "train"),
        example("five", "apart"),
    ]
    write_packed(tmp_path / "p", images)
    packed = read_packed(tmp_path / "p", ALL)
    assert [facts(i) for i in packed] == [facts(i) for i in images]
    for part in ALL:
        some = read_packed(tmp_path / "p", [part])
        assert [i.name for i in some] == [i.name for i in images if i.part == part]
    by_name = {i.name: i for i in images}
    for after in read_packed(tmp_path / "p", ["train", "apart"]):
        np.testing.assert_array_equal(after.labels, by_name[after.name].labels)


def facts(item):
    return (
        *(item.source, item.kind, item.name, item.part),
        *(item.exhaustive, item.stack, item.place, item.image.shape),
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (1, 1, 3), (2, 1, 3)])
def test_tiny_images_without_an_object(tmp_path, shape):
    image = np.full(shape, 77, np.uint8)
    before = LabelledImage("s", "k", "n", "train", image, np.zeros(shape[:2], np.int32))
    write_packed(tmp_path / "p", [before, before])
    packed = read_packed(tmp_path / "p", ["train"])
    assert len(packed) == 2
    for after in packed:
        assert after.image.shape == shape
        assert np.abs(after.image.astype(int) - 77).max() <= 5
        np.testing.assert_array_equal(after.labels, before.labels)


def test_the_same_images_give_the_same_file(tmp_path):
    for name in "ab":
        write_packed(tmp_path / name, [example(), example("b", "unseen")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_labels_of_large_objects_take_little(tmp_path):
    labels = np.zeros((400, 400), np.int32)
    labels[50:200, 60:300] = 9
    flat = np.full((400, 400), 30, np.uint8)
    write_packed(tmp_path / "p", [LabelledImage("s", "k", "n", "train", flat, labels)] * 10)
    assert (tmp_path / "p").stat().st_size < 10_000


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": np.zeros((60, 81), np.uint16)}, r"\(60, 81\) uint16"),
        ({"image": np.zeros((60, 81, 4), np.uint8)}, r"\(60, 81, 4\)"),
        ({"image": np.zeros((60, 80), np.uint8)}, r"labels are \(60, 81\)"),
        ({"labels": np.full((60, 81), -2, np.int32)}, "label -2"),
        ({"image": np.zeros((0, 3), np.uint8), "labels": np.zeros((0, 3), np.int32)}, "0, 3"),
        (
            {"image": np.zeros((16384, 1), np.uint8), "labels": np.zeros((16384, 1), np.int32)},
            "16383 pixels",
        ),
    ],
)
def test_what_cannot_be_packed_is_refused_before_a_file_is_made(tmp_path, change, said):
    with pytest.raises(ValueError, match=f"blocks bad.*{said}"):
        write_packed(tmp_path / "p", [example(), replace(example("bad"), **change)])
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("content", [b"", b"hello" * 100])
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(ValueError, match="p is no file of packed images"):
        read_packed(tmp_path / "p", ALL)


def test_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", image_000=np.zeros(3))
    with pytest.raises(ValueError, match=r"a.npz is no file .* no labelled_images.json"):
        read_packed(tmp_path / "a.npz", ALL)


def test_a_file_that_is_cut_short_or_damaged_is_refused(tmp_path):
    write_packed(tmp_path / "p", [example()])
    whole = (tmp_path / "p").read_bytes()
    for length in (10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "p").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="p is cut short or damaged"):
            read_packed(tmp_path / "p", ALL)
    changed = bytearray(whole)
    changed[200] ^= 255
    (tmp_path / "p").write_bytes(changed)
    with pytest.raises(ValueError, match="p is cut short or damaged: Bad CRC"):
        read_packed(tmp_path / "p", ALL)


def test_another_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(labelled_images, "VERSION", 7)
    write_packed(tmp_path / "p", [example()])
    monkeypatch.undo()
    with pytest.raises(ValueError, match="p has version 7, but version 1 is read"):
        read_packed(tmp_path / "p", ALL)


def test_the_file_is_an_archive_that_other_programs_can_read(tmp_path):
    from PIL import Image

    write_packed(tmp_path / "p", [example()])
    with ZipFile(tmp_path / "p") as archive:
        index = json.loads(lzma.decompress(archive.read("labelled_images.json.xz")))
        (entry,) = index["images"]
        assert (entry["name"], entry["shape"], entry["labels"]) == ("a", [60, 81], "uint16")
        assert Image.open(io.BytesIO(archive.read("blocks/0.pixels"))).format == "WEBP"
