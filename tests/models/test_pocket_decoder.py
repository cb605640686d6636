from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_sam.models.pocket_decoder import POSITION_SIZE, Guide, PocketDecoder, attend_two_way
from napari_sam.models.pocket_encoder import PocketFeatures
from napari_sam.models.two_way import TwoWayTransformer

CHANNELS = (24, 48, 128)


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def features(count, cells=4, seed=0):
    """Return features of `count` images of 16 * cells pixels."""
    sides = zip(CHANNELS, (4 * cells, 2 * cells, cells), strict=True)
    levels = [randn(count, channels, side, side, seed=seed) for channels, side in sides]
    return PocketFeatures(*levels, randn(count, 3, 4 * cells, 4 * cells, seed=seed + 9))


def prompts(count, cells=4, seed=1):
    """Return a click each, boxes for some, a mask for some."""
    size = 16 * cells
    coords = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * size
    labels = torch.tensor([[1, -1], [1, 0], [0, 1], [-1, -1]]).repeat(count, 1)[:count]
    boxes = torch.full((count, 4), torch.nan)
    boxes[1::2] = torch.tensor([5.0, 9.0, 30.0, 40.0])
    mask = torch.full((count, 4 * cells, 4 * cells), torch.nan)
    mask[::3] = randn(*mask[::3].shape, seed=seed)
    return coords, labels, boxes, mask


@pytest.fixture(scope="module")
def decoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PocketDecoder().eval()


def guide(count, seed=4):
    """Return a guide of two planes for the first `count` prompts."""
    owner = torch.arange(count) % 2
    return Guide(randn(2, 128, 4, 4, seed=seed), owner, 5 * randn(count, 16, 16, seed=seed))


@torch.inference_mode()
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_in_a_batch_the_two_way_transformer_is_the_same(depth):
    with torch.random.fork_rng():
        torch.manual_seed(depth)
        transformer = TwoWayTransformer(depth, 32, 4, 64).double()
        for parameter in transformer.parameters():  # norms and biases are of no plain kind either
            nn.init.normal_(parameter, std=0.3)
    images, place = randn(5, 32, 3, 4).double(), randn(1, 32, 3, 4, seed=1).double()
    tokens = randn(5, 7, 32, seed=2).double()
    wanted, wanted_images = transformer(transformer.project_image(None, place), images, tokens)
    found, cells = attend_two_way(
        transformer, tokens, images.flatten(2).mT, place[0].flatten(1).T.contiguous()
    )
    torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(cells, torch.stack(list(wanted_images)), atol=1e-9, rtol=1e-9)
    assert float(found.std()) > 0.1


def assert_close(answer, wanted, atol=1e-6):
    for part, own in zip(answer, wanted, strict=True):
        torch.testing.assert_close(part, own, atol=atol, rtol=0)


@torch.inference_mode()
def test_a_guide_that_has_learnt_nothing_tells_of_the_outline_alone(decoder):
    assert not decoder.guide.attention.out_proj.weight.any()
    given = features(2), torch.tensor([0, 1, 1, 0]), *prompts(4)
    plain, own = decoder(*given), guide(3)
    none = own._replace(mask=torch.zeros_like(own.mask))  # on the edge everywhere
    assert_close(decoder(*given, guide=none), plain)
    guided_answer = decoder(*given, guide=own)
    assert_close(decoder(*given, guide=own._replace(s16=own.s16.flip(0) + 1)), guided_answer)
    assert float((guided_answer.logits - plain.logits)[:3].flatten(1).abs().amax(1).min()) > 1e-3


@pytest.fixture
def guided(decoder):
    """The decoder, with a guide that has learnt."""
    projection = decoder.guide.attention.out_proj
    with torch.random.fork_rng():
        torch.manual_seed(1)
        nn.init.normal_(projection.weight, std=0.5)
    yield decoder
    nn.init.zeros_(projection.weight)


@torch.inference_mode()
def test_a_guide_changes_the_first_prompts_and_no_others(guided):
    given = features(2), torch.tensor([0, 1, 1, 0]), *prompts(4)
    plain, guided_answer = guided(*given), guided(*given, guide=guide(3))
    for part, own in zip(guided_answer, plain, strict=True):
        torch.testing.assert_close(part[3], own[3], atol=1e-5, rtol=1e-4)
        change = (part - own)[:3].reshape(3, -1).abs().amax(1)
        assert float(change.min()) > 1e-4
    everyone = guided(*given, guide=guide(4))
    assert float((everyone.logits - plain.logits)[3].abs().max()) > 1e-3


