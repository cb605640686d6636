"""Proposals chosen by words in the dock: shown, hidden, accepted with the words as class."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from text_pair import Knows

from napari_sam.everything.amg_params import AmgParams
from napari_sam.models.text_models import NOT_INSTALLED
from napari_sam.objects.classes import classes_of
from napari_sam.types import Progress
from napari_sam.widget.features.everything import proposals, text_choice
from napari_sam.widget.features.everything.selection import LiveSelection
from napari_sam.widget.scheduler import Lane, Work

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
INSIDE = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
VALUES = {1: 150, 2: 250, 3: 200}
"""So bright is each object: the second is the brightest."""


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Look for models in no folder of the user."""
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("NAPARI_SAM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(text_choice, "has_transformers", lambda: True)


class Slow(Knows):
    """Waits at given questions until it may go on; keeps the shapes of what it is shown."""

    def __init__(self):
        super().__init__()
        self.gates, self.loading = {}, threading.Event()
        self.loading.set()
        self.loaded, self.shapes = [], []

    def hold(self, *questions):
        """Let questions wait, counted from those to come; return what lets each go on."""
        gates = [threading.Event() for _ in questions]
        self.gates |= {self.asked + k: gate for k, gate in zip(questions, gates, strict=True)}
        return gates

    def release(self):
        self.loading.set()
        for gate in self.gates.values():
            gate.set()

    def embed_text(self, words):
        vector = super().embed_text(words)
        if self.asked in self.gates:
            self.gates[self.asked].wait(60)
        return vector

    def embed_images(self, images):
        self.shapes += [image.shape[:2] for image in images]
        return super().embed_images(images)


@pytest.fixture
def knows(monkeypatch):
    """The model that any name loads, while `loading` is set."""
    model = Slow()

    def loading(name):
        yield Progress(0, 0, f"loading {name}")
        model.loaded.append(name)
        model.loading.wait(60)
        return model

    monkeypatch.setattr(text_choice, "loading_text_model", loading)
    yield model
    model.release()


@pytest.fixture
def hands(open_dock, scene):
    """A window on three objects of different brightness."""
    pixels = scene[0].copy()
    for label, value in VALUES.items():
        pixels[scene[1] == label] = value
    return open_dock(("add_image", pixels, {"name": "scene"}))


def run(hands, all_planes=False):
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    hands.everything.panel.set_params(AmgParams(**usual))
    hands.everything.run(all_planes)
    settle(hands)


def settle(hands):
    hands.rest()
    everything = hands.everything
    hands.until(
        lambda: (
            not everything.proposals.busy
            and not hands.busy(Lane.BULK, Lane.ACCEPT, Lane.TEXT, Lane.SIMILAR)
            and not hands.context.history.walking
        )
    )
    hands.rest()


def enter(hands, words, model="known"):
    """Enter words, and wait for nothing."""
    box = hands.everything.panel.text
    if hands.everything.text._model is None:
        hands.everything.text.use_model(model)
    box.words.setText(words)
    QTest.keyClick(box.words, Qt.Key.Key_Return)


def type_words(hands, words):
    enter(hands, words)
    settle(hands)


def said(hands):
    return hands.everything.panel.text.count.text()


def ranks(hands, knows, question):
    """Wait until the model is asked a question, counted from 1."""
    hands.until(lambda: knows.asked == question)
    hands.rest()


def seen(hands, z=()):
    """Return which objects of the scene the layer of proposals paints in a colour."""
    layer = hands.everything.view.layer
    colours = {k: layer.get_color(int(layer.data[(*z, *place)])) for k, place in INSIDE.items()}
    return {k for k, colour in colours.items() if colour is not None and colour[3] > 0}


def test_the_best_are_shown_and_the_slider_shows_more(hands, knows):
    run(hands)
    assert seen(hands) == {1, 2, 3}
    type_words(hands, "bright")
    assert seen(hands) == {2}  # a quarter of three, rounded up
    box = hands.everything.panel.text
    assert box.count.text().startswith('1 of 3 proposals, the best for "bright"')
    assert "use Find similar" in box.count.text()
    box.slider.setValue(60)
    assert seen(hands) == {2, 3}
    type_words(hands, "dark")
    assert seen(hands) == {1, 3}
    assert knows.seen == 6  # two crops of each, once
    box.words.clear()
    assert seen(hands) == {1, 2, 3}
    assert not hands.everything.proposals.hidden


def test_those_shown_are_accepted_with_the_words_as_their_class(hands, knows):
    run(hands)
    hands.everything.panel.text.slider.setValue(60)
    type_words(hands, "bright")
    found = hands.everything.view.layer.data.copy()
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    store = hands.bench.results.store
    assert {one.category for one in store.objects.values()} == {"bright"}
    assert [one.name for one in classes_of(store.properties)] == ["bright"]
    kept = hands.labels > 0
    assert kept[INSIDE[2]]
    assert kept[INSIDE[3]]
    assert not kept[INSIDE[1]]
    assert seen(hands) == set()
    hands.press(Qt.Key.Key_Z, CONTROL)
    settle(hands)
    assert not hands.labels.any()
    assert np.array_equal(hands.everything.view.layer.data, found)
    assert seen(hands) == {2, 3}
    assert not classes_of(store.properties)


def test_a_hidden_proposal_is_not_accepted(hands, knows):
    run(hands)
    type_words(hands, "bright")
    QTest.mouseMove(hands.canvas, hands.place(*INSIDE[1]))
    hands.until(lambda: hands.viewer.mouse_over_canvas)
    hands.rest()
    hands.everything.view.layer.selected_label = 99
    hands.press(Qt.Key.Key_A)
    settle(hands)
    assert hands.status == proposals.NONE_HERE
    hands.everything.panel.text.words.clear()
    hands.press(Qt.Key.Key_A)
    settle(hands)
    (kept,) = hands.bench.results.store.objects.values()
    assert kept.category == ""


def test_words_hold_for_the_next_run_and_the_next_threshold(hands, knows):
    run(hands)
    type_words(hands, "bright")
    widget = hands.everything.panel.widgets["pred_iou_thresh"]
    for value in (1.0, 0.6):
        widget.value = value
        settle(hands)
    assert seen(hands) == {2}
    run(hands)
    assert seen(hands) == {2}
    before = knows.asked
    hands.press(Qt.Key.Key_Z, CONTROL)  # the run: its labels may be others
    settle(hands)
    assert knows.asked == before + 1
    assert seen(hands) == {2}


def test_a_run_ends_what_is_being_ranked(hands, knows):
    run(hands)
    knows.loading.clear()
    box, text = hands.everything.panel.text, hands.everything.text
    text.use_model("known")
    box.words.setText("bright")
    QTest.keyClick(box.words, Qt.Key.Key_Return)
    hands.until(lambda: "loading known" in hands.status)
    hands.everything.run()
    hands.until(lambda: not hands.busy(Lane.BULK))
    knows.loading.set()
    settle(hands)
    assert seen(hands) == {2}


def test_objects_of_a_stack_are_chosen_whole(open_dock, scene, knows):
    stack = np.stack([scene[0]] * 3)
    for label, value in VALUES.items():
        stack[:, scene[1] == label] = value
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    run(hands, all_planes=True)
    type_words(hands, "bright")
    assert all(seen(hands, (z,)) == {2} for z in range(3))
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    (kept,) = hands.bench.results.store.objects.values()
    assert len(kept.outlines) == 3
    assert kept.category == "bright"


def test_without_a_model_or_proposals_it_says_what_to_do(hands, knows):
    hands.everything.text.ask("bright")
    assert hands.status == text_choice.NO_MODEL
    hands.everything.text.use_model("known")
    assert hands.status == proposals.NO_PROPOSALS
    run(hands)
    assert seen(hands) == {2}  # as soon as there are some


def test_what_goes_wrong_is_said(hands, monkeypatch):
    def loading(name):
        yield Progress(0, 0, "")
        raise ValueError(f"{name} has no config.json")

    monkeypatch.setattr(text_choice, "loading_text_model", loading)
    run(hands)
    type_words(hands, "bright")
    assert "has no config.json" in hands.status
    assert seen(hands) == {1, 2, 3}


def test_the_list_has_models_that_are_here_and_to_download(hands, tmp_path):
    folder = tmp_path / "models" / "own pair"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    hands.everything.opened()
    models = hands.everything.panel.text.models
    names = [models.itemText(row) for row in range(models.count())]
    assert names[0] == models.currentText() == "own pair"
    assert names[1] == "siglip_base: download 816 MB, Apache-2.0"
    assert names[-1] == text_choice.OTHER


def test_without_transformers_there_is_one_sentence(hands, monkeypatch):
    monkeypatch.setattr(text_choice, "has_transformers", lambda: False)
    hands.everything.opened()
    box = hands.everything.panel.text
    assert box.count.text() == NOT_INSTALLED
    assert box.words.isHidden()
    assert box.slider.isHidden()


def test_only_the_last_words_of_the_last_model_count(hands, knows):
    run(hands)
    first, second = knows.hold(1, 2)
    enter(hands, "bright")
    ranks(hands, knows, 1)
    hands.everything.text.use_model("another")
    ranks(hands, knows, 2)  # the first ends by itself, and nobody waits for it
    first.set()
    hands.rest()
    assert seen(hands) == {1, 2, 3}
    hands.everything.panel.text.words.clear()
    assert not hands.busy(Lane.TEXT, Lane.SIMILAR)
    second.set()
    settle(hands)
    assert seen(hands) == {1, 2, 3}
    assert not hands.everything.proposals.hidden
    assert hands.everything.proposals.category == ""


def test_crops_have_the_spacing_of_the_plane_that_they_are_of(open_dock, scene, knows):
    stack = np.stack([scene[0]] * 5)
    hands = open_dock(("add_image", stack, {"name": "stack", "scale": (3, 1, 1)}))
    run(hands)
    hands.viewer.dims.order = (1, 0, 2)
    hands.rest()
    type_words(hands, "bright")
    assert len(knows.shapes) == 6
    assert all(rows == columns for rows, columns in knows.shapes)


def test_nothing_is_accepted_or_rejected_while_proposals_are_ranked(hands, knows):
    run(hands)
    hands.everything.view.layer.selected_label = 1
    (gate,) = knows.hold(1)
    enter(hands, "bright")
    ranks(hands, knows, 1)
    assert said(hands).startswith('The proposals are being ranked for "bright"')
    for key, modifier in ((Qt.Key.Key_A, SHIFT), (Qt.Key.Key_A, None), (Qt.Key.Key_X, None)):
        hands.context.status.hint("")
        hands.press(key, *([modifier] if modifier else []))
        assert hands.context.status._hint == text_choice.RANKING
    gate.set()
    settle(hands)
    assert not hands.labels.any()
    assert seen(hands) == {2}
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    (kept,) = hands.bench.results.store.objects.values()
    assert kept.category == "bright"


def test_a_rule_accepts_only_what_fits_the_words(hands, knows):
    hands.everything.text.use_model("known")
    hands.everything.panel.text.words.setText("bright")
    hands.everything.text.ask("bright")
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    hands.everything.panel.set_params(AmgParams(**usual))
    hands.everything.run_and_accept()
    settle(hands)
    (kept,) = hands.bench.results.store.objects.values()
    assert kept.category == "bright"
    assert hands.labels[INSIDE[2]]


def test_a_rule_accepts_nothing_if_the_words_cannot_be_applied(hands, knows):
    hands.everything.text.ask("bright")  # no model was chosen
    hands.everything.run_and_accept()
    settle(hands)
    assert hands.status == text_choice.NO_MODEL
    assert hands.bench.results is None or not hands.labels.any()
    hands.everything.panel.text.words.setText(" ")
    hands.everything.panel.text.words.clear()
    hands.everything.run_and_accept()
    settle(hands)
    assert hands.labels[INSIDE[1]]


def test_words_wait_for_what_is_being_accepted(hands, knows):
    run(hands)
    hands.everything.text.use_model("known")
    layer = hands.everything.view.layer
    hands.everything.proposals.accept_label(int(layer.data[INSIDE[2]]))
    assert hands.everything.proposals.busy
    hands.everything.text.ask("bright")
    assert not hands.busy(Lane.TEXT, Lane.SIMILAR)
    assert "is applied once what goes on is done" in said(hands)
    settle(hands)
    assert said(hands).startswith("1 of 2 proposals")
    assert seen(hands) == {3}
    (kept,) = hands.bench.results.store.objects.values()
    assert kept.category == ""


def test_what_is_painted_is_shown_and_can_be_accepted(hands, knows):
    """Both a label that was hidden and a new one; the others stay hidden."""
    run(hands)
    type_words(hands, "bright")
    layer = hands.everything.view.layer
    hidden = int(layer.data[INSIDE[1]])
    layer.brush_size = 3
    layer.paint((10, 60), hidden)
    layer.paint((60, 10), 50)
    hands.rest()
    assert seen(hands) == {1, 2}
    assert layer.get_color(50)[3] > 0
    assert said(hands).startswith("2 of 3 proposals")
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    kept = hands.labels > 0
    assert all(kept[place] for place in (INSIDE[1], INSIDE[2], (10, 60), (60, 10)))
    assert not kept[INSIDE[3]]


def test_when_all_that_is_shown_is_accepted_it_says_how_to_see_the_others(hands, knows):
    run(hands)
    type_words(hands, "bright")
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    assert said(hands).startswith("0 of 2 proposals")
    hands.press(Qt.Key.Key_A, SHIFT)
    settle(hands)
    assert "move the slider of Text or clear the words" in hands.status
    hands.everything.panel.text.slider.setValue(60)
    assert seen(hands) == {3}
    assert said(hands).startswith("1 of 2 proposals")


def test_a_rejection_that_is_taken_back_is_ranked(hands, knows):
    run(hands)
    layer = hands.everything.view.layer
    hands.everything.proposals.reject_label(int(layer.data[INSIDE[2]]))
    settle(hands)
    type_words(hands, "bright")
    assert seen(hands) == {3}
    hands.press(Qt.Key.Key_Z, CONTROL)
    settle(hands)
    assert seen(hands) == {2}
    assert said(hands).startswith("1 of 3 proposals")


def test_words_are_applied_again_after_a_run_that_fails(hands, knows, monkeypatch):
    run(hands)
    type_words(hands, "bright")
    asked = knows.asked

    def fails(self, session, planes):
        yield Progress(0, 0, "")
        raise ValueError("the disk is full")

    monkeypatch.setattr(LiveSelection, "found", fails)
    hands.everything.run()
    settle(hands)
    assert "the disk is full" in hands.status
    assert knows.asked == asked + 1
    assert seen(hands) == {2}


def test_words_wait_for_other_long_work(hands, knows):
    run(hands)
    hands.everything.text.use_model("known")
    free = threading.Event()

    def steps():
        yield Progress(0, 0, "")
        free.wait(60)

    hands.scheduler.submit(Work(steps), Lane.BULK)
    enter(hands, "bright")
    hands.rest()
    assert knows.asked == 0
    assert "is applied once what goes on is done" in said(hands)
    free.set()
    settle(hands)
    assert seen(hands) == {2}


def test_words_that_another_search_ended_are_said_to_be_not_applied(hands, knows):
    run(hands)
    (gate,) = knows.hold(1)
    enter(hands, "bright")
    ranks(hands, knows, 1)
    hands.context.search_began.emit(object())
    assert said(hands).startswith('"bright" is not applied: press Enter')
    gate.set()
    settle(hands)
    assert seen(hands) == {1, 2, 3}
    type_words(hands, "bright")
    assert seen(hands) == {2}


def test_a_model_goes_before_another_is_loaded(hands, monkeypatch):
    """Two may not fit into memory. None is loaded in a lane that lets others wait."""
    models, lanes = [], []

    def loading(name):
        yield Progress(0, 0, f"loading {name}")
        gc.collect()
        lanes.append([lane for lane in Lane if hands.busy(lane)])
        assert not any(one() for one in models)
        model = Knows()
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(text_choice, "loading_text_model", loading)
    run(hands)
    type_words(hands, "bright")
    hands.everything.text.use_model("another")
    settle(hands)
    assert seen(hands) == {2}
    assert lanes == [[Lane.TEXT]] * 2
    hands.everything.text.close()
    gc.collect()
    assert models[1]() is None


def test_a_downloaded_model_is_listed_once_and_loaded_once(hands, knows, tmp_path):
    folder = tmp_path / "models" / "siglip_base"
    run(hands)
    knows.loading.clear()
    enter(hands, "bright", "siglip_base")
    hands.until(lambda: knows.loaded)
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (folder / name).touch()
    knows.loading.set()
    settle(hands)
    models = hands.everything.panel.text.models
    names = [models.itemText(row) for row in range(models.count())]
    assert [name for name in names if name.startswith("siglip_base")] == ["siglip_base"]
    assert models.currentText() == "siglip_base"
    hands.everything.text.use_model(folder)
    settle(hands)
    assert knows.loaded == ["siglip_base"]
    assert seen(hands) == {2}


def test_the_sentence_on_what_to_install_stays(hands, monkeypatch):
    monkeypatch.setattr(text_choice, "has_transformers", lambda: False)
    hands.everything.opened()
    run(hands)
    assert said(hands) == NOT_INSTALLED
