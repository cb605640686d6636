from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest
from tiny import SceneModel, SlowModel, discs, tiny_sam

from napari_sam import masks
from napari_sam.predict import cache
from napari_sam.predict import session as session_module
from napari_sam.predict.cache import DiskCache
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session, disk_key, nbytes
from napari_sam.types import PredictRequest, Prompts, SliceKey

STACK = np.stack([discs((80, 100), [(20 + 10 * z, 40)], 15) for z in range(4)])


def ask(image, z=0, prompts=None, window=None, limits=None):
    key = SliceKey((1, 2), ((0, z),), window)
    prompts = Prompts([(20 + 10 * z, 40)]) if prompts is None else prompts
    return PredictRequest(key, image, limits, prompts)


@pytest.fixture
def session(scene_predictor):
    return Session(scene_predictor, closer_look=False)


def test_a_plane_is_encoded_once(session):
    model = session.predictor.model
    assert not session.ready(ask(STACK))
    for _ in range(3):
        answer = session.predict(ask(STACK))
    assert model.encoded == 1
    assert session.ready(ask(STACK))
    assert not session.ready(ask(STACK, z=1))
    assert masks.iou(answer.masks[answer.best], STACK[0] > 0) > 0.9


def test_planes_and_contrast_limits_have_embeddings_of_their_own(session):
    model = session.predictor.model
    session.predict(ask(STACK))
    session.predict(ask(STACK, z=1))
    assert model.encoded == 2
    session.predict(ask(STACK, limits=(0, 100)))
    assert model.encoded == 3
    session.predict(ask(STACK, z=1))
    assert model.encoded == 3


def test_the_answer_carries_its_request(session):
    request = ask(STACK, z=2)
    carried = session.predict(request).request
    assert carried.key == request.key
    assert carried.image is STACK
    assert carried.prompts is request.prompts


def test_the_embedding_used_longest_ago_goes_first(scene_predictor):
    one = nbytes(scene_predictor.encode(STACK[0]).features)
    assert one == 80 * 100 * 4
    session = Session(scene_predictor, max_bytes=2 * one, closer_look=False)
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 1))
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 2))
    assert [session.ready(ask(STACK, z)) for z in range(3)] == [True, False, True]


def test_a_bound_below_one_embedding_still_keeps_the_newest(scene_predictor):
    session = Session(scene_predictor, max_bytes=1, closer_look=False)
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 1))
    assert not session.ready(ask(STACK, 0))
    assert session.ready(ask(STACK, 1))


def test_the_crop_of_a_whole_plane_shares_its_embedding(session):
    model = session.predictor.model
    session.predict(ask(STACK, z=1))
    whole = session.crop_embedding(ask(STACK, z=1), (0, 0, 100, 80))
    assert whole is session.embedding(ask(STACK, z=1))
    assert model.encoded == 1
    part = session.crop_embedding(ask(STACK, z=1), (10, 20, 60, 70))
    assert part.original_size == (50, 50)
    assert model.encoded == 2
    turned = PredictRequest(SliceKey((2, 1), ((0, 1),)), STACK, None, Prompts())
    assert session.plane_size(turned) == (100, 80)
    assert session.crop_embedding(turned, (0, 0, 80, 100)).original_size == (100, 80)


def test_another_image_clears_the_cache(session):
    session.predict(ask(STACK))
    other = STACK.copy()
    assert not session.ready(ask(other))
    session.predict(ask(other))
    assert session.ready(ask(other))
    assert not session.ready(ask(STACK))


def test_clear_forgets(session):
    session.predict(ask(STACK))
    session.clear()
    assert not session.ready(ask(STACK))
    session.predict(ask(STACK))
    assert session.predictor.model.encoded == 2