@torch.inference_mode()
def test_each_guided_prompt_has_its_own_plane_and_outline(guided):
    given = features(2), torch.tensor([0, 1, 1]), *prompts(3)
    whole = guide(3)
    together = guided(*given, guide=whole)
    for k in range(3):
        alone = [part[k : k + 1] for part in given[1:]]
        own = Guide(whole.s16[whole.owner[k]][None], torch.tensor([0]), whole.mask[k : k + 1])
        answer = guided(given[0], *alone, guide=own)
        torch.testing.assert_close(answer.logits[0], together.logits[k], atol=1e-4, rtol=1e-3)
        for other in (own._replace(mask=-own.mask), own._replace(s16=own.s16.flip(-1))):
            changed = guided(given[0], *alone, guide=other).logits[0]
            assert float((changed - together.logits[k]).abs().max()) > 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("origin", [(16.0, 0.0), (0.0, 48.0), (208.0, 336.0), (3.25, 100.5)])
def test_an_origin_moves_prompts_and_cells_alike(decoder, origin, monkeypatch):
    given = features(2), torch.tensor([0, 1, 1, 0]), *prompts(4)
    at_corner, moved = decoder(*given), decoder(*given, origin=origin)
    assert float((moved.logits - at_corner.logits).abs().max()) > 1e-3
    code, shift = decoder.prompt_encoder.pe_layer, torch.tensor(origin) / POSITION_SIZE
    encode = code.encode
    monkeypatch.setattr(code, "encode", lambda unit: encode(unit + shift))
    wanted = decoder(*given)
    for part, own in zip(moved, wanted, strict=True):
        torch.testing.assert_close(part, own, atol=1e-4, rtol=1e-3)


def test_a_window_at_a_multiple_of_a_cell_lies_on_the_cells_of_the_whole(decoder):
    whole = decoder._grid_position(20, 24, torch.zeros(2)).unflatten(0, (20, 24))
    for column, row in ((1, 0), (0, 3), (7, 5)):
        part = decoder._grid_position(8, 8, torch.tensor([16.0 * column, 16.0 * row]))
        own = whole[row : row + 8, column : column + 8]
        torch.testing.assert_close(part.unflatten(0, (8, 8)), own, atol=1e-5, rtol=0)
    assert not torch.allclose(whole[0, 0], whole[0, 1])


@torch.inference_mode()
def test_several_images_are_answered_as_single_ones(decoder):
    level, owner, asked = features(3), torch.tensor([2, 0, 0, 1, 2]), prompts(5)
    together = decoder(level, owner, *asked)
    assert together.logits.shape == (5, 4, 16, 16)
    assert together.iou.shape == (5, 4)
    assert together.presence.shape == (5,)
    assert (together.iou > 0).all()
    assert (together.iou < 1).all()
    for k in range(5):
        own = PocketFeatures(*(part[owner[k]][None] for part in level))
        alone = decoder(own, torch.tensor([0]), *(part[k : k + 1] for part in asked))
        for part, one in zip(together, alone, strict=True):
            torch.testing.assert_close(part[k], one[0], atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_where_a_padding_point_lies_says_nothing(decoder):
    level, owner, (coords, labels, boxes, mask) = features(1), torch.zeros(4).long(), prompts(4)
    moved = torch.where(labels[..., None] < 0, coords + 9, coords)
    assert not torch.equal(moved, coords)
    one = decoder(level, owner, coords, labels, boxes, mask)
    two = decoder(level, owner, moved, labels, boxes, mask)
    for part, own in zip(one, two, strict=True):
        torch.testing.assert_close(part, own, atol=1e-5, rtol=1e-5)


def test_a_score_moves_nothing_but_the_score(decoder):
    level = PocketFeatures(*(part.requires_grad_() for part in features(2)))
    answer = decoder(level, torch.tensor([0, 1]), *prompts(2))
    answer.iou.sum().backward()
    moved = {n for n, p in decoder.named_parameters() if p.grad is not None and p.grad.any()}
    decoder.zero_grad()
    assert {n for n in moved if n.startswith("score_head")}
    assert not {n for n in moved if n.startswith(("hyper", "mix", "up", "skip", "presence"))}
    assert level.instances.grad is None
