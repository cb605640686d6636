"""The dock itself: what it takes to change a value, texts of any length, sections, its size."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollBar,
)

from napari_sam.widget.controls import Chooser, Section, StatusArea, breakable
from napari_sam.widget.dock import ALREADY_OPEN, DOCK_NAME, SegmentAnything, open_dock

LONG = "20231114_mouse_embryo_DAPI_GFP_stitched_and_registered"


def turn_wheel(widget):
    """Turn the wheel over a widget; tells whether that took it: Qt asks its parent then."""
    middle = QPointF(widget.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(widget.mapToGlobal(widget.rect().center())),
        QPoint(0, -120),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(widget, event)
    return event.isAccepted()


def value_of(control):
    return control.currentIndex() if isinstance(control, QComboBox) else control.value()


def controls_of(dock):
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider)
    found = [one for kind in kinds for one in dock.findChildren(kind)]
    return [one for one in found if not isinstance(one, QScrollBar)]


@pytest.fixture
def opened(hands):
    for section in (*hands.dock.sections.values(), hands.everything.panel.more):
        section.expand()
    hands.rest()
    return hands


def test_wheel_and_arrows_change_nothing_that_was_not_clicked(opened):
    controls = controls_of(opened.dock)
    assert len(controls) >= 16
    for control in controls:
        assert control.focusPolicy() == Qt.FocusPolicy.StrongFocus
        before = value_of(control)
        turn_wheel(control)
        assert value_of(control) == before, control
        for key in (Qt.Key.Key_Down, Qt.Key.Key_Up, Qt.Key.Key_PageDown, Qt.Key.Key_A):
            QTest.keyClick(control, key)
            assert value_of(control) == before, control


def test_the_wheel_goes_on_from_a_chooser_to_the_dock(opened):
    assert not turn_wheel(opened.source.panel.image)
    assert turn_wheel(opened.dock.column.parent().parent().viewport())


def test_a_slider_that_was_clicked_moves(opened):
    slider = opened.everything.panel.widgets["pred_iou_thresh"]
    native = slider.native.findChild(QAbstractSlider)
    QTest.mousePress(native, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    QTest.mouseRelease(native, Qt.MouseButton.LeftButton, pos=QPoint(3, 3))
    before = slider.value
    QTest.keyClick(native, Qt.Key.Key_Right)
    assert slider.value > before


def test_a_window_that_becomes_active_chooses_nothing(opened):
    image = opened.source.panel.image
    image.addItem("another")
    image.setFocus(Qt.FocusReason.ActiveWindowFocusReason)
    QTest.keyClick(image, Qt.Key.Key_Down)
    assert image.currentIndex() == 0


def test_sliders_are_as_wide_as_the_dock(opened):
    panel = opened.everything.panel
    for widget in panel.widgets.values():
        if widget.widget_type == "FloatSlider" and widget.native.isVisible():
            assert widget.native.width() > 0.85 * panel.width()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_all_headings_are_seen_at_300_by_900(opened, theme):
    opened.viewer.theme = theme
    scroll_bar = 16
    for section in opened.dock.sections.values():
        section.collapse()
    opened.until(lambda: opened.dock.column.sizeHint().height() <= 900)
    assert opened.dock.column.minimumSizeHint().width() <= 300 - scroll_bar


def test_a_section_that_is_opened_is_scrolled_into_view(opened):
    opened.dock.resize(300, 900)
    last = list(opened.dock.sections.values())[-1]
    for section in opened.dock.sections.values():
        section.expand()

    def seen():
        top = last.mapTo(opened.dock, QPoint(0, 0)).y()
        return top >= 0 and top + last.height() <= opened.dock.height()

    opened.until(seen)


def test_the_status_line_is_seen_wherever_the_dock_is_scrolled(opened):
    opened.dock.resize(300, 700)
    bar = opened.dock._scroll.verticalScrollBar()
    for place in (0, bar.maximum()):
        bar.setValue(place)
        opened.rest()
        for part in (opened.source.panel, opened.dock.status, opened.dock.long_work):
            top = part.mapTo(opened.dock, QPoint(0, 0)).y()
            assert 0 <= top < top + part.height() < opened.dock._scroll.y()


def test_more_settings_fit_the_width(opened):
    assert opened.dock.column.minimumSizeHint().width() <= 300 - 16


def test_a_long_status_moves_nothing(opened):
    commit = opened.prompting.panel
    before = commit.y(), opened.dock.column.sizeHint()
    text = "the folder /" + "/".join(["a_long_name_of_a_folder"] * 30) + " is no folder"
    opened.context.status.error(text)
    opened.rest()
    assert opened.dock.status.text() == text
    assert opened.dock.status.toolTip() == text
    assert (commit.y(), opened.dock.column.sizeHint()) == before


def test_four_lines_of_a_status_are_seen_whole(opened):
    opened.context.status.error("\n".join(f"line {k}" for k in range(4)))
    opened.rest()
    assert opened.dock.status.verticalScrollBar().maximum() == 0
    opened.context.status.error("\n".join(f"line {k}" for k in range(5)))
    opened.rest()
    assert opened.dock.status.verticalScrollBar().maximum() > 0


def test_long_words_of_a_status_are_broken():
    assert breakable("short words stay") == "short words stay"
    pieces = breakable("x" * 60 + " y").split("\u200b")
    assert [len(piece) for piece in pieces] == [24, 24, 14]


def test_long_names_lose_their_middle(qtbot):
    chooser = Chooser("The image layer")
    qtbot.addWidget(chooser)
    chooser.set_things([LONG, "short"], [1, 2], 1)
    chooser.resize(160, 24)
    chooser.show()
    shown = chooser.shown_name()
    assert "…" in shown
    assert shown[:4] == LONG[:4]
    assert shown[-4:] == LONG[-4:]
    assert chooser.currentText() == LONG
    assert chooser.itemData(0, Qt.ItemDataRole.ToolTipRole) == LONG


def test_a_section_points_right_while_it_is_closed(qtbot):
    content = StatusArea()
    section = Section("More", content)
    qtbot.addWidget(section)
    seen = []
    section.toggled.connect(seen.append)
    assert section.arrow == Qt.ArrowType.RightArrow
    assert content.isHidden()
    section.expand()
    assert section.arrow == Qt.ArrowType.DownArrow
    assert not content.isHidden()
    section.collapse()
    assert content.isHidden()
    assert seen == [True, False]


def test_every_control_says_what_it_does(opened):
    for widget in opened.everything.panel.widgets.values():
        assert f"{widget.name}: " in widget.tooltip
        assert "_" not in widget.label
    for control in (one for one in controls_of(opened.dock) if one.isVisible()):
        parents = (control, control.parentWidget())
        assert any(one.toolTip() for one in parents), control


def test_a_second_dock_in_a_viewer_says_so(hands):
    second = SegmentAnything(hands.viewer)
    hands.viewer.window.add_dock_widget(second, name="second")
    assert not second.is_open
    assert second.notice.text() == ALREADY_OPEN
    assert open_dock(hands.viewer) is hands.dock
    hands.viewer.window.remove_dock_widget(second)
    hands.click_and_wait(25, 28)
    hands.viewer.window.remove_dock_widget(hands.dock)
    third = SegmentAnything(hands.viewer)
    assert third.is_open
    third.close_dock()


@pytest.mark.parametrize("way", ["plugin", "proxy", "command"])
def test_commands_find_the_dock_however_it_was_opened(make_napari_viewer, model, way):
    from napari.utils._proxies import PublicOnlyProxy

    from napari_sam.widget.commands import find_dock

    viewer, other = make_napari_viewer(), make_napari_viewer()
    if way == "plugin":
        dock = SegmentAnything(PublicOnlyProxy(viewer))
        viewer.window.add_dock_widget(dock, name=DOCK_NAME)
    elif way == "proxy":
        dock = find_dock(PublicOnlyProxy(viewer))
    else:
        dock = find_dock(viewer)
    assert isinstance(dock, SegmentAnything)
    assert find_dock(viewer) is dock
    assert find_dock(PublicOnlyProxy(viewer)) is dock
    assert list(viewer.window.dock_widgets)[-1] == DOCK_NAME
    assert open_dock(other) is None
    dock.close_dock()
    assert dock.context.scheduler.wait(10_000)
