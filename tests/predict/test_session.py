from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest
from tiny import SceneModel, SlowModel, discs, tiny_sam

from napari_sam import masks
from napari_sam.images.transforms import contrast_of, to_rgb8
from napari_sam.predict import cache
from napari_sam.predict import session as session_module
from napari_sam.predict.cache import DiskCache
from napari_sam.predict.image_cache import nbytes
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session, disk_key
from napari_sam.types import MaskLogits, Plane, PredictRequest, Prompts, SliceKey

STACK = np.stack([discs((80, 100), [(20 + 10 * z, 40)], 15) for z in range(4)])


def plane_of(image, z=0, limits=None):
    return Plane(image, SliceKey((1, 2), ((0, z),)), limits)


def ask(image, z=0, prompts=None, limits=None):
    prompts = Prompts([(20 + 10 * z, 40)]) if prompts is None else prompts
    return PredictRequest(plane_of(image, z, limits), prompts)


@pytest.fixture
def session(scene_predictor):
    return Session(scene_predictor, closer_look=False)


def test_a_plane_is_encoded_once(session):
    model = session.predictor.model
    assert not session.ready(plane_of(STACK))
    for _ in range(3):
        answer = session.predict(ask(STACK))
    assert model.encoded == 1
    assert session.ready(plane_of(STACK))
    assert not session.ready(plane_of(STACK, z=1))
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


def test_the_embedding_used_longest_ago_goes_first(scene_predictor):
    one = nbytes(scene_predictor.encode(STACK[0]).features)
    assert one == 80 * 100 * 4
    session = Session(scene_predictor, max_bytes=2 * one, closer_look=False)
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 1))
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 2))
    assert [session.ready(plane_of(STACK, z)) for z in range(3)] == [True, False, True]


def test_a_bound_below_one_embedding_still_keeps_the_newest(scene_predictor):
    session = Session(scene_predictor, max_bytes=1, closer_look=False)
    session.predict(ask(STACK, 0))
    session.predict(ask(STACK, 1))
    assert not session.ready(plane_of(STACK, 0))
    assert session.ready(plane_of(STACK, 1))


def test_the_crop_of_a_whole_plane_shares_its_embedding(session):
    model = session.predictor.model
    session.predict(ask(STACK, z=1))
    whole = session.crop_embedding(plane_of(STACK, z=1), (0, 0, 100, 80))
    assert whole is session.embedding(plane_of(STACK, z=1))
    assert model.encoded == 1
    part = session.crop_embedding(plane_of(STACK, z=1), (10, 20, 60, 70))
    assert part.original_size == (50, 50)
    assert model.encoded == 2
    turned = Plane(STACK, SliceKey((2, 1), ((0, 1),)))
    assert turned.size == (100, 80)
    assert session.crop_embedding(turned, (0, 0, 80, 100)).original_size == (100, 80)


def test_another_image_clears_the_cache(session):
    session.predict(ask(STACK))
    other = STACK.copy()
    assert not session.ready(plane_of(other))
    session.predict(ask(other))
    assert session.ready(plane_of(other))
    assert not session.ready(plane_of(STACK))


def test_clear_forgets(session):
    session.predict(ask(STACK))
    session.clear()
    assert not session.ready(plane_of(STACK))
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
        found = session.predict(ask(STACK, prompts=Prompts([point]))).masks
        assert [mask.size for mask in found] == [(80, 100)] * 3
    box = Prompts(box=[-10, -10, 300, 300])
    assert [mask.size for mask in session.predict(ask(STACK, prompts=box)).masks] == [(80, 100)]


# a plane that the model sees at half its size
WIDE = discs((400, 512), [(100, 100), (400, 300)], 8) + discs((400, 512), [(300, 90)], 70)
LARGE, SMALL = (300, 90), (400, 300)


def closer(**options):
    return Session(SamPredictor(SceneModel(image_size=256)), **options)


def ask_wide(prompts):
    return PredictRequest(Plane(WIDE), prompts)


def test_a_large_object_needs_no_closer_look():
    session = closer()
    answer = session.predict(ask_wide(Prompts([LARGE])))
    assert answer.window is None
    assert session.predictor.model.encoded == 1


