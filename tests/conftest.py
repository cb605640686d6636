"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")

import pytest
import torch
from display import OwnDisplay
from tiny import DiscModel, SceneModel, tiny_sam

from napari_sam.models.registry import load_model
from napari_sam.predict.predictor import SamPredictor

torch.set_num_threads(1)  # the same sums on every machine, and no waiting for busy cores


def pytest_configure(config):
    """Open a display for a worker of pytest-xdist, or where there is none."""
    worker = hasattr(config, "workerinput")
    runs_tests = worker or not config.getoption("numprocesses", None)
    displayed = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if runs_tests and (worker or not displayed) and OwnDisplay.possible():
        config.add_cleanup(OwnDisplay().close)


def pytest_collection_modifyitems(items):
    """Begin with the long files, so that no worker is left with one at the end."""
    items.sort(key=lambda item: "widget" not in item.path.parts)


def pytest_collection_finish():
    """Leave what was imported out of later collections of garbage.

    napari collects on every removal of a layer, which takes 0.2 s with all these modules.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory, monkeypatch):
    """Keep no journal in the user's own folder, nor find one of another test."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("NAPARI_SAM_STATE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def config_folder(tmp_path_factory, monkeypatch):
    """Neither read nor change the user's own preferences."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("NAPARI_SAM_CONFIG_DIR", str(folder))
    return folder


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
