"""Damaged files of each format: an image or one sentence, and never another image silently."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.images.readers import read_image

VOLUME = (np.random.default_rng(0).integers(0, 3000, (3, 20, 24)) // 64 * 64).astype(np.uint16)
COLOURS = np.stack([VOLUME[0].astype(np.uint8)] * 3, axis=-1)
TIFFS = {
    "plain.tif": {},
    "deflate.tif": {"compression": "zlib", "predictor": True},
    "lzw.tif": {"compression": "lzw"},
    "tiles.tif": {"compression": "zstd", "tile": (16, 16)},
    "big.tif": {"bigtiff": True},
    "imagej.tif": {"imagej": True},
    "z.ome.tif": {"metadata": {"axes": "ZYX"}},
}


def write(path):
    if path.name in TIFFS:
        options = TIFFS[path.name]
        more = {} if "imagej" in options else {"photometric": "minisblack"}
        tifffile.imwrite(path, VOLUME, **options, **more)
    elif path.suffix == ".npy":
        np.save(path, VOLUME)
    elif path.name == "16.png":
        path.write_bytes(imagecodecs.png_encode(COLOURS.astype(np.uint16) * 9))
    elif path.suffix == ".jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(VOLUME[0], level=0))
    else:
        Image.fromarray(COLOURS).save(path)


@pytest.mark.parametrize(
    "name", [*TIFFS, "a.npy", "8.png", "16.png", "a.jp2", "a.jpg", "a.gif", "a.bmp", "a.webp"]
)
def test_damaged_files_end_in_a_sentence(tmp_path, name):
    path = tmp_path / name
    write(path)
    sound = np.asarray(read_image(path).data)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    sentences = []
    for number in range(30):
        damaged = bytearray(content)
        torn = number % 3 == 0
        if torn:
            del damaged[rng.integers(len(content)) :]
        else:
            reach = len(content) if number % 3 == 1 else min(len(content), 300)
            for place in rng.integers(reach, size=4):
                damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            data = np.asarray(read_image(path).data)
        except ValueError as error:
            sentences.append(str(error))
        else:
            assert not torn or np.array_equal(data, sound)
    assert len(sentences) >= 10
    assert all(str(path) in sentence and "\n" not in sentence for sentence in sentences)
