"""Fixtures that several test files share."""

from __future__ import annotations

import os

os.environ.setdefault("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")

import pytest
import torch
from tiny import DiscModel, SceneModel, tiny_sam

from napari_sam.models.registry import load_model
from napari_sam.predict.predictor import SamPredictor

torch.set_num_threads(1)  # the same sums on every machine, and no waiting for busy cores


@pytest.fixture(scope="session")
def tiny_predictor():
    """SAM's structure with random weights."""
    return SamPredictor(tiny_sam())


@pytest.fixture(scope="session")
def pocket():
    """The bundled model."""
    return SamPredictor(load_model("pocket", device="cpu"))


@pytest.fixture
def disc_predictor():
    return SamPredictor(DiscModel())


@pytest.fixture
def scene_predictor():
    return SamPredictor(SceneModel())
