"""Our SAM 2 against another writing of it, on equal weights: from the pixels to the answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from another_sam import largest_error, prompts
from another_sam2 import answer, config, draw, in_double, pixels
from PIL import Image
from sam2_names import published
from tiny_sam2 import SIDE, TINY, drawn, save_published, tiny_net, tiny_sam2
from torch.nn import functional as F
from transformers import Sam2VideoConfig
from transformers.models.sam2_video import modeling_sam2_video

from napari_sam import Prompts, SamPredictor, load_model
from napari_sam.models import hiera, sam2
from napari_sam.models.recognition import recognise
from napari_sam.models.sam2_net import Sam2Net, Sam2Sizes

TOLERANCE = 1e-9
"""In standard deviations of the reference's answer, both in double precision."""
PLACES = (0.5, 0.9, 0.1, 0.7, 0.3, 0.99, 0.2, 0.4, 0.6, 0.8)  # of a changed weight, in its tensor
FORMS = ("points", "one point", "box", "both", "points and mask", "box and mask")


def plane(high=SIDE, wide=SIDE, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (high // 8 + 1, wide // 8 + 1, 3)).astype(np.uint8)
    return coarse.repeat(8, 0).repeat(8, 1)[:high, :wide]


def doubled(prompt):
    return {
        key: value.astype(np.float64) if value is not None and key != "labels" else value
        for key, value in prompt.items()
    }


def own_net(model, sizes=TINY, side=SIDE):
    """Return our network in double, with the other writing's weights."""
    net = tiny_net(sizes, side)
    weights = published(model)
    missing, unexpected = net.double().load_state_dict(weights, strict=False)
    assert not unexpected
    assert {name.split(".")[0] for name in missing} == {
        "memory_attention", "memory_encoder", "maskmem_tpos_enc", "no_mem_pos_enc", "no_obj_ptr",
        "no_obj_embed_spatial", "mask_downsample", "obj_ptr_proj", "obj_ptr_tpos_proj",
    }  # fmt: skip
    return net.eval()


@pytest.fixture(scope="module")
def reference():
    """The other writing, its maps of a plane and its answers to every form of prompt."""
    with in_double():
        model = draw(config())
        maps = model.get_image_embeddings(pixels(plane()))
        answers = {
            (form, several): answer(model, maps, doubled(prompts(SIDE)[form]), several)
            for form in FORMS
            for several in (True, False)
        }
    return model, maps, answers


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def own_maps(net):
    with torch.inference_mode():
        features = net.encode(pixels(plane()))
        return features._replace(s2=net.without_memory(features.s2))


def maps_error(net, maps):
    return max(
        largest_error(theirs.numpy(), own.numpy())
        for theirs, own in zip(maps, own_maps(net), strict=True)
    )


def features_of(net, maps):
    s0, s1, s2 = maps
    return sam2.Sam2Features(s0, s1, s2 - net.no_mem_embed[0, :, :, None, None].detach())


def answer_errors(net, maps, answers):
    """Yield the largest error of each form of prompt, on the other writing's maps."""
    model = sam2.Sam2Model(net, "ours")
    features = features_of(net, maps)
    for (form, several), theirs in answers.items():
        own = model.decode(features, multimask_output=several, **doubled(prompts(SIDE)[form]))
        yield max(
            largest_error(theirs[0], own.low_res_logits),
            *(np.abs(a - b).max() for a, b in zip(theirs[1:], own[1:], strict=True)),
        )


def test_the_parameters_are_those_that_are_published():
    with torch.device("meta"):
        own = Sam2Net(Sam2Sizes()).state_dict()
        theirs = published(modeling_sam2_video.Sam2VideoModel(Sam2VideoConfig()))
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in theirs.items()}
    parts = Counter(name.split(".")[0] for name in own)
    assert len(own) == 471
    assert {part: parts[part] for part in list(parts) if parts[part] > 2} == {
        "image_encoder": 162, "sam_mask_decoder": 131, "memory_attention": 106,
        "memory_encoder": 40, "sam_prompt_encoder": 17, "obj_ptr_proj": 6,
    }  # fmt: skip


def test_the_maps_are_the_references(reference):
    model, maps, _ = reference
    assert min(float(one.std()) for one in maps) > 0.1
    assert maps_error(own_net(model), maps) <= TOLERANCE


@pytest.mark.parametrize(
    ("depths", "background"),
    [((1, 2, 11, 2), (7, 7)), ((2, 3, 16, 3), (14, 14)), ((2, 6, 36, 4), (7, 7))],
    ids=["small", "base+", "large"],
)
def test_the_other_trunks_have_other_heads_and_windows(depths, background):
    sizes = replace(TINY, depths=depths, background=background)
    with in_double():
        model = draw(config(sizes))
        maps = model.get_image_embeddings(pixels(plane()))
    assert maps_error(own_net(model, sizes), maps) <= TOLERANCE


def test_the_first_stages_may_go_through_the_image_in_parts(reference, monkeypatch, one_thread):
    model, maps, _ = reference
    monkeypatch.setattr(hiera, "PART", 128)
    assert maps_error(own_net(model), maps) <= TOLERANCE


@pytest.mark.slow
def test_the_published_tiny_encoder_at_full_size():
    """In float32, of random weights; the largest differences are rounding."""
    model = draw(config(Sam2Sizes(), 1024)).float()
    image = pixels(plane(1024, 1024)).float()
    net = own_net(model, Sam2Sizes(), 1024).float()
    with torch.inference_mode():
        own = net.encode(image)
        own = own._replace(s2=net.without_memory(own.s2))
        theirs = model.get_image_embeddings(image)
    for one, other in zip(theirs, own, strict=True):
        assert largest_error(one.numpy(), other.numpy()) <= 1e-3


def test_every_form_of_prompt_is_answered_as_by_the_reference(reference):
    model, maps, answers = reference
    assert min(logits.std() for logits, _, _ in answers.values()) > 0.5
    assert max(answer_errors(own_net(model), maps, answers)) <= 1e-6  # the answer is float32


def test_an_unstable_single_mask_gives_way_to_the_best_of_the_others(reference):
    model, maps, answers = reference
    net = own_net(model)
    several = {form: answers[form, True] for form in FORMS}
    single = {form: answers[form, False] for form in FORMS}
    replaced = [
        any(np.allclose(one[0], other, atol=1e-9) for other in others)
        for form in FORMS
        for one, others in zip(single[form][0], several[form][0], strict=True)
    ]
    assert any(replaced)
    assert not all(replaced)
    assert max(answer_errors(net, maps, answers)) <= 1e-6


def test_a_wrong_weight_of_any_tensor_is_noticed(reference):
    model, maps, answers = reference
    net = own_net(model)
    some = {key: answers[key] for key in (("points and mask", True), ("both", False))}

    def noticed(name, flat, place):
        kept = flat[place].clone()
        flat[place] += 1.0
        if name.startswith(("image_encoder", "no_mem_embed", "sam_mask_decoder.conv_s")):
            found = maps_error(net, maps) > TOLERANCE
        else:
            found = any(error > 1e-6 for error in answer_errors(net, maps, some))
        flat[place] = kept
        return found

    def places(name, count):
        if name.endswith("qkv.bias"):  # that of the values; softmax does not see that of the keys
            return [count - 1]
        return [int(share * count) for share in PLACES]

    parts = ("image_encoder", "sam_", "no_mem_embed")
    unnoticed = [
        name
        for name, value in net.state_dict().items()
        if name.startswith(parts)
        and not name.endswith("k_proj.bias")
        and not any(noticed(name, value.view(-1), place) for place in places(name, value.numel()))
    ]
    assert not unnoticed


def test_a_plane_of_any_shape_is_squeezed_into_the_square(reference):
    """Coordinates, logits and masks agree with the published way there and back."""
    model, _, _ = reference
    high, wide = 75, 201
    image = plane(high, wide)
    square = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    points, box = np.array([[150.0, 20.0], [30.0, 60.0]]), np.array([20.0, 10.0, 180.0, 70.0])
    scale = np.array([SIDE / wide, SIDE / high])
    prompt = {
        "coords": (points * scale)[None], "labels": np.array([[1, 0]]),
        "boxes": (box * np.tile(scale, 2))[None], "mask_input": None,
    }  # fmt: skip
    with in_double():
        maps = model.get_image_embeddings(pixels(square))
        logits, scores, _ = answer(model, maps, prompt, True)
    theirs = F.interpolate(torch.from_numpy(logits), (high, wide), mode="bilinear")[0].numpy()

    predictor = SamPredictor(sam2.Sam2Model(own_net(model).float(), "ours"))
    embedding = predictor.encode(image)
    found = predictor.predict(embedding, Prompts(points, [1, 0], box), multimask_output=True)
    own = predictor.upsampler(embedding, found.low_res_logits.shape[-2:])(found.low_res_logits)
    assert largest_error(theirs, own) < 1e-2  # float32 against double
    assert np.abs(found.iou_predictions - scores[0]).max() < 1e-3
    for mask, fine in zip(found.masks, theirs, strict=True):
        assert (np.asarray(mask) != (fine > 0)).mean() < 0.005
    assert predictor.logits_frame(embedding) == (-0.5, -0.5, wide - 0.5, high - 0.5)


@pytest.mark.parametrize("scores", [2**20, 2**12])
def test_attention_in_bfloat16_is_that_of_torch(monkeypatch, one_thread, scores):
    monkeypatch.setattr(hiera, "CHUNK_SCORES", scores)
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, tokens, 2, 8, generator=generator) for tokens in (70, 90, 90))
    wanted = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)))
    found = hiera.attend(*(x.bfloat16() for x in (q, k, v))).float()
    assert (found - wanted.transpose(1, 2)).std() < 0.02 * wanted.std()


