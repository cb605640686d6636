"""TIFF files: sizes of pixels, several images, several files, codecs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.images import plane_stack
from napari_sam.images.readers import read_image

VOLUME = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)
PLANE = VOLUME[0]


def imagej(path, resolution=(4.0, 2.0), **more):
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um", **more}
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=resolution, metadata=metadata)


def ome(path, unit="nm", **sizes):
    metadata = {"axes": "ZYX"}
    for axis, size in sizes.items():
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": unit}
    tifffile.imwrite(path, VOLUME, metadata=metadata)


def test_sizes_of_imagej(tmp_path):
    imagej(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").scale == pytest.approx((2.0, 0.5, 0.25))


def test_sizes_of_ome_in_another_unit(tmp_path):
    ome(tmp_path / "a.ome.tif", Z=900.0, Y=300.0, X=300.0)
    assert read_image(tmp_path / "a.ome.tif").scale == pytest.approx((0.9, 0.3, 0.3))


@pytest.mark.parametrize("axis", "ZYX")
@pytest.mark.parametrize("size", [0.0, -0.3, float("nan"), float("inf"), 1e308, "wide"])
def test_impossible_sizes_are_no_sizes(tmp_path, axis, size):
    ome(tmp_path / "a.ome.tif", unit="m", **{"Z": 1e-6, "Y": 1e-6, "X": 1e-6, axis: size})
    assert read_image(tmp_path / "a.ome.tif").scale is None


@pytest.mark.parametrize("spacing", [0.0, -2.0, float("nan"), float("inf")])
def test_impossible_spacing_of_imagej(tmp_path, spacing):
    imagej(tmp_path / "a.tif", spacing=spacing)
    assert read_image(tmp_path / "a.tif").scale is None


def test_impossible_resolution_of_imagej(tmp_path):
    imagej(tmp_path / "a.tif", resolution=((0, 1), (2, 1)))
    assert read_image(tmp_path / "a.tif").scale is None


OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'UUID="urn:uuid:{own}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
    'Type="uint16" SizeX="24" SizeY="20" SizeZ="4" SizeC="1" SizeT="1">'
    '<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{parts}</Pixels></Image></OME>'
)


def write_set(folder):
    """Write four planes into two files."""
    parts = "".join(
        f'<TiffData IFD="{z % 2}" FirstZ="{z}" FirstC="0" FirstT="0" PlaneCount="1">'
        f'<UUID FileName="set_{z // 2}.ome.tif">urn:uuid:{z // 2}</UUID></TiffData>'
        for z in range(4)
    )
    for number in range(2):
        text = OME.format(own=number, parts=parts).encode()
        planes = VOLUME[2 * number : 2 * number + 2]
        path = folder / f"set_{number}.ome.tif"
        tifffile.imwrite(path, planes, description=text, metadata=None, photometric="minisblack")


def test_all_files_of_a_set_are_read(tmp_path):
    write_set(tmp_path)
    for number in range(2):
        image = read_image(tmp_path / f"set_{number}.ome.tif")
        assert image.axes == "ZYX"
        assert np.array_equal(image.data, VOLUME[:4])


@pytest.mark.parametrize("kept", [0, 1])
def test_a_missing_file_of_a_set_is_named(tmp_path, kept):
    write_set(tmp_path)
    (tmp_path / f"set_{1 - kept}.ome.tif").unlink()
    with pytest.raises(ValueError, match=f"set_{1 - kept}.ome.tif is missing beside it"):
        read_image(tmp_path / f"set_{kept}.ome.tif")


def test_a_damaged_file_of_a_set_is_an_error(tmp_path):
    write_set(tmp_path)
    (tmp_path / "set_1.ome.tif").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match="not an image"):
        read_image(tmp_path / "set_0.ome.tif")


def test_a_renamed_file_that_is_complete_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", VOLUME, metadata={"axes": "ZYX"})
    (tmp_path / "a.ome.tif").rename(tmp_path / "b.ome.tif")
    assert np.array_equal(read_image(tmp_path / "b.ome.tif").data, VOLUME)


def test_missing_planes_are_an_error_not_black(tmp_path):
    text = OME.format(own=0, parts='<TiffData IFD="0" PlaneCount="2"/>').encode()
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, VOLUME[:2], description=text, metadata=None, photometric="minisblack")
    with pytest.raises(ValueError, match="pages are missing"):
        read_image(path)


def write_pages(path, *pages, **options):
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, metadata=None, photometric="minisblack", **options)


def test_a_preview_before_the_stack_is_never_taken_for_it(tmp_path):
    write_pages(tmp_path / "a.tif", PLANE[:8, :8], *VOLUME)
    with pytest.raises(ValueError, match=r"series 0 \(YX 8 x 8\), series 1 .*--series N"):
        read_image(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif", series=1).data, VOLUME)
    assert read_image(tmp_path / "a.tif", series=0).data.shape == (8, 8)
    with pytest.raises(ValueError, match="no series 2"):
        read_image(tmp_path / "a.tif", series=2)


def test_positions_are_listed(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for number, size in enumerate((0.5, 0.25)):
            sizes = {"PhysicalSizeX": size, "PhysicalSizeY": size}
            writer.write(PLANE + number, metadata={"axes": "YX", **sizes})
    with pytest.raises(ValueError, match="holds several images"):
        read_image(tmp_path / "a.ome.tif")
    second = read_image(tmp_path / "a.ome.tif", series=1)
    assert np.array_equal(second.data, PLANE + 1)
    assert second.scale == pytest.approx((0.25, 0.25))


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("compression", ["lzw", "zlib", None])
def test_the_full_level_of_a_pyramid_is_read(tmp_path, compression, marked):
    image = np.arange(100 * 131, dtype=np.uint16).reshape(100, 131)
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for step in (1, 2, 4):
            writer.write(
                np.ascontiguousarray(image[::step, ::step]), tile=(64, 64), metadata=None,
                compression=compression, subfiletype=int(marked and step > 1),
                photometric="minisblack",
            )  # fmt: skip
    found = read_image(tmp_path / "a.tif")
    assert np.array_equal(found.data, image)


def test_a_marked_preview_may_come_first(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(PLANE[:8, :8], subfiletype=1, metadata=None, photometric="minisblack")
        for plane in VOLUME:
            writer.write(plane, metadata=None, photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "a.tif").data, VOLUME)


def test_pictures_beside_a_slide_are_left_out(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(VOLUME[0], metadata={"axes": "YX", "Name": "slide"})
        writer.write(VOLUME[1, :15, :19], metadata={"axes": "YX", "Name": "label image"})
        writer.write(VOLUME[2, :19], metadata={"axes": "YX", "Name": "macro image"})
    assert np.array_equal(read_image(tmp_path / "a.ome.tif").data, VOLUME[0])


@pytest.mark.parametrize("bits", [4, 12])
def test_packed_bits(tmp_path, bits):
    height, width = 6, 8
    values = np.arange(height * width).reshape(height, width) % (1 << bits)
    digits = ((values[..., None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8)
    packed = np.packbits(digits.reshape(height, -1), axis=1).tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 4, bits), (259, 4, 1), (262, 4, 1),
        (273, 4, 8), (277, 4, 1), (278, 4, height), (279, 4, len(packed)),
    ]  # fmt: skip
    entries = b"".join(np.array([t, k], "<u2").tobytes() + np.array([1, v], "<u4").tobytes()
                       for t, k, v in tags)  # fmt: skip
    start = np.array([8 + len(packed)], "<u4").tobytes()
    count = np.array([len(tags)], "<u2").tobytes()
    content = b"II*\0" + start + packed + count + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "a.tif").data, values)


@pytest.mark.parametrize(
    ("dtype", "samples"), [("u1", 3), ("u2", 1), ("u2", 2), ("u2", 3), ("u4", 1), ("f2", 1)]
)
def test_lzw_keeps_values_and_types(tmp_path, dtype, samples):
    values = (np.arange(20 * 24 * samples) * 131).astype(dtype).reshape(20, 24, samples)
    values = values[..., 0] if samples == 1 else values
    photometric = "rgb" if samples == 3 else "minisblack"
    planar = "contig" if samples > 1 else None
    tifffile.imwrite(
        tmp_path / "a.tif", values, compression="lzw", photometric=photometric,
        planarconfig=planar, metadata=None,
    )  # fmt: skip
    data = read_image(tmp_path / "a.tif").data
    assert data.dtype == dtype
    assert np.array_equal(data, values)


WITHOUT_CODECS = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from napari_sam.images.readers import read_image
for name in sys.argv[1:]:
    try:
        np.save(name + ".npy", read_image(name).data)
    except ValueError as error:
        print(error)
"""


