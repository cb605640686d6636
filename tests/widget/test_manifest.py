"""What the plugin tells napari about itself."""

from __future__ import annotations

from importlib import import_module, resources

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_sam.widget.commands import find_dock
from napari_sam.widget.scheduler import Lane

MANIFEST = PluginManifest.from_file(str(resources.files("napari_sam") / "napari.yaml"))
OFFLINE = ("immunohistochemistry", "cell", "coins", "cells_stack")


@pytest.mark.parametrize("command", MANIFEST.contributions.commands, ids=lambda c: c.id)
def test_commands_lead_somewhere(command):
    module, name = command.python_name.split(":")
    assert callable(getattr(import_module(module), name))


def test_name_is_the_distribution_s():
    assert MANIFEST.name == "napari-sam-stack"
    assert [w.display_name for w in MANIFEST.contributions.widgets] == ["Segment Anything"]
    keys = [sample.key for sample in MANIFEST.contributions.sample_data]
    assert set(OFFLINE) < set(keys)


@pytest.mark.parametrize("key", OFFLINE)
def test_samples_open_offline(key):
    layers = getattr(import_module("napari_sam.images.samples"), f"{key}_layers")()
    data, options, kind = layers[0]
    assert kind == "image"
    assert np.asarray(data).ndim == (3 if key in ("cells_stack", "immunohistochemistry") else 2)
    assert options["name"]


def test_actions_find_the_open_dock(hands):
    assert find_dock(hands.viewer) is hands.dock
    for command in MANIFEST.contributions.commands:
        module, name = command.python_name.split(":")
        if module.endswith("commands"):
            getattr(import_module(module), name)(hands.viewer)
    hands.until(lambda: not hands.busy(Lane.BULK))
