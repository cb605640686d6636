from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny import DiscModel, DoubtfulModel, SceneModel, discs

from napari_sam import masks
from napari_sam.everything import amg_params
from napari_sam.everything.amg import AutomaticMaskGenerator, Candidate, Candidates
from napari_sam.everything.amg_params import AmgParams
from napari_sam.images.transforms import to_rgb8
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, Progress

CENTRES = [(30, 30), (100, 40), (160, 60), (50, 120), (140, 130)]
SCENE = discs((170, 200), CENTRES, 14)
TRUE_AREA = int((discs((170, 200), CENTRES[:1], 14) > 0).sum())


def outlines(records):
    return sorted(
        (r.bbox, r.area, round(r.predicted_iou, 5), round(r.stability_score, 5)) for r in records
    )


def proposed(generator, plane):
    """Return the steps of a run and the candidates that it returns."""
    steps = []

    def passed():
        steps.append((yield from generator.propose(plane)))

    seen = list(passed())
    return seen, steps[0]


def scene(**params):
    return AutomaticMaskGenerator(
        SamPredictor(SceneModel()), AmgParams(stability_score_thresh=0.8, **params)
    )


def test_point_grid_holds_the_centres_of_its_cells():
    np.testing.assert_allclose(
        amg_params.point_grid(2), [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    )
    assert amg_params.point_grid(32).shape == (1024, 2)


def test_crop_boxes_are_those_of_the_published_model():
    boxes, layers = amg_params.crop_boxes((100, 200), 1, 512 / 1500)
    assert boxes[0] == (0, 0, 200, 100)
    assert sorted(boxes[1:]) == [
        (0, 0, 117, 67),
        (0, 33, 117, 100),
        (83, 0, 200, 67),
        (83, 33, 200, 100),
    ]
    assert layers == [0, 1, 1, 1, 1]


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (37, 41), (512, 300)])
def test_crops_cover_the_plane_and_stay_within_it(size):
    boxes, layers = amg_params.crop_boxes(size, 3, 0.3)
    for layer in range(4):
        covered = np.zeros(size, bool)
        for (x0, y0, x1, y1), own in zip(boxes, layers, strict=True):
            assert 0 <= x0 < x1 <= size[1]
            assert 0 <= y0 < y1 <= size[0]
            if own == layer:
                covered[y0:y1, x0:x1] = True
        assert covered.all()


def test_every_object_is_found_once():
    generator = scene(points_per_side=16)
    records = generator.generate(SCENE)
    assert len(records) == 5
    assert generator.predictor.model.encoded == 1
    assert generator.predictor.model.decoded == 256
    found = sorted((r.bbox[0] + r.bbox[2] / 2, r.bbox[1] + r.bbox[3] / 2) for r in records)
    np.testing.assert_allclose(found, sorted(CENTRES), atol=1.5)
    for r in records:
        assert r.segmentation.shape == SCENE.shape
        assert r.segmentation.dtype == bool
        assert r.area == r.segmentation.sum()
        assert abs(r.area - TRUE_AREA) < 0.05 * TRUE_AREA
        x0, y0, x1, y1 = masks.box_of(r.segmentation)
        assert r.bbox == (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
        assert r.predicted_iou == pytest.approx(0.9)
        assert r.crop_box == (0, 0, 200, 170)
        x, y = (round(v) for v in r.point_coords)
        assert r.segmentation[y, x]


def test_duplicates_stay_without_suppression():
    assert len(scene(points_per_side=16, box_nms_thresh=1.0).generate(SCENE)) > 5


def test_progress_counts_points_and_ends_with_the_candidates():
    steps, candidates = proposed(scene(points_per_side=10, points_per_batch=30), SCENE)
    assert [s.done for s in steps] == [0, 30, 60, 90, 100]
    assert all(isinstance(s, Progress) and s.total == 100 for s in steps)
    assert isinstance(candidates, Candidates)
    assert candidates.size == SCENE.shape


def test_the_size_of_a_batch_changes_nothing():
    small = scene(points_per_side=12, points_per_batch=7).generate(SCENE)
    large = scene(points_per_side=12, points_per_batch=1000).generate(SCENE)
    assert outlines(small) == outlines(large)


def test_an_empty_plane_has_no_records():
    assert scene(points_per_side=8).generate(np.zeros((50, 60))) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 3)])
def test_planes_of_a_few_pixels(shape):
    predictor = SamPredictor(DiscModel(radius=2.0))
    params = AmgParams(points_per_side=4, stability_score_thresh=0, crop_n_layers=1)
    records = AutomaticMaskGenerator(predictor, params).generate(np.ones(shape))
    assert all(r.segmentation.shape == shape for r in records)
    assert len(records) <= 3 * np.prod(shape)


