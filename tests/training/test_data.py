from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam.training import data
from napari_sam.training.augment import blur, photometric
from napari_sam.training.data import (
    CropSampler,
    LabelledImage,
    filled,
    load_source,
    load_sources,
    with_neighbours,
)
from napari_sam.training.scenes import SCENES
from napari_sam.training.split import part_of
from napari_sam.training.synthetic import draw, draw_many


def write(path, names, groups=None, dtype=np.uint8):
    entries = {"names": np.array(names), "n": np.array(len(names))}
    groups = groups or [""] * len(names)
    entries["tags"] = np.array([json.dumps({"group": g}) for g in groups])
    for k in range(len(names)):
        entries[f"image_{k:03d}"] = np.full((8, 9), k, dtype)
        entries[f"labels_{k:03d}"] = np.full((8, 9), k, np.uint16)
    np.savez(path, **entries)


def test_a_source_gives_the_images_of_the_parts_that_are_wanted(tmp_path):
    names = [f"image_{k}" for k in range(20)]
    write(tmp_path / "emps_particles.npz", names)
    found = {}
    for part in ("train", "validation", "unseen", "apart"):
        images = load_source(tmp_path / "emps_particles.npz", [part])
        assert all(part_of("emps_particles", i.name) == part for i in images)
        found[part] = [i.name for i in images]
    assert sorted(found["train"] + found["validation"]) == sorted(names)
    assert len(found["train"]) > len(found["validation"]) > 0
    assert not found["unseen"]
    assert not found["apart"]
    image = load_source(tmp_path / "emps_particles.npz", ["train"])[0]
    index = names.index(image.name)
    assert (image.labels == index).all()
    assert image.labels.dtype == np.int32
    assert image.image.dtype == np.uint8
    assert not image.exhaustive


def test_unseen_sources_do_not_load_for_training(tmp_path):
    write(tmp_path / "isbi2012_em.npz", ["a", "b", "c"])
    write(tmp_path / "axon_sem.npz", [f"sub-{k}_x" for k in range(20)])
    assert list(load_sources(tmp_path, ["train"])) == ["axon_sem"]
    assert list(load_sources(tmp_path, ["unseen"])) == ["isbi2012_em"]
    assert load_sources(tmp_path, ["train"])["axon_sem"][0].exhaustive
    assert load_sources(tmp_path, ["unseen"], exclude=["isbi2012_em"]) == {}


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no .npz source"):
        load_sources(tmp_path, ["train"])
    np.savez(tmp_path / "a.npz", names=np.array(["x"]))
    with pytest.raises(ValueError, match=r"no \['n', 'tags'\]"):
        load_source(tmp_path / "a.npz", ["train"])


def blocks():
    """Return an image whose objects are bright: what is drawn must stay on its labels."""
    labels = np.zeros((160, 200), np.int32)
    for k in range(12):
        row, column = divmod(k, 4)
        labels[row * 50 + 10 : row * 50 + 40, column * 50 + 8 : column * 50 + 42] = k + 1
    return LabelledImage("blocks", "blocks", ((labels > 0) * 200).astype(np.uint8), labels)


@pytest.fixture
def plain_crops(monkeypatch):
    monkeypatch.setattr(data, "photometric", lambda image, rng: image)


@pytest.mark.parametrize("size", [64, 128])
def test_crops_show_their_objects_where_the_masks_say(plain_crops, size):
    sampler = CropSampler({"blocks": [blocks()]}, np.random.default_rng(0))
    batch = sampler.batch(crops=6, size=size, objects=3)
    assert batch.images.shape == (6, 3, size, size)
    assert batch.masks.shape[1:] == (size, size)
    assert batch.masks.dtype == torch.bool
    assert len(batch.masks) == len(batch.owner)
    assert sorted(set(batch.owner.tolist())) == list(range(6))
    assert batch.owner.bincount().max() <= 3
    assert (batch.masks.sum((1, 2)) >= data.MIN_PIXELS).all()
    for k, mask in enumerate(batch.masks):
        bright = batch.images[batch.owner[k], 0]
        assert bright[mask].mean() > 0.85 * 200 / 255
    for crop in range(6):  # masks of one crop are of different objects
        assert batch.masks[batch.owner == crop].sum(0).max() == 1