@pytest.mark.parametrize(
    ("prompts", "text"),
    [
        (Prompts([(100, 5)]), r"\(100, 5\) lies outside .* from 0 to 99 and y from 0 to 79"),
        (Prompts([(5, -1)]), r"\(5, -1\) lies outside"),
        (Prompts([(5, 5), (5, 80)]), r"\(5, 80\)"),
        (Prompts(box=[120, 5, 130, 20]), "the box 120,5,130,20 lies outside"),
        (Prompts(box=[1, -9, 13, -2]), "the box"),
        (Prompts(), "at least one point"),
    ],
)
@pytest.mark.parametrize("closer_look", [True, False])
def test_prompts_outside_the_plane_are_refused(scene_predictor, prompts, text, closer_look):
    session = Session(scene_predictor, closer_look=closer_look)
    with pytest.raises(ValueError, match=text):
        session.predict(ask(STACK, prompts=prompts))


def test_prompts_at_the_very_edge_are_taken(session):
    for point in ((0, 0), (99, 79), (-0.5, -0.5), (99.5, 79.5)):
        assert session.predict(ask(STACK, prompts=Prompts([point]))).masks.shape == (3, 80, 100)
    box = Prompts(box=[-10, -10, 300, 300])
    assert session.predict(ask(STACK, prompts=box)).masks.shape == (1, 80, 100)


# a plane that the model sees at half its size
WIDE = discs((400, 512), [(100, 100), (400, 300)], 8) + discs((400, 512), [(300, 90)], 70)
LARGE, SMALL = (300, 90), (400, 300)


def closer(**options):
    return Session(SamPredictor(SceneModel(image_size=256)), **options)


def ask_wide(prompts, window=None):
    return PredictRequest(SliceKey((0, 1), (), window), WIDE, None, prompts)


def test_a_large_object_needs_no_closer_look():
    session = closer()
    answer = session.predict(ask_wide(Prompts([LARGE])))
    assert answer.request.key.window is None
    assert session.predictor.model.encoded == 1


def test_a_small_object_is_looked_at_closer():
    session = closer()
    truth = discs(WIDE.shape, [SMALL], 8) > 0
    answer = session.predict(ask_wide(Prompts([SMALL])))
    x0, y0, x1, y1 = answer.request.key.window
    assert x0 <= 392 - 10
    assert y0 <= 292 - 10
    assert 408 + 10 <= x1 <= 512
    assert 308 + 10 <= y1 <= 400
    assert x1 - x0 < 150
    assert answer.masks.shape == (3, 400, 512)
    assert masks.iou(answer.masks[answer.best], truth) > 0.9
    assert session.predictor.model.encoded == 2
    plain = closer(closer_look=False).predict(ask_wide(Prompts([SMALL])))
    assert plain.request.key.window is None
    worse = masks.iou(plain.masks[plain.best], truth)
    assert worse < masks.iou(answer.masks[answer.best], truth)


def test_a_small_box_is_looked_at_closer_around_the_box():
    answer = closer().predict(ask_wide(Prompts(box=[390, 290, 410, 310])))
    x0, y0, x1, y1 = answer.request.key.window
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((400, 300), abs=2)
    assert answer.masks[answer.best][300, 400]


def test_a_window_is_cut_at_the_edge_of_the_plane():
    plane = discs((400, 512), [(2, 397)], 9)
    request = PredictRequest(SliceKey((0, 1)), plane, None, Prompts([(2, 397)]))
    answer = closer().predict(request)
    x0, y0, x1, y1 = answer.request.key.window
    assert (x0, y1) == (0, 400)
    assert masks.iou(answer.masks[answer.best], plane > 0) > 0.8
    assert x1 < 100
    assert y0 > 300


def test_a_correction_goes_on_in_the_window_with_the_logits():
    session = closer()
    first = session.predict(ask_wide(Prompts([SMALL])))
    window = first.request.key.window
    logits = first.low_res_logits[first.best]
    seen = []
    decode = session.predictor.model.decode

    def spy(features, coords, labels, boxes, mask_input, *others):
        seen.append((coords, mask_input))
        return decode(features, coords, labels, boxes, mask_input, *others)

    session.predictor.model.decode = spy
    more = Prompts([SMALL, (405, 305)], [1, 0], None, logits)
    second = session.predict(ask_wide(more, window))
    assert second.request.key.window == window
    assert session.predictor.model.encoded == 2  # nothing new was encoded
    ((coords, mask_input),) = seen
    np.testing.assert_array_equal(mask_input[0], logits)
    np.testing.assert_allclose(coords[0, 0], (400 - window[0], 300 - window[1]))
    assert second.masks[second.best][300, 400]


