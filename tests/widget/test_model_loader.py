"""Choosing, downloading and opening models in the dock."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from tiny_sam2 import save_published, tiny_net

from napari_sam.everything.amg_params import AmgParams
from napari_sam.models import fetch, registry, weights
from napari_sam.models.specs import SPECS, ModelSpec
from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.source import model_loader as models_module
from napari_sam.widget.features.source.logic import Source
from napari_sam.widget.scheduler import Lane


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The file of a SAM of random weights."""
    path = tmp_path_factory.mktemp("published") / "small.pt"
    torch.save({"model_state": published(draw(SMALL))}, path)
    return path.read_bytes()


@pytest.fixture
def server(content):
    """A server of that file; `pause` is how long it waits after a quarter of it, s."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            quarter = len(content) // 4
            self.wfile.write(content[:quarter])
            self.wfile.flush()
            end = time.monotonic() + running.pause
            while time.monotonic() < end and not running.stopped:
                time.sleep(0.01)
            with contextlib.suppress(OSError):  # the other side may have gone
                self.wfile.write(content[quarter:])

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.pause, running.stopped = 0.0, False
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.stopped = True
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def remote(server, content, tmp_path, monkeypatch):
    """A published model that is not on this machine."""
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("NAPARI_SAM_OFFLINE", raising=False)
    spec = ModelSpec(
        "remote", "SAM", f"http://127.0.0.1:{server.server_address[1]}/remote.pt",
        f"sha256:{hashlib.sha256(content).hexdigest()}", len(content), "CC-BY-4.0", 128, "small",
    )  # fmt: skip
    for module in (registry, models_module):
        monkeypatch.setattr(module, "SPECS", (*SPECS, spec))
    return spec


def pick(hands, name):
    chooser = hands.source.model
    chooser.setCurrentIndex(chooser._things.index(name))
    chooser.activated.emit(chooser.currentIndex())
    hands.rest()


def press(button):
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def loaded(hands):
    session = hands.context.session
    return None if session is None else session.predictor.model.name


def test_the_open_list_tells_size_licence_and_state(remote, hands):
    chooser = hands.source.model
    assert chooser.currentText() == "pocket"
    chooser.showPopup()
    hands.rest()
    texts = [chooser.itemText(row) for row in range(chooser.count())]
    assert any(t.startswith("pocket") and "BSD-3-Clause" in t and "here" in t for t in texts)
    assert any(t.startswith("vit_h") and "2,565 MB" in t and "to download" in t for t in texts)
    wide = chooser.view().fontMetrics().horizontalAdvance(max(texts, key=len))
    assert chooser.view().width() >= wide
    chooser.hidePopup()
    assert chooser.currentText() == "pocket"
    assert "ViT-H" in chooser.itemData(4, Qt.ItemDataRole.ToolTipRole)


def test_nothing_is_downloaded_before_it_is_asked_for(remote, model, hands):
    pick(hands, "remote")
    offer = hands.source.offer
    assert offer.isVisible()
    assert "CC-BY-4.0" in offer.text.text()
    assert remote.size_text in offer.download.text()
    hands.rest(0.2)
    assert not fetch.is_here(remote)
    assert hands.source.model.currentText() == "pocket"
    hands.click_and_wait(25, 28)  # the model in use goes on
    press(offer.cancel)
    assert not offer.isVisible()
    assert hands.status == "pocket stays in use"


def test_download_then_click(remote, model, hands):
    pick(hands, "remote")
    model.made = None
    press(hands.source.offer.download)
    hands.until(lambda: loaded(hands) == "remote")
    assert fetch.is_here(remote)
    assert not hands.source.offer.isVisible()
    assert hands.source.model.currentText() == "remote"
    hands.click_and_wait(25, 28)
    masks = hands.answers.objects[1].answer.masks
    assert [mask.size for mask in masks] == [(96, 128)] * 3


def test_a_download_is_cancelled_and_can_be_taken_up_again(remote, server, model, hands):
    server.pause = 30
    pick(hands, "remote")
    press(hands.source.offer.download)
    hands.until(lambda: "MB/s" in hands.status or "of" in hands.status)
    assert hands.source.offer.cancel.text() == "Cancel"
    hands.click_and_wait(25, 28)  # nothing blocks meanwhile
    press(hands.source.offer.cancel)
    assert not hands.source.offer.isVisible()
    assert not fetch.is_here(remote)
    server.stopped = True  # lets go of the first download
    hands.scheduler.wait(lane=Lane.MODEL)
    hands.rest()
    pick(hands, "remote")
    model.made = None
    press(hands.source.offer.download)
    hands.until(lambda: loaded(hands) == "remote")


def test_a_failed_download_says_so_and_the_model_in_use_stays(remote, server, hands, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", "1")
    pick(hands, "remote")
    press(hands.source.offer.download)
    hands.until_said("switched off")
    assert hands.source.offer.isVisible()
    hands.click_and_wait(25, 28)


def test_a_model_that_is_too_large_says_so_before_it_is_fetched(remote, hands, monkeypatch):
    class Little:
        available = 500_000_000

    monkeypatch.setattr(weights.psutil, "virtual_memory", lambda: Little)
    pick(hands, "remote")
    press(hands.source.offer.download)
    hands.until_said("GB of memory")
    assert not fetch.is_here(remote)


def test_a_file_is_opened_from_the_list(content, model, hands, tmp_path):
    path = tmp_path / "my_cells.pt"
    path.write_bytes(content)
    model.made = None
    pick(hands, "")
    dialogs = hands.dock.findChildren(QFileDialog)
    assert len(dialogs) == 1
    dialogs[0].fileSelected.emit(str(path))
    dialogs[0].close()
    hands.until(lambda: loaded(hands) == "my_cells")
    assert hands.source.model.currentText() == "my_cells"
    shown = hands.everything.panel.params()
    usual = (AmgParams.points_per_side, AmgParams.pred_iou_thresh)
    assert (shown.points_per_side, shown.pred_iou_thresh) == usual  # not those that suit pocket
    hands.click_and_wait(25, 28)
    pick(hands, "pocket")
    hands.until(lambda: loaded(hands) == "pocket")
    assert hands.everything.panel.params().points_per_side == 20
    pick(hands, str(path))
    hands.until(lambda: loaded(hands) == "my_cells")


def test_a_file_of_sam_2_is_opened_and_answers(model, hands, tmp_path):
    path = save_published(tiny_net(side=256), tmp_path / "mine_256px.pt")
    model.made = None
    hands.source.loader.open_file(str(path))
    hands.until(lambda: loaded(hands) == "mine_256px")
    assert hands.context.session.predictor.model.image_size == 256
    assert hands.everything.panel.params().pred_iou_thresh == 0.8  # that of SAM 2's own program
    hands.click_and_wait(25, 28)


def test_a_file_that_cannot_be_loaded_leaves_the_model_in_use(model, hands, tmp_path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"nothing")
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    before = np.array(hands.labels)
    former, model.made = hands.context.session, None
    hands.source.loader.open_file(str(path))
    hands.until_said("pocket stays in use")
    assert "broken.pt" in hands.status
    assert hands.context.session is former
    assert hands.source.model.currentText() == "pocket"
    np.testing.assert_array_equal(hands.labels, before)
    hands.click_and_wait(72, 55)
    assert "broken.pt" not in hands.status  # it was said, and that was before this answer


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_leaves_the_model_where_it_was(model, hands):
    model.made = None
    chooser = hands.source.panel.device
    chooser.setCurrentIndex(2)
    chooser.activated.emit(2)
    hands.until_said("pocket stays in use")
    assert "no cuda" in hands.status
    assert chooser.currentText() == "auto"
    hands.click_and_wait(25, 28)


def test_the_reason_of_a_failure_is_not_hidden_by_an_answer(model, hands, tmp_path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"nothing")
    hands.click_and_wait(25, 28)
    model.made = None
    hands.source.loader.open_file(str(path))
    hands.until(lambda: hands.answers)
    hands.rest(0.1)
    assert "broken.pt" in hands.status
    assert "pocket stays in use" in hands.status


def test_a_device_that_is_not_used_is_told(content, model, hands, tmp_path, monkeypatch):
    path = tmp_path / "my_cells.pt"
    path.write_bytes(content)
    monkeypatch.setattr(weights, "choose_device", lambda name: "meta")  # computes nothing
    sentence = "my_cells runs on the CPU, because meta fails"
    model.made = None
    hands.source.loader.open_file(str(path))
    hands.until(lambda: loaded(hands) == "my_cells")
    hands.rest(0.5)
    assert sentence in hands.status
    assert hands.context.session.predictor.model.device == "cpu"
    assert "runs on cpu" in hands.source.panel.device.toolTip()
    hands.click_and_wait(25, 28)
    hands.source.loader.open_file(str(path))
    hands.until(lambda: hands.answers)
    hands.rest(0.1)
    assert sentence in hands.status  # the answer to the prompts that were there does not hide it


def test_pixels_that_change_while_a_load_fails_are_seen(model, hands, scene, tmp_path):
    hands.click_and_wait(25, 28)
    layer = hands.bench.frame.layer
    model.made = None
    hands.source.loader.open_file(str(tmp_path / "missing.pt"))
    layer.data[:] = np.fliplr(scene[0]).copy()  # in place
    layer.events.data()
    hands.until_said("pocket stays in use")
    hands.press(Qt.Key.Key_Escape)
    hands.click_and_wait(25, 100)
    shown = hands.bench.prompts.preview.data > 0
    assert (shown == (np.fliplr(scene[1]) == 1)).mean() > 0.99


def test_a_failed_pick_during_the_first_load_goes_back(make_napari_viewer, qtbot, model, tmp_path):
    model.made = None
    viewer = make_napari_viewer(show=True)
    dock = SegmentAnything(viewer)
    source = dock.feature(Source)
    try:
        source.loader.open_file(str(tmp_path / "missing.pt"))
        qtbot.waitUntil(lambda: dock.context.session is not None, timeout=20_000)
        assert dock.context.session.predictor.model.name == "pocket"
        assert source.model.currentText() == "pocket"
    finally:
        dock.close_dock()
        assert dock.context.scheduler.wait(10_000)