CHANGES = [
    {"pred_iou_thresh": 0.7},
    {"pred_iou_thresh": 0.99},
    {"stability_score_thresh": 0.92},
    {"box_nms_thresh": 0.2},
    {"box_nms_thresh": 0.01},
    {"min_mask_region_area": 100},
    {"pred_iou_thresh": 0.7, "stability_score_thresh": 0.9, "box_nms_thresh": 0.4},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_select_with_other_thresholds_is_a_run_with_them(change):
    plane = np.eye(90, 120)
    first = AutomaticMaskGenerator(
        SamPredictor(DiscModel()),
        AmgParams(points_per_side=6, pred_iou_thresh=0.5, stability_score_thresh=0.8),
    )
    candidates = drive(first.propose(plane))
    decoded = first.predictor.model.decoded
    params = replace(first.params, **change)
    fresh = AutomaticMaskGenerator(SamPredictor(DiscModel()), params)
    assert outlines(first.select(candidates, params)) == outlines(fresh.generate(plane))
    assert first.predictor.model.decoded == decoded
    if change != CHANGES[5]:
        assert outlines(first.select(candidates, params)) != outlines(first.select(candidates))


def test_thresholds_are_those_of_the_published_model():
    """The score must be above its threshold, the stability at least at it."""
    generator = AutomaticMaskGenerator(
        SamPredictor(DiscModel()), AmgParams(points_per_side=2, stability_score_thresh=0.0)
    )
    candidates = drive(generator.propose(np.eye(64)))
    score = candidates.items[0].iou
    at = replace(generator.params, pred_iou_thresh=score)
    assert score not in {r.predicted_iou for r in generator.select(candidates, at)}
    stability = max(c.stability for c in candidates.items)
    at = replace(generator.params, pred_iou_thresh=0.5, stability_score_thresh=stability)
    assert generator.select(candidates, at)


def test_candidates_keep_their_masks_packed():
    candidates = drive(scene(points_per_side=16).propose(SCENE))
    for c in candidates.items[:5]:
        assert c.mask.size == SCENE.shape
        assert c.mask.packed.nbytes == -(-c.mask.bits.size // 8)
        truth = SCENE[c.mask.part] > 0
        assert (c.mask.bits == truth).mean() > 0.95


def test_small_holes_and_islands_are_cleaned():
    plane = SCENE.copy()
    plane[26:35, 26:35] = 0  # a hole of 81 pixels in the first disc
    plain = scene(points_per_side=20).generate(plane)
    clean = scene(points_per_side=20, min_mask_region_area=120).generate(plane)
    assert len(plain) == len(clean) == 5
    gained = sum(r.area for r in clean) - sum(r.area for r in plain)
    assert 50 <= gained <= 110
    for r in clean:
        x0, y0, x1, y1 = masks.box_of(r.segmentation)
        assert r.bbox == (x0, y0, x1 - x0 + 1, y1 - y0 + 1)
        assert r.area == r.segmentation.sum()


def test_crops_find_every_object_once_and_whole():
    generator = scene(points_per_side=16, crop_n_layers=1)
    records = generator.generate(SCENE)
    assert generator.predictor.model.encoded == 5
    assert len(records) == 5
    assert all(abs(r.area - TRUE_AREA) < 0.05 * TRUE_AREA for r in records)
    assert len({r.crop_box for r in records}) > 1
    for r in records:
        left, top, width, height = r.crop_box
        assert left <= r.bbox[0]
        assert r.bbox[0] + r.bbox[2] <= left + width
        assert top <= r.bbox[1]
        assert r.bbox[1] + r.bbox[3] <= top + height


def test_sparser_grids_for_deeper_layers():
    grids = AmgParams(points_per_side=16, crop_n_layers=2, crop_n_points_downscale_factor=2).grids()
    assert [len(g) for g in grids] == [256, 64, 16]
    assert len(AmgParams(points_per_side=1, crop_n_layers=1).grids()[1]) == 1


def test_own_grids_take_the_place_of_points_per_side():
    x, y = CENTRES[2]
    grid = np.array([[x / 200, y / 170]])
    (found,) = scene(point_grids=(grid,)).generate(SCENE)
    assert found.segmentation[60, 160]
    assert found.point_coords == pytest.approx((160, 60))


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"points_per_side": 0}, "points_per_side lies between 1 and 128, but is 0"),
        ({"points_per_batch": 0}, "points_per_batch"),
        ({"pred_iou_thresh": 1.1}, r"pred_iou_thresh .* but is 1.1"),
        ({"stability_score_thresh": -0.1}, "stability_score_thresh"),
        ({"crop_n_layers": 9}, "crop_n_layers"),
        ({"crop_overlap_ratio": float("nan")}, "crop_overlap_ratio"),
        ({"crop_n_layers": 1, "point_grids": (np.zeros((1, 2)),)}, "2 layers need 2 point_grids"),
        ({"points_per_side": 3.5}, "points_per_side is a whole number from 1 to 128, but is 3.5"),
        ({"points_per_side": None}, "points_per_side is a whole number"),
        ({"box_nms_thresh": "x"}, "box_nms_thresh is a number from 0.0 to 1.0, but is 'x'"),
        ({"pred_iou_thresh": 1j}, "pred_iou_thresh is a number"),
        ({"min_mask_region_area": float("inf")}, "min_mask_region_area is a whole number"),
        ({"seeds": ["grid"]}, "seeds is one of"),
        ({"seeds": np.array(["grid"])}, "seeds is one of"),
        ({"point_grids": 3}, "1 layers need 1 point_grids, but there are 0"),
        (
            {"point_grids": (np.zeros((4, 3)),)},
            r"is \(N, 2\), \(x, y\) in 0..1, but one is \(4, 3\)",
        ),
        ({"point_grids": (np.full((4, 2), 1.5),)}, "in 0..1"),
        ({"point_grids": (np.full((4, 2), np.nan),)}, "in 0..1"),
        ({"point_grids": (["a"],)}, "point_grids hold numbers"),
    ],
)
def test_parameters_are_checked(params, text):
    with pytest.raises(ValueError, match=text):
        AmgParams(**params)


