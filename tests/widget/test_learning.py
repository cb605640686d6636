"""The section Learn: a training in a process of its own, and what becomes of its result."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from skimage import draw
from tiny import SceneModel

from napari_sam.models.adapters import write_tuned
from napari_sam.models.cards import Card, read_card
from napari_sam.preferences import Preferences
from napari_sam.training.finetune.examples import read_examples
from napari_sam.training.finetune.request import EXAMPLES, REQUEST, RESULT
from napari_sam.training.finetune.tune_params import TuneParams
from napari_sam.widget.features.learning import child, folders, logic, outlines, rest
from napari_sam.widget.features.learning.logic import Learning
from napari_sam.widget.scheduler import Lane

FAKE = """
import json, os, shutil, sys
from pathlib import Path
folder, tuned, mode = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
request = json.loads((folder / "request.json").read_text())

def tell(event, **content):
    print(json.dumps({"event": event, **content}), flush=True)

print("a library greets")
if request["estimate"]:
    tell("estimate", seconds=300.0, steps=100, bytes=800_000_000, images=100_000_000,
         shortage="label 3 more")
    sys.exit()
runs = folder / "runs"
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
tell("split", text="a part is held out")
for index in range(4):
    tell("step", index=index, loss=3.0 - index, iou=0.5, seconds=index + 0.0, left=90.0 - index,
         held_out=0.7 if index % 3 == 0 else None)
if mode == "error":
    tell("error", text="there is not enough of it")
    sys.exit(1)
if mode == "crash" and runs.read_text() == "x":
    sys.stderr.write("Segmentation fault\\n")
    sys.exit(3)
if mode == "wait":
    for line in sys.stdin:
        with open(tuned + ".said", "a") as file:
            file.write(line)
        if line == "stop\\n":
            break
    else:
        sys.exit()
tell("progress", text="comparing", done=0, total=2)
if mode == "wait":
    sys.stdin.readline()
