"""One list of steps over several owners: walked in order, bounded by bytes."""

from __future__ import annotations

import pytest

from napari_sam.widget.history import History


class Owner:
    """Notes what is asked of it; each step takes 10 bytes."""

    def __init__(self, name, said):
        self.name, self.said = name, said
        self.done, self.undone = [], []

    @property
    def nbytes(self):
        return 10 * len(self.done + self.undone)

    def step(self, text):
        self.done.append(text)
        self.undone.clear()

    def undo(self, done):
        self.undone.append(self.done.pop())
        self.said.append(f"-{self.name}{self.undone[-1]}")
        done(self.undone[-1], ())

    def redo(self, done):
        self.done.append(self.undone.pop())
        self.said.append(f"+{self.name}{self.done[-1]}")
        done(self.done[-1], ())

    def forget_oldest(self):
        del self.done[0]

    def forget_undone(self):
        self.undone.clear()


@pytest.fixture
def said():
    return []


@pytest.fixture
def made(said):
    """A history with steps of two owners: a1, b1, a2 that took b2 with it."""
    history, a, b = History(), Owner("a", said), Owner("b", said)
    for owner, text in ((a, "1"), (b, "1"), (a, "2")):
        owner.step(text)
        history.note(owner)
    b.step("2")
    history.join(b)
    return history, a, b


def unsaid(text, boxes):
    """Say nothing."""


def test_steps_are_walked_in_their_order(made, said):
    history, _, _ = made
    for _ in range(3):
        history.undo(unsaid)
    assert said == ["-a2", "-b2", "-b1", "-a1"]
    with pytest.raises(ValueError, match="nothing to undo$"):
        history.undo(unsaid)
    said.clear()
    for _ in range(3):
        history.redo(unsaid)
    assert said == ["+a1", "+b1", "+a2", "+b2"]
    with pytest.raises(ValueError, match="nothing to redo"):
        history.redo(unsaid)


def test_a_new_step_ends_what_could_be_made_again(made):
    history, a, b = made
    history.undo(unsaid)
    a.step("3")
    history.note(a)
    assert not b.undone
    with pytest.raises(ValueError, match="nothing to redo"):
        history.redo(unsaid)


def test_what_a_lost_owner_took_with_it_stays_a_step(made, said):
    history, a, _ = made
    history.drop(a)
    history.undo(unsaid)
    history.undo(unsaid)
    assert said == ["-b2", "-b1"]
    with pytest.raises(ValueError, match="nothing to undo"):
        history.undo(unsaid)


def test_an_owner_that_goes_while_it_writes_holds_up_nothing(made):
    history, a, b = made
    a.undo = lambda done: None  # goes on writing
    history.undo(unsaid)
    assert history.walking
    history.drop(a)
    assert not history.walking
    history.undo(unsaid)
    assert b.done == ["1"]


def test_the_oldest_steps_are_dropped_and_the_end_is_said(said):
    history, a = History(limit=45), Owner("a", said)
    for k in range(10):
        a.step(str(k))
        history.note(a)
    assert a.done == ["6", "7", "8", "9"]
    assert history.nbytes <= 45
    for _ in range(4):
        history.undo(unsaid)
    with pytest.raises(ValueError, match="no longer kept"):
        history.undo(unsaid)


def test_the_newest_step_is_kept_however_large(said):
    history, a = History(limit=5), Owner("a", said)
    a.step("1")
    history.note(a)
    history.undo(unsaid)
    assert said == ["-a1"]
