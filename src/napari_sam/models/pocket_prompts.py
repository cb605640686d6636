"""How the decoder of `pocket` reads prompts: features under points, and prompts drawn as maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .pocket_encoder import STRIDE, PocketFeatures

MAP_CHANNELS = 14


def pick(features: Tensor, owner: Tensor) -> Tensor:
    """Return the features (P, C, H, W) of each prompt's image; one image is broadcast."""
    return features if features.shape[0] == 1 else features.index_select(0, owner)


def sample_features(features: PocketFeatures, owner: Tensor, coords: Tensor) -> Tensor:
    """Read the features under points.

    Parameters
    ----------
    features : PocketFeatures of B images
    owner : (P,) int
    coords : (P, N, 2) float, (x, y) in pixels of the input

    Returns
    -------
    (P, N, sum of channels) float
    """
    h, w = features.s4.shape[-2:]
    size = coords.new_tensor([w * STRIDE, h * STRIDE])
    unit = (coords + 0.5) / size * 2 - 1
    parts = []
    for level in (features.s4, features.s8, features.s16):
        if level.shape[0] == 1:  # all prompts on one image: one call, no copy of it
            grid = unit.reshape(1, 1, -1, 2)
            read = F.grid_sample(level, grid, align_corners=False, padding_mode="border")
            parts.append(read[0, :, 0].T.reshape(*coords.shape[:2], -1))
        else:
            read = F.grid_sample(
                pick(level, owner), unit[:, None], align_corners=False, padding_mode="border"
            )  # (P, C, 1, N)
            parts.append(read[:, :, 0].transpose(1, 2))
    return torch.cat(parts, dim=-1)


def prompt_maps(
    size: tuple[int, int] | torch.Size,
    coords: Tensor,
    labels: Tensor,
    boxes: Tensor,
    mask_input: Tensor,
    guide_logits: Tensor | None = None,
) -> Tensor:
    """Draw prompts as maps at stride 4.

    Parameters
    ----------
    size : (h, w) int, the stride-4 grid
    coords, labels, boxes, mask_input
        As in `PocketDecoder.forward`.
    guide_logits : (Q, h, w) float, optional
        Logits of the objects of the first Q prompts in an earlier plane.

    Returns
    -------
    (P, MAP_CHANNELS, h, w) float
        Closeness to the nearest object point and the nearest background point at three scales
        each; inside the box, the box's own coordinates and radius; the earlier answer; the outline
        in an earlier plane.
    """
    h, w = size
    y = (torch.arange(h, device=coords.device, dtype=coords.dtype) + 0.5) * STRIDE - 0.5
    x = (torch.arange(w, device=coords.device, dtype=coords.dtype) + 0.5) * STRIDE - 0.5
    channels = []
    for label in (1, 0):
        far = torch.where(labels == label, 0.0, 1e6)[..., None]
        dx = (x - coords[..., :1]) ** 2 + far  # (P, N, w)
        dy = (y - coords[..., 1:]) ** 2
        squared = (dy[..., :, None] + dx[..., None, :]).amin(dim=1)  # (P, h, w)
        channels += [torch.exp(squared / (-2.0 * s * s)) for s in (4.0, 16.0, 64.0)]
    has_box = ~boxes[:, :1].isnan()
    clean = torch.where(has_box, boxes, torch.zeros_like(boxes))
    centre, half = (clean[:, :2] + clean[:, 2:]) / 2, (clean[:, 2:] - clean[:, :2] + 1) / 2
    u = ((x - centre[:, :1]) / half[:, :1]).clamp(-2, 2) * has_box  # (P, w)
    v = ((y - centre[:, 1:]) / half[:, 1:]).clamp(-2, 2) * has_box
    u, v = u[:, None, :].expand(-1, h, w), v[:, :, None].expand(-1, h, w)
    boxed = has_box[..., None].expand(-1, h, w).to(u.dtype)
    inside = boxed * (u.abs() <= 1) * (v.abs() <= 1)
    radius = 1 - (u * u + v * v).clamp(max=2)
    channels += [boxed, inside, u.abs(), v.abs(), radius * boxed]
    has_mask = ~mask_input.isnan()
    logits = torch.where(has_mask, mask_input, torch.zeros_like(mask_input))
    outline = torch.zeros_like(logits)
    if guide_logits is not None:
        outline[: len(guide_logits)] = torch.tanh(guide_logits / 4)
    channels += [torch.tanh(logits / 4), has_mask.to(logits.dtype), outline]
    return torch.stack(channels, dim=1)