def test_a_small_object_is_looked_at_closer():
    session = closer()
    truth = discs(WIDE.shape, [SMALL], 8) > 0
    answer = session.predict(ask_wide(Prompts([SMALL])))
    x0, y0, x1, y1 = answer.window
    assert x0 <= 392 - 10
    assert y0 <= 292 - 10
    assert 408 + 10 <= x1 <= 512
    assert 308 + 10 <= y1 <= 400
    assert x1 - x0 < 150
    assert [mask.size for mask in answer.masks] == [(400, 512)] * 3
    assert masks.iou(answer.masks[answer.best], truth) > 0.9
    assert session.predictor.model.encoded == 2
    plain = closer(closer_look=False).predict(ask_wide(Prompts([SMALL])))
    assert plain.window is None
    worse = masks.iou(plain.masks[plain.best], truth)
    assert worse < masks.iou(answer.masks[answer.best], truth)


def test_a_small_box_is_looked_at_closer_around_the_box():
    answer = closer().predict(ask_wide(Prompts(box=[390, 290, 410, 310])))
    x0, y0, x1, y1 = answer.window
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((400, 300), abs=2)
    assert np.asarray(answer.masks[answer.best])[300, 400]


def test_a_window_is_cut_at_the_edge_of_the_plane():
    plane = discs((400, 512), [(2, 397)], 9)
    answer = closer().predict(PredictRequest(Plane(plane), Prompts([(2, 397)])))
    x0, y0, x1, y1 = answer.window
    assert (x0, y1) == (0, 400)
    assert masks.iou(answer.masks[answer.best], plane > 0) > 0.8
    assert x1 < 100
    assert y0 > 300


