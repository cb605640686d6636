"""Work that nobody waits for ends between two of its units, and only that work."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from tiny import SlowBlocks

from napari_sam import stopping
from napari_sam.models import vit
from napari_sam.models.mobile_sam import MBConv, Stage
from napari_sam.models.recognition import recognise
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stopping import Stopped, check, stoppable
from napari_sam.types import Plane, PredictRequest, Prompts, SliceKey

# planes that are told apart by their brightest pixel
STACK = np.stack([np.full((32, 32), 200 + z, np.uint8) for z in range(3)])
STACK[:, :8] = 0


def plane_of(z):
    return Plane(STACK, SliceKey((1, 2), ((0, z),)), (0, 255))


def countdown(left):
    """Return a question that is answered with yes after `left` times no."""
    asked = iter(range(left))
    return lambda: next(asked, None) is None


def test_nothing_stops_where_nobody_says_so():
    check()
    with stoppable(lambda: False):
        check()
    with stoppable(lambda: True):
        pass
    check()


def test_it_stops_inside_and_no_longer_than_that():
    with pytest.raises(Stopped), stoppable(lambda: True):
        check()
    check()
    with stoppable(lambda: True):
        with stoppable(lambda: False):
            check()
        with pytest.raises(Stopped):
            check()


def test_other_threads_go_on():
    faults = []

    def work():
        try:
            check()
        except Stopped:
            faults.append("stopped")

    with stoppable(lambda: True):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert faults == []


@torch.inference_mode()
@pytest.mark.parametrize("family", ["vit", "mobile_sam"])
def test_encoders_look_between_two_blocks(family):
    ran = []
    if family == "vit":
        encoder = vit.build(recognise(published(draw(SMALL))), "mine", "cpu").sam.image_encoder
        blocks, x = encoder.blocks, torch.zeros(1, 3, SMALL["image_size"], SMALL["image_size"])
    else:
        encoder = Stage([MBConv(4, 8) for _ in range(3)], None).eval()
        blocks, x = encoder.blocks, torch.zeros(1, 4, 8, 8)
    for number, block in enumerate(blocks):
        block.register_forward_hook(lambda *_, number=number: ran.append(number))
    with pytest.raises(Stopped), stoppable(countdown(2)):
        encoder(x)
    assert ran == [0, 1]
    encoder(x)
    assert ran == [0, 1, *range(len(blocks))]


def test_pocket_looks_between_its_stages(pocket):
    ran = []
    stages = pocket.model.pocket.encoder.stages
    hooks = [one.register_forward_hook(lambda *_: ran.append(1)) for one in stages]
    try:
        for wanted in (2, len(stages) + 1):  # of the half-sized plane, then of the whole one
            ran.clear()
            with pytest.raises(Stopped), stoppable(lambda wanted=wanted: len(ran) == wanted):
                pocket.encode(STACK[0])
            assert len(ran) == wanted
    finally:
        for hook in hooks:
            hook.remove()


def test_a_stopped_plane_is_not_kept_and_the_next_one_gets_the_encoder():
    model = SlowBlocks()
    session = Session(SamPredictor(model), closer_look=False)
    stop, ended = threading.Event(), []

    def unwanted():
        with stoppable(stop.is_set):
            try:
                session.embedding(plane_of(0))
            except Stopped:
                ended.append(time.monotonic())

    def waiting():  # for the encoder, until nobody wants it any more either
        with stoppable(stop.is_set):
            try:
                session.embedding(plane_of(1))
            except Stopped:
                ended.append(time.monotonic())

    threads = [threading.Thread(target=unwanted), threading.Thread(target=waiting)]
    threads[0].start()
    while not model.begun:
        time.sleep(0.001)
    threads[1].start()
    start = time.monotonic()
    stop.set()
    model.delay = 0.0
    session.predict(PredictRequest(plane_of(2), Prompts([(9, 20)])))  # the encoder alone takes 2 s
    assert time.monotonic() - start < 1
    for thread in threads:
        thread.join(timeout=10)
    assert len(ended) == 2
    assert model.begun == [200, 202]
    assert model.stopped == [200]
    assert [session.ready(plane_of(z)) for z in range(3)] == [False, False, True]


def test_stopped_is_no_error():
    assert not issubclass(stopping.Stopped, Exception)
