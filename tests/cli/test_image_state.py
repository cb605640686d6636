"""A changed file of an image is noticed, whichever of its files names it."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tifffile
from medical import phantom, write_series

from napari_sam.cli.image_state import content_state, state_of
from napari_sam.images.readers import read_image


def series(folder):
    files = sorted(write_series(folder / "ct", phantom()[0]).iterdir())
    return files[0], files[-1]


def ome_set(folder):
    values = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    files = [folder / f"z{number}.ome.tif" for number in range(2)]
    parts = "".join(
        f'<TiffData FirstZ="{number}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="{path.name}">urn:uuid:{number}</UUID></TiffData>'
        for number, path in enumerate(files)
    )
    for number, path in enumerate(files):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{number}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint8" '
            'DimensionOrder="XYZCT" SizeX="8" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(path, values[number], description=xml, metadata=None)
    return files[0], files[1]


@pytest.mark.parametrize("write", [series, ome_set])
@pytest.mark.parametrize("state", [state_of, content_state])
def test_another_file_of_the_image_counts(tmp_path, write, state):
    named, other = write(tmp_path)
    before = state(named, read_image(named))
    assert state(named, read_image(named)) == before
    raw, times = bytearray(other.read_bytes()), other.stat()
    raw[-1] ^= 1
    other.write_bytes(raw)
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000_000))
    assert state(named, read_image(named)) != before


def test_the_content_of_a_copy_is_the_same(tmp_path):
    named, _ = series(tmp_path)
    before = content_state(named, read_image(named))
    shutil.copytree(tmp_path / "ct", tmp_path / "copy")  # with other times
    os.utime(tmp_path / "copy" / named.name, (1, 1))
    copy = tmp_path / "copy" / named.name
    assert content_state(copy, read_image(copy)) == before
    assert state_of(copy, read_image(copy)) != state_of(named, read_image(named))
