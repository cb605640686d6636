"""Keys: declared by features, changed by the user, named in captions and messages."""

from __future__ import annotations

from functools import partial

import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialogButtonBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_sam.preferences import Preferences
from napari_sam.widget.actions import (
    Keymap,
    actions_of,
    key_of,
    key_text,
    normalised,
    shared_keys,
)
from napari_sam.widget.captions import Captions
from napari_sam.widget.features.settings.keys_dialog import DEFAULT, KeysDialog
from napari_sam.widget.features.settings.napari_keys import napari_keys


class Part:
    """Stands for a feature; its package is the one of these tests."""

    __module__ = "napari_sam.widget.features.part.logic"

    def __init__(self):
        self.done = []
        self.keys = {
            "Enter": self.commit,
            "Escape": self.clear,
            "N": self.again,
            "Control-Z": self.undo,
            "Shift-P": partial(self.put, "P"),
        }

    def commit(self):
        """Write it.

        All of it.
        """
        self.done.append("commit")

    def clear(self):
        """Clear it."""
        self.done.append("clear")

    def again(self):
        """Show another one."""

    def undo(self):
        """Take it back."""

    def put(self, what):
        """Put it there."""


@pytest.fixture
def part():
    return Part()


@pytest.fixture
def keymap(part, qapp):
    keymap = Keymap(Preferences())
    keymap.add(actions_of(part, part.keys))
    return keymap


def test_actions_have_ids_titles_and_keys_of_their_methods(part):
    actions = actions_of(part, part.keys)
    assert [(one.id, one.title, one.default) for one in actions] == [
        ("part.commit", "Write it", "Enter"),
        ("part.clear", "Clear it", "Escape"),
        ("part.again", "Show another one", "N"),
        ("part.undo", "Take it back", "Ctrl+Z"),
        ("part.put.P", "Put it there: Shift+P", "Shift+P"),
    ]


@pytest.mark.parametrize(
    ("key", "name"),
    [("Control-Shift-Z", "Ctrl+Shift+Z"), ("Escape", "Escape"), (".", "."), ("F2", "F2"), ("", "")],
)
def test_names_of_keys(key, name):
    assert normalised(key) == name


@pytest.mark.parametrize("key", ["Ctrl+K Ctrl+B", "Ctrl+", "nonsense"])
def test_what_is_no_key(key):
    with pytest.raises(ValueError, match="no key"):
        normalised(key)


def test_texts_of_keys(qapp):
    assert [key_text(key) for key in ("Ctrl+Shift+Z", "Escape", "Enter", "")] == [
        "Ctrl+Shift+Z",
        "Esc",
        "Enter",
        "",
    ]
    assert key_of(QKeySequence("Return")) == key_of(QKeySequence("Enter")) == "Enter"
    assert key_of(QKeySequence()) == ""
    with pytest.raises(ValueError, match="no key"):
        key_of(QKeySequence("Ä"))


def test_changed_keys_are_bound_and_kept(part, keymap):
    keymap.change({"part.commit": "F2", "part.clear": ""})
    bindings = keymap.bindings()
    assert list(bindings) == ["F2", "N", "Ctrl+Z", "Shift+P"]
    bindings["F2"]()
    assert part.done == ["commit"]
    again = Keymap(Preferences())
    again.add(actions_of(part, part.keys))
    assert again.keys()["part.commit"] == "F2"
    again.change({one.id: one.default for one in again.actions})
    assert Preferences().chosen.keys == {}


def test_keys_of_unknown_actions_and_nonsense_are_left_alone(part, qapp):
    Preferences().set(keys={"other.act": "F5", "part.commit": "Ctrl+"})
    keymap = Keymap(Preferences())
    keymap.add(actions_of(part, part.keys))
    assert keymap.keys()["part.commit"] == "Enter"
    keymap.change({"part.clear": "F4"})
    assert Preferences().chosen.keys["other.act"] == "F5"


def test_new_action_does_not_take_a_key_that_the_user_chose(part, qapp):
    Preferences().set(keys={"part.commit": "N"})
    keymap = Keymap(Preferences())
    keymap.add(actions_of(part, part.keys))
    assert (keymap.keys()["part.commit"], keymap.keys()["part.again"]) == ("N", "")


def test_shared_keys_are_named(keymap):
    assert shared_keys(keymap.actions, keymap.keys()) == {}
    keys = {**keymap.keys(), "part.clear": "Enter"}
    assert shared_keys(keymap.actions, keys) == {"Enter": ["Write it", "Clear it"]}


