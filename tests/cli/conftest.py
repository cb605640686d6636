"""What the tests of the command line share: a model that answers at once, images, a run."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from another_sam import SMALL, draw, published
from PIL import Image
from tiny import SceneModel

from napari_sam.cli import commands
from napari_sam.cli import parser as cli
from napari_sam.types import Progress


@pytest.fixture
def stub(monkeypatch):
    """Put a model that answers at once in the place of the bundled one."""

    def loading(name, device, offline, precision):
        yield Progress(0, 0, f"loading {name}")
        return SceneModel()

    monkeypatch.setattr(commands, "loading", loading)


@pytest.fixture
def plane(tmp_path):
    """A 2-D image with two bright discs."""
    y, x = np.mgrid[:48, :64]
    image = np.full((48, 64), 20, np.uint8)
    image[(x - 16) ** 2 + (y - 20) ** 2 < 80] = 200
    image[(x - 46) ** 2 + (y - 28) ** 2 < 100] = 230
    path = tmp_path / "plane.png"
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def volume(tmp_path, plane):
    """A stack of five such planes."""
    path = tmp_path / "volume.tif"
    image = np.stack([np.asarray(Image.open(plane))] * 5)
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata=metadata)
    return path


@pytest.fixture
def labelled(tmp_path, plane):
    """A folder with a labelled plane, a labelled stack and a source."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    image = np.asarray(Image.open(plane))
    labels = np.zeros(image.shape, np.uint8)
    labels[(image > 100) & (image < 215)] = 1
    labels[image > 215] = 2
    tifffile.imwrite(folder / "one.tif", image)
    tifffile.imwrite(folder / "one_labels.tif", labels)
    tifffile.imwrite(folder / "stack.tif", np.stack([image] * 5))
    tifffile.imwrite(folder / "stack_labels.tif", np.stack([labels] * 4 + [labels * 0]))
    tifffile.imwrite(folder / "alone.tif", image)
    np.savez(folder / "source.npz", image_000=image, labels_000=labels, n=1)
    return folder


@pytest.fixture
def published_sam(tmp_path):
    """The file of a small SAM of random weights."""
    torch.save({"state_dict": published(draw(SMALL))}, tmp_path / "small_sam.pth")
    return tmp_path / "small_sam.pth"


@pytest.fixture
def succeed(capsys):
    """Return what runs a command that has to succeed, and returns what it prints."""

    def run(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return run


@pytest.fixture
def fail(capsys):
    """Return what runs a command that has to fail, and returns its one line."""

    def run(*arguments, code=2):
        assert cli.main([str(argument) for argument in arguments]) == code
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert captured.out == ""
        assert lines[-1].startswith("napari-sam: ")
        progress = lines[:-1]
        assert len(progress) <= 1, lines  # "loading ...", if it came so far
        assert not any("Traceback" in line for line in lines)
        return lines[-1]

    return run
