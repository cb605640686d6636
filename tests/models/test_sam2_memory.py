"""SAM 2's memory attention and memory encoder against transformers' on the same weights."""

from __future__ import annotations

import pytest
import torch
from sam2_double import doubled
from sam2_names import renamed
from torch import Tensor, nn
from torch.nn import functional
from transformers.models.sam2_video import modeling_sam2_video as reference

from napari_sam.models import sam2_memory_attention
from napari_sam.models.sam2_memory_attention import Memories, MemoryAttention
from napari_sam.models.sam2_memory_encoder import MemoryEncoder, sine_positions

DIM, MEMORY_DIM, LAYERS, FEEDFORWARD, SIZE = 32, 64, 2, 48, (6, 5)
CELLS = SIZE[0] * SIZE[1]


def config() -> object:
    return reference.Sam2VideoConfig(
        memory_attention_hidden_size=DIM, memory_attention_num_layers=LAYERS,
        memory_attention_feed_forward_hidden_size=FEEDFORWARD,
        memory_attention_rope_feat_sizes=[SIZE[1], SIZE[0]], memory_encoder_hidden_size=DIM,
        memory_encoder_output_channels=MEMORY_DIM, mask_downsampler_embed_dim=DIM,
        memory_fuser_embed_dim=DIM, memory_fuser_intermediate_dim=4 * DIM,
    )  # fmt: skip


def filled(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data = (noise / max(parameter[0].numel(), 1) ** 0.5).to(parameter.dtype)
    return module.double().eval().requires_grad_(False)


def twins(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, nn.Module]:
    """Return our module and transformers' with the same random weights."""
    doubled(monkeypatch, reference)
    if kind == "attention":
        ours: nn.Module = MemoryAttention(DIM, MEMORY_DIM, LAYERS, FEEDFORWARD)
        theirs = reference.Sam2VideoMemoryAttention(config())
    else:
        ours = MemoryEncoder(DIM, MEMORY_DIM, 2)
        theirs = reference.Sam2VideoMemoryEncoder(config())
    filled(ours)
    theirs.double().eval().requires_grad_(False)
    prefix, weights = f"memory_{kind}.", ours.state_dict()
    theirs.load_state_dict(
        {name: weights[renamed(prefix + name).removeprefix(prefix)] for name in theirs.state_dict()}
    )
    return ours, theirs


def attended(
    ours: nn.Module, theirs: nn.Module, frames: int, pointers: int
) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    length = frames * CELLS + pointers

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    image, positions = noise(CELLS, DIM), noise(CELLS, DIM)
    values, places = noise(2, length, MEMORY_DIM), noise(2, length, MEMORY_DIM)
    objects = [Memories(values[k], places[k], pointers) for k in range(2)]
    mine = ours(image, positions, SIZE, objects)
    other = [
        theirs(
            image[:, None],
            one.values[:, None],
            positions[:, None],
            one.positions[:, None],
            pointers,
        )
        for one in objects
    ]
    return mine, torch.stack([one.squeeze() for one in other])


@pytest.mark.parametrize(("frames", "pointers"), [(1, 0), (7, 12)])
def test_memory_attention(frames, pointers, monkeypatch):
    monkeypatch.setattr(sam2_memory_attention, "BLOCK_QUERIES", 7)  # as for large images
    monkeypatch.setattr(sam2_memory_attention, "BLOCK_KEYS", 11)
    mine, other = attended(*twins("attention", monkeypatch), frames, pointers)
    assert mine.shape == (2, CELLS, DIM)
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    assert (mine[0] - mine[1]).abs().max() > 0.1  # the objects differ


def test_half_precision_agrees():
    ours = filled(MemoryAttention(DIM, MEMORY_DIM, LAYERS, FEEDFORWARD)).float()
    generator = torch.Generator().manual_seed(3)
    image, positions = torch.randn(2, CELLS, DIM, generator=generator)
    values, places = torch.randn(2, 2 * CELLS + 4, MEMORY_DIM, generator=generator)
    given = image, positions, SIZE, [Memories(values, places, 4)]
    exact = ours(*given)
    ours.set_precision(torch.bfloat16)
    fast = ours(*given)
    assert fast.dtype == torch.float32
    assert 0 < (fast - exact).pow(2).mean().sqrt() < 0.02 * exact.pow(2).mean().sqrt()


def encoded(ours: nn.Module, theirs: nn.Module) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(1, DIM, *SIZE, generator=generator, dtype=torch.float64)
    masks = 10 * torch.randn(
        2, 1, 16 * SIZE[0], 16 * SIZE[1], generator=generator, dtype=torch.float64
    )
    return ours(image, masks), theirs(image.expand(2, -1, -1, -1), masks)[0]


def test_memory_encoder(monkeypatch):
    mine, other = encoded(*twins("encoder", monkeypatch))
    assert mine.shape == (2, MEMORY_DIM, *SIZE)
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
    assert (mine[0] - mine[1]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("attention", "layers.0.self_attn.v_proj.bias"),
        ("attention", "layers.0.self_attn.q_proj.weight"),
        ("attention", "layers.1.cross_attn_image.k_proj.weight"),
        ("attention", "layers.1.cross_attn_image.out_proj.weight"),
        ("attention", "layers.1.linear2.weight"),
        ("attention", "norm.weight"),
        ("encoder", "mask_downsampler.encoder.0.weight"),
        ("encoder", "mask_downsampler.encoder.10.bias"),
        ("encoder", "mask_downsampler.encoder.12.bias"),
        ("encoder", "pix_feat_proj.weight"),
        ("encoder", "fuser.layers.1.dwconv.weight"),
        ("encoder", "fuser.layers.0.gamma"),
        ("encoder", "out_proj.bias"),
    ],
)
def test_one_perturbed_weight_is_noticed(kind, name, monkeypatch):
    ours, theirs = twins(kind, monkeypatch)
    ours.get_parameter(name).view(-1)[0] += 0.01
    mine, other = attended(ours, theirs, 2, 4) if kind == "attention" else encoded(ours, theirs)
    assert (mine - other).abs().max() > 1e-7


def test_sine_positions(monkeypatch):
    doubled(monkeypatch, reference)
    other = reference.Sam2VideoPositionEmbeddingSine(MEMORY_DIM // 2, normalize=True)
    shape = torch.Size((1, MEMORY_DIM, *SIZE))
    expected = other(shape, torch.device("cpu"), torch.float64)[0].flatten(1).T
    torch.testing.assert_close(sine_positions(SIZE, MEMORY_DIM), expected, rtol=0, atol=1e-12)


def test_other_devices_see_the_same():
    """There torch's fused attention is used; its values are narrower than its keys."""
    q, k = torch.randn(2, 50, DIM, dtype=torch.float64)
    values = torch.randn(50, 8, dtype=torch.float64)
    fused = functional.scaled_dot_product_attention(*(x[None, None] for x in (q, k, values)))
    found = sam2_memory_attention.weighted(q, k, values)
    torch.testing.assert_close(found, fused[0, 0], rtol=0, atol=1e-12)
