"""Features to small arrays and back; hashes of weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from tiny import tiny_sam
from torch import Tensor, nn

from napari_sam import masks
from napari_sam.images import samples
from napari_sam.models import pocket as pocket_on_torch
from napari_sam.models import registry
from napari_sam.models.checkpoint import fingerprint
from napari_sam.models.packing import compress, decompress, pack, unpack
from napari_sam.types import Prompts


def smooth(shape=(1, 6, 32, 40), seed=0):
    """Return maps whose neighbours are alike, of channels of very different ranges."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(size=shape).cumsum(2).cumsum(3)
    return (maps * 10.0 ** np.arange(shape[1]).reshape(1, -1, 1, 1) - 5).astype(np.float32)


def bytes_of(arrays):
    return sum(array.nbytes for array in arrays.values())


def restored(maps, steps=np.inf):
    return decompress(**compress(maps, steps))


def test_the_error_is_half_a_step_of_each_channel():
    maps = smooth()
    error = np.abs(restored(maps) - maps).max((2, 3))
    span = np.ptp(maps, (2, 3))
    assert (error <= 0.501 * span / 255).all()
    assert (error > 0.2 * span / 255).all()


def test_fewer_steps_take_fewer_bytes():
    maps = np.random.default_rng(0).normal(size=(1, 8, 64, 64)).astype(np.float32)
    coarse = compress(maps, 4)
    error = np.abs(decompress(**coarse) - maps).max((2, 3))
    np.testing.assert_allclose(error, maps.std((2, 3)) / 8, rtol=0.02)
    assert bytes_of(coarse) < 0.75 * bytes_of(compress(maps, np.inf))


def test_a_step_is_never_finer_than_256_levels_allow():
    maps = smooth()
    maps[:, :, 0, 0] *= 1000  # one far value: a standard deviation has few of the levels
    error = np.abs(restored(maps, 1000) - maps).max((2, 3))
    assert (error <= 0.501 * np.ptp(maps, (2, 3)) / 255).all()


@pytest.mark.parametrize("value", [0.0, -3.25, 1e10])
def test_constant_channels_come_back_exactly(value):
    maps = np.full((1, 2, 3, 4), value, np.float32)
    np.testing.assert_array_equal(restored(maps), maps)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 1, 5), (1, 2, 7, 1)])
def test_any_shape_comes_back(shape):
    maps = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(restored(maps), maps, atol=0.02)


def test_maps_in_any_order_of_memory_come_back():
    maps = torch.from_numpy(smooth())
    other = maps.to(memory_format=torch.channels_last)
    one, same = (unpack(pack(given), Tensor, torch.from_numpy) for given in (other, maps))
    assert torch.equal(one, same)


class Level(NamedTuple):
    fine: Tensor
    coarse: Tensor


class Both(NamedTuple):
    first: Level
    second: Level
    more: Tensor


def test_nested_features_come_back_in_their_places():
    part = [torch.full((1, 1, 2, k + 1), float(k)) for k in range(5)]
    features = Both(Level(part[0], part[1]), Level(part[2], part[3]), part[4])
    found = unpack(pack(features), Both, torch.from_numpy)
    assert isinstance(found, Both)
    assert isinstance(found.second, Level)
    for one, other in zip(
        [*found.first, *found.second, found.more],
        [*features.first, *features.second, features.more],
        strict=True,
    ):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_features_of_another_kind_are_a_key_error():
    with pytest.raises(KeyError):
        unpack(pack(torch.zeros(1, 1, 2, 2)), Both, torch.from_numpy)
    with pytest.raises(KeyError):
        unpack(pack(Level(*torch.zeros(2, 1, 1, 2, 2))), Both, torch.from_numpy)


def test_a_fingerprint_is_of_the_weights_alone():
    assert tiny_sam().fingerprint == tiny_sam().fingerprint
    assert tiny_sam().fingerprint != tiny_sam(seed=1).fingerprint
    model = tiny_sam()
    other = tiny_sam()
    other.name, other.device = "other", "cuda"
    assert model.fingerprint == other.fingerprint
    changed = tiny_sam()
    with torch.no_grad():
        changed.sam.mask_decoder.iou_token.weight[0, 0] += 1e-6
    assert model.fingerprint != changed.fingerprint


def test_names_shapes_and_types_count_in_a_fingerprint():
    def of(**values):
        module = nn.Module()
        for name, value in values.items():
            module.register_buffer(name, value)
        return fingerprint(module)

    zeros = torch.zeros(2, 6)
    ones = torch.tensor(1)
    kinds = [zeros, zeros.reshape(3, 4), zeros.int(), zeros.half()]
    prints = [of(a=kind) for kind in kinds] + [of(b=zeros), of(a=ones), of(a=zeros, b=ones)]
    assert len(set(prints)) == len(prints)
    assert of(a=zeros.to(torch.bfloat16)) != of(a=zeros.half())
    assert of(a=zeros.T.contiguous().T) == of(a=zeros)


def test_a_model_is_hashed_once_and_only_when_asked(monkeypatch):
    asked = []

    def hashed(module):
        asked.append(module)
        return "hash"

    monkeypatch.setattr(pocket_on_torch, "fingerprint", hashed)
    model = registry.load_model("pocket", device="cpu")
    assert asked == []
    assert model.fingerprint == model.fingerprint == "hash"
    assert len(asked) == 1


def test_an_embedding_of_sam_is_kept_within_its_size():
    embedding = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    assert bytes_of(pack(embedding)) < 1.1e6


def test_pocket_answers_alike_from_packed_features(pocket):
    volume, labels = samples.cells_stack_with_labels()
    plane, truth = volume[12], labels[12]
    prepared = pocket.prepare(plane)
    embedding = pocket.encode(plane)
    arrays = pocket.model.pack(embedding.features)
    assert bytes_of(arrays) < 0.6e6
    features = pocket.model.unpack(arrays)
    assert type(features) is type(embedding.features)
    kept = pocket.embedding(features, prepared)
    assert (kept.original_size, kept.input_size, kept.model) == (
        embedding.original_size,
        embedding.input_size,
        embedding.model,
    )
    ids = [k for k in np.unique(truth) if k and (truth == k).sum() > 200]
    assert len(ids) > 5
    boxes = [Prompts(box=masks.box_of(truth == k)) for k in ids]
    answers = [pocket.predict_many(e, boxes) for e in (embedding, kept)]
    ious = [masks.iou(a.masks[0], b.masks[0]) for a, b in zip(*answers, strict=True)]
    assert np.mean(ious) > 0.99
    assert min(ious) > 0.97