def test_messages_and_captions_name_the_keys_in_use(keymap):
    text = "Enter commits it, N shows another answer, Shift+P not; see N-D, N.tif (Ctrl+Z undoes)"
    assert keymap.is_default
    assert keymap.shown(text) == text
    keymap.change({"part.commit": "N", "part.again": "Enter", "part.undo": "", "part.put.P": "F3"})
    assert keymap.shown(text) == (
        "N commits it, Enter shows another answer, F3 not; see N-D, N.tif ((no key) undoes)"
    )
    assert keymap.caption("Commit  Enter") == "Commit  N"
    assert keymap.caption("Undo  Ctrl+Z") == "Undo"
    assert keymap.caption("N") == "Enter"
    assert keymap.caption("Enter the room") == "Enter the room"


def test_captions_follow_keys_and_panels(keymap, qtbot):
    root = QWidget()
    qtbot.addWidget(root)
    layout = QVBoxLayout(root)
    button, label = QPushButton("Start  Enter"), QLabel("N")
    layout.addWidget(button)
    layout.addWidget(label)
    captions = Captions(root, keymap)
    captions.renew()
    root.show()
    keymap.change({"part.commit": "F2", "part.again": "F3"})
    assert (button.text(), label.text()) == ("Start  F2", "F3")
    button.setText("Stop  Enter")
    qtbot.waitUntil(lambda: button.text() == "Stop  F2")
    keymap.change({"part.commit": "Enter", "part.again": "F4"})
    assert (button.text(), label.text()) == ("Stop  Enter", "F4")


def test_polygons_of_labels_keep_napari_s_keys(hands, scene):
    keymap = hands.context.keymap
    layer = hands.bench.results.layer
    layer.mode = "polygon"
    keymap.change({"prompting.commit": "F2", "prompting.clear": "Enter"})
    assert "F2" in [str(key) for key in layer.keymap]
    assert "Enter" not in [str(key) for key in layer.keymap]
    layer.mode = "pan_zoom"
    assert "Enter" in [str(key) for key in layer.keymap]
    assert isinstance(layer, Labels)


def test_every_action_of_the_dock_has_its_own_id_key_and_title(hands):
    actions = hands.context.keymap.actions
    assert len({one.id for one in actions}) == len(actions) > 20
    assert shared_keys(actions, hands.context.keymap.keys()) == {}
    for one in actions:
        assert one.title, one.id
        assert "." in one.id
        assert not one.id.endswith("."), one.id


def test_napari_s_own_keys_are_known(qapp):
    assert napari_keys()["Ctrl+Y"] == "toggle ndisplay"


def _dialog(hands):
    hands.settings.panel.keys.click()
    return hands.settings.dialog


def _edit(dialog, name):
    row = next(k for k, one in enumerate(dialog._actions) if one.id == name)
    return dialog.edits[row], dialog.defaults[row]


def test_another_key_commits_at_once_and_after_a_new_start(hands):
    dialog = _dialog(hands)
    edit, _ = _edit(dialog, "prompting.commit")
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert dialog.keys["prompting.commit"] == "Ctrl+J"
    dialog.accept()
    hands.until_said("keys changed")
    hands.click_and_wait(25, 25)
    hands.press(Qt.Key.Key_Return)
    assert hands.labels.max() == 0
    assert "Ctrl+J commits it" in hands.dock.status.text()
    hands.press(Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    hands.until_said("object 1 committed")
    assert hands.labels.max() == 1
    assert Preferences().chosen.keys == {"prompting.commit": "Ctrl+J"}
    captions = [one.text() for one in hands.prompting.panel.findChildren(QPushButton)]
    assert "Commit  Ctrl+J" in captions


def test_conflicts_are_said_at_once_and_can_be_reset(hands):
    dialog = _dialog(hands)
    ok = dialog.buttons.button(QDialogButtonBox.StandardButton.Ok)
    edit, default = _edit(dialog, "prompting.clear")
    assert (dialog.notes.text(), ok.isEnabled(), default.isEnabled()) == ("", True, False)
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key.Key_Return)
    assert dialog.notes.text().startswith("Enter would do several things: Write the objects in")
    assert not ok.isEnabled()
    default.click()
    assert (dialog.notes.text(), ok.isEnabled()) == ("", True)
    assert dialog.keys["prompting.clear"] == "Escape"
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert dialog.notes.text() == (
        "Ctrl+Y is napari's key for “toggle ndisplay”, which it does not do while this dock is "
        "open."
    )
    dialog.restore.click()
    assert dialog.keys == {one.id: one.default for one in hands.context.keymap.actions}
    dialog.reject()
    assert hands.settings.dialog is None


def test_key_that_napari_does_not_know_is_refused(hands):
    dialog = _dialog(hands)
    edit, _ = _edit(dialog, "prompting.clear")
    edit.setKeySequence(QKeySequence("Ä"))
    assert "no key that can be used" in dialog.notes.text()
    hands.rest()
    assert key_of(edit.keySequence()) == "Escape"
    assert isinstance(dialog, KeysDialog)
    assert dialog.table.horizontalHeaderItem(DEFAULT).text() == "Default"
