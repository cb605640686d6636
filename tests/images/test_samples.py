"""The drawn stack and the layers of the sample menu."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.images import samples

SHAPE = (8, 128, 128)


@pytest.mark.parametrize("seed", range(8))
def test_stack_has_its_shape_and_nuclei_that_are_bright(seed):
    image, labels = samples.cells_stack_with_labels(SHAPE, seed)
    assert image.shape == labels.shape == SHAPE
    assert image.dtype == np.uint16
    assert labels.dtype == np.int32
    assert image[labels > 0].mean() > 1.3 * image[labels == 0].mean()
    assert image.max() < 65535


def test_full_stack_holds_a_crowd_of_whole_nuclei():
    labels = samples.cells_stack_labels()
    assert labels.shape == (24, 256, 256)
    present = np.unique(labels)
    assert 40 <= len(present) - 1 <= 60
    assert present.tolist() == list(range(len(present)))
    boxes = ndimage.find_objects(labels)
    pieces = [ndimage.label(labels[box] == k)[1] for k, box in enumerate(boxes, start=1)]
    assert np.mean(np.array(pieces) == 1) > 0.9


def test_some_nuclei_touch():
    labels = samples.cells_stack_labels()
    right = (labels[..., :-1] != labels[..., 1:]) & (labels[..., :-1] > 0) & (labels[..., 1:] > 0)
    assert right.any()


def test_same_seed_same_stack_and_the_labels_are_its_own():
    image, labels = samples.cells_stack_with_labels(SHAPE, seed=3)
    assert np.array_equal(image, samples.cells_stack(SHAPE, seed=3))
    assert np.array_equal(labels, samples.cells_stack_labels(SHAPE, seed=3))
    assert not np.array_equal(image, samples.cells_stack(SHAPE, seed=4))


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 5, 40)])
def test_small_stacks(shape):
    image = samples.cells_stack(shape)
    assert image.shape == shape


@pytest.mark.parametrize("shape", [(8, 8), (0, 8, 8), (4.0, 8, 8), 8, None, "abc"])
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="three sides, positive whole numbers"):
        samples.cells_stack(shape)


@pytest.mark.parametrize(
    ("provider", "ndim"),
    [
        (samples.immunohistochemistry_layers, 3),
        (samples.cell_layers, 2),
        (samples.coins_layers, 2),
        (samples.cells_stack_layers, 3),
    ],
)
def test_offline_layers(provider, ndim):
    [(image, options, kind)] = provider()
    assert kind == "image"
    assert options["name"]
    assert image.ndim == ndim


def test_stack_layer_has_a_scale():
    [(image, options, _)] = samples.cells_stack_layers()
    assert options["scale"] == (1.0, 0.25, 0.25)
    assert len(options["units"]) == image.ndim


@pytest.mark.parametrize(
    "provider",
    [samples.cells3d_layers, samples.human_mitosis_layers, samples.brain_layers],
)
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionError("no route"), "could not be downloaded"),
        (ModuleNotFoundError("no pooch", name="pooch"), "pooch, which is not installed"),
        (ValueError("hash differs"), "could not be downloaded"),
    ],
)
def test_no_network_is_told_in_one_sentence(monkeypatch, provider, error, sentence):
    def fail():
        raise error

    for name in ("cells3d", "human_mitosis", "brain"):
        monkeypatch.setattr(samples.data, name, fail)
    with pytest.raises(ValueError, match=sentence) as caught:
        provider()
    assert "\n" not in str(caught.value)


def test_downloaded_channels_become_layers(monkeypatch):
    monkeypatch.setattr(samples.data, "cells3d", lambda: np.zeros((4, 2, 5, 6), np.uint16))
    layers = samples.cells3d_layers()
    assert [image.shape for image, _, _ in layers] == [(4, 5, 6)] * 2
    assert all(len(options["scale"]) == 3 for _, options, _ in layers)
