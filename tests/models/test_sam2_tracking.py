"""SAM 2's tracking against transformers' Sam2VideoModel on the same random weights."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sam2_double import doubled
from sam2_names import published
from tiny_sam2 import TINY, tiny_sam2
from torch import Tensor
from torch.nn import functional as F
from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig
from transformers.models.sam2 import modeling_sam2 as image_reference
from transformers.models.sam2_video import modeling_sam2_video as reference

from napari_sam import stopping
from napari_sam.models import sam2
from napari_sam.models import sam2_tracking as tracking
from napari_sam.models.sam2_net import Sam2Net, Sam2Sizes

SIDE, FRAMES, LONGER, DIM, CELLS = 128, 10, 20, 128, 8
OFFSET, GAIN = -0.495, 100.0
SIZES = Sam2Sizes(
    dims=(8, 16, 32, 64), hidden=(32, 64, 128, 256), dim=DIM, decoder_mlp=64, decoder_inner=64,
    iou_hidden=32, memory_layers=2, memory_mlp=64,
)  # fmt: skip


class Twins(NamedTuple):
    """Our network and transformers' with the same weights, and a video.

    Attributes
    ----------
    ours : Sam2Net
    theirs : Sam2VideoModel
    video : (20, 3, S, S) float64
    """

    ours: Sam2Net
    theirs: Any
    video: Tensor

    def features(self, frame: int) -> Any:
        return self.ours.encode(self.video[frame : frame + 1])


def config() -> Sam2VideoConfig:
    backbone = Sam2HieraDetConfig(
        hidden_size=8, embed_dim_per_stage=[8, 16, 32, 64], blocks_per_stage=[1, 2, 7, 2],
        image_size=[SIDE, SIDE],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=DIM,
        backbone_feature_sizes=[[SIDE // s] * 2 for s in (4, 8, 16)],
    )  # fmt: skip
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": DIM, "image_size": SIDE},
        mask_decoder_config={
            "hidden_size": DIM, "mlp_dim": 64, "iou_head_hidden_dim": 32,
            "attention_downsample_rate": 2,
        },
        image_size=SIDE, memory_attention_hidden_size=DIM, memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[CELLS, CELLS], memory_encoder_hidden_size=DIM,
        mask_downsampler_embed_dim=DIM, memory_fuser_embed_dim=DIM,
        memory_fuser_intermediate_dim=4 * DIM,
    )  # fmt: skip


@pytest.fixture
def twins(monkeypatch):
    for module in (reference, image_reference):
        doubled(monkeypatch, module)
    torch.manual_seed(5)
    theirs = reference.Sam2VideoModel(config()).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(6)
    for name, one in theirs.named_parameters():
        noise = torch.randn(one.shape, generator=generator, dtype=torch.float64)
        fan_in = one[0].numel() if one.dim() > 1 else 16
        one.copy_(noise / fan_in**0.5 + (1.0 if "norm" in name and "weight" in name else 0.0))
    frequencies = theirs.prompt_encoder.shared_embedding.positional_embedding
    theirs.shared_image_embedding.positional_embedding.copy_(frequencies)
    # published: the pointer of a given mask comes from the decoder's single mask
    single = partial(theirs._single_frame_forward, multimask_output=False)
    monkeypatch.setattr(
        theirs, "_single_frame_forward",
        lambda **given: single(**{"input_points": None, **given}),
    )  # fmt: skip
    ours = Sam2Net(SIZES, SIDE).double().eval().requires_grad_(False)
    ours.load_state_dict(published(theirs))
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    video = torch.randn(LONGER, 3, SIDE, SIDE, generator=generator, dtype=torch.float64) / 4
    for frame in range(LONGER):
        video[frame] += 2.0 * ((rows - 60) ** 2 + (columns - 40 - 4 * frame) ** 2 < 24**2)
    return Twins(ours, theirs, video)


def let_objects_come_and_go(twins) -> None:
    """Change the scores of objects, which are always alike and above 0 with random weights."""
    for head in (
        twins.theirs.mask_decoder.pred_obj_score_head.proj_out,
        twins.ours.sam_mask_decoder.pred_obj_score_head.layers[2],
    ):
        head.bias.add_(OFFSET).mul_(GAIN)
        head.weight.mul_(GAIN)


def test_encoders_agree(twins):
    theirs = twins.theirs.get_image_features(twins.video[:1], return_dict=True).fpn_hidden_states
    ours = twins.features(0)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine[0].flatten(1).T, other[:, 0], rtol=0, atol=1e-9)


POINT = (torch.tensor([[[42.0, 61.0]]]).double(), torch.tensor([[1]]))
TWO_POINTS = (torch.tensor([[[42.0, 61.0], [90.0, 20.0]]]).double(), torch.tensor([[1, 0]]))
BOX = (torch.tensor([[[14.0, 35.0], [66.0, 88.0]]]).double(), torch.tensor([[2, 3]]))


def disc() -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return ((rows - 60) ** 2 + (columns - 40) ** 2 < 24**2).double()[None, None]


def sparse_of(net: Sam2Net, prompt: tuple[Tensor, Tensor]) -> Tensor:
    coords, labels = prompt
    if int(labels[0, 0]) == 2:
        return net.sam_prompt_encoder.sparse(coords[:, :0], labels[:, :0], coords.reshape(1, 4))
    return net.sam_prompt_encoder.sparse(coords, labels, None)


def shown(net: Sam2Net, features: Any, prompt: Any) -> tracking.Shown | tracking.Tracked:
    """Return our answer to a mask, or to points or a box, in a first frame."""
    if isinstance(prompt, Tensor):
        return tracking.given(net, features, prompt)
    return prompted(net, features, net.without_memory(features.s2), prompt)


def prompted(
    net: Sam2Net, features: Any, image: Tensor, prompt: tuple[Tensor, Tensor]
) -> tracking.Tracked:
    """Return our answer to points or a box; several masks are asked for where it is one point."""
    image, few = image + net.sam_prompt_encoder.no_mask(), prompt[1].shape[1] < 2
    return tracking.decoded(net, features, image, sparse_of(net, prompt), few)


def ours_followed(twins, prompts, places, correction=None, length=FRAMES) -> list[Tensor]:
    """Return our logits and presences of all objects, frame by frame."""
    net = twins.ours
    first, memories, out = places[0], [], []
    features, answers = twins.features(first), []
    for prompt in prompts:
        found = shown(net, features, prompt)
        (frame,) = tracking.remembered(net, features, found, first, True)
        memories.append(tracking.Memory(length).shown(frame))
        low = F.interpolate(found.fine[:, None], scale_factor=0.25, mode="bilinear", antialias=True)
        logits = low[:, 0] if isinstance(found, tracking.Shown) else found.logits
        answers.append((logits[0], found.presence[0]))
    out.append(answers)
    for place in places[1:]:
        features = twins.features(place)
        corrected = correction is not None and place == correction[0]
        if corrected:
            image = tracking.conditioned(net, features, memories, place)
            found = prompted(net, features, image, correction[1])
        else:
            found = tracking.followed(net, features, memories, place)
        frames = tracking.remembered(net, features, found, place, corrected)
        memories = [a.found(b, SIZES.memories) for a, b in zip(memories, frames, strict=True)]
        out.append(list(zip(found.logits, found.presence, strict=True)))
    return out


def theirs_followed(twins, prompts, places, correction=None, length=FRAMES) -> list[Tensor]:
    session = reference.Sam2VideoInferenceSession(
        twins.video[:length], SIDE, SIDE, dtype=torch.float64, max_vision_features_cache_size=length
    )

    def give(number: int, place: int, prompt: Any) -> None:
        at = session.obj_id_to_idx(number)
        if isinstance(prompt, Tensor):
            session.add_mask_inputs(at, place, prompt)
        else:
            coords, labels = prompt
            session.add_point_inputs(
                at, place, {"point_coords": coords[None], "point_labels": labels[None]}
            )
        session.obj_with_new_inputs.append(number)

    for number, prompt in enumerate(prompts):
        give(number, places[0], prompt)
    backward = places[-1] < places[0]
    out = []
    for place in places:
        found = twins.theirs(session, frame_idx=place, reverse=backward)
        if correction is not None and place == correction[0]:  # its frame has been followed into
            give(0, *correction)
            found = twins.theirs(session, frame_idx=place, reverse=backward)
        out.append(
            [(m.reshape(m.shape[-2:]), s.reshape(()))
             for m, s in zip(found.pred_masks, found.object_score_logits, strict=True)]
        )  # fmt: skip
    return out


def assert_alike(ours, theirs) -> None:
    for frame, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        for (logits, presence), (expected, expected_presence) in zip(mine, other, strict=True):
            where = partial("frame {}: {}".format, frame)
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-7, msg=where)
            torch.testing.assert_close(presence, expected_presence, rtol=0, atol=1e-7, msg=where)


@pytest.mark.parametrize(
    ("prompts", "places"),
    [
        ((POINT,), range(10)),
        ((TWO_POINTS,), range(9, -1, -1)),
        ((BOX,), range(3, 10)),
        ((disc(),), range(10)),
        ((POINT, BOX, disc()), range(10)),
    ],
    ids=["a point", "two points, backward", "a box", "a mask", "three objects"],
)
def test_objects_are_followed(prompts, places, twins):
    ours = ours_followed(twins, prompts, places)
    assert_alike(ours, theirs_followed(twins, prompts, places))
    moved = [(a[0][0] - b[0][0]).abs().max() for a, b in itertools.pairwise(ours)]
    assert min(moved) > 1e-3  # there is something to compare


@pytest.mark.parametrize("correction", [(5, POINT), (4, TWO_POINTS)])
def test_a_correction_on_a_later_frame(correction, twins):
    ours = ours_followed(twins, [disc()], range(10), correction)
    assert_alike(ours, theirs_followed(twins, [disc()], range(10), correction))
    without = ours_followed(twins, [disc()], range(10))
    assert (ours[-1][0][0] - without[-1][0][0]).abs().max() > 1e-3


def test_more_frames_than_pointers_and_an_object_that_comes_and_goes(twins):
    let_objects_come_and_go(twins)
    ours = ours_followed(twins, [disc()], range(LONGER), length=LONGER)
    assert_alike(ours, theirs_followed(twins, [disc()], range(LONGER), length=LONGER))
    absent = [bool(frame[0][1] < 0) for frame in ours]
    assert 5 <= sum(absent) <= 15
    for (logits, presence), *_ in ours:
        assert bool((logits == tracking.NO_OBJECT).all()) == bool(presence < 0)


def presences(frames) -> Tensor:
    return torch.stack([presence for frame in frames for _, presence in frame])


@pytest.mark.parametrize(
    "name",
    [
        "image_encoder.neck.convs.2.conv.weight",
        "sam_mask_decoder.mask_tokens.weight",
        "memory_attention.layers.1.cross_attn_image.k_proj.weight",
        "memory_encoder.pix_feat_proj.bias",
        "maskmem_tpos_enc",
        "no_mem_embed",
        "no_obj_ptr",
        "no_obj_embed_spatial",
        "mask_downsample.weight",
        "obj_ptr_proj.layers.2.bias",
        "obj_ptr_tpos_proj.weight",
    ],
)
def test_one_perturbed_weight_is_noticed(name, twins):
    if name.startswith("no_obj"):
        let_objects_come_and_go(twins)
    before = ours_followed(twins, [POINT, disc()], range(6))
    twins.ours.get_parameter(name).view(-1)[-1] += 0.05
    after = ours_followed(twins, [POINT, disc()], range(6))
    assert (presences(before) - presences(after)).abs().max() > 1e-6


def test_what_is_kept_is_bounded():
    """Seven memories and sixteen pointers, of a stack of 2,000 planes too."""
    cells, pointer = torch.zeros(4, 2), torch.zeros(3)
    memory = tracking.Memory(2000).shown(tracking.Remembered(0, cells, pointer))
    for place in range(1, 2000):
        memory = memory.found(tracking.Remembered(place, cells, pointer), 7)
    assert [one.place for one in memory.followed] == list(range(1985, 2000))
    assert [one.place for one in memory.followed if one.cells is not None] == [*range(1994, 2000)]


@pytest.fixture
def model():
    """A model that sees its objects everywhere."""
    model = tiny_sam2()
    model.net.sam_mask_decoder.pred_obj_score_head.layers[2].bias.data += 50
    return model


@pytest.fixture
def planes(model):
    noise = np.random.default_rng(0).integers(0, 255, (4, SIDE, SIDE, 3), np.uint8)
    return [model.encode(one) for one in noise]


def outlines(count: int) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    discs = [np.hypot(rows - 30 - 5 * k, columns - 40 - 3 * k) < 20 for k in range(count)]
    return np.array(discs, np.float32)


def test_objects_followed_together_are_followed_as_alone(model, planes):
    masks = outlines(sam2.CPU_BATCH + 2)
    memories = model.memory_of(planes[0], masks, 0, 4)
    alone = model.memory_of(planes[0], masks[-1:], 0, 4)
    for place in (1, 2):
        answers, memories = model.follow(planes[place], memories, place)
        answer, alone = model.follow(planes[place], alone, place)
        assert answers.low_res_logits.shape == (len(masks), 1, SIDE // 4, SIDE // 4)
        assert answers.iou_predictions.shape == (len(masks), 1)
        assert answers.presence.shape == (len(masks),)
        assert answers.presence.min() > 0.5
        for part, own in zip(answers, answer, strict=True):
            np.testing.assert_allclose(part[-1], own[0], rtol=0, atol=1e-5)
    assert np.abs(answers.low_res_logits[0] - answers.low_res_logits[-1]).max() > 5e-4


def test_the_memory_of_an_object_does_not_grow(model, planes):
    (memory,) = model.memory_of(planes[0], outlines(1), 0, 2000)
    sizes = []
    for place in range(1, 40):
        _, (memory,) = model.follow(planes[place % 4], [memory], place)
        frames = (*memory.prompted, *memory.followed)
        sizes.append(sum(x.nbytes for one in frames for x in one[1:] if x is not None))
    assert len({*sizes[15:]}) == 1
    cells, dim, memory_dim = (SIDE // 16) ** 2, TINY.dim, TINY.memory_dim
    assert sizes[-1] == 4 * (7 * cells * memory_dim + 16 * dim)


def test_an_object_keeps_nothing_of_the_others_in_its_batch(model, planes):
    memories = model.memory_of(planes[0], outlines(3), 0, 4)
    _, memories = model.follow(planes[1], memories, 1)
    for memory in memories:
        for _, *kept in (*memory.prompted, *memory.followed):
            assert [x.untyped_storage().nbytes() for x in kept] == [x.nbytes for x in kept]


@pytest.mark.parametrize("after", [0, 3, 20, 41])
def test_following_many_objects_can_be_stopped(after, model, planes):
    """It is asked for each object and layer, 64 times here, and once more for each batch."""
    memories = model.memory_of(planes[0], outlines(8), 0, 4)
    asked = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) > after

    with pytest.raises(stopping.Stopped), stopping.stoppable(stop):
        model.follow(planes[1], memories, 1)
    assert len(asked) == after + 1


def test_half_precision_answers_alike(model, planes):
    def answered() -> Any:
        memories = model.memory_of(planes[0], outlines(2), 0, 4)
        for place in (1, 2, 3):
            answers, memories = model.follow(planes[place], memories, place)
        return answers.low_res_logits

    exact = answered()
    model.set_precision("bfloat16")
    assert 0 < np.abs(answered() - exact).mean() < 0.05 * exact.std()


@pytest.mark.parametrize("name", ["memory_attention.norm.weight", "memory_encoder.out_proj.bias"])
def test_the_probe_shows_a_wrong_memory(name, model):
    before = model.probe()
    assert before[3].std() > 0.1
    model.net.get_parameter(name).data += 1
    after = model.probe()
    assert np.abs(after[3] - before[3]).max() > 0.01
    np.testing.assert_array_equal(after[-1], before[-1])