def test_every_parameter_says_what_it_does():
    for name, option in AmgParams.__dataclass_fields__.items():
        if name == "point_grids":
            continue
        assert option.metadata["help"], name
        if "choices" in option.metadata:
            assert option.default in option.metadata["choices"], name
            continue
        assert set(option.metadata) == {"min", "max", "step", "help"}, name
        assert option.metadata["min"] <= option.default <= option.metadata["max"], name


AUTO = AmgParams(seeds="auto", pred_iou_thresh=0.2, stability_score_thresh=0.3, box_nms_thresh=0.3)


def found_by_head(plane, model=None):
    """The records, and the labels painted from them."""
    generator = AutomaticMaskGenerator(SamPredictor(model or SceneModel()), AUTO)
    records = generator.generate(plane)
    return records, masks.to_labels(records, plane.shape)


def test_objects_come_from_the_head_without_asking_the_decoder():
    model = SceneModel()
    generator = AutomaticMaskGenerator(SamPredictor(model), AUTO)
    steps, candidates = proposed(generator, SCENE)
    assert model.decoded == 0
    assert steps[-1].done == steps[-1].total == 0
    records = generator.select(candidates)
    assert len(records) == len(CENTRES)
    for x, y in CENTRES:
        truth = discs(SCENE.shape, [(x, y)], 14) > 0
        best = max(records, key=lambda r, truth=truth: masks.iou(truth, r.segmentation))
        assert masks.iou(truth, best.segmentation) > 0.92
        assert best.point_coords == pytest.approx((x, y), abs=2)


def test_the_decoder_is_asked_where_the_head_is_in_doubt():
    model = DoubtfulModel(box=(85, 25, 115, 55))
    generator = AutomaticMaskGenerator(SamPredictor(model), AUTO)
    steps, candidates = proposed(generator, SCENE)
    assert model.decoded == steps[-1].done == steps[-1].total == 1
    records = generator.select(candidates)
    assert len(records) == len(CENTRES)
    truth = discs(SCENE.shape, [(100, 40)], 14) > 0
    best = max(records, key=lambda r: masks.iou(truth, r.segmentation))
    assert masks.iou(truth, best.segmentation) > 0.95


def test_the_heads_mask_stays_where_the_decoder_has_no_better_one():
    model = DoubtfulModel(box=(85, 25, 115, 55), blind=True)
    records, labels = found_by_head(SCENE, model)
    assert model.decoded == 1
    assert len(records) == len(CENTRES)
    assert labels[40, 100] > 0


def test_long_objects_side_by_side_are_no_duplicates():
    y, x = np.mgrid[:200, :200]
    plane = np.zeros((200, 200), np.uint8)
    for shift in (-14, 14):
        plane[(np.abs(x - y + shift) < 10) & (np.abs(x + y - 200) < 150)] = 200
    records, labels = found_by_head(plane)
    assert len(records) == 2
    a, b = (np.array([r.bbox[0], r.bbox[1]]) for r in records)
    assert np.abs(a - b).max() < 40  # their boxes overlap by more than half
    assert masks.iou(labels > 0, plane > 0) > 0.9


@pytest.mark.parametrize("side", [90, 1024])
def test_planes_of_another_size_than_the_input(side):
    """Outlines are smooth: a plane may be much larger than the input."""
    centres = np.array([[0.3, 0.3], [0.52, 0.35], [0.7, 0.75]]) * side
    plane = discs((side, side + 5), centres, 0.1 * side)
    model = SceneModel(image_size=256)
    records, labels = found_by_head(plane, model)
    assert labels.shape == plane.shape
    assert len(records) == 3
    assert masks.iou(labels > 0, plane > 0) > (0.92 if side == 90 else 0.97)