def test_without_codecs_values_are_the_same_or_the_package_is_named(tmp_path):
    read = {"grey8": PLANE.astype("u1"), "grey16": VOLUME, "rgb8": np.full((9, 8, 3), 7, "u1")}
    wrong = {"rgb16": np.full((9, 8, 3), 700, "u2"), "u32": PLANE.astype("u4") + 2**31}
    for name, values in {**read, **wrong}.items():
        photometric = "rgb" if name.startswith("rgb") else "minisblack"
        tifffile.imwrite(
            tmp_path / f"{name}.tif", values, compression="lzw", photometric=photometric,
            metadata=None,
        )  # fmt: skip
    Image.new("RGB", (8, 9)).save(tmp_path / "a.jp2")
    paths = [str(tmp_path / f"{name}.tif") for name in (*read, *wrong)]
    command = [sys.executable, "-c", WITHOUT_CODECS, *paths, str(tmp_path / "a.jp2")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, values in read.items():
        data = np.load(tmp_path / f"{name}.tif.npy")
        assert (data.dtype, data.tolist()) == (values.dtype, values.tolist())
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("pip install imagecodecs" in line for line in lines)


def test_a_file_that_expands_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plane_stack, "LIMIT_BYTES", 10**6)
    for name, shape in (("plane", (2000, 2000)), ("stack", (40, 500, 500))):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, np.zeros(shape, np.uint8), compression="zlib")
        with pytest.raises(ValueError, match="expands to"):
            read_image(path)
    Image.new("L", (2000, 2000)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="expands to"):
        read_image(tmp_path / "a.png")
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1000), np.uint8)
    tifffile.imwrite(tmp_path / "noise.tif", noise, compression="zlib")
    assert np.array_equal(read_image(tmp_path / "noise.tif").data, noise)


