"""Random arguments for every public function: an answer, or one `ValueError` of one sentence."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nonsense import (
    anything,
    arrays,
    label_images,
    lists,
    mask_likes,
    masks,
    numbers,
    pairs,
    planes,
    sizes,
    things,
)
from tiny import DiscModel, SceneModel

import napari_sam
from napari_sam import (
    AmgParams,
    AutomaticMaskGenerator,
    Mask,
    MaskLogits,
    Plane,
    PredictRequest,
    Progress,
    Prompts,
    SamPredictor,
    Session,
    SliceKey,
    Stroke,
    evaluate,
    io,
    load_model,
    samples,
    stack,
    transforms,
)
from napari_sam import masks as algebra

CASES = int(os.environ.get("NAPARI_SAM_FUZZ", "500"))
"""Cases of all functions together; a large number is drawn anew at each run."""
COARSE = AmgParams(points_per_side=2, pred_iou_thresh=0.5, stability_score_thresh=0.5)
PREDICTOR = SamPredictor(DiscModel(image_size=32))
SCENE = SamPredictor(SceneModel(image_size=32))
FOLDER = Path()  # of each test
FUNCTIONS = {}


def public(function):
    """Enter a function that draws the arguments of a public one and calls it."""
    FUNCTIONS[function.__name__] = function
    return function


def consumed(steps):
    """Run a generator to its end, for a while at least."""
    return [step for step, _ in zip(steps, range(2000), strict=False)]


def drawn(draw, **strategies):
    """Draw some of the arguments by name; the others keep their defaults."""
    return {name: draw(one) for name, one in strategies.items() if draw(st.booleans())}


# ---- values


@public
def prompts(draw):
    points = st.one_of(lists(st.tuples(numbers, numbers)), anything)
    labels = st.one_of(lists(st.integers(0, 1)), anything)
    box = st.one_of(st.tuples(*[numbers] * 4), anything)
    asked = Prompts(
        **drawn(
            draw,
            point_coords=points,
            point_labels=labels,
            box=box,
            mask_input=planes,
            region=points,
        )
    )
    assert asked.empty in (True, False)
    asked.moved(draw(numbers), draw(numbers))


@public
def stroke(draw):
    path = draw(st.one_of(lists(st.tuples(numbers, numbers)), anything))
    asked = Prompts(strokes=(Stroke(path, draw(st.one_of(st.integers(0, 1), anything))),))
    assert not asked.moved(draw(numbers), draw(numbers)).empty


@public
def mask_of(draw):
    pixels = draw(st.one_of(arrays((np.bool_,), dims=(2, 2)), anything))
    mask = Mask.of(pixels, **drawn(draw, corner=pairs, size=sizes))
    assert mask.area == np.count_nonzero(np.asarray(mask))


@public
def mask_moved(draw):
    moved = draw(masks()).moved(draw(numbers), draw(numbers), draw(sizes))
    assert np.asarray(moved).shape == moved.size


@public
def mask(draw):
    box = draw(st.one_of(st.tuples(*[numbers] * 4), anything))
    np.asarray(Mask(box, draw(st.one_of(arrays((np.uint8,), dims=(1, 1)), anything)), draw(sizes)))


@public
def mask_logits(draw):
    frame = draw(st.one_of(st.tuples(*[numbers] * 4), anything))
    MaskLogits(draw(planes), frame).moved(draw(numbers), draw(numbers))


@public
def plane(draw):
    axes = st.integers(0, 4)
    fixed = st.lists(st.tuples(axes, numbers), max_size=3).map(tuple)
    key = SliceKey(draw(st.tuples(axes, axes)), draw(fixed), **drawn(draw, level=numbers))
    read = Plane(draw(st.one_of(arrays(), things)), key).read()
    assert read.ndim in (2, 3)


# ---- the predictor


@public
def predict(draw):
    pixels = draw(planes)
    embedding = PREDICTOR.encode(pixels, draw(pairs))
    points = draw(st.lists(st.tuples(numbers, numbers), max_size=3))
    answer = PREDICTOR.predict(embedding, Prompts(points))
    assert np.isfinite(answer.iou_predictions).all()


@public
def session(draw):
    image = draw(planes)
    points = draw(st.lists(st.tuples(st.integers(-2, 9), numbers), max_size=3))
    box = draw(st.one_of(st.none(), st.tuples(*[numbers] * 4)))
    request = PredictRequest(Plane(image, contrast=draw(pairs)), Prompts(points, box=box))
    answer = Session(SCENE).predict(request)
    assert {one.size for one in answer.masks} == {np.shape(image)[:2]}


@public
def models(draw):
    name = draw(st.one_of(st.text(max_size=5), things).filter(lambda name: name != "pocket"))
    load_model(name, **drawn(draw, device=things))


# ---- everything mode


@public
def amg_params(draw):
    fields = dict.fromkeys(AmgParams.__dataclass_fields__, anything)
    params = AmgParams(**drawn(draw, **fields))
    assert all(grid.shape[1] == 2 for grid in params.grids()[:1])


@public
def generate(draw):
    for record in AutomaticMaskGenerator(SCENE, COARSE).generate(draw(planes), draw(pairs)):
        assert record.area > 0


# ---- masks


@public
def box_of(draw):
    assert algebra.box_of(draw(mask_likes)).shape == (4,)


@public
def middle_of(draw):
    assert np.shape(algebra.middle_of(draw(mask_likes))) == (2,)


@public
def worst_click(draw):
    found = algebra.worst_click(draw(mask_likes), draw(mask_likes))
    assert found is None or found[1] in (0, 1)


@public
def iou(draw):
    assert 0 <= algebra.iou(draw(mask_likes), draw(mask_likes)) <= 1


@public
def shared_pixels(draw):
    one = draw(masks())
    assert algebra.shared_pixels(one, one) == one.area
    algebra.shared_pixels(one, draw(masks()))


@public
def stability_score(draw):
    assert 0 <= algebra.stability_score(draw(planes), draw(things), draw(things)) <= 1


@public
def tidied(draw):
    points = st.one_of(lists(st.tuples(numbers, numbers)), anything)
    labels = st.one_of(lists(st.integers(0, 1)), anything)
    one = draw(masks())
    assert algebra.tidied(one, draw(points), draw(labels)).size == one.size


@public
def remove_small_regions(draw):
    mode = draw(st.one_of(st.sampled_from(["holes", "islands"]), things))
    one = draw(masks())
    cleaned, changed = algebra.remove_small_regions(one, draw(things), mode)
    assert changed or cleaned is one


@public
def run_lengths(draw):
    one = draw(mask_likes)
    rle = algebra.to_rle(one)
    np.testing.assert_array_equal(algebra.from_rle(rle), np.asarray(one) != 0)


@public
def from_rle(draw):
    counts = st.one_of(lists(st.integers(-1, 9)), anything)
    algebra.from_rle(
        draw(st.one_of(st.fixed_dictionaries({"size": sizes, "counts": counts}), anything))
    )


@public
def to_labels(draw):
    one = draw(masks())
    found = draw(st.one_of(st.just([one, one]), lists(mask_likes), anything))
    shape = draw(st.one_of(st.just(one.size), sizes))
    labels = algebra.to_labels(found, shape, **drawn(draw, min_area=things))
    assert labels.shape == tuple(shape)


@public
def labels_in(draw):
    algebra.labels_in(draw(label_images))


@public
def overlap_counts(draw):
    one = draw(label_images)
    other = draw(st.one_of(st.just(one), label_images))
    assert algebra.overlap_counts(one, other)[2].sum() == np.size(one)


# ---- planes and the model's input


@public
def to_rgb8(draw):
    rgb = transforms.to_rgb8(draw(planes), **drawn(draw, contrast_limits=pairs, channels=anything))
    assert rgb.dtype == np.uint8
    assert rgb.shape[2:] == (3,)


@public
def contrast_of(draw):
    transforms.contrast_of(draw(planes))


@public
def scaled_size(draw):
    assert min(transforms.scaled_size(draw(sizes), draw(numbers), draw(numbers))) >= 1


@public
def resize(draw):
    pixels = draw(st.one_of(arrays((np.uint8,), dims=(3, 3)), planes))
    size = draw(sizes)
    assert transforms.resize(pixels, size).shape[:2] == tuple(size)


@public
def scale_points(draw):
    points = draw(st.one_of(lists(st.tuples(numbers, numbers)), anything))
    transforms.scale_points(points, draw(sizes), draw(sizes), draw(st.booleans()))


@public
def scale_box(draw):
    box = draw(st.one_of(st.tuples(*[numbers] * 4), anything))
    assert transforms.scale_box(box, draw(sizes), draw(sizes)).shape == (4,)


@public
def bilinear_matrix(draw):
    source, target = draw(st.one_of(st.integers(-1, 9), things)), draw(st.integers(-1, 9))
    assert transforms.bilinear_matrix(source, target).shape == (target, source)


# ---- stacks

volumes = st.one_of(
    arrays(dims=(3, 5), side=4),
    arrays((np.uint8, np.float32), dims=(3, 4), side=5),
    arrays(),
    things,
)


@public
def stack_everything(draw):
    volume = draw(volumes)
    out = st.one_of(st.just(np.zeros(np.shape(volume), np.int32)), arrays(), things)
    options = drawn(
        draw,
        axis=things,
        planes=st.one_of(lists(st.integers(-4, 4)), anything),
        contrast_limits=pairs,
        out=out,
        link=st.booleans(),
        colours=st.sampled_from([None, True, False]),
    )
    labels = stack.run(stack.everything(SCENE, volume, COARSE, **options))
    assert labels.shape == np.shape(volume)[: labels.ndim]


@public
def everything_in(draw):
    image = draw(planes)
    steps = stack.everything_in(Session(SCENE), [Plane(image, contrast=draw(pairs))], COARSE)
    for step in consumed(steps):
        assert isinstance(step, Progress) or step.labels.shape == np.shape(image)[:2]


@public
def linked(draw):
    one = draw(label_images)
    places = st.one_of(st.integers(-2, 3), st.sampled_from([None, "1", 0.5, 2**70, (1,)]))
    given_planes = draw(st.dictionaries(places, st.one_of(st.just(one), label_images), max_size=3))
    consumed(
        stack.linked(
            given_planes,
            **drawn(
                draw,
                least=things,
                largest=things,
                method=st.one_of(st.sampled_from(["assignment", "greedy"]), things),
                least_volume=things,
                spacing=st.one_of(lists(numbers), things),
            ),
        )
    )


@public
def tracked(draw):
    one = draw(label_images)
    frames = draw(st.dictionaries(st.integers(0, 4), st.just(one), max_size=4))
    consumed(stack.tracked(frames, **drawn(draw, largest=things)))


@public
def write_tracks(draw):
    tracks = draw(lists(st.builds(stack.Track, *[st.integers(0, 9)] * 4)))
    stack.write_tracks(FOLDER / "res_track.txt", tracks)


@public
def all_planes(draw):
    shape = draw(st.one_of(st.lists(st.integers(0, 4), max_size=5), anything))
    fixed = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=3))
    key = SliceKey((draw(st.integers(0, 3)), draw(st.integers(0, 3))), tuple(fixed))
    found = stack.all_planes(shape, key, **drawn(draw, axis=things))
    for group in stack.stacks_along(found, draw(st.integers(0, 4))):
        assert group


@public
def plane_text(draw):
    fixed = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=3))
    stack.plane_text(Plane(draw(arrays()), SliceKey((0, 1), tuple(fixed))))


@public
def turned(draw):
    stack.turned(draw(label_images), SliceKey(draw(st.sampled_from([(0, 1), (1, 0)]))))


# ---- scores


@public
def average_precision(draw):
    one = draw(label_images)
    found = evaluate.average_precision(one, draw(st.one_of(st.just(one), label_images)))
    assert found.shape == (10,)


@public
def score_image(draw):
    image = draw(arrays((np.uint8,), dims=(2, 2), side=12).filter(np.size))
    answer = evaluate.plane_answer(SCENE, image)
    labels = draw(st.one_of(st.just(image // 128), label_images))
    clicks = things.filter(lambda clicks: not isinstance(clicks, int) or clicks < 20)  # else hours
    consumed(evaluate.score_image(answer, labels, **drawn(draw, clicks=clicks, limit=things)))


@public
def background_noticed(draw):
    image = draw(arrays((np.uint8,), dims=(2, 2), side=12).filter(np.size))
    answer = evaluate.session_answer(Session(SCENE), image)
    labels = draw(st.one_of(st.just(np.zeros_like(image)), label_images))
    evaluate.background_noticed(answer, labels, **drawn(draw, clicks=things, seed=things))


@public
def summarise(draw):
    evaluate.summarise([], **drawn(draw, seed=things))
    evaluate.pool_small([])


# ---- files and samples


@public
def write_labels(draw):
    name = draw(st.sampled_from(["a.tif", "a.npy", "a.png", "a.txt", "", "b/a.tif"]))
    labels = draw(st.one_of(label_images, anything))
    axes = draw(st.one_of(st.sampled_from(["YX", "ZYX", "", "Q"]), things))
    io.write_labels(
        FOLDER / name, labels, axes, **drawn(draw, scale=pairs, overwrite=st.just(True))
    )


@public
def read_image(draw):
    path = FOLDER / draw(st.sampled_from(["a.tif", "a.npy", "a.png", "a.json", "none.tif", ""]))
    content = draw(st.one_of(st.none(), st.binary(max_size=64), arrays()))
    if path != FOLDER and isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".npy" and content is not None:
        np.save(path, content, allow_pickle=True)
    assert io.read_image(path).data.ndim in (2, 3, 4)


@public
def cells_stack(draw):
    shape = draw(st.one_of(st.tuples(*[st.integers(-1, 9)] * 3), anything))
    image, labels = samples.cells_stack_with_labels(shape, **drawn(draw, seed=things))
    assert image.shape == labels.shape == tuple(shape)


def refusal(function, draw):
    """Return the `ValueError` of a function, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(draw)
    except ValueError as error:
        return error
    return None


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_arguments_are_answered_or_refused_in_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "FOLDER", tmp_path)

    @settings(
        max_examples=max(CASES // len(FUNCTIONS), 5),
        derandomize=CASES <= 500,
        phases=[Phase.generate],  # shrinking takes minutes
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data):
        error = refusal(FUNCTIONS[name], data.draw)
        if error is not None:
            own = type(error).__module__.startswith("napari_sam")
            assert own or type(error) is ValueError, f"{type(error)}: {error}"
            assert str(error)
            assert "\n" not in str(error)

    check()


def test_every_public_name_is_tried_or_a_value_without_checks():
    values = {"ImageEmbedding", "MaskRecord", "PlaneGuide", "Prediction", "Progress", "__version__"}
    tried = {
        "AmgParams", "AutomaticMaskGenerator", "Mask", "MaskLogits", "Plane", "PredictRequest",
        "Prompts", "SamPredictor", "Session", "SliceKey", "Stroke", "load_model", "stack",
    }  # fmt: skip
    assert set(napari_sam.__all__) == values | tried
