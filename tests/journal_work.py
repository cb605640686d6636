"""A random day of work on a small stack, written through a journal; run as a program it is killed.

python journal_work.py FOLDER KILLS: forks a worker KILLS times, kills each with SIGKILL at a random
moment, and prints for each the number of operations that it had reported as done.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from napari_sam.objects.canvas import Canvas
from napari_sam.objects.documents import object_to_json
from napari_sam.objects.drawn import DrawnRow, without
from napari_sam.objects.edit import Edit
from napari_sam.objects.history import History
from napari_sam.objects.journal import Journal
from napari_sam.objects.patch import Patch
from napari_sam.objects.recorder import TargetInfo
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.objects.store import ObjectStore
from napari_sam.types import Mask, SliceKey

SHAPE = (4, 64, 64)
OPERATIONS = 3000


class SmallTarget:
    """The labels of a stack, its objects and its prompts."""

    id = "small"

    def __init__(self):
        self.store = ObjectStore(Canvas(np.zeros(SHAPE, np.int32)))
        self.history = History()
        self.prompts = ()

    def info(self):
        return TargetInfo("objects", SHAPE, "|u1", "<i4")

    def image_hash(self, key):
        return hashlib.sha256(repr(key.fixed).encode()).hexdigest()

    def write(self, edit):
        self.history.make(self.store, edit)
        self._draw(edit)

    def take_back(self):
        self._draw(self.history.undo()[0][1])

    def make_again(self):
        self._draw(self.history.redo()[0][1])

    def _draw(self, edit):
        self.prompts = (*without(self.prompts, edit.removed), *edit.added)

    def state(self):
        """Return labels, objects, properties and prompts as one hash."""
        objects = {label: object_to_json(one) for label, one in self.store.objects.items()}
        parts = (
            self.store.canvas.data.tobytes(),
            json.dumps(objects, sort_keys=True).encode(),
            json.dumps(dict(self.store.properties), sort_keys=True).encode(),
            repr(sorted((row, row.owner).__repr__() for row in self.prompts)).encode(),
        )
        return hashlib.sha256(b"|".join(parts)).hexdigest()


def next_edit(target, rng):
    """Return a random edit: a new object, a deletion, a stroke, a prompt, a property."""
    z, y, x = rng.randrange(4), rng.randrange(50), rng.randrange(50)
    index = (z, slice(y, y + 12), slice(x, x + 12))
    old = target.store.canvas.read(index)
    kind = rng.choice(("keep", "delete", "stroke", "prompt", "property"))
    if kind == "delete" and target.store.objects:
        label = rng.choice(sorted(target.store.objects))
        data = target.store.canvas.data
        patch = Patch.of((slice(0, 4), slice(0, 64), slice(0, 64)), data, data * (data != label))
        return Edit(f"object {label}", (patch,), {label: (target.store.objects[label], None)})
    if kind == "keep":
        label = target.store.next_label
        mask = Mask.of(np.pad(np.ones((12, 12), bool), ((y, 52 - y), (x, 52 - x))))
        one = SegmentedObject(label, {SliceKey((1, 2), ((0, z),)): Outline(mask)}, "cell")
        patch = Patch.of(index, old, np.full_like(old, label))
        return Edit(f"object {label}", (patch,), {label: (None, one)}, removed=target.prompts)
    if kind == "stroke":
        return Edit("a stroke", (Patch.of(index, old, np.full_like(old, rng.randrange(9))),))
    if kind == "prompt":
        row = DrawnRow("points", "positive", ((float(z), y + 0.5, x + 0.25),), rng.randrange(1, 9))
        return Edit("a point", added=(row,))
    before = target.store.properties.get("classes")
    return Edit("classes", properties={"classes": (before, [{"name": f"c{x}"}])})


def work(seed, journal=None):
    """Work at random; yields the target after each operation."""
    rng, target, undone, number = random.Random(seed), SmallTarget(), [], 0
    done: list[int] = []
    for _ in range(OPERATIONS):
        chance = rng.random()
        if chance < 0.2 and done:
            undone.append(done.pop())
            if journal:
                journal.undone(undone[-1])
            target.take_back()
        elif chance < 0.3 and undone:
            done.append(undone.pop())
            if journal:
                journal.redone(done[-1])
            target.make_again()
        else:
            edit = next_edit(target, rng)
            number += 1
            if journal:
                journal.made(number, target, edit)
            target.write(edit)
            done.append(number)
            undone.clear()
        yield target


def main(folder, kills):
    """Fork and kill."""
    chance = random.Random(1)
    for seed in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            for _ in work(seed, Journal(folder / f"{seed}.sqlite")):
                os.write(writing, b".")
            os._exit(0)
        os.close(writing)
        os.read(reading, 1)
        time.sleep(chance.random() * 0.2)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        done = 1
        while more := os.read(reading, 65536):
            done += len(more)
        os.close(reading)
        sys.stdout.write(f"{done}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
