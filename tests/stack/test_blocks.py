"""Planes kept on disk, and blocks of them."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.everything.amg_params import AmgParams
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack import blocks, volumes
from napari_sam.stack.blocks import Block, KeptPlanes, blocks_of, do_block, plane_of, read_back
from napari_sam.stack.planes import everything_in
from napari_sam.stack.volumes import StackFrame, stacks_like
from napari_sam.types import Plane, Progress

FRAME = StackFrame((4, 40, 48), 0)


def scene():
    image = np.full((4, 40, 48), 20, np.uint8)
    image[1:, 5:15, 5:15] = 200
    image[2:, 20:32, 25:40] = 230
    return image


def planes_of(image):
    return stacks_like(Plane(image, FRAME.key), FRAME)[0]


def kept_in(folder, **made):
    return KeptPlanes.opened(folder / "planes", FRAME.shape, FRAME.key, made)


def test_blocks_give_what_a_single_run_gives(tmp_path):
    image = scene()
    params = AmgParams(points_per_side=8, pred_iou_thresh=0, stability_score_thresh=0)
    steps = everything_in(Session(SamPredictor(SceneModel())), planes_of(image), params, 7)
    alone = [step for step in steps if not isinstance(step, Progress)]
    kept = kept_in(tmp_path)
    bare = [plane_of(plane, None) for plane in planes_of(image)]
    session = Session(SamPredictor(SceneModel()), max_bytes=0)
    for some in (bare[2:], bare[:3]):  # in another order, one plane twice
        do_block(session, Block(tuple(some), params, 1.0), image, KeptPlanes(kept.folder))
    assert session.predictor.model.encoded == 4
    again = list(read_back(kept.read, bare, 7))
    assert alone[0].values.size == 0
    assert alone[3].values.tolist() == [11, 12]
    for one, other in zip(alone, again, strict=True):
        assert np.array_equal(one.labels, other.labels)


def test_a_plane_without_objects_is_done_too(tmp_path):
    kept, planes = kept_in(tmp_path), planes_of(scene())
    kept.write(planes[1].key, np.zeros((40, 48), np.int32))
    kept.share = 0.7
    again = kept_in(tmp_path)
    assert [plane.key for plane in again.missing(planes)] == [planes[k].key for k in (0, 2, 3)]
    assert again.share == 0.7
    assert not again.read(planes[1].key).any()


def test_planes_that_were_made_from_something_else_are_not_kept(tmp_path):
    kept, planes = kept_in(tmp_path, model="one"), planes_of(scene())
    kept.write(planes[1].key, np.ones((40, 48), np.int32))
    assert len(kept_in(tmp_path, model="one").missing(planes)) == 3
    other = kept_in(tmp_path, model="other")
    assert other.share is None
    kept.write(planes[2].key, np.ones((40, 48), np.int32))  # a late worker of the first run
    assert len(other.missing(planes)) == 4


def test_a_plane_that_is_damaged_or_not_there_is_told(tmp_path, monkeypatch):
    kept, planes = kept_in(tmp_path), planes_of(scene())
    kept.write(planes[1].key, np.ones((40, 48), np.int32))
    (file,) = [one for one in (kept.folder / "c" / "1").rglob("*") if one.is_file()]
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(ValueError, match="is damaged; remove it"):
        kept.read(planes[1].key)
    monkeypatch.setattr(blocks, "PATIENCE", 0.0)
    with pytest.raises(ValueError, match="need to see the same folders"):
        kept.read(planes[0].key)


@pytest.mark.parametrize(
    ("thickness", "workers", "sizes"),
    [(4, 1, [4, 4, 4, 4, 4]), (8, 1, [5, 5, 5, 5]), (1, 3, [1] * 20), (64, 50, [1] * 20)],
)
def test_blocks_are_layers_of_chunks(thickness, workers, sizes):
    frame = StackFrame((20, 4, 4), 0)
    planes = stacks_like(Plane(np.zeros(frame.shape), frame.key), frame)[0]
    found = blocks_of(planes, 0, thickness, workers)
    assert [len(one) for one in found] == sizes
    assert [plane for one in found for plane in one] == planes


def test_blocks_end_where_a_stack_ends():
    frame = StackFrame((2, 3, 4, 4), 1)
    stacks = stacks_like(Plane(np.zeros(frame.shape), frame.key), frame)
    planes = [plane for stack in stacks for plane in stack]
    assert [len(one) for one in blocks_of(planes, 1, 8, 1)] == [1] * 6


def test_something_has_to_find_the_objects():
    with pytest.raises(ValueError, match="give predictor or prepare"):
        volumes.everything(None, np.zeros((3, 8, 8)))