def test_what_does_not_fit_into_the_free_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(plane_stack, "LIMIT_BYTES", 100)
    free = type("Memory", (), {"available": 10**6})
    monkeypatch.setattr(plane_stack.psutil, "virtual_memory", lambda: free)
    np.save(tmp_path / "a.npy", np.zeros((1000, 1000), np.uint8))
    with pytest.raises(ValueError, match=r"needs 1.0 MB at once, but 1.0 MB of memory are free"):
        read_image(tmp_path / "a.npy")


def test_a_set_in_a_subfolder_is_read_from_the_file_above_it(tmp_path):
    """A set whose files are named by their paths from the one that is opened."""
    (tmp_path / "parts").mkdir()
    parts = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID>'
        "</TiffData>"
        for z, name in enumerate(["first.ome.tif", "parts/1.ome.tif", "parts/2.ome.tif"])
    )
    for z, name in enumerate(["first.ome.tif", "parts/1.ome.tif", "parts/2.ome.tif"]):
        text = OME.format(own=z, parts=parts).replace('SizeZ="4"', 'SizeZ="3"').encode()
        tifffile.imwrite(tmp_path / name, VOLUME[z], description=text, metadata=None)
    assert np.array_equal(read_image(tmp_path / "first.ome.tif").data, VOLUME[:3])
    (tmp_path / "parts" / "2.ome.tif").unlink()
    with pytest.raises(ValueError, match=r"parts/2\.ome\.tif is missing"):
        read_image(tmp_path / "first.ome.tif")


