from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys, time
start = time.process_time()
import napari_sam
seconds = time.process_time() - start
assert napari_sam.__version__
heavy = {"torch", "napari", "qtpy", "PyQt6", "PySide6", "magicgui", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert seconds < 0.5, seconds
napari_sam.Prompts([(1, 2)])
napari_sam.AmgParams()
import napari_sam.models.registry
heavy = {"torch", "napari", "qtpy"} & set(sys.modules)
assert not heavy, heavy
import napari_sam.cli.parser
heavy = {"torch", "napari", "qtpy", "zarr", "scipy.stats", "scipy.optimize"} & set(sys.modules)
assert not heavy, heavy
"""


def test_importing_the_package_loads_nothing_heavy():
    answer = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_every_public_name_is_there():
    import napari_sam

    for name in napari_sam.__all__:
        assert getattr(napari_sam, name) is not None, name
        assert name in dir(napari_sam)


def test_an_unknown_name_is_an_attribute_error():
    import pytest

    import napari_sam

    with pytest.raises(AttributeError, match="set_image"):
        _ = napari_sam.set_image