shutil.copyfile(tuned, folder / "tuned.safetensors")
better = mode != "worse"
text = "The trained model is better." if better else "The trained model is not taken: it is worse."
tell("verdict", better=better, text=text, table="1 click 0.5 0.6", file="",
     picture=str(folder / "changes.png"))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Trainings are a script that ends as `fake.mode` says; `fake.said` is what it was told."""
    script, tuned = tmp_path / "fake.py", tmp_path / "made.safetensors"
    script.write_text(FAKE)
    write_tuned(tuned, {"a": torch.zeros(2)}, Card("pocket", "of the base"))

    class Fake:
        mode = "better"

        @property
        def said(self):
            path = tmp_path / "made.safetensors.said"
            return path.read_text().split() if path.exists() else []

    def command(folder):
        return [sys.executable, str(script), str(folder), str(tuned), fake.mode]

    fake = Fake()
    monkeypatch.setattr(child, "command", command)
    monkeypatch.setattr(rest, "LOOK_MS", 30)
    return fake


@pytest.fixture
def learning(open_dock, scene, fake):
    """A window on the scene with its objects kept, and the section open."""
    return opened(open_dock, *scene)


def opened(open_dock, image, labels):
    hands = open_dock(("add_image", image, {"name": "scene"}), ("add_labels", labels, {}))
    hands.until(lambda: hands.bench.results is not None and not hands.bench.counting)
    hands.learn = hands.dock.feature(Learning)
    hands.panel = hands.learn.panel
    hands.dock.sections["Learn"].expand()
    hands.rest()
    return hands


def push(hands, button):
    assert button.isEnabled()
    assert not button.isHidden()
    hands._said.clear()
    at = QPoint(10, button.height() // 2)  # of a check box only the box and its text can be clicked
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=at)


def job_folder(hands):
    return hands.learn.training.job.folder


def test_learning_as_i_go_can_be_switched_off_where_a_model_cannot_learn(learning):
    panel = learning.panel
    panel.learn.setChecked(True)
    panel.set_hindrance("it cannot be trained")
    assert panel.learn.isEnabled()
    assert not panel.start.isEnabled()
    panel.learn.setChecked(False)
    assert not panel.learn.isEnabled()
    panel.set_hindrance("")
    assert panel.learn.isEnabled()


def test_looking_over_tells_what_there_is_and_what_it_takes(learning):
    panel = learning.panel
    push(learning, panel.look)
    learning.until(lambda: "training takes" in panel.estimate.text())
    assert panel.summary.text() == "1 image, 3 labelled objects"
    assert panel.estimate.text() == (
        "training takes about 5 minutes, 100 steps, and 0.8 GB of memory, 100 MB of it for "
        "the images; the comparison may take more; label 3 more"
    )
    request = json.loads((job_folder(learning) / REQUEST).read_text())
    assert request["base"] == "pocket"
    assert request["held_out"] == 0.5  # of three objects, as many as can be
    (example,) = read_examples(job_folder(learning) / EXAMPLES)
    assert example.objects == (1, 2, 3)
    assert np.array_equal(example.labels > 0, example.image > 100)
    push(learning, panel.picture)
    learning.until(lambda: learning.panel.findChildren(logic.PictureWindow))
    (window,) = learning.panel.findChildren(logic.PictureWindow)
    assert "3 labelled objects" in window.text.toPlainText()
    window.close()


def test_a_better_model_is_used_and_one_click_leads_back(learning, config_folder, tmp_path):
    panel, context = learning.panel, learning.context
    push(learning, panel.start)
    learning.until_said("It is in use from now on")
    learning.until(lambda: context.session is not None and "tuned" in context.model)
    used = Path(context.model)
    assert used == folders.tuned_folder() / "pocket-tuned-1.safetensors"
    assert read_card(used).base == "pocket"
    assert Preferences().chosen.model == str(used)
    assert learning.source.model.currentText() == "pocket-tuned-1"
    assert panel.verdict.text() == "The trained model is better."
    assert [score for _, score in panel.curve.scores] == [0.7, 0.7]
    assert len(panel.curve.losses) == 3

    assert panel.back.text() == "Back to pocket"
    push(learning, panel.back)
    learning.until(lambda: context.model == "pocket" and context.session is not None)
    assert panel.back.isHidden()
    assert Preferences().chosen.model == ""

    target = tmp_path / "mine.safetensors"
    learning.learn.save_to(learning.learn.models.trained, str(target))
    learning.until_said("mine.safetensors")
    assert read_card(target).base == "pocket"


def test_what_is_trained_next_begins_at_the_same_base(learning):
    context = learning.context
    push(learning, learning.panel.start)
    learning.until(lambda: "tuned-1" in context.model and context.session is not None)
    push(learning, learning.panel.start)
    learning.until(lambda: "tuned-2" in context.model and context.session is not None)
    assert learning.panel.back.text() == "Back to pocket-tuned-1"
    assert learning.learn.models.base == "pocket"


def test_a_model_that_is_not_better_is_not_used(learning, fake, monkeypatch):
    fake.mode = "worse"
    panel, context = learning.panel, learning.context
    push(learning, panel.start)
    learning.until_said("not taken: it is worse. pocket stays in use")
    learning.rest(0.3)
    assert context.model == "pocket"
    assert panel.back.isHidden()
    assert not panel.save.isHidden()

    def loading(name, device):
        yield from ()
        return SceneModel()

    monkeypatch.setattr(outlines, "loading", loading)
    push(learning, panel.compare)
    learning.until(lambda: not panel.legend.isHidden())
    assert "each kept object" in panel.legend.text()
    (layer,) = [one for one in learning.viewer.layers if one.name == "SAM comparison"]
    learning.until(lambda: np.any(layer.data))
    assert layer.data.shape == (97, 129)
    assert set(np.unique(layer.data)) == {0, 3}  # both models know the answer
    assert layer.data[10, 20] == 3
    assert layer.data[25, 25] == 0
    push(learning, panel.compare)
    assert not layer.visible
    assert panel.legend.isHidden()


def test_objects_in_work_are_what_is_compared(open_dock, scene, fake, monkeypatch):
    fake.mode = "worse"
    learning = opened(open_dock, scene[0], np.where(scene[1] == 1, 0, scene[1]))
    push(learning, learning.panel.start)
    learning.until_said("stays in use")
    monkeypatch.setattr(outlines, "loading", lambda name, device: made(SceneModel()))
    learning.click_and_wait(25, 25)
    push(learning, learning.panel.compare)
    learning.until(lambda: "your prompts" in learning.panel.legend.text())
    layer = learning.viewer.layers["SAM comparison"]
    learning.until(lambda: np.any(layer.data))
    rows, columns = np.nonzero(layer.data)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 39, 12, 43)


def made(model):
    yield from ()
    return model


def test_pause_stop_and_giving_up(learning, fake):
    fake.mode = "wait"
    panel, training = learning.panel, learning.learn.training
    push(learning, panel.start)
    learning.until(lambda: len(panel.curve.losses) == 3)
    assert panel.start.isHidden()
    assert not panel.look.isEnabled()
    push(learning, panel.pause)
    assert panel.pause.text() == "Go on"
    push(learning, panel.pause)
    learning.until(lambda: fake.said == ["pause", "resume"])
    push(learning, panel.stop)
    learning.until(lambda: fake.said[-1] == "stop" and panel.stop.text() == "Give up")
    push(learning, panel.stop)
    learning.until(lambda: not training.runs)
    assert panel.pause.isHidden()
    assert not panel.start.isHidden()
    assert learning.context.model == "pocket"


def test_what_was_stopped_is_compared(learning, fake):
    fake.mode = "wait"
    push(learning, learning.panel.start)
    learning.until(lambda: len(learning.panel.curve.losses) == 3)
    push(learning, learning.panel.stop)
    learning.until(lambda: fake.said[-1:] == ["stop"])
    learning.learn.training._child.say("go on")
    learning.until(lambda: "tuned-1" in learning.context.model)


def test_a_training_that_crashes_can_go_on(learning, fake):
    fake.mode = "crash"
    panel = learning.panel
    push(learning, panel.start)
    learning.until_said("has ended unexpectedly (exit code 3: Segmentation fault)")
    folder = job_folder(learning)
    assert panel.start.text() == "Go on"
    push(learning, panel.start)
    learning.until(lambda: "tuned-1" in learning.context.model)
    assert job_folder(learning) == folder
    assert panel.start.text() == "Start"


def test_errors_of_a_training_are_said(learning, fake):
    fake.mode = "error"
    push(learning, learning.panel.start)
    learning.until_said("training failed: there is not enough of it")
    assert not learning.panel.start.isHidden()
    assert learning.panel.start.text() == "Start"


def test_a_program_that_is_not_there(learning, monkeypatch):
    monkeypatch.setattr(child, "command", lambda folder: ["/there/is/no/python"])
    push(learning, learning.panel.start)
    learning.until_said("the training process cannot be started")


def test_without_objects_there_is_nothing_to_learn(open_dock, scene, fake):
    learning = opened(open_dock, scene[0], np.zeros_like(scene[1]))
    push(learning, learning.panel.start)
    learning.until_said("there is no object to learn from; keep some objects first")


def test_objects_of_all_images_can_be_learnt_from(open_dock, scene, fake):
    learning = opened(open_dock, scene[0], np.where(scene[1] == 1, 0, scene[1]))
    other = learning.viewer.add_image(scene[0][::-1], name="other")
    learning.source.use_image(other)
    learning.click_and_wait(70, 25)
    learning.prompting.commit()
    learning.until(lambda: learning.bench.results.store.objects)
    panel = learning.panel
    push(learning, panel.look)
    learning.until(lambda: "training takes" in panel.estimate.text())
    assert panel.summary.text() == "1 image, 1 labelled objects"
    panel.source.setCurrentIndex(1)
    panel.source.activated.emit(1)
    assert panel.summary.isHidden()
    push(learning, panel.look)
    learning.until(lambda: "training takes" in panel.estimate.text())
    assert panel.summary.text() == "2 images, 3 labelled objects, 1 to 2 an image"
    examples = read_examples(job_folder(learning) / EXAMPLES)
    assert {one.group for one in examples} == {"scene", "other"}


def test_closing_the_dock_ends_the_process(learning, fake):
    fake.mode = "wait"
    push(learning, learning.panel.start)
    learning.until(lambda: len(learning.panel.curve.losses) == 3)
    process = psutil.Process(learning.learn.training._child._process.processId())
    folder = job_folder(learning)
    learning.dock.close_dock()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert not folder.exists()


def test_what_is_ticked_is_left_out(open_dock, scene, fake):
    image, truth = scene
    tiny = truth.copy()
    tiny[90, 100] = 9  # one pixel
    learning = opened(open_dock, np.where(tiny > 0, 200, image).astype(np.uint8), tiny)
    panel = learning.panel
    push(learning, panel.look)
    learning.until(lambda: "training takes" in panel.estimate.text())
    rows = [panel.findings.item(k) for k in range(panel.findings.count())]
    (row,) = [item for item in rows if item.data(logic.Qt.ItemDataRole.UserRole).kind == "tiny"]
    row.setCheckState(Qt.CheckState.Checked)
    fake.mode = "wait"
    push(learning, panel.start)
    learning.until(lambda: len(panel.curve.losses) == 3)
    (example,) = read_examples(job_folder(learning) / EXAMPLES)
    assert example.objects == (1, 2, 3)
    assert [one.kind for one in panel.left_out] == ["tiny"]  # it is still seen


def test_learning_as_one_goes(open_dock, scene, fake, monkeypatch):
    monkeypatch.setattr(rest, "REST", 0.1)
    monkeypatch.setattr(rest, "FEWEST", 4)
    monkeypatch.setattr(rest, "NEW", 2)
    learning = opened(open_dock, scene[0], np.where(scene[1] == 1, 0, scene[1]))
    panel, context = learning.panel, learning.context
    push(learning, panel.learn)
    assert Preferences().chosen.learn
    learning.until(lambda: panel.learning.text() == "learns when 1 more object is kept")
    learning.click_and_wait(25, 25)
    learning.rest(0.3)
    assert not learning.learn.training.runs
    learning.prompting.commit()
    learning.until(lambda: "tuned-1" in context.model and context.session is not None)
    request = learning.learn.training.job.request
    assert learning.learn.training.job.automatic
    assert request.params.minutes == 2.0
    learning.rest(0.5)  # nothing is new: no other training
    assert panel.learning.text() == "learns when 2 more objects are kept"
    assert "tuned-1" in context.model
    push(learning, panel.back)
    learning.until(lambda: context.model == "pocket" and context.session is not None)

    again = open_dock(("add_image", scene[0], {}))
    assert again.dock.feature(Learning).panel.learn.isChecked()


def test_turning_it_off_ends_a_training_that_was_not_asked_for(open_dock, scene, fake, monkeypatch):
    monkeypatch.setattr(rest, "REST", 0.1)
    monkeypatch.setattr(rest, "FEWEST", 3)
    monkeypatch.setattr(rest, "NEW", 2)
    fake.mode = "wait"
    learning = opened(open_dock, *scene)
    push(learning, learning.panel.learn)
    learning.until(lambda: len(learning.panel.curve.losses) == 3)
    push(learning, learning.panel.learn)
    assert not learning.learn.training.runs
    assert not Preferences().chosen.learn
    assert learning.panel.learning.isHidden()


def test_old_models_go_but_for_those_in_use(tmp_path):
    result = tmp_path / RESULT
    write_tuned(result, {"a": torch.zeros(2)}, Card("pocket", ""))
    first = folders.keep(result, "pocket", ())
    for _ in range(folders.MOST_KEPT + 3):
        newest = folders.keep(result, "pocket", {str(first)})
    assert newest.name == f"pocket-tuned-{folders.MOST_KEPT + 4}.safetensors"
    names = sorted(path.name for path in folders.tuned_folder().iterdir())
    assert len(names) == folders.MOST_KEPT + 1
    assert {first.name, newest.name} <= set(names)


@pytest.mark.slow
def test_a_real_training(open_dock, model, monkeypatch):
    """Two steps of the bundled model; whatever comes of it, there are figures and a file."""
    model.made = None
    monkeypatch.setattr(logic, "TuneParams", partial(TuneParams, steps=2))
    labels = np.zeros((160, 240), np.int32)
    for number, (row, column) in enumerate(np.ndindex(3, 6), 1):
        place = draw.disk((25 + 52 * row, 20 + 40 * column), 13, shape=labels.shape)
        labels[place] = number
    rng = np.random.default_rng(0)
    image = np.where(labels > 0, 150, 60) + rng.integers(0, 40, labels.shape)
    learning = opened(open_dock, image.astype(np.uint8), labels)
    push(learning, learning.panel.start)
    learning.until(learning.panel.verdict.text, timeout=300)
    assert "1 click" in learning.learn._verdict["table"]
    assert Path(learning.learn._verdict["picture"]).is_file()
    card = read_card(learning.learn.models.trained)
    assert card.base == "pocket"
    assert card.figures["objects"] == 9
    learning.until(lambda: not learning.busy(Lane.LEARN))
    assert not (job_folder(learning) / EXAMPLES).exists()
    QApplication.processEvents()
