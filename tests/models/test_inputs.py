"""What does not fit is refused by name before a network sees it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import tiny_sam


@pytest.fixture(params=["sam", "pocket"])
def model(request, pocket):
    return tiny_sam() if request.param == "sam" else pocket.model


def given(model, features, **changed):
    """Return two prompts of a point, a box and an earlier answer, with some of them changed."""
    h, w = model.decode(
        features, np.zeros((1, 1, 2), np.float32), np.ones((1, 1), np.int64), None, None, False
    ).low_res_logits.shape[2:]
    whole = {
        "coords": np.full((2, 3, 2), 9, np.float32),
        "labels": np.ones((2, 3), np.int64),
        "boxes": np.array([[2, 2, 20, 20]] * 2, np.float32),
        "mask_input": np.zeros((2, h, w), np.float32),
    }
    return {**whole, **{name: change(whole[name]) for name, change in changed.items()}}


def plane(side):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda p: p[..., 0], r"\(h, w, 3\)"),
        (lambda p: p[..., :2], r"\(h, w, 3\)"),
        (lambda p: p[None], r"\(h, w, 3\)"),
        (lambda p: p[:0], r"\(h, w, 3\)"),
        (lambda p: np.tile(p, (20, 1, 1)), r"\(h, w, 3\)"),
        (lambda p: p.astype(np.float32), "uint8, but is float32"),
        (lambda p: p.astype(np.int64), "uint8, but is int64"),
    ],
)
def test_planes(model, change, text):
    with pytest.raises(ValueError, match=text):
        model.encode(change(plane(40)))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"coords": lambda a: a[0]}, r"coords must be \(P, N, 2\)"),
        ({"coords": lambda a: a[..., :1]}, r"coords must be \(P, N, 2\)"),
        ({"coords": lambda a: a.astype(np.float64)}, "coords must be float32"),
        ({"labels": lambda a: a[:1]}, r"labels must be \(2, 3\)"),
        ({"labels": lambda a: a[:, :2]}, r"labels must be \(2, 3\)"),
        ({"labels": lambda a: a.astype(np.float32)}, "labels must be int64"),
        ({"labels": lambda a: a + 1}, "labels must be 1 "),
        ({"labels": lambda a: a - 3}, "labels must be 1 "),
        ({"boxes": lambda a: a[:1]}, r"boxes must be \(2, 4\)"),
        ({"boxes": lambda a: a[:, :3]}, r"boxes must be \(2, 4\)"),
        ({"boxes": lambda a: a.astype(int)}, "boxes must be float32"),
        ({"mask_input": lambda a: a[:1]}, "mask_input must be"),
        ({"mask_input": lambda a: a[:, 1:]}, "mask_input must be"),
        ({"mask_input": lambda a: a[:, None]}, "mask_input must be"),
        ({"mask_input": lambda a: a > 0}, "mask_input must be float32"),
    ],
)
def test_prompts(model, changed, text):
    features = model.encode(plane(40))
    with pytest.raises(ValueError, match=text):
        model.decode(features, **given(model, features, **changed), multimask_output=True)


def test_what_fits_is_answered(model):
    features = model.encode(plane(40))
    answers = model.decode(features, **given(model, features), multimask_output=True)
    assert answers.low_res_logits.shape[:2] == (2, 3)


def test_a_guide_of_another_size_is_refused(pocket):
    model = pocket.model
    features = model.encode(plane(64))
    prompts = given(model, features, mask_input=lambda _: None)
    with pytest.raises(ValueError, match="logits of the guide must be"):
        model.decode(
            features,
            **prompts,
            multimask_output=True,
            guide=(features, np.zeros((2, 3, 3), np.float32)),
        )


def test_fine_features_have_the_cells_of_the_logits(model):
    features = model.encode(plane(64))
    finest = model.feature_maps(features)[0]
    logits = given(model, features)["mask_input"]
    assert (finest.shape[1:] == logits.shape[1:]) is model.fine_features
