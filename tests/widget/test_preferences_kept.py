"""What the user sets in the dock is there in the next session."""

from __future__ import annotations

import json

from qtpy.QtTest import QTest

from napari_sam.objects.overlap import RULES
from napari_sam.preferences import Preferences
from napari_sam.widget.features.objects.logic import Objects


def test_settings_are_kept_and_used_by_the_next_session(open_dock, scene, tmp_path):
    hands = open_dock(("add_image", scene[0], {}))
    panel = hands.settings.panel
    panel.tidy.click()
    tidy = panel.tidy.isChecked()
    panel.annotator.setFocus()
    QTest.keyClicks(panel.annotator, "Ada")
    panel.annotator.editingFinished.emit()
    panel.quota.setValue(2.5)
    rules = list(RULES)
    hands.dock.feature(Objects).panel.rule.picked.emit(rules[-1])
    chosen = Preferences().chosen
    assert (chosen.tidy, chosen.annotator, chosen.overlap) == (tidy, "Ada", rules[-1])
    assert chosen.cache_quota == hands.context.disk.quota_bytes == 2_500_000_000

    again = open_dock(("add_image", scene[0], {}))
    assert again.context.overlap == rules[-1]
    assert again.dock.feature(Objects).panel.rule.currentIndex() == len(rules) - 1
    assert again.context.disk.quota_bytes == 2_500_000_000
    assert again.context.session.predictor.tidy_masks is tidy
    assert again.settings.panel.annotator.text() == "Ada"
    again.click_and_wait(25, 25)
    again.prompting.commit()
    again.until(lambda: again.bench.results.store.objects)
    assert again.bench.results.store.objects[1].annotator == "Ada"


def test_a_damaged_file_is_said_and_no_reason_not_to_open(open_dock, scene, config_folder):
    (config_folder / "preferences.json").write_text("{")
    hands = open_dock(("add_image", scene[0], {}))
    assert "is damaged" in hands.status


def test_folder_of_the_cache(open_dock, scene, tmp_path, monkeypatch):
    hands = open_dock(("add_image", scene[0], {}))
    assert not hands.settings.panel.folder.isEnabled()  # the tests name it in the environment
    monkeypatch.delenv("NAPARI_SAM_CACHE_DIR")
    folder = tmp_path / "planes"
    hands.settings.use_folder(str(folder))
    hands.until_said(f"kept in {folder}")
    assert hands.context.disk.folder == folder
    assert Preferences().chosen.cache_folder == str(folder)
    assert str(folder) in hands.settings.panel.folder.toolTip()
    hands.context.session.clear()
    hands.click_and_wait(25, 25)
    hands.context.disk.wait()
    assert len(list(folder.glob("*.safetensors"))) == 1


def test_model_and_device_are_those_of_the_last_session(open_dock, scene, model):
    hands = open_dock(("add_image", scene[0], {}))
    hands.source.loader.pick_device("cpu")
    hands.until(lambda: hands.context.session is not None)
    assert Preferences().chosen.device == "cpu"
    again = open_dock(("add_image", scene[0], {}))
    assert again.source.loader.device == "cpu"
    assert again.source.panel.device.currentText() == "cpu"


def test_model_that_is_gone_is_said_and_stays_chosen(open_dock, scene, config_folder):
    content = {"format": 1, "model": "/nowhere/mine.pt", "device": "cpu"}
    (config_folder / "preferences.json").write_text(json.dumps(content))
    hands = open_dock(("add_image", scene[0], {}))
    assert "mine of the last session is not on this machine any more; pocket is" in hands.status
    assert hands.source.loader.current == "pocket"
    assert Preferences().chosen.model == "/nowhere/mine.pt"