def test_objects_of_the_padding_are_none():
    class Padded(SceneModel):
        def padded_size(self, input_size):
            return (256, 256)

        def encode(self, rgb):
            labels = super().encode(rgb)
            labels[190:240, 150:240] = labels.max() + 1
            return labels

    model = Padded()
    records, _ = found_by_head(SCENE, model)
    assert len(records) == len(CENTRES)
    (full, half) = SamPredictor(model).instance_fields(SamPredictor(model).encode(SCENE))
    assert full.foreground.shape == (43, 50)
    assert half.foreground.shape == (22, 25)


def test_crops_with_a_head_find_every_object_once():
    model = SceneModel()
    generator = AutomaticMaskGenerator(SamPredictor(model), replace(AUTO, crop_n_layers=1))
    records = generator.generate(SCENE)
    assert model.encoded == 5
    assert len(records) == len(CENTRES)


def test_points_inside_what_was_found_can_be_skipped():
    found, asked = {}, {}
    for skip in ("nothing", "found"):
        model = SceneModel()
        params = AmgParams(
            points_per_side=24, points_per_batch=8, stability_score_thresh=0.8, skip_points=skip
        )
        generator = AutomaticMaskGenerator(SamPredictor(model), params)
        steps, candidates = proposed(generator, SCENE)
        found[skip], asked[skip] = outlines(generator.select(candidates)), model.decoded
        assert steps[-1].done == steps[-1].total == 576
    assert [box for box, *_ in found["found"]] == [box for box, *_ in found["nothing"]]
    assert asked["found"] < 0.95 * asked["nothing"]


def test_a_head_sees_nothing_where_nothing_is():
    assert AutomaticMaskGenerator(SamPredictor(SceneModel()), AUTO).generate(0 * SCENE) == []


def test_a_model_without_a_head_takes_the_grid(tiny_predictor):
    params = AmgParams(seeds="auto", points_per_side=3)
    steps, _ = proposed(AutomaticMaskGenerator(tiny_predictor, params), SCENE[:120, :120])
    assert steps[-1].total == 9


def test_zero_lets_every_predicted_iou_pass():
    found = scene(points_per_side=4, pred_iou_thresh=0.0)
    items = [
        Candidate(Mask.of(np.ones((1, 8), bool), size=(9, 9)), iou, 1.0, (0, 0), (0, 0, 9, 9))
        for iou in (-0.2, 0.4)
    ]
    low = Candidates((9, 9), tuple(items[:1]), -np.inf)
    assert len(found.select(low)) == 1
    assert not found.select(low, AmgParams(pred_iou_thresh=0.01))


class Watched(SceneModel):
    """Notes the planes that it encodes."""

    def __init__(self, **options):
        super().__init__(**options)
        self.seen = []

    def encode(self, rgb):
        self.seen.append(rgb)
        return super().encode(rgb)


@pytest.mark.parametrize("limits", [None, (0.2, 1.5)])
def test_crops_have_the_grey_values_of_the_whole_plane(limits):
    """Asked for by themselves or through a session, which reads a crop alone."""
    plane = np.random.default_rng(0).gamma(2.0, 0.3, (90, 120))
    plane[:40, :50] *= 30
    params = AmgParams(points_per_side=2, crop_n_layers=1)
    whole = to_rgb8(plane, limits)
    crops, _ = amg_params.crop_boxes(plane.shape, 1, params.crop_overlap_ratio)
    expected = [whole[y0:y1, x0:x1] for x0, y0, x1, y1 in crops]
    alone, kept = Watched(), Watched()
    drive(AutomaticMaskGenerator(SamPredictor(alone), params).propose(plane, limits))
    session, asked = Session(SamPredictor(kept)), Plane(plane, contrast=limits)
    generator = AutomaticMaskGenerator(session.predictor, params)
    drive(generator.propose_on(asked.size, lambda crop: session.crop_embedding(asked, crop)))
    for model in (alone, kept):
        assert len(model.seen) == len(expected) == 5
        for seen, part in zip(model.seen, expected, strict=True):
            np.testing.assert_array_equal(seen, part)


def test_the_bundled_model_finds_discs(pocket):
    noise = np.random.default_rng(0).normal(0, 6, SCENE.shape)
    params = AmgParams(
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        point_grids=(np.array(CENTRES) / (200, 170),),
    )
    records = AutomaticMaskGenerator(pocket, params).generate(SCENE + noise)
    for x, y in CENTRES:
        truth = discs(SCENE.shape, [(x, y)], 14) > 0
        assert max(masks.iou(truth, r.segmentation) for r in records) > 0.6
