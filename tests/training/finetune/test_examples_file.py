"""Examples as values, and as a file for another process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_sam.training.finetune.examples import (
    Example,
    fingerprint,
    read_examples,
    write_examples,
)
from napari_sam.types import Prompts, Stroke


def example(name: str = "a", shape: tuple[int, int] = (6, 8)) -> Example:
    labels = np.zeros(shape, np.int32)
    labels[1:3, 1:4] = 5
    labels[4, 6] = 70000
    image = np.arange(labels.size, dtype=np.uint8).reshape(shape)
    return Example(name, image, labels, classes={5: "cell"}, group="file", stack="s", place=3)


def test_boxes_and_masks_are_those_of_the_labels() -> None:
    one = example()
    assert one.boxes == {5: (1, 1, 4, 3), 70000: (6, 4, 7, 5)}
    assert one.mask(5).all()
    assert one.mask(5).shape == (2, 3)


def test_what_is_known_is_the_complete_part_and_the_objects() -> None:
    one = example()
    assert one.known.all()
    assert not one.sparse
    complete = np.zeros((6, 8), bool)
    assert replace(one, complete=complete).sparse
    complete[:, 0] = True
    half = replace(one, complete=complete)
    assert int(half.known.sum()) == 6 + 6 + 1
    assert not half.sparse


def test_objects_left_out_leave_unknown_ground() -> None:
    left = example().without([5])
    assert left.objects == (70000,)
    assert left.classes == {}
    assert left.complete is not None
    assert int((~left.complete).sum()) == 6


def test_a_part_keeps_prompts_of_whole_objects_and_moves_them() -> None:
    said = {5: (Prompts([[2, 1]], [1]),), 70000: (Prompts([[6, 4]], [1]),)}
    part = replace(example(), prompts=said).within((2, 0, 8, 6), "part")
    assert part.image.shape == (6, 6)
    assert part.objects == (5, 70000)
    assert list(part.prompts) == [70000]  # the other one is cut
    assert part.prompts[70000][0].point_coords.tolist() == [[4.0, 4.0]]


def test_a_file_gives_back_exactly_the_same(tmp_path: Path) -> None:
    said = Prompts([[2, 1]], [1], box=[1, 1, 3, 2], strokes=[Stroke([[1, 1], [2, 2]], 0)])
    complete = np.zeros((6, 8), bool)
    complete[2:] = True
    first = replace(example(), prompts={5: (said,)}, notice="read", complete=complete)
    colours = replace(example("b"), image=np.stack([example().image] * 3, axis=-1), complete=None)
    layer = replace(first, name="c", labels=first.labels[::-1].copy())
    write_examples(tmp_path / "x", [first, colours, layer])
    back = read_examples(tmp_path / "x")
    for one, other in zip([first, colours, layer], back, strict=True):
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)
        assert other.labels.dtype == np.int32
        for field in ("name", "classes", "group", "stack", "place", "notice"):
            assert getattr(one, field) == getattr(other, field)
    assert back[1].complete is None
    assert back[0].complete is not None
    assert np.array_equal(back[0].complete, complete)
    assert back[0].image is back[2].image  # of one image, kept once
    prompts = back[0].prompts[5][0]
    assert prompts.point_coords.tolist() == [[2.0, 1.0]]
    assert prompts.box is not None
    assert prompts.box.tolist() == [1, 1, 3, 2]
    assert prompts.strokes[0].path.tolist() == [[1, 1], [2, 2]]
    assert prompts.strokes[0].label == 0
    assert fingerprint(back) == fingerprint([first, colours, layer])


def test_the_same_examples_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write_examples(tmp_path / name, [example()])
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_fingerprint_changes_with_labels_and_with_what_is_known() -> None:
    one = example()
    moved = replace(one, labels=np.roll(one.labels, 1, axis=1))
    sparse = replace(one, complete=np.zeros((6, 8), bool))
    assert len({fingerprint([each]) for each in (one, moved, sparse)}) == 3
    assert fingerprint([one]) == fingerprint([replace(one, name="other")])


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x"
    write_examples(path, [example()])
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-30], "text": b"text", "other": content[:200]}[damage])
    with pytest.raises(ValueError, match="no file of examples"):
        read_examples(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"image": np.zeros((6, 8), np.float32)}, "uint8"),
        ({"labels": np.zeros((5, 8), np.int32)}, "the labels of a are"),
        ({"labels": np.full((6, 8), -1, np.int32)}, "none is below 0"),
        ({"complete": np.zeros((6, 8), np.uint8)}, "complete in a"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(example(), **change)
