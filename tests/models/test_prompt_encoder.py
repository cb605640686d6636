from __future__ import annotations

import math

import pytest
import torch

from napari_sam.models.prompt_encoder import PositionEmbeddingRandom, PromptEncoder

PUBLISHED = {
    "pe_layer.positional_encoding_gaussian_matrix": (2, 128),
    "point_embeddings.0.weight": (1, 256),
    "point_embeddings.1.weight": (1, 256),
    "point_embeddings.2.weight": (1, 256),
    "point_embeddings.3.weight": (1, 256),
    "not_a_point_embed.weight": (1, 256),
    "mask_downscaling.0.weight": (4, 1, 2, 2),
    "mask_downscaling.0.bias": (4,),
    "mask_downscaling.1.weight": (4,),
    "mask_downscaling.1.bias": (4,),
    "mask_downscaling.3.weight": (16, 4, 2, 2),
    "mask_downscaling.3.bias": (16,),
    "mask_downscaling.4.weight": (16,),
    "mask_downscaling.4.bias": (16,),
    "mask_downscaling.6.weight": (256, 16, 1, 1),
    "mask_downscaling.6.bias": (256,),
    "no_mask_embed.weight": (1, 256),
}


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return PromptEncoder(256, (64, 64), (1024, 1024), mask_in_chans=16).eval()


def test_parameters_have_their_published_names_and_shapes(encoder):
    assert {name: tuple(t.shape) for name, t in encoder.state_dict().items()} == PUBLISHED
    assert sum(p.numel() for p in encoder.parameters()) == 6220


@torch.inference_mode()
def test_points_become_tokens_and_a_closing_one(encoder):
    coords = torch.tensor([[[10.0, 20.0], [500.0, 3.0]]])
    sparse, dense = encoder(coords, torch.tensor([[1, 0]]), None, None)
    assert sparse.shape == (1, 3, 256)
    assert dense.shape == (1, 256, 64, 64)
    torch.testing.assert_close(sparse[0, 2], encoder.not_a_point_embed.weight[0])
    unit = 2 * torch.tensor([10.5, 20.5]) / 1024 - 1
    angles = 2 * math.pi * unit @ encoder.pe_layer.positional_encoding_gaussian_matrix
    position = torch.cat([angles.sin(), angles.cos()])
    torch.testing.assert_close(sparse[0, 0], position + encoder.point_embeddings[1].weight[0])
    torch.testing.assert_close(dense[0, :, 5, 7], encoder.no_mask_embed.weight[0])


@torch.inference_mode()
def test_a_box_adds_two_corners_and_no_closing_token(encoder):
    coords, labels = torch.tensor([[[10.0, 20.0]]]), torch.tensor([[1]])
    box = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    both, _ = encoder(coords, labels, box, None)
    alone, _ = encoder(coords[:, :0], labels[:, :0], box, None)
    assert both.shape == (1, 3, 256)
    assert alone.shape == (1, 2, 256)
    torch.testing.assert_close(both[:, 1:], alone)
    corner = encoder.embed_points(box[:, None, :2], torch.tensor([[-1]]))[0, 0]
    assert not torch.allclose(alone[0, 0], corner)


@torch.inference_mode()
def test_a_mask_becomes_the_dense_map(encoder):
    empty = torch.zeros(2, 0, 2)
    sparse, dense = encoder(empty, empty[..., 0].long(), None, torch.randn(2, 1, 256, 256))
    assert sparse.shape == (2, 0, 256)
    assert dense.shape == (2, 256, 64, 64)
    assert dense.std() > 0.01


def test_the_grid_holds_the_positions_of_its_cells():
    torch.manual_seed(0)
    layer = PositionEmbeddingRandom(8)
    grid = layer((4, 5))
    assert grid.shape == (16, 4, 5)
    torch.testing.assert_close(grid[:, 3, 1], layer.encode(torch.tensor([1.5 / 5, 3.5 / 4])))
