"""Steps of the dock over several targets: walked in order, in pieces, whatever goes meanwhile."""

from __future__ import annotations

import pytest

from napari_sam.objects import Edit
from napari_sam.objects.recorder import TargetInfo
from napari_sam.widget import history as history_module
from napari_sam.widget.history import History

pytestmark = pytest.mark.usefixtures("in_one_go")


class Target:
    """Notes what is asked of it; each edit is written in two pieces, all or nothing."""

    def __init__(self, name, said):
        self.id, self.said = name, said
        self.held, self.fails = False, ""

    def info(self):
        return TargetInfo("objects", (), "")

    def image_hash(self, key):
        return ""

    def completed(self, edit, whole):
        return edit

    def adopt(self, edit):
        pass

    def write_in_pieces(self, edit):
        if self.fails:
            raise ValueError(self.fails)
        whole = False
        try:
            yield
            yield
            whole = True
        finally:
            if not whole:
                self.said.append(f"{self.id} taken back")
        back = edit.properties["made"][1] is None
        self.said.append(f"{'-' if back else '+'}{self.id}{edit.text}")

    def hold(self, held):
        self.held = held

    def walked(self, edit, happened):
        self.said.append(f"{self.id} {happened}")


def step(text):
    return Edit(text, properties={"made": (None, True)})


@pytest.fixture
def said():
    return []


@pytest.fixture
def made(said):
    """A history with steps of two targets: a1, b1, a2 that took b2 with it."""
    history, a, b = History(), Target("a", said), Target("b", said)
    history.on_failed = said.append
    for target, text in ((a, "1"), (b, "1"), (a, "2")):
        history.note(target, step(text))
    history.note(b, step("2"), joined=True)
    return history, a, b


def unsaid(text, boxes):
    """Say nothing."""


def written(said):
    return [text for text in said if text[0] in "+-"]


def test_steps_are_walked_in_their_order(made, said):
    history, _, _ = made
    words = []
    for _ in range(3):
        history.undo(lambda text, boxes: words.append(text))
    assert written(said) == ["-b2", "-a2", "-b1", "-a1"]
    assert words == ["2", "1", "1"]
    assert said[2:4] == ["a undone", "b undone"]
    with pytest.raises(ValueError, match="nothing to undo$"):
        history.undo(unsaid)
    said.clear()
    for _ in range(3):
        history.redo(unsaid)
    assert written(said) == ["+a1", "+b1", "+a2", "+b2"]
    with pytest.raises(ValueError, match="nothing to redo"):
        history.redo(unsaid)


def test_a_new_step_ends_what_could_be_made_again(made):
    history, a, _ = made
    history.undo(unsaid)
    history.note(a, step("3"))
    with pytest.raises(ValueError, match="nothing to redo"):
        history.redo(unsaid)


def test_numbers_grow_and_go_back(made):
    history, a, _ = made
    assert history.number == 3
    history.undo(unsaid)
    assert history.number == 2
    history.note(a, step("3"))
    assert history.number == 4


def test_what_a_lost_target_took_with_it_stays_a_step(made, said):
    history, a, _ = made
    history.drop(a)
    history.undo(unsaid)
    history.undo(unsaid)
    assert written(said) == ["-b2", "-b1"]
    with pytest.raises(ValueError, match="nothing to undo"):
        history.undo(unsaid)


def test_a_target_that_goes_while_it_is_written_holds_up_nothing(made, said, monkeypatch, qtbot):
    monkeypatch.setattr(history_module, "SLICE", 0.0)
    history, a, b = made
    history.undo(unsaid)
    assert history.walking
    assert a.held
    assert b.held
    with pytest.raises(ValueError, match="wait until"):
        history.undo(unsaid)
    history.drop(b)
    assert said == ["b taken back"]
    assert not history.walking
    assert not a.held
    assert not b.held
    history.undo(unsaid)
    qtbot.waitUntil(lambda: not history.walking, timeout=2000)
    assert written(said) == ["-a2"]
    assert not a.held


def test_a_fault_of_the_program_holds_up_nothing(made, turns):
    history, a, b = made

    def broken():
        yield
        yield
        raise RuntimeError("broken")

    history.write(a, broken(), unsaid, also=[b])
    assert a.held
    assert b.held
    with pytest.raises(RuntimeError, match="broken"):
        turns.rest()
    assert not history.walking
    assert not a.held
    assert not b.held


@pytest.mark.parametrize("way", ["undo", "redo"])
def test_a_fault_while_a_step_is_walked_holds_up_nothing(made, said, monkeypatch, way):
    history, a, b = made
    if way == "redo":
        history.undo(unsaid)
    said.clear()
    with monkeypatch.context() as patch:
        patch.setattr(b, "write_in_pieces", lambda edit: iter([1 / 0]))
        with pytest.raises(ZeroDivisionError):
            getattr(history, way)(unsaid)
    assert not history.walking
    assert not a.held
    said.clear()
    getattr(history, way)(unsaid)
    assert sorted(written(said)) == (["+a2", "+b2"] if way == "redo" else ["-a2", "-b2"])


def test_only_what_is_asked_for_is_finished(made, turns):
    history, _, _ = made
    mine, other = (iter(range(9)) for _ in "ab")
    history.run(mine, lambda failed: None)
    history.finish(other)
    assert history.walking
    history.finish(mine)
    assert not history.walking


def test_what_cannot_be_written_is_said_and_stays_a_step(made, said):
    history, a, _ = made
    a.fails = "a is read-only"
    history.undo(unsaid)  # the part of b was taken back by then, and is made again
    assert said == ["-b2", "+b2", "a is read-only"]
    assert not history.walking
    a.fails = ""
    history.undo(unsaid)
    assert said[3:5] == ["-b2", "-a2"]


def test_the_oldest_steps_are_dropped_and_the_end_is_said(said):
    history, a = History(), Target("a", said)
    history.steps.limit_bytes = 4500  # of 1000 each
    for k in range(10):
        history.note(a, step(str(k)))
    assert history.steps.nbytes <= 4500
    for _ in range(4):
        history.undo(unsaid)
    assert written(said) == ["-a9", "-a8", "-a7", "-a6"]
    with pytest.raises(ValueError, match="no longer kept"):
        history.undo(unsaid)


def test_the_newest_step_is_kept_however_large(said):
    history, a = History(), Target("a", said)
    history.steps.limit_bytes = 5
    history.note(a, step("1"))
    history.undo(unsaid)
    assert written(said) == ["-a1"]


def test_a_step_that_cannot_be_recorded_is_said_and_made_all_the_same(made, said):
    class Full:
        def made(self, number, target, edit):
            if number > 3:
                raise OSError("the disk is full")

        def joined(self, number, target, edit):
            pass

        def undone(self, number):
            pass

    history, a, _ = made
    history.use(Full())
    history.note(a, step("3"))
    assert said == ["3 stays, but is not in the journal yet: the disk is full"]
    assert history.number == 4


def test_a_target_that_is_gone_and_cannot_be_written_to_is_dropped_all_the_same(said):
    history, (a, b) = History(), (Target(name, said) for name in "ab")
    failed = []
    history.on_failed = failed.append
    history.steps.make(a, step("1"))
    history.steps.join(b, step("1"))
    walk = history.steps.undo_in_pieces()
    for _ in range(3):  # b is taken back, a is being
        next(walk)
    history._walk = walk
    b.fails = "its folder is gone"
    history.drop(b)
    assert failed == ["its folder is gone"]
    assert not history.walking
    assert [one.targets for one in history.steps._done] == [[a]]