class Watched(SceneModel):
    """Notes the planes that it encodes and the mask inputs that it is given."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen, self.given = [], []

    def encode(self, rgb):
        self.seen.append(rgb)
        return super().encode(rgb)

    def decode(self, features, coords, labels, boxes, mask_input, *others):
        self.given.append((coords, mask_input))
        return super().decode(features, coords, labels, boxes, mask_input, *others)


def test_a_correction_goes_on_in_the_window_with_the_logits():
    session = Session(SamPredictor(Watched(image_size=256)))
    model = session.predictor.model
    first = session.predict(ask_wide(Prompts([SMALL])))
    logits = first.logits(first.best)
    assert logits.window == first.window
    model.given.clear()
    second = session.predict(ask_wide(Prompts([SMALL, (405, 305)], [1, 0], None, logits)))
    assert second.window == first.window
    assert model.encoded == 2  # nothing new was encoded
    ((coords, mask_input),) = model.given
    np.testing.assert_array_equal(mask_input[0], logits.values)
    np.testing.assert_allclose(coords[0, 0], (400 - first.window[0], 300 - first.window[1]))
    assert np.asarray(second.masks[second.best])[300, 400]


AROUND = [SMALL, (396, 298), (405, 305), (398, 304)]


def test_a_prompt_beyond_the_window_takes_the_logits_of_several_with_it():
    """They say of the whole plane where the object of the window lies, and no more."""
    session = Session(SamPredictor(Watched(image_size=256)))
    model = session.predictor.model
    first = session.predict(ask_wide(Prompts(AROUND)))
    model.given.clear()
    more = Prompts([LARGE, *AROUND], [1, 0, 0, 0, 0], None, first.logits(first.best))
    second = session.predict(ask_wide(more))
    assert second.window is None
    assert np.asarray(second.masks[second.best])[LARGE[1], LARGE[0]]
    ((coords, mask_input),) = model.given
    assert coords.shape == (1, 5, 2)
    assert mask_input.shape == (1, 50, 64)
    wide = MaskLogits(mask_input[0], second.frame)
    cells = (np.indices((400, 512)).transpose(1, 2, 0) + 0.5) // 8  # of 8 pixels of the plane
    shown = wide.values[cells[..., 0].astype(int), cells[..., 1].astype(int)] > 0
    assert masks.iou(shown, first.masks[first.best]) > 0.5  # a disc of two cells across


def test_a_prompt_beyond_the_window_of_a_few_leaves_their_logits_behind():
    """What few clicks made of an object that reaches so far misleads."""
    session = Session(SamPredictor(Watched(image_size=256)))
    model = session.predictor.model
    for count in (1, 2, 3):
        first = session.predict(ask_wide(Prompts(AROUND[:count])))
        model.given.clear()
        labels = [1, *[0] * count]
        more = Prompts([LARGE, *AROUND[:count]], labels, None, first.logits(first.best))
        second = session.predict(ask_wide(more))
        assert second.window is None
        ((coords, mask_input),) = model.given
        assert coords.shape == (1, count + 1, 2)
        assert mask_input is None


def test_a_closer_look_at_a_correction_goes_on_from_the_whole_plane():
    session = Session(SamPredictor(Watched(image_size=256)))
    model = session.predictor.model
    whole = Session(session.predictor, closer_look=False).predict(ask_wide(Prompts([LARGE])))
    model.given.clear()
    points, labels = [SMALL, (420, 310)], [1, 0]
    more = Prompts(points, labels, None, whole.logits(whole.best))
    second = session.predict(ask_wide(more))
    assert second.window is not None
    (_, coarse), (_, fine) = model.given
    np.testing.assert_array_equal(coarse[0], whole.low_res_logits[whole.best])
    assert fine.shape == (1, *second.low_res_logits.shape[1:])
    moved = MaskLogits(fine[0], second.frame, second.window)
    x, y = ((np.array(SMALL) + 0.5 - second.frame[:2]) / 4).astype(int)
    assert moved.values[y, x] > 0  # of the answer at hand, not of the one before
    model.given.clear()
    plain = session.predict(ask_wide(Prompts(points, labels)))
    assert plain.window is not None
    assert [mask_input for _, mask_input in model.given] == [None, None]


def test_a_bare_array_is_taken_to_cover_the_whole_plane():
    session = closer(closer_look=False)
    good = np.zeros((50, 64), np.float32)
    assert session.predict(ask_wide(Prompts([LARGE], [1], None, good))).window is None
    for shape in ((64, 64), (32, 32), (1, 1)):
        with pytest.raises(ValueError, match=r"must be \(50, 64\)"):
            session.predict(ask_wide(Prompts([LARGE], [1], None, np.zeros(shape))))


FLOATS = np.random.default_rng(0).gamma(2.0, 300.0, (2, 400, 512))
FLOATS[:, :40, :40] *= 30  # what lies in a window is darker than what is left out


@pytest.mark.parametrize("limits", [None, (100.0, 900.0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint16, np.uint8])
def test_windows_and_crops_have_the_grey_values_of_the_whole_plane(limits, dtype):
    image = (FLOATS.clip(0, 2500) / 10 if dtype == np.uint8 else FLOATS.clip(0, 6e4)).astype(dtype)
    plane = plane_of(image, 1, limits)
    window = (100, 200, 227, 301)
    whole = to_rgb8(image[1], limits)
    for first in (None, window):  # the contrast is known from either
        model = Watched()
        session = Session(SamPredictor(model), closer_look=False)
        session.embedding(plane.within(first))
        session.crop_embedding(plane, window)
        session.embedding(plane)
        shown = {rgb.shape[:2]: rgb for rgb in model.seen}
        np.testing.assert_array_equal(shown[400, 512], whole)
        np.testing.assert_array_equal(shown[101, 127], whole[200:301, 100:227])


def test_the_closer_look_has_the_grey_values_of_the_whole_plane():
    plane = np.where(WIDE > 0, 3.0, 1.0) + np.linspace(0, 0.2, 512)
    plane[:20, :20] = 9.0
    model = Watched(image_size=256)
    session = Session(SamPredictor(model))
    answer = session.predict(PredictRequest(Plane(plane, contrast=(1.0, 4.0)), Prompts([SMALL])))
    x0, y0, x1, y1 = answer.window
    expected = to_rgb8(plane, (1.0, 4.0))[y0:y1, x0:x1]
    np.testing.assert_array_equal(model.seen[1], expected)


def test_eight_bit_colours_are_the_same_in_windows():
    image = np.random.default_rng(1).integers(0, 99, (60, 80, 3)).astype(np.uint8)
    model = Watched()
    Session(SamPredictor(model)).embedding(Plane(image).within((10, 20, 40, 50)))
    np.testing.assert_array_equal(model.seen[0], image[20:50, 10:40])


def test_a_window_of_a_stack_and_of_a_transposed_plane():
    stack = np.stack([np.zeros_like(WIDE), WIDE])
    for displayed, point in (((1, 2), SMALL), ((2, 1), SMALL[::-1])):
        plane = Plane(stack, SliceKey(displayed, ((0, 1),)))
        session = closer()
        answer = session.predict(PredictRequest(plane, Prompts([point])))
        assert answer.window is not None
        expected = discs(WIDE.shape, [SMALL], 8) > 0
        truth = expected if displayed == (1, 2) else expected.T
        assert masks.iou(answer.masks[answer.best], truth) > 0.9
        again = Prompts([point], [1], None, answer.logits(answer.best))
        (second,) = session.predict_many(plane, [again], multimask_output=True)
        assert second.window == answer.window
        for one, other in zip(second.masks, answer.masks, strict=True):
            np.testing.assert_array_equal(one, other)


def test_several_objects_of_a_plane_are_asked_at_once():
    """Each gets the answer that it gets alone: with a window, without one, and a correction."""
    session = closer()
    first = session.predict(ask_wide(Prompts([(100, 100)])))
    prompts = [
        Prompts([SMALL]),
        Prompts([LARGE]),
        Prompts([(100, 100), (104, 104)], [1, 0], None, first.logits(first.best)),
        Prompts(box=[390, 290, 410, 310]),
    ]
    session.predictor.model.decoded = 0
    together = session.predict_many(Plane(WIDE), prompts)
    assert [answer.window is None for answer in together] == [False, True, False, False]
    assert session.predictor.model.decoded == 3 + 3  # the correction in its window alone
    for one, answer in zip(prompts, together, strict=True):
        alone = session.predict(ask_wide(one))
        assert alone.window == answer.window
        np.testing.assert_array_equal(alone.low_res_logits, answer.low_res_logits)
    assert session.predict_many(Plane(WIDE), []) == []


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
    assert not session.ready(plane_of(STACK))
    session.clear()
    assert time.perf_counter() - start < 0.25  # not the 0.3 s that are left
    thread.join(timeout=10)
    assert session.predictor.model.encoded == 2  # the pixels changed meanwhile
    assert session.ready(plane_of(STACK))


class Held(SceneModel):
    """Encodes only when it is let; shows how many encodings have begun."""

    def __init__(self, **options):
        super().__init__(**options)
        self.begun, self.let = threading.Semaphore(0), threading.Semaphore(0)

    def encode(self, rgb):
        self.begun.release()
        assert self.let.acquire(timeout=20)
        return super().encode(rgb)


def in_thread(function, *arguments):
    """Begin a call in a thread; return what waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments)))
    thread.start()

    def result():
        thread.join(timeout=20)
        return results[0]

    return result


