"""Exported models for tests, without an export: the bundled graphs and weights in a folder."""

from __future__ import annotations

import shutil

from napari_sam.models.onnx_folder import DECODER, ENCODER, ExportedModel, marks_of
from napari_sam.models.onnx_pocket_file import FOLDER, WEIGHTS


def export_bundled(folder, **changes):
    """Write the bundled `pocket` as an exported model; returns what `model.json` says of it."""
    folder.mkdir(exist_ok=True)
    for name in (ENCODER, DECODER):
        shutil.copy(FOLDER / f"pocket_{name}", folder / name)
    shutil.copy(FOLDER / WEIGHTS, folder)
    about = {
        "family": "pocket", "name": "pocket", "image_size": 512, "precision": "fp32", "opset": 18,
        "masks": 4, "fingerprint": "0123456789abcdef",
        "files": marks_of(folder, (ENCODER, DECODER, WEIGHTS)),
        "made_with": {"napari_sam": "1.0"},
    }  # fmt: skip
    exported = ExportedModel(**{**about, **changes})
    exported.write(folder)
    return exported
