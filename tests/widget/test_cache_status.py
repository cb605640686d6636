"""What the dock keeps on disk: found again, counted, emptied, and never waited for."""

from __future__ import annotations

import shutil
import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tiny import SceneModel

from napari_sam.predict import cache
from napari_sam.predict.cache import Usage
from napari_sam.widget.features.settings.cache_status import amount


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(cache, "QUIET", 0.0)


@pytest.fixture
def section(hands):
    """The dock with its section open, once the plane shown is kept."""
    hands.until(lambda: hands.context.disk.usage().planes == 1)
    hands.dock.sections["Settings"].expand()
    hands.until(lambda: "kept on disk" in hands.settings.panel.usage.text())
    return hands.settings.panel


def test_a_plane_of_yesterday_is_not_encoded_again(open_dock, scene, model):
    first = open_dock(("add_image", scene[0], {"name": "scene"}))
    first.until(lambda: first.context.disk.usage().planes == 1)
    first.dock.close_dock()
    model.made = SceneModel()
    second = open_dock(("add_image", scene[0].copy(), {"name": "again"}))
    second.click_and_wait(25, 28)
    assert model.made.encoded == 0
    assert (np.asarray(second.answers.objects[1].mask) == (scene[1] == 1)).mean() > 0.99


def test_another_model_of_the_dock_uses_the_same_cache(hands, model):
    before = hands.context.session
    hands.source.loader.open_file("another.pt")
    hands.until(lambda: hands.context.session not in (None, before))
    assert hands.context.session.disk is before.disk is hands.context.disk


def test_nothing_is_counted_before_the_section_is_opened(hands):
    hands.rest(0.2)
    assert hands.settings.panel.usage.text() == "counting ..."


def test_the_section_counts_when_it_is_opened(section, hands, scene):
    assert section.usage.text() == "1 plane, 1 MB kept on disk"
    hands.dock.sections["Settings"].collapse()
    hands.viewer.layers["scene"].data = np.flipud(scene[0]).copy()
    hands.until(lambda: hands.context.disk.usage().planes == 2)
    assert section.usage.text() == "1 plane, 1 MB kept on disk"
    hands.dock.sections["Settings"].expand()
    hands.until(lambda: section.usage.text() == "2 planes, 1 MB kept on disk")


def test_the_button_empties_the_folder(section, hands, cache_folder):
    assert len(list(cache_folder.iterdir())) == 1
    QTest.mouseClick(section.empty, Qt.MouseButton.LeftButton)
    hands.until(lambda: section.usage.text() == "0 planes, 0 MB kept on disk")
    assert list(cache_folder.iterdir()) == []
    assert "1 plane, 1 MB removed" in hands.status
    hands.until(section.empty.isEnabled)
    hands.click_and_wait(25, 28)  # what is in memory stays


def test_a_slow_disk_never_holds_the_event_loop(section, hands, monkeypatch):
    released = threading.Event()
    clear = hands.context.disk.clear

    def hang():
        assert released.wait(timeout=20)
        return clear()

    monkeypatch.setattr(hands.context.disk, "clear", hang)
    start = time.monotonic()
    QTest.mouseClick(section.empty, Qt.MouseButton.LeftButton)
    assert time.monotonic() - start < 5  # the disk answers after 20 s at most
    assert not section.empty.isEnabled()
    hands.click_and_wait(25, 28)
    released.set()
    hands.until(lambda: section.usage.text().startswith("0 planes"))


def test_the_dock_closes_while_the_disk_hangs(hands, scene, monkeypatch):
    released = threading.Event()
    disk = hands.context.disk
    hands.until(lambda: disk.usage().planes == 1)
    put = disk.put

    def hang(key, arrays):
        assert released.wait(timeout=20)
        put(key, arrays)

    monkeypatch.setattr(disk, "put", hang)
    hands.viewer.layers["scene"].data = np.flipud(scene[0]).copy()
    hands.click_and_wait(95 - 25, 28)
    start = time.monotonic()
    hands.viewer.window.remove_dock_widget(hands.dock)
    assert time.monotonic() - start < 5  # napari alone took 1.1 s
    assert disk.usage().planes == 1
    released.set()
    disk.wait()
    assert disk.usage().planes == 2


def test_trouble_with_the_disk_is_told_once(open_dock, scene, cache_folder, monkeypatch):
    cache_folder.write_text("in the way")
    stack = np.stack([np.roll(scene[0], z, axis=1) for z in range(3)])
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    hands.until_said("embeddings are not kept in")
    told = []
    monkeypatch.setattr(hands.context.status, "error", told.append)
    for z in (2, 0):
        hands.viewer.dims.set_current_step(0, z)
        hands.until(lambda: "ready" in hands.prefetch.panel.text())
    hands.rest(1.2)  # two looks at the cache
    assert told == []
    cache_folder.unlink()
    hands.context.session.clear()
    hands.viewer.dims.set_current_step(0, 1)
    hands.until(lambda: hands.context.disk.usage().planes >= 1)
    hands.rest(1.2)
    assert told == []  # all is well again
    shutil.rmtree(cache_folder)
    cache_folder.write_text("in the way")
    hands.context.session.clear()
    hands.viewer.dims.set_current_step(0, 2)
    hands.until(lambda: len(told) == 1)
    assert "embeddings are not kept in" in told[0]
    hands.dock.sections["Settings"].expand()
    hands.until(lambda: "not kept in" in hands.settings.panel.usage.text())
    hands.click_and_wait(25, 28)


def test_amounts_are_read_by_people():
    assert amount(Usage(0, 0)) == "0 planes, 0 MB"
    assert amount(Usage(1, 1)) == "1 plane, 1 MB"
    assert amount(Usage(12_000, 6_700_000_000)) == "12,000 planes, 6,700 MB"
