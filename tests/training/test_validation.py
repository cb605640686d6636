from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from labelled_examples import blocks, from_labels
from torch.nn import functional as F

from napari_sam.models.pocket_decoder import Decoded
from napari_sam.models.pocket_net import Pocket
from napari_sam.training.crops import LARGEST_SCALE, LONGEST
from napari_sam.training.validation import FILLED, WINDOW, SourceFigures, as_table, validate

FIELDS = ("click", "best", "clicks", "box", "denied", "noticed")


def one(side, shape=(256, 256), corner=(80, 90), **facts):
    """Return an image of one square."""
    labels = np.zeros(shape, np.int32)
    labels[corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 15
    return from_labels(labels, **facts)


@dataclass
class Seeing:
    """A model that takes what is bright for the object, in the masks that are told."""

    right: tuple[int, ...] = (0, 1, 2, 3)
    iou: tuple[float, ...] = (0.5, 0.9, 0.4, 0.3)
    shown: list = field(default_factory=list)
    asked: list = field(default_factory=list)

    def eval(self):
        return self

    def encoder(self, images):
        self.shown.append(images)
        return images

    def decoder(self, features, owner, coords, labels, boxes, mask_input):
        self.asked.append((coords, labels, boxes, mask_input))
        bright = F.avg_pool2d((features[owner, :1] > -1).float(), 4)
        logits = (bright - 0.5).expand(-1, 4, -1, -1) * 20
        wrong = [k for k in range(4) if k not in self.right]
        logits = logits.index_fill(1, torch.tensor(wrong, dtype=torch.int64), -9)
        column, row = (coords[:, 0] // 4).long().clamp(0, 63).unbind(1)
        under = bright[torch.arange(len(owner)), 0, row, column]
        return Decoded(logits, torch.tensor(self.iou).expand(len(owner), 4), (under - 0.5) * 10)


def figures(row):
    return {name: getattr(row, name) for name in FIELDS}


def test_a_model_that_sees_all_has_the_best_figures():
    (row,) = validate(Seeing(), [one(80)], "cpu")
    assert (row.source, row.objects) == ("blocks", 1)
    wanted = {"click": 1, "best": 1, "clicks": 1, "box": 1, "denied": 0, "noticed": 1}
    assert figures(row) == pytest.approx(wanted, abs=0.03)


def test_the_first_mask_answers_boxes_and_corrections_the_ranked_one_a_click():
    def of(**told):
        return figures(validate(Seeing(**told), [one(80)], "cpu")[0])

    first = of(right=(0,))
    assert (first["box"], first["clicks"]) == pytest.approx((1, 1), abs=0.03)
    assert first["click"] == first["best"] == 0
    second = of(right=(2,))
    assert second["best"] == pytest.approx(1, abs=0.03)
    assert second["click"] == second["box"] == second["clicks"] == 0
    ranked = of(right=(2,), iou=(0.99, 0.1, 0.3, 0.2))
    assert ranked["click"] == pytest.approx(1, abs=0.03)


class Denying(Seeing):
    """Says that there is nothing wherever it is asked."""

    def decoder(self, features, owner, *prompts):
        answer = super().decoder(features, owner, *prompts)
        return answer._replace(presence=torch.full((len(owner),), -3.0))


class Claiming(Seeing):
    """Says that there is something wherever it is asked."""

    def decoder(self, features, owner, *prompts):
        answer = super().decoder(features, owner, *prompts)
        return answer._replace(presence=torch.full((len(owner),), 3.0))


def test_presence_is_asked_on_objects_and_beside_them():
    (row,) = validate(Denying(), [one(80)], "cpu")
    assert (row.denied, row.noticed) == (1, 1)
    (row,) = validate(Claiming(), [one(80)], "cpu")
    assert (row.denied, row.noticed) == (0, 0)


def test_what_is_not_labelled_may_be_an_object():
    (row,) = validate(Seeing(), [one(80, exhaustive=False)], "cpu")
    assert np.isnan(row.noticed)
    assert row.click == pytest.approx(1, abs=0.03)


def test_prompts_are_a_box_then_eight_clicks_then_one_beside():
    model = Seeing()
    validate(model, [one(80)], "cpu")
    counts = [int((labels >= 0).sum()) for _, labels, _, _ in model.asked]
    assert counts[:2] == [0, 1]
    assert [labels.shape[1] for _, labels, _, _ in model.asked] == [1, *range(1, 9), 1]
    boxes = [bool(boxes.isfinite().all()) for _, _, boxes, _ in model.asked]
    assert boxes == [True] + [False] * 9
    # the square of 80 is shown at twice its size, in the middle
    box = model.asked[0][2][0]
    assert (box[2:] - box[:2] + 1).tolist() == pytest.approx([160, 160], abs=1)
    assert ((box[2:] + box[:2]) / 2).tolist() == pytest.approx([127.5, 127.5], abs=1)
    assert model.asked[1][3].isnan().all()
    assert model.asked[2][3].isfinite().all()  # the earlier answer


@pytest.mark.parametrize(
    ("side", "shape"), [(20, (256, 256)), (20, (60, 100)), (200, (256, 256)), (30, (900, 2048))]
)
def test_an_object_is_shown_as_the_model_sees_it_or_as_large_as_fits(side, shape):
    model = Seeing()
    validate(model, [one(side, shape, (10, 20))], "cpu")
    bright = model.shown[0][0, 0] > 0
    scale = min(LONGEST / max(shape), LARGEST_SCALE, FILLED * WINDOW / side)
    assert float(bright.sum()) ** 0.5 == pytest.approx(scale * side, abs=1.5)
    assert model.shown[0].shape == (1, 3, WINDOW, WINDOW)
    if min(shape) * scale > WINDOW:  # nothing beyond the image is shown
        assert float(model.shown[0].min()) > -1.9


def test_the_objects_are_spread_over_the_source():
    images = [blocks(str(k)) for k in range(5)]
    (row,) = validate(Seeing(), images, "cpu", limit=7)
    assert row.objects == 7
    (row,) = validate(Seeing(), images[:1], "cpu", limit=70)
    assert row.objects == 12


def test_sources_are_reported_by_name_and_those_without_objects_are_not():
    images = [one(60, source="b"), one(70, source="a"), one(0, source="c")]
    rows = validate(Seeing(), images, "cpu")
    assert [row.source for row in rows] == ["a", "b"]


def test_a_source_of_specks_is_left_out():
    speck = one(1, (2048, 2048), source="a")  # a pixel of 512
    rows = validate(Seeing(), [speck, one(70, source="b")], "cpu")
    assert [row.source for row in rows] == ["b"]


def test_a_network_is_scored_and_the_same_again():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Pocket()
    rows = [validate(model, [blocks()], "cpu", limit=2) for _ in range(2)]
    assert rows[0] == rows[1]
    assert all(0 <= value <= 1 for value in figures(rows[0][0]).values())


def test_the_table_has_a_line_for_each_source_and_the_mean():
    rows = [
        SourceFigures("a", 10, 0.5, 0.6, 0.7, 0.8, 0.1, float("nan")),
        SourceFigures("b", 30, 0.7, 0.8, 0.9, 1.0, 0.2, 0.25),
    ]
    assert as_table(rows) == (
        "| source | objects | 1 click | best of 3 | 8 clicks | box | denied | noticed |\n"
        "|---|---|---|---|---|---|---|---|\n"
        "| a | 10 | 0.500 | 0.600 | 0.700 | 0.800 | 0.100 |  |\n"
        "| b | 30 | 0.700 | 0.800 | 0.900 | 1.000 | 0.200 | 0.250 |\n"
        "| mean over sources | 40 | 0.600 | 0.700 | 0.800 | 0.900 | 0.150 | 0.250 |\n"
    )
