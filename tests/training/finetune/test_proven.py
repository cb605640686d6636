"""The proof: who chooses, who judges, and whether these are enough."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.proven import halves, shortage
from napari_sam.training.finetune.split import Split


def example(name: str, objects: int, **facts: object) -> Example:
    labels = np.zeros((4, 40), np.int32)
    labels[1, 1 : 2 * objects : 2] = range(1, objects + 1)
    return Example(name, np.zeros(labels.shape, np.uint8), labels, **facts)


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ([2, 1], "3 objects will judge the result, but at least 6 are needed to tell a gain from "
                 "chance: label about 13 more"),
        ([1], "1 object will judge the result, but at least 6 are needed to tell a gain from "
              "chance: label about 55 more"),
        ([3, 3], ""),
        # two of four images choose the weights
        ([3, 3, 2, 2], "4 objects will judge the result, but at least 6 are needed to tell a gain "
                       "from chance: label about 10 more"),
    ],
)  # fmt: skip
def test_how_many_objects_more_are_needed(held: list[int], sentence: str) -> None:
    images = [example(f"b{k}", count) for k, count in enumerate(held)]
    assert shortage(Split([example("a", 10)], images, "")) == sentence
    assert len(halves(images)[1]) == min(2, len(held))


@pytest.mark.parametrize("stack", ["b", ""])  # without: objects are followed by their places
def test_an_object_in_several_planes_is_one(stack: str) -> None:
    planes = [example(f"b {k}", 2, group="b", stack=stack, place=k) for k in range(3)]
    assert shortage(Split([example("a", 4)], planes, "")).endswith("label about 12 more")