def test_bfloat16_answers_alike():
    model = tiny_sam2()
    prompt = prompts(SIDE)["both"]
    features = model.encode(plane())
    exact = model.decode(features, multimask_output=True, **prompt)
    model.set_precision("bfloat16")
    assert model.precision == "bfloat16"
    rounded = model.encode(plane())
    for one, other in zip(features, rounded, strict=True):
        assert (one - other).std() < 0.05 * one.std()
        assert (one - other).abs().max() > 0
    found = model.decode(rounded, multimask_output=True, **prompt)
    error = found.low_res_logits - exact.low_res_logits
    assert error.std() < 0.15 * exact.low_res_logits.std()


def test_packed_features_give_the_same_masks():
    model = tiny_sam2()
    features = model.encode(plane())
    packed = model.pack(features)
    assert sum(array.nbytes for array in packed.values()) < 0.3 * sum(
        4 * one.numel() for one in features
    )
    prompt = prompts(SIDE)["box"]
    before, after = (
        model.decode(one, multimask_output=True, **prompt).low_res_logits > 0
        for one in (features, model.unpack(packed))
    )
    shared = (before & after).sum((2, 3)) / (before | after).sum((2, 3))
    assert shared.mean() >= 0.99


def test_a_file_is_recognised_and_loaded(tmp_path):
    net = tiny_net(side=256)
    path = save_published(net, tmp_path / "tuned_256px.pt")
    model = load_model(path, "cpu", precision="float32")
    assert (model.name, model.image_size, model.square_input) == ("tuned_256px", 256, True)
    for name, value in model.net.state_dict().items():
        torch.testing.assert_close(value, net.state_dict()[name], rtol=0, atol=0)
    assert torch.isfinite(model.encode(plane(256, 256)).s2).all()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda weights: {"model_state": {f"module.{k}": v for k, v in weights.items()}},
        lambda weights: {"model": weights, "optimizer": {"state": {}}, "epoch": 3},
        lambda weights: {**weights, "decoder.out_conv.weight": torch.zeros(2, 2)},
    ],
)
def test_files_of_training_programs_are_recognised(wrapped):
    found = recognise(wrapped(tiny_net().state_dict()))
    assert found.family == "sam2"
    assert sam2.build(found, "tuned", "cpu").image_size == 1024


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_encoder.neck.convs.1.conv.bias": None}, r"lacks image_encoder\.neck\.convs\.1"),
        ({"memory_encoder.fuser.layers.0.gamma": None}, "lacks memory_encoder"),
        ({"no_obj_embed_spatial": None}, "SAM 2.0"),
        ({"obj_ptr_proj.layers.3.weight": torch.zeros(2, 2)}, "has besides obj_ptr_proj"),
        ({"maskmem_tpos_enc": torch.zeros(7, 8)}, "4 axes"),
        ({"image_encoder.trunk.blocks.7.proj.weight": torch.zeros(2, 2)}, "5 stages"),
        ({"sam_mask_decoder.mask_tokens.weight": torch.zeros(4, 36)}, "no multiple of 8"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(change, message):
    weights = {**tiny_net().state_dict(), **change}
    weights = {name: value for name, value in weights.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        sam2.build(recognise(weights), "wrong", "cpu")


def test_a_trunk_of_another_depth_is_refused():
    weights = {
        name: value
        for name, value in tiny_net().state_dict().items()
        if not name.startswith("image_encoder.trunk.blocks.11.")
    }
    with pytest.raises(ValueError, match=r"stages of \(1, 2, 7, 1\) blocks"):
        sam2.build(recognise(weights), "wrong", "cpu")


@pytest.mark.parametrize(
    ("name", "side", "notice"),
    [
        ("sam2.1_hiera_tiny", 1024, ""),
        ("epoch_512", 1024, ""),
        ("mine_512px.pt", 512, ""),
        ("512px-mine", 512, ""),
        ("mine_512pxl", 1024, ""),
        ("MedSAM2_latest_512px (1).pt", 512, ""),
        ("MedSAM2_latest_512px_v2", 512, ""),
        ("MedSAM2_latest_1024px", 1024, ""),
        ("MedSAM2_latest.pt", 512, "sees 512 x 512 pixels, as MedSAM2 was trained"),
        ("nuclei_100px.pt", 1024, "sees 1024 x 1024 pixels: 100 px in its name is no multiple"),
        ("run_96px", 1024, "sees 1024 x 1024 pixels: 96 px in its name is no multiple"),
        ("run_4096px", 1024, "sees 1024 x 1024 pixels: 4096 px in its name is no multiple"),
    ],
)
def test_the_name_tells_the_side_of_the_input(name, side, notice):
    found, said = sam2.image_size_of(name)
    assert found == side
    assert notice in said
    assert bool(said) == bool(notice)


def test_a_side_that_the_name_does_not_tell_is_noticed():
    model = sam2.build(recognise(tiny_net().state_dict()), "MedSAM2_latest", "cpu")
    assert model.image_size == 512
    assert "sees 512 x 512 pixels" in model.notice


def test_the_probe_shows_a_wrong_layer():
    model = tiny_sam2()
    before = model.probe()
    assert all(np.sqrt(np.square(one).mean()) > 0.01 for one in before)
    np.testing.assert_array_equal(before[-1], model.probe()[-1])
    drawn(model.net.image_encoder.trunk.blocks[5].attn, seed=3)
    assert np.abs(model.probe()[2] - before[2]).max() > 0.1


def test_another_size_of_plane_is_refused():
    with pytest.raises(ValueError, match="128 x 128"):
        tiny_sam2().encode(plane(64, 128))