def test_a_prompt_beyond_the_window_starts_afresh_without_the_logits():
    session = closer()
    first = session.predict(ask_wide(Prompts([SMALL])))
    logits = first.low_res_logits[first.best]
    more = Prompts([LARGE, SMALL], [1, 0], None, logits)
    second = session.predict(ask_wide(more, first.request.key.window))
    assert second.request.key.window is None
    assert second.request.prompts.mask_input is None
    assert second.masks[second.best][LARGE[1], LARGE[0]]


def test_a_window_of_a_stack_and_of_a_transposed_plane():
    stack = np.stack([np.zeros_like(WIDE), WIDE])
    for displayed, point in (((1, 2), SMALL), ((2, 1), SMALL[::-1])):
        request = PredictRequest(SliceKey(displayed, ((0, 1),)), stack, None, Prompts([point]))
        session = closer()
        answer = session.predict(request)
        assert answer.request.key.window is not None
        expected = discs(WIDE.shape, [SMALL], 8) > 0
        truth = expected if displayed == (1, 2) else expected.T
        assert masks.iou(answer.masks[answer.best], truth) > 0.9
        again = session.predict(answer.request)
        np.testing.assert_array_equal(again.masks, answer.masks)


def test_threads_share_one_embedding(session):
    answers, start = [], threading.Barrier(8)

    def work(z):
        start.wait()
        answers.append((z, session.predict(ask(STACK, z))))

    threads = [threading.Thread(target=work, args=(k % 2,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(answers) == 8
    assert session.predictor.model.encoded == 2
    for z, answer in answers:
        assert masks.iou(answer.masks[answer.best], STACK[z] > 0) > 0.9


def test_asking_whether_a_plane_is_ready_never_waits_for_the_encoder():
    session = Session(SamPredictor(SlowModel()), closer_look=False)
    thread = threading.Thread(target=session.predict, args=(ask(STACK),))
    thread.start()
    time.sleep(0.1)  # the encoder takes 0.4 s
    start = time.perf_counter()
    assert not session.ready(ask(STACK))
    session.clear()
    assert time.perf_counter() - start < 0.1
    thread.join(timeout=10)
    assert not session.ready(ask(STACK))  # what was encoded for the forgotten image is not kept


def test_bytes_of_features():
    assert nbytes(np.zeros((3, 4), np.float32)) == 48
    assert nbytes((np.zeros(2), [np.zeros(3)])) == 40
    assert nbytes(object()) == 0


def test_the_bundled_model_has_embeddings_that_count(pocket):
    assert nbytes(pocket.encode(STACK[0]).features) > 10_000


@pytest.fixture
def disk(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "QUIET", 0.0)
    return DiskCache(tmp_path / "cache")


def later(disk, model=None, **options):
    """Return a session of another day: nothing but the folder is left."""
    return Session(SamPredictor(model or SceneModel(**options)), disk=DiskCache(disk.folder))


def kept(session, request):
    """Return the answer to a request once what was encoded for it is written."""
    answer = session.predict(request)
    session.disk.wait()
    return answer


def test_a_plane_is_encoded_once_and_not_once_a_session(disk):
    first = kept(Session(SamPredictor(SceneModel()), disk=disk), ask(STACK))
    session = later(disk)
    answer = session.predict(ask(STACK.copy()))
    assert session.predictor.model.encoded == 0
    assert session.ready(ask(session._image))
    np.testing.assert_array_equal(answer.masks, first.masks)
    assert disk.usage().planes == 1
    kept(session, ask(STACK, z=1))
    assert session.predictor.model.encoded == 1
    assert disk.usage().planes == 2


def test_weights_and_contrast_limits_have_files_of_their_own(disk):
    kept(later(disk), ask(STACK))
    other = SceneModel()
    other.fingerprint = "others"
    session = later(disk, other)
    kept(session, ask(STACK))
    assert other.encoded == 1
    kept(session, ask(STACK, limits=(0, 100)))  # the same pixels: they are 0 and 200
    assert other.encoded == 1
    kept(session, ask(STACK, limits=(0, 300)))
    assert other.encoded == 2
    assert disk.usage().planes == 3


def test_what_is_kept_in_memory_is_not_the_coarser_copy_of_the_disk(disk):
    session = later(disk, tiny_sam())
    plane = np.random.default_rng(0).integers(0, 256, (64, 50)).astype(np.uint8)
    request = PredictRequest(SliceKey((0, 1)), plane, None, Prompts([(9, 9)]))
    exact = session.predictor.encode(plane).features
    assert (session.embedding(request).features == exact).all()
    session.disk.wait()
    found = later(disk, tiny_sam()).embedding(request)
    assert (found.original_size, found.input_size, found.model) == ((64, 50), (64, 50), "tiny")
    error = (found.features - exact).abs().max()
    assert 0 < error < 0.003 * (exact.max() - exact.min())


def test_windows_are_not_written(disk):
    session = later(disk, image_size=256)
    answer = kept(session, ask_wide(Prompts([SMALL])))
    assert answer.request.key.window is not None
    assert session.predictor.model.encoded == 2
    assert disk.usage().planes == 1


def test_a_damaged_file_is_replaced(disk):
    kept(later(disk), ask(STACK))
    (path,) = disk.folder.iterdir()
    sound = path.read_bytes()
    path.write_bytes(sound[:-9])
    session = later(disk)
    kept(session, ask(STACK))
    assert session.predictor.model.encoded == 1
    assert path.read_bytes() == sound


def test_features_of_another_form_are_replaced(disk):
    kept(later(disk), ask(STACK))
    model = SceneModel()
    model.pack = lambda features: {"other": features}
    model.unpack = lambda arrays: arrays["other"]
    kept(later(disk, model), ask(STACK))
    assert model.encoded == 1
    kept(later(disk, model), ask(STACK))
    assert model.encoded == 1


def test_a_disk_in_trouble_does_not_stop_a_session(tmp_path):
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file" / "cache")
    session = Session(SamPredictor(SceneModel()), disk=disk)
    answer = kept(session, ask(STACK))
    assert masks.iou(answer.masks[answer.best], STACK[0] > 0) > 0.9
    assert "not kept" in disk.notice


def test_a_disk_that_hangs_delays_nobody(disk, monkeypatch):
    released = threading.Event()
    put = disk.put

    def hang(key, arrays):
        assert released.wait(timeout=20)
        put(key, arrays)

    monkeypatch.setattr(disk, "put", hang)
    session = Session(SamPredictor(SceneModel()), disk=disk)
    for z in range(3):  # the second and third would wait if a lock were held while writing
        session.predict(ask(STACK, z))
        assert session.ready(ask(STACK, z))
    assert disk.usage().planes == 0
    released.set()
    disk.wait()
    assert disk.usage().planes == 3


def test_a_job_that_was_killed_goes_on_where_it_stopped(disk):
    session = later(disk)
    for z in range(3):
        kept(session, ask(STACK, z))
    session = later(disk)
    for z in range(4):
        session.predict(ask(STACK, z))
    assert session.predictor.model.encoded == 1


def test_keys_tell_planes_weights_and_versions_apart(monkeypatch):
    plane = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    other = plane.copy()
    other[3, 4, 2] ^= 1
    keys = {
        disk_key("a", plane),
        disk_key("b", plane),
        disk_key("a", other),
        disk_key("a", plane.reshape(5, 4, 3)),
    }
    assert len(keys) == 4
    assert disk_key("a", plane.copy()) in keys
    assert disk_key("a", plane[::-1][::-1]) in keys
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)
    monkeypatch.setattr(session_module, "__version__", "another")
    assert disk_key("a", plane) not in keys
