"""Exported models in the dock, and the dock without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from exported import export_bundled

from napari_sam import Prompts
from napari_sam.images.samples import cells_stack
from napari_sam.models import installed, registry
from napari_sam.widget.features.learning.logic import Learning
from napari_sam.widget.features.source import model_loader

TESTS = Path(__file__).parents[1]


def loaded(hands):
    session = hands.context.session
    return None if session is None else session.predictor.model.name


def devices(hands):
    chooser = hands.source.panel.device
    return [chooser.itemText(row) for row in range(chooser.count())]


def test_an_exported_model_is_opened_from_a_file_and_answers(model, hands, tmp_path):
    export_bundled(tmp_path / "cells")
    model.made = None
    learning = hands.dock.feature(Learning).panel
    assert learning.start.isEnabled()
    hands.source.loader.open_file(str(tmp_path / "cells" / "decoder.onnx"))
    hands.until(lambda: loaded(hands) == "cells (ONNX)")
    assert hands.source.model.currentText() == "cells (ONNX)"
    assert devices(hands) == ["auto", "cpu", "cuda", "coreml", "directml"]
    assert hands.source.panel.device.currentText() == "auto"
    hands.click_and_wait(25, 28)
    assert not learning.start.isEnabled()
    assert not learning.look.isEnabled()
    assert not learning.learn.isEnabled()
    assert "is an exported model, which cannot be trained" in learning.hindrance.text()
    hands.source.loader.pick("pocket")
    hands.until(lambda: loaded(hands) == "pocket")
    assert devices(hands) == ["auto", "cpu", "cuda", "mps"]
    assert learning.start.isEnabled()
    assert not learning.hindrance.text()


def test_a_damaged_export_leaves_the_model_in_use(model, hands, tmp_path):
    export_bundled(tmp_path / "cells")
    (tmp_path / "cells" / "encoder.onnx").write_bytes(b"nothing")
    model.made = None
    hands.source.loader.open_file(str(tmp_path / "cells" / "encoder.onnx"))
    hands.until_said("pocket stays in use")
    assert "encoder.onnx is damaged" in hands.status


def test_a_device_that_the_model_cannot_use_is_not_asked_for(model, hands, tmp_path):
    export_bundled(tmp_path / "cells")
    model.made = None
    hands.source.loader.device = "mps"
    hands.source.loader.open_file(str(tmp_path / "cells" / "encoder.onnx"))
    hands.until(lambda: loaded(hands) == "cells (ONNX)")
    assert hands.context.session.predictor.model.device == "cpu"
    assert hands.source.panel.device.currentText() == "auto"


def test_a_model_that_needs_torch_is_not_offered_for_download(model, hands, monkeypatch):
    for module in (installed, registry):
        monkeypatch.setattr(module, "has_torch", lambda: False)
    lines = {item.thing: item.full for item in hands.source.loader.items()}
    assert lines["vit_b"].endswith("needs torch")
    assert lines["pocket"].endswith("here")
    model.made = None
    hands.source.loader.pick("vit_b")
    hands.until_said("pocket stays in use")
    assert "vit_b needs torch, which is not installed: pip install torch" in hands.status
    assert hands.source.offer.isHidden()


@pytest.mark.parametrize(("picked", "asked"), [("coreml", "auto"), ("cpu", "cpu"), ("mps", "mps")])
def test_a_download_is_for_a_device_of_that_model(hands, monkeypatch, picked, asked):
    devices = []

    def fetching(spec, device):
        devices.append((spec.name, device))
        raise ValueError("no network here")
        yield

    monkeypatch.setattr(model_loader, "available", lambda spec: False)
    monkeypatch.setattr(model_loader, "fetching", fetching)
    loader = hands.source.loader
    loader.pick("vit_b")
    loader.device = picked
    loader.download()
    hands.until_said("no network here")
    assert devices == [("vit_b", asked)]


@pytest.mark.slow  # a second program with a window
def test_a_click_without_torch(pocket):
    command = [sys.executable, str(TESTS / "window_without_torch.py")]
    answer = subprocess.run(command, cwd=TESTS, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    (line,) = (one for one in answer.stdout.splitlines() if one.startswith("found "))
    found = json.loads(line.removeprefix("found "))
    assert (found["model"], found["trains"], found["loaded"]) == ("pocket", False, [])
    assert found["why"] == "training needs torch, which is not installed: pip install torch"
    row, column = found["place"]
    plane = cells_stack()[12]
    known = pocket.predict(pocket.encode(plane), Prompts([(column, row)]))
    assert found["area"] == pytest.approx(known.masks[known.best].area, rel=0.02)