def test_crops_come_from_the_seed():
    batches = [
        CropSampler({"blocks": [blocks()]}, np.random.default_rng(seed)).batch(3, 64, 2)
        for seed in (4, 4, 5)
    ]
    torch.testing.assert_close(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].masks, batches[1].masks)
    assert not torch.equal(batches[0].images, batches[2].images)


def test_weights_say_how_often_a_source_is_drawn():
    dark = LabelledImage("dark", "dark", np.zeros((160, 200), np.uint8), blocks().labels)
    sources = {"blocks": [blocks()], "dark": [dark]}
    sampler = CropSampler(sources, np.random.default_rng(0), {"blocks": 1.0, "dark": 0.0})
    drawn = [sampler._crop(64)[0].max() for _ in range(10)]
    assert min(drawn) > 0.5


def test_a_drawn_image_has_exact_labels():
    image = draw(np.random.default_rng(0), 96)
    assert image.image.shape[:2] == image.labels.shape == (96, 96)
    assert image.image.dtype == np.uint8
    assert image.labels.max() >= 1
    assert len(draw_many(np.random.default_rng(0), 3)) == 3
    np.testing.assert_array_equal(draw(np.random.default_rng(0), 96).image, image.image)


def test_photometric_changes_stay_in_range_and_come_from_the_seed():
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    changed = 0
    for seed in range(30):
        out = photometric(image, np.random.default_rng(seed))
        assert out.shape == (3, 32, 32)
        assert 0 <= float(out.min()) <= float(out.max()) <= 1
        torch.testing.assert_close(out, photometric(image, np.random.default_rng(seed)))
        changed += not torch.equal(out, image)
    assert changed > 20


def test_blur_keeps_a_constant_and_spreads_a_point():
    torch.testing.assert_close(blur(torch.ones(2, 9, 9), 1.3), torch.ones(2, 9, 9))
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    spread = blur(point, 2.0)[0]
    steps = torch.arange(31.0) - 15
    assert float(spread.sum()) == pytest.approx(1, abs=1e-4)
    assert float((spread.sum(0) * steps**2).sum()) == pytest.approx(4, rel=0.12)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scenes_show_what_their_labels_say(scene):
    seen = []
    for seed in range(6):
        pixels, labels = scene(np.random.default_rng(seed), 128)
        assert pixels.shape[:2] == labels.shape == (128, 128)
        assert np.isfinite(pixels).all()
        assert labels.min() >= 0
        if labels.any() and not labels.all():
            grey = pixels.mean(-1) if pixels.ndim == 3 else pixels
            inside, beside = grey[labels > 0], grey[labels == 0]
            seen.append(abs(inside.mean() - beside.mean()) / (grey.std() + 1e-9))
    assert len(seen) >= 4
    assert np.mean(seen) > 0.1
    again, _ = scene(np.random.default_rng(0), 128)
    np.testing.assert_array_equal(again, scene(np.random.default_rng(0), 128)[0])


def test_outlines_are_filled():
    labels = np.zeros((20, 20), np.int32)
    labels[3:12, 3:12] = 5
    labels[4:11, 4:11] = 0
    whole = filled(labels)
    assert (whole[3:12, 3:12] == 5).all()
    assert not whole[15:].any()


def test_neighbouring_slices_are_those_at_the_same_time():
    names = ["a-IM-0008", "a-IM-0019", "a-IM-0028", "a-IM-0048", "b-IM-0028"]
    plane = np.zeros((8, 8), np.uint8)
    images = [
        LabelledImage("s", n, plane, np.full((8, 8), k, np.int32)) for k, n in enumerate(names)
    ]
    linked = with_neighbours(images, 20)
    others = [[int(b[0, 0]) for b in item.beside] for item in linked]
    assert others == [[2], [], [0, 3], [2], []]


def test_crops_show_the_same_place_of_the_neighbouring_slice():
    labels = np.zeros((64, 64), np.int32)
    labels[20:40, 20:40] = 1
    item = LabelledImage("s", "x", np.full((64, 64), 9, np.uint8), labels, True, (labels,))
    sampler = CropSampler({"s": [item]}, np.random.default_rng(0))
    batch = sampler.batch(4, 64, 2)
    assert (batch.beside == batch.masks).all()
    some = batch.of(torch.tensor([2, 0]))
    assert (some.masks == batch.masks[[2, 0]]).all()
    assert some.beside.shape == some.masks.shape
    alone = CropSampler({"s": [replace(item, beside=())]}, np.random.default_rng(0))
    assert not alone.batch(4, 64, 2).beside.any()