def test_an_answer_never_comes_from_another_image():
    """One waits for the encoder while another image of the same shape is encoded and kept."""
    model = Held()
    session = Session(SamPredictor(model), closer_look=False)
    first, second = STACK, STACK[:, ::-1].copy()
    where = Prompts([(20, 39)])
    one = in_thread(session.predict, PredictRequest(plane_of(first), where))
    assert model.begun.acquire(timeout=20)
    other = in_thread(session.predict, PredictRequest(plane_of(second), where))
    while session._cache.image is not second:
        time.sleep(0.001)
    again = in_thread(session.predict, PredictRequest(plane_of(first), where))
    while session._cache.image is second:
        time.sleep(0.001)
    for _ in range(3):
        model.let.release()
    for result, image in ((one, first), (other, second), (again, first)):
        answer = result()
        assert masks.iou(answer.masks[answer.best], image[0] > 0) > 0.9


def test_pixels_that_change_while_they_are_encoded_are_encoded_again():
    model = Held()
    session = Session(SamPredictor(model), closer_look=False)
    image = STACK.copy()
    answer = in_thread(session.predict, ask(image, prompts=Prompts([(70, 40)])))
    assert model.begun.acquire(timeout=20)
    image[0] = discs((80, 100), [(70, 40)], 15)
    session.clear()
    model.let.release(2)
    found = answer()
    assert masks.iou(found.masks[found.best], image[0] > 0) > 0.9
    assert session.ready(plane_of(image))


def test_a_live_image_is_answered_all_the_same():
    class Live(SceneModel):
        def encode(self, rgb):
            session.clear()
            return super().encode(rgb)

    session = Session(SamPredictor(Live()), closer_look=False)
    answer = session.predict(ask(STACK))
    assert masks.iou(answer.masks[answer.best], STACK[0] > 0) > 0.9
    assert session.predictor.model.encoded == session_module.TRIES
    assert not session.ready(plane_of(STACK))


def test_channels_and_revisions_have_embeddings_of_their_own(session):
    image = np.stack([STACK[0], STACK[1], STACK[2], STACK[3]], axis=-1)
    for plane in (
        Plane(image),
        Plane(image, channels=(0,)),
        Plane(image, channels=[1]),
        Plane(image, channels=(1,)),
        Plane(image, channels=(1,), revision=1),
    ):
        session.embedding(plane)
    assert session.predictor.model.encoded == 4


