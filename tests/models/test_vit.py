from __future__ import annotations

import pytest
import torch
from another_sam import SMALL, draw, published

from napari_sam.models import vit, vit_attention
from napari_sam.models.recognition import recognise
from napari_sam.models.vit import relative_positions
from napari_sam.models.vit_attention import attend


@pytest.fixture
def encoder():
    return vit.build(recognise(published(draw(SMALL))), "mine", "cpu").sam.image_encoder


def image(side=SMALL["image_size"]):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)) * 4 - 2


@torch.inference_mode()
def test_scores_are_computed_in_chunks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(6, 5 * 4, 8, generator=generator) for _ in range(3))
    rows, columns = (torch.randn(2 * n - 1, 8, generator=generator) for n in (5, 4))
    tables = relative_positions(rows, 5), relative_positions(columns, 4)
    written_out = torch.empty(6, 20, 20)
    for i in range(20):
        for j in range(20):
            shift = rows[i // 4 - j // 4 + 4] + columns[i % 4 - j % 4 + 3]
            written_out[:, i, j] = (q[:, i] * (k[:, j] / 8**0.5 + shift)).sum(-1)
    expected = written_out.softmax(-1) @ v
    for most in (10**6, 4 * 20, 20 * 20, 2 * 20 * 20 + 1, 1):
        monkeypatch.setattr(vit_attention, "CHUNK_SCORES", most)
        torch.testing.assert_close(attend(q, k, v, *tables), expected)


@pytest.mark.parametrize("most", [10**6, 4 * 20, 20 * 20, 1])
def test_gradients_are_those_of_attention_in_one_piece(monkeypatch, most):
    monkeypatch.setattr(vit_attention, "CHUNK_SCORES", most)
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 20, 8)] * 3 + [(5, 5, 8), (4, 4, 8)]
    own = [torch.randn(s, generator=generator).double().requires_grad_() for s in shapes]
    q, k, v, rel_h, rel_w = own
    grid = q.reshape(3, 5, 4, 8)
    bias = torch.einsum("gyxc,yvc->gyxv", grid, rel_h)[..., None]
    bias = bias + torch.einsum("gyxc,xuc->gyxu", grid, rel_w)[..., None, :]
    expected = (bias.reshape(3, 20, 20) + q @ k.mT / 8**0.5).softmax(-1) @ v
    given = torch.randn(3, 20, 8, generator=generator).double()
    wanted = torch.autograd.grad(expected, own, given)
    found = torch.autograd.grad(attend(*own), own, given)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)  # some sums are float32


@torch.inference_mode()
def test_windows_attend_alone_and_zeros_fill_them_up():
    generator = torch.Generator().manual_seed(1)
    layer = vit.Attention(12, 3, (3, 3)).double()
    for value in layer.parameters():
        value.data = torch.randn(value.shape, generator=generator).double()
    x = torch.randn(2, 7, 5, 12, generator=generator).double()
    filled = torch.zeros(2, 9, 6, 12).double()
    filled[:, :7, :5] = x
    expected = torch.empty_like(filled)
    for row in range(0, 9, 3):
        for column in range(0, 6, 3):
            part = (slice(None), slice(row, row + 3), slice(column, column + 3))
            expected[part] = layer(filled[part])
    torch.testing.assert_close(layer(x, 3), expected[:, :7, :5])


@torch.inference_mode()
def test_bfloat16_is_near_and_float32_the_same(encoder):
    exact = encoder(image())
    encoder.set_precision(torch.float32)
    assert (encoder(image()) == exact).all()
    encoder.set_precision(torch.bfloat16)
    near = encoder(image())
    assert near.dtype == torch.float32
    off = (near - exact).abs().mean() / exact.abs().mean()
    assert 0 < off < 0.03
    assert encoder.blocks[0].norm1.weight.dtype == torch.float32
    assert encoder.blocks[0].mlp.lin1.weight.dtype == torch.bfloat16


def test_the_first_blocks_stay_in_float32_but_where_they_are_slow():
    encoder = vit.ImageEncoderViT(64, 16, 3, 8, 8, 2, 16, 2, (1, 3, 5, 7), 4)
    encoder.set_precision(torch.bfloat16)
    found = [(block.attn.qkv.weight.dtype, block.mlp.lin1.weight.dtype) for block in encoder.blocks]
    whole, half = torch.float32, torch.bfloat16
    assert found == [(whole, whole), (half, whole)] + [(half, half)] * 6
    assert encoder(torch.randn(1, 3, 64, 64)).dtype == whole