@pytest.mark.parametrize(
    ("described", "sentence"),
    [
        ("all.companion.ome", "is not read: save them as a single OME-TIFF"),
        ("all.ome.tif", "open all.ome.tif"),
    ],
)
def test_a_file_that_only_holds_pixels_names_a_way_out(tmp_path, described, sentence):
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:1"><BinaryOnly MetadataFile="{described}" UUID="urn:uuid:2"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", PLANE, description=text.encode(), metadata=None)
    (tmp_path / described).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_image(tmp_path / "a.ome.tif")
    with pytest.raises(ValueError, match="save them as a single OME-TIFF|not an image"):
        read_image(tmp_path / described)


COLOURED = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


@pytest.mark.parametrize("space", ["CMYK", "LAB"])
def test_other_colour_spaces_are_refused(tmp_path, space):
    Image.fromarray(COLOURED).convert(space).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=f"holds .*{space} colours.*save it as RGB"):
        read_image(tmp_path / "a.tif")


def test_undecoded_ycbcr_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COLOURED, photometric="ycbcr", compression="zlib")
    with pytest.raises(ValueError, match="holds YCbCr colours"):
        read_image(tmp_path / "a.tif")


def test_a_palette_of_colours_is_looked_up(tmp_path, monkeypatch):
    picture = Image.fromarray(COLOURED).quantize(16)
    colours = np.asarray(picture.convert("RGB"))
    picture.save(tmp_path / "a.tif")
    found = read_image(tmp_path / "a.tif")
    assert (found.axes, found.data.dtype) == ("YXS", np.uint8)
    assert np.array_equal(found.data, colours)
    palette = np.random.default_rng(1).integers(0, 1 << 16, (3, 256), np.uint16)
    values = (VOLUME % 251).astype(np.uint8)
    tifffile.imwrite(
        tmp_path / "b.tif", values, photometric="palette", colormap=palette, compression="zlib"
    )
    monkeypatch.setattr("napari_sam.images.tiff_files.LIMIT_BYTES", 100)
    stack = read_image(tmp_path / "b.tif")
    assert (stack.axes, stack.data.shape) == ("ZYXS", (5, 20, 24, 3))
    assert np.array_equal(stack.data[3], (palette >> 8).T[values[3]])


@pytest.mark.parametrize("kind", ["tint", "imagej"])
def test_a_palette_that_only_tints_intensities_is_left_aside(tmp_path, kind):
    palette = np.random.default_rng(1).integers(0, 1 << 16, (3, 256), np.uint16)
    if kind == "tint":
        palette[:] = 0
        palette[1] = np.arange(256) * 257
    options = {"imagej": True} if kind == "imagej" else {"photometric": "palette"}
    tifffile.imwrite(tmp_path / "a.tif", PLANE.astype("u1"), colormap=palette, **options)
    found = read_image(tmp_path / "a.tif")
    assert found.axes == "YX"
    assert np.array_equal(found.data, PLANE.astype("u1"))


def test_any_codec_that_is_missing_is_named_with_its_package(tmp_path, monkeypatch):
    """Not only those for which tifffile has a sentence: zstd fails at an import of Python's own."""
    tifffile.imwrite(tmp_path / "a.tif", PLANE)

    def fail(*_args, **_options):
        raise ModuleNotFoundError("No module named 'compression'")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", fail)
    with pytest.raises(ValueError, match="pip install imagecodecs"):
        read_image(tmp_path / "a.tif")
