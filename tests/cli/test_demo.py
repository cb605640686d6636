"""`napari-sam demo`."""

from __future__ import annotations

import numpy as np

from napari_sam.cli import demo
from napari_sam.images import readers as io


def test_demo_writes_labels_and_an_overview(succeed, fail, stub, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "POINTS_PER_SIDE", 1)
    monkeypatch.setattr(demo, "PLANES", range(2, 4))
    monkeypatch.setattr(demo, "cells_stack", lambda: np.zeros((5, 40, 40), np.uint16))
    folder = tmp_path / "new" / "folder"
    lines = succeed("demo", "-o", folder).splitlines()
    written = sorted(path.name for path in folder.iterdir())
    assert written == [
        "cell_labels.tif", "cells_stack_labels.tif", "coins_labels.tif",
        "immunohistochemistry_labels.tif", "overview.png",
    ]  # fmt: skip
    assert [line.split("  ")[0].split("/")[-1] for line in lines][-1] == "overview.png"
    assert io.read_image(folder / "coins_labels.tif").data.shape == (303, 384)
    assert io.read_image(folder / "overview.png").axes == "YXS"
    assert "--overwrite" in fail("demo", "-o", folder)
    (tmp_path / "file").write_text("x")
    assert "no place" in fail("demo", "-o", tmp_path / "file" / "folder")