def noisy_stack(planes, bright):
    stack = np.random.default_rng(0).normal(100, 2, (planes, 64, 80))
    stack[bright, 20:40, 30:60] = 4000
    return stack.astype(np.uint16)


class Lazy:
    """An array that is read plane by plane; counts its readings."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.readings = array, array.shape, array.dtype, 0

    def __getitem__(self, index):
        self.readings += 1
        return self.array[index]


@pytest.mark.parametrize("lazy", [False, True])
def test_a_plane_of_noise_is_seen_over_the_range_of_its_stack(session, lazy):
    stack = noisy_stack(8, 5)
    image = Lazy(stack) if lazy else stack
    for z in (0, 3, 7):
        pixels, (low, high) = session.read(plane_of(image, z))
        assert to_rgb8(pixels, (low, high)).max() < 3
        assert high - low > 3800
    if lazy:
        assert image.readings == 3 + 8  # the sample is read once
    _, limits = session.read(plane_of(image, 5))
    assert limits == contrast_of(stack[5])


def test_noise_along_any_axis_and_in_a_level_is_seen_over_the_range_of_its_stack(session):
    stack = noisy_stack(40, slice(10, 25))
    plane = Plane([stack[::2], stack], SliceKey((0, 2), ((1, 3),), level=1))
    _, (low, high) = session.read(plane)
    assert high - low > 3800


def test_a_window_has_the_contrast_of_its_plane(session):
    stack = noisy_stack(3, 1)
    plane = plane_of(stack, 1)
    assert session.read(plane.within((0, 0, 9, 9)))[1] == session.read(plane)[1]


def test_a_box_beyond_the_edge_is_answered_as_the_box_cut_there(session):
    small = Session(SamPredictor(tiny_sam()))
    for box, cut in (
        ([-200, -50, 40, 60], [0, 0, 40, 60]),
        ([10, 20, 3e38, 1e300], [10, 20, 99, 79]),
        ([-1e300, -3e38, 3e38, 3e38], [0, 0, 99, 79]),
    ):
        one, other = (small.predict(ask(STACK, prompts=Prompts(box=b))) for b in (box, cut))
        np.testing.assert_array_equal(one.low_res_logits, other.low_res_logits)
        np.testing.assert_array_equal(one.iou_predictions, other.iou_predictions)
        assert np.isfinite(one.iou_predictions).all()


@pytest.mark.parametrize("point", [(1e300, 5), (5, -3e38), (200, 5)])
def test_the_predictor_refuses_points_beyond_the_plane(point):
    predictor = SamPredictor(tiny_sam())
    embedding = predictor.encode(STACK[0])
    with pytest.raises(ValueError, match="lies outside the image"):
        predictor.predict(embedding, Prompts([point]))


def test_infinite_contrast_limits_are_refused(session):
    with pytest.raises(ValueError, match="must be finite"):
        session.predict(ask(STACK, limits=(0, np.inf)))


def test_a_tiny_object_is_looked_at_closer_in_a_plane_that_is_not_reduced():
    class Magnifying(SceneModel):
        largest_scale = 4.0

    plane = discs((256, 256), [(100, 120)], 5)
    session = Session(SamPredictor(Magnifying(image_size=256)))
    answer = session.predict(PredictRequest(Plane(plane), Prompts([(100, 120)])))
    assert answer.window is not None
    assert masks.iou(answer.masks[answer.best], plane > 0) > 0.8
    large = discs((256, 256), [(100, 120)], 20)
    assert session.predict(PredictRequest(Plane(large), Prompts([(100, 120)]))).window is None


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
    copy = STACK.copy()
    answer = session.predict(ask(copy))
    assert session.predictor.model.encoded == 0
    assert session.ready(plane_of(copy))
    for one, other in zip(answer.masks, first.masks, strict=True):
        np.testing.assert_array_equal(one, other)
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
    exact = session.predictor.encode(plane).features
    assert (session.embedding(Plane(plane)).features == exact).all()
    session.disk.wait()
    found = later(disk, tiny_sam()).embedding(Plane(plane))
    assert (found.original_size, found.input_size, found.model) == ((64, 50), (64, 50), "tiny")
    error = (found.features - exact).abs().max()
    assert 0 < error < 0.003 * (exact.max() - exact.min())


def test_windows_are_not_written(disk):
    session = later(disk, image_size=256)
    answer = kept(session, ask_wide(Prompts([SMALL])))
    assert answer.window is not None
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
        assert session.ready(plane_of(STACK, z))
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
