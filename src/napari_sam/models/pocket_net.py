"""`pocket`: a small promptable model of our own, quick on a laptop's processor.

A convolutional encoder with a feature pyramid (strides 4, 8 and 16), SAM's prompt tokens and
two-way transformer at stride 16, and a light convolutional mask head that also sees the prompts
drawn as maps. Everything that moves with the image moves with the answer: positions are those of
the padded input, the maps are distances in pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import MLP
from .prompt_encoder import PromptEncoder
from .two_way import TwoWayTransformer

STRIDE = 4  # of the logits
PADDING = 32  # the input's sides are multiples of it
POSITION_SIZE = 512  # pixels that span the unit square of the position code
MAP_CHANNELS = 13


class PocketFeatures(NamedTuple):
    """The encoder's answer for B images.

    Attributes
    ----------
    s4, s8, s16 : (B, C, H, W) float
        Features at three strides.
    depth : (B, 1, H, W) float
        At stride 4, the logit of how deep in its object each cell lies: 0 at the edge and beside
        objects, 1 at the deepest place of each object.
    """

    s4: Tensor
    s8: Tensor
    s16: Tensor
    depth: Tensor


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution without bias (a normalisation follows)."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


class ConvNorm(nn.Sequential):
    """3x3 convolution, group normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            conv(inputs, outputs, stride), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
        )


class ResBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = conv(width, width)
        self.norm = nn.GroupNorm(8, width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, C, H, W)."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class PocketEncoder(nn.Module):
    """Image to features of strides 4, 8 and 16, and to the depth in objects.

    Parameters
    ----------
    widths : tuple of int
        Channels at strides 4, 8, 16 and 32.
    depths : tuple of int
        Residual blocks at those strides.
    outputs : tuple of int
        Channels of the answer at strides 4, 8 and 16.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (48, 96, 192, 256),
        depths: tuple[int, ...] = (2, 2, 3, 2),
        outputs: tuple[int, int, int] = (24, 48, 128),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 24, 2), ConvNorm(24, widths[0], 2))
        self.stages = nn.ModuleList()
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks: list[nn.Module] = [ResBlock(width) for _ in range(depth)]
            if level:
                blocks.insert(0, ConvNorm(widths[level - 1], width, 2))
            self.stages.append(nn.Sequential(*blocks))
        inner = (64, 96, 128)  # of the pyramid at strides 4, 8, 16
        self.top = nn.Conv2d(widths[3], inner[2], 1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(w, i, 1) for w, i in zip(widths, inner, strict=False)
        )
        self.reduce = nn.ModuleList(
            [nn.Conv2d(inner[1], inner[0], 1), nn.Conv2d(inner[2], inner[1], 1)]
        )
        self.merge = nn.ModuleList(ConvNorm(i, i) for i in inner)
        self.out = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(inner, outputs, strict=True))
        self.depth_head = nn.Sequential(ConvNorm(outputs[0], 32), nn.Conv2d(32, 1, 1))

    def forward(self, image: Tensor) -> PocketFeatures:
        """Encode `image` (B, 3, H, W), sides multiples of 32, values about -2..2."""
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        x = self.merge[2](self.lateral[2](levels[2]) + double(self.top(levels[3])))
        s16 = self.out[2](x)
        x = self.merge[1](self.lateral[1](levels[1]) + double(self.reduce[1](x)))
        s8 = self.out[1](x)
        x = self.merge[0](self.lateral[0](levels[0]) + double(self.reduce[0](x)))
        s4 = self.out[0](x)
        return PocketFeatures(s4, s8, s16, self.depth_head(s4))


class PocketDecoder(nn.Module):
    """Prompts and features to mask logits at stride 4 and their predicted IoU.

    Parameters
    ----------
    channels : tuple of int
        Channels of the features at strides 4, 8 and 16.
    width : int
        Channels of the mask features.
    masks : int
        Masks predicted: one for clear prompts, the others for ambiguous ones.
    """

    def __init__(
        self, channels: tuple[int, int, int] = (24, 48, 128), width: int = 32, masks: int = 4
    ) -> None:
        super().__init__()
        c4, c8, dim = channels
        self.masks = masks
        cells = POSITION_SIZE // 16
        self.prompt_encoder = PromptEncoder(
            dim, (cells, cells), (POSITION_SIZE, POSITION_SIZE), mask_in_chans=16
        )
        del self.prompt_encoder.mask_downscaling, self.prompt_encoder.no_mask_embed
        self.sample = nn.Linear(c4 + c8 + dim, dim)
        self.maps4 = ConvNorm(MAP_CHANNELS, 32)
        self.maps8 = nn.Conv2d(32, c8, 2, 2)
        self.maps16 = nn.Sequential(nn.GELU(), nn.Conv2d(c8, dim, 2, 2))
        self.transformer = TwoWayTransformer(2, dim, 8, 4 * dim)
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(masks, dim)
        self.up8 = nn.Conv2d(dim, c8, 1)
        self.mix8 = nn.Sequential(ConvNorm(c8, c8), ConvNorm(c8, c8))
        self.up4 = nn.Conv2d(c8, width, 1)
        self.skip4 = nn.Conv2d(c4, width, 1)
        self.mix4 = nn.Sequential(
            ConvNorm(width, width), ConvNorm(width, width), conv(width, width)
        )
        self.hyper = nn.ModuleList(MLP(dim, dim, width + 1, 3) for _ in range(masks))
        self.judge_ground = nn.Conv2d(width, 32, 3, 2, 1)
        self.judge_depth = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
        self.judge_shape = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
        self.judge = nn.Conv2d(32, 64, 3, 2, 1)
        self.iou_head = MLP(2 * dim + width + 3 + 64, dim, 1, 3)

    def forward(
        self,
        features: PocketFeatures,
        owner: Tensor,
        coords: Tensor,
        labels: Tensor,
        boxes: Tensor,
        mask_input: Tensor,
        origin: tuple[float, float] = (0.0, 0.0),
    ) -> tuple[Tensor, Tensor]:
        """Answer P prompts on B images.

        Parameters
        ----------
        features : PocketFeatures of B images
        owner : (P,) int
            The image that each prompt belongs to.
        coords : (P, N, 2) float, (x, y) in pixels of the input
        labels : (P, N) int
            1 object, 0 background, -1 padding.
        boxes : (P, 4) float, xyxy in pixels of the input; NaN where there is none
        mask_input : (P, h, w) float
            Earlier logits at stride 4; NaN where there are none.
        origin : (x, y) float, pixels
            Where the input lies in the frame of the position code; training moves it about, so
            that a crop may come from anywhere.

        Returns
        -------
        logits : (P, masks, h, w) float at stride 4
        iou : (P, masks) float
        """
        shift = coords.new_tensor(origin)
        tokens = self._tokens(features, owner, coords, labels, boxes, shift)
        maps = prompt_maps(features.s4.shape[-2:], coords, labels, boxes, mask_input)
        maps4 = self.maps4(maps.contiguous(memory_format=torch.channels_last))  # (P, 32, H/4, W/4)
        maps8 = self.maps8(maps4)
        s16 = pick(features.s16, owner) + self.maps16(maps8)
        h, w = s16.shape[-2:]
        side = self.transformer.side(None, self._grid_position(h, w, shift))
        hidden, images = self.transformer(side, s16, tokens)
        x = self.up8(torch.stack(images).transpose(1, 2).reshape(len(images), -1, h, w))
        x = self.mix8(double(x) + pick(features.s8, owner) + maps8)
        x = double(self.up4(x)) + pick(self.skip4(features.s4), owner) + maps4
        x = self.mix4(x)  # (P, width, H/4, W/4)
        mask_tokens = hidden[:, 1 : 1 + self.masks]
        weights = torch.stack([m(mask_tokens[:, i]) for i, m in enumerate(self.hyper)], dim=1)
        flat = x.flatten(2)  # (P, width, cells)
        logits = weights[..., :-1] @ flat + weights[..., -1:]
        logits = logits.unflatten(2, x.shape[-2:])
        ground = self.judge_depth(features.depth.detach().sigmoid())
        return logits, self._score(hidden, logits.detach(), x.detach(), pick(ground, owner))

    def _tokens(
        self,
        features: PocketFeatures,
        owner: Tensor,
        coords: Tensor,
        labels: Tensor,
        boxes: Tensor,
        shift: Tensor,
    ) -> Tensor:
        points = self.prompt_encoder.embed_points(coords + shift, labels)
        seen = sample_features(features, owner, coords)
        points = points + self.sample(seen) * (labels >= 0)[..., None]
        has_box = ~boxes[:, :1].isnan()
        clean = torch.where(has_box, boxes, torch.zeros_like(boxes))
        corners = self.prompt_encoder.embed_boxes(clean + shift.repeat(2))
        middle = (clean[:, None, :2] + clean[:, None, 2:]) / 2
        corners = corners + self.sample(sample_features(features, owner, middle))
        none = self.prompt_encoder.not_a_point_embed.weight
        corners = torch.where(has_box[..., None], corners, none)
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        return torch.cat([own.expand(len(coords), -1, -1), points, corners], dim=1)

    def _grid_position(self, h: int, w: int, shift: Tensor) -> Tensor:
        y = ((torch.arange(h, device=shift.device) + 0.5) * 16 + shift[1]) / POSITION_SIZE
        x = ((torch.arange(w, device=shift.device) + 0.5) * 16 + shift[0]) / POSITION_SIZE
        grid = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], dim=-1)
        return self.prompt_encoder.pe_layer.encode(grid).permute(2, 0, 1)[None]

    def _score(self, hidden: Tensor, logits: Tensor, x: Tensor, ground: Tensor) -> Tensor:
        """Predict the IoU of each mask from its tokens, its inside, its edge and its shape.

        Nothing but the score learns from it.
        """
        inside = logits.sigmoid()  # (P, masks, h, w)
        area = inside.sum((-2, -1))[..., None]
        pooled = inside.flatten(2) @ x.flatten(2).transpose(1, 2) / (area + 1)
        loose = (logits > -1).sum((-2, -1))[..., None]
        tight = (logits > 1).sum((-2, -1))[..., None]
        sure = (inside * inside).sum((-2, -1))[..., None] / (area + 1e-3)
        ground = self.judge_ground(x) + ground
        shape = self.judge_shape(inside.flatten(0, 1)[:, None]).unflatten(0, inside.shape[:2])
        seen = self.judge(F.relu(shape + ground[:, None]).flatten(0, 1)).relu()
        about = F.max_pool2d(F.avg_pool2d(inside, 4, ceil_mode=True), 3, 1, 1).flatten(2)
        judged = seen.flatten(2).unflatten(0, inside.shape[:2]) @ about[..., None]
        judged = judged[..., 0] / (about.sum(-1, keepdim=True) + 1e-3)
        iou_token = hidden[:, :1].expand(-1, self.masks, -1)
        own = hidden[:, 1 : 1 + self.masks]
        facts = [iou_token, own, pooled, (area + 1).log() / 8, tight / (loose + 1), sure, judged]
        score: Tensor = self.iou_head(torch.cat(facts, dim=-1))
        return score.squeeze(-1).sigmoid()


class Pocket(nn.Module):
    """Encoder and prompt decoder together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PocketEncoder()
        self.decoder = PocketDecoder()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def double(x: Tensor) -> Tensor:
    """Up-sample (B, C, H, W) by two, bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def pick(features: Tensor, owner: Tensor) -> Tensor:
    """Return the features (P, C, H, W) of each prompt's image; one image is broadcast."""
    images = features.shape[0]
    if images == 1 or (images == len(owner) and owner.tolist() == list(range(images))):
        return features
    return features[owner]


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
                level[owner], unit[:, None], align_corners=False, padding_mode="border"
            )  # (P, C, 1, N)
            parts.append(read[:, :, 0].transpose(1, 2))
    return torch.cat(parts, dim=-1)


def prompt_maps(
    size: tuple[int, int] | torch.Size,
    coords: Tensor,
    labels: Tensor,
    boxes: Tensor,
    mask_input: Tensor,
) -> Tensor:
    """Draw prompts as maps at stride 4.

    Parameters
    ----------
    size : (h, w) int, the stride-4 grid
    coords, labels, boxes, mask_input
        As in `PocketDecoder.forward`.

    Returns
    -------
    (P, MAP_CHANNELS, h, w) float
        Closeness to the nearest object point and the nearest background point at three scales
        each; inside the box, the box's own coordinates and radius; the earlier mask.
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
    channels += [torch.tanh(logits / 4), has_mask.to(logits.dtype)]
    return torch.stack(channels, dim=1)


def normalise(images: Tensor) -> Tensor:
    """Map 0..1 to the range that the encoder works in."""
    return (images - 0.5) * 4
