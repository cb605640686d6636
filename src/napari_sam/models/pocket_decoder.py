"""The decoder of `pocket`: prompts and features become masks, their predicted IoU, and presence."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .blocks import MLP
from .pocket_encoder import ConvNorm, PocketFeatures, conv, double
from .pocket_prompts import MAP_CHANNELS, pick, prompt_maps, sample_features
from .prompt_encoder import PromptEncoder
from .two_way import Attention, TwoWayAttentionBlock, TwoWayTransformer

POSITION_SIZE = 512  # pixels that span the unit square of the position code
STATISTICS = 9  # numbers of a mask that its score is predicted from, beside features


class Guide(NamedTuple):
    """An object in an earlier plane, for each of the first Q prompts.

    Attributes
    ----------
    s16 : (G, C, h, w) float
        Features of earlier planes, of the size of the present ones.
    owner : (Q,) int
        The earlier plane of each prompt.
    mask : (Q, H, W) float
        Logits of the object there, at stride 4.
    """

    s16: Tensor
    owner: Tensor
    mask: Tensor


class Decoded(NamedTuple):
    """The answer to P prompts.

    Attributes
    ----------
    logits : (P, masks, h, w) float, at stride 4
    iou : (P, masks) float, 0..1, predicted
    presence : (P,) float
        Logit of there being an object where the prompt asks for one.
    """

    logits: Tensor
    iou: Tensor
    presence: Tensor


class GuideAttention(nn.Module):
    """Cross-attention from the cells of a plane to those of an earlier one and its outline.

    Parameters
    ----------
    dim : int
        Channels at stride 16.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.outline = nn.Conv2d(1, dim, 4, 4)
        self.attention = Attention(dim, 8, 2)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)

    def forward(self, cells: Tensor, positions: Tensor, guide: Guide) -> Tensor:
        """Attend from cells (Q, N, C) at positions (N, C) to the guide; returns (Q, N, C)."""
        outline = self.outline((guide.mask / 4).tanh()[:, None]).flatten(2).mT  # (Q, N, C)
        earlier = guide.s16.flatten(2).mT[guide.owner]
        attended: Tensor = self.attention(
            cells + positions, earlier + positions + outline, earlier + outline
        )
        return attended


class PocketDecoder(nn.Module):
    """Prompts and features to mask logits at stride 4, their predicted IoU, and presence.

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
        self.guide = GuideAttention(dim)
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
        self.score_head = MLP(2 * dim + width + STATISTICS, dim, 1, 3)
        self.presence_head = MLP(dim, dim, 1, 2)

    def forward(
        self,
        features: PocketFeatures,
        owner: Tensor,
        coords: Tensor,
        labels: Tensor,
        boxes: Tensor,
        mask_input: Tensor,
        origin: tuple[float, float] = (0.0, 0.0),
        guide: Guide | None = None,
    ) -> Decoded:
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
        guide : Guide, optional

        Returns
        -------
        Decoded
        """
        shift = coords.new_tensor(origin)
        tokens = self._tokens(features, owner, coords, labels, boxes, shift)
        outlines = None if guide is None else guide.mask
        maps = prompt_maps(features.s4.shape[-2:], coords, labels, boxes, mask_input, outlines)
        maps4 = self.maps4(maps.contiguous(memory_format=torch.channels_last))  # (P, 32, H/4, W/4)
        maps8 = self.maps8(maps4)
        s16 = pick(features.s16, owner) + self.maps16(maps8)
        h, w = s16.shape[-2:]
        positions = self._grid_position(h, w, shift)
        cells = s16.flatten(2).mT  # (P, h*w, dim)
        if guide is not None:
            guided, others = cells.tensor_split([len(guide.owner)])
            cells = torch.cat([guided + self.guide(guided, positions, guide), others])
        hidden, cells = attend_two_way(self.transformer, tokens, cells, positions)
        x = self.up8(cells.mT.reshape(s16.shape))
        x = self.mix8(double(x) + pick(features.s8, owner) + maps8)
        x = double(self.up4(x)) + pick(self.skip4(features.s4), owner) + maps4
        x = self.mix4(x)  # (P, width, H/4, W/4)
        mask_tokens = hidden[:, 1 : 1 + self.masks]
        weights = torch.stack([m(mask_tokens[:, i]) for i, m in enumerate(self.hyper)], dim=1)
        flat = x.flatten(2)  # (P, width, cells)
        logits = weights[..., :-1] @ flat + weights[..., -1:]
        score = self._score(hidden, logits.detach(), flat.detach(), features.instances, owner)
        presence = self.presence_head(hidden[:, 0])[:, 0]
        return Decoded(logits.unflatten(2, x.shape[-2:]), score.sigmoid(), presence)

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
        has_box = ~boxes[:, :1].isnan()
        clean = torch.where(has_box, boxes, torch.zeros_like(boxes))
        corners = self.prompt_encoder.embed_boxes(clean + shift.repeat(2))
        middle = (clean[:, None, :2] + clean[:, None, 2:]) / 2
        sampled = sample_features(features, owner, torch.cat([coords, middle], dim=1))
        sampled = self.sample(sampled)  # (P, N + 1, C)
        points = points + sampled[:, :-1] * (labels >= 0)[..., None]
        none = self.prompt_encoder.not_a_point_embed.weight
        corners = torch.where(has_box[..., None], corners + sampled[:, -1:], none)
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        return torch.cat([output_tokens.expand(len(coords), -1, -1), points, corners], dim=1)

    def _grid_position(self, h: int, w: int, shift: Tensor) -> Tensor:
        """Return the position code of the cells at stride 16, (h*w, C)."""
        y = ((torch.arange(h, device=shift.device) + 0.5) * 16 + shift[1]) / POSITION_SIZE
        x = ((torch.arange(w, device=shift.device) + 0.5) * 16 + shift[0]) / POSITION_SIZE
        grid = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], dim=-1)
        return self.prompt_encoder.pe_layer.encode(grid).flatten(0, 1)

    def _score(
        self, hidden: Tensor, logits: Tensor, x: Tensor, instances: Tensor, owner: Tensor
    ) -> Tensor:
        """Predict the IoU of each mask from its tokens, its inside, its edge and the instance head.

        Masks, their features and the instance head are detached: training the score moves none.

        Parameters
        ----------
        hidden : (P, T, C) float
        logits : (P, masks, N) float
        x : (P, width, N) float
        instances : (B, 3, h, w) float
        owner : (P,) int

        Returns
        -------
        (P, masks) float
            Logits of the IoU.
        """
        inside = logits.sigmoid()
        area = inside.sum(-1, keepdim=True)
        pooled = inside @ x.mT / (area + 1)
        edge = inside * (1 - inside)
        edge_length = edge.sum(-1, keepdim=True)
        fields = instances.detach().flatten(2)  # (B, 3, N)
        depth = fields[:, 1:].square().sum(1, True).sqrt()
        fields = pick(torch.cat([fields[:, :1].sigmoid(), depth], 1), owner).mT  # (P or 1, N, 2)
        fields_inside = inside @ fields / (area + 1)
        fields_at_edge = edge @ fields / (edge_length + 0.1)
        foreground = (fields[..., 0].sum(1)[:, None, None] + 1).log() / 8
        area_below = (logits > -1).sum(-1, keepdim=True)
        area_above = (logits > 1).sum(-1, keepdim=True)
        stability = area_above / (area_below + 1)
        confidence = inside.square().sum(-1, keepdim=True) / (area + 1e-3)
        statistics = [(area + 1).log() / 8, (edge_length + 1).log() / 8, stability, confidence]
        statistics += [fields_inside, fields_at_edge, foreground.expand_as(area)]
        iou_token = hidden[:, :1].expand(-1, self.masks, -1)
        mask_tokens = hidden[:, 1 : 1 + self.masks]
        inputs = torch.cat([iou_token, mask_tokens, pooled, *statistics], dim=-1)
        score: Tensor = self.score_head(inputs)  # (P, masks, 1)
        return score.squeeze(-1)


def attend_two_way(
    transformer: TwoWayTransformer, tokens: Tensor, cells: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Let tokens and images of all prompts attend to each other, in one batch.

    What `TwoWayTransformer.forward` computes; here the image of each prompt is small and nothing of
    it is shared, so nothing is gained by taking the prompts one after another.

    Parameters
    ----------
    transformer : TwoWayTransformer
    tokens : (P, T, C) float
    cells : (P, N, C) float
    positions : (N, C) float

    Returns
    -------
    tokens : (P, T, C) float
    cells : (P, N, C) float
    """
    queries = tokens
    for layer in transformer.layers:
        block = cast(TwoWayAttentionBlock, layer)
        queries, cells = _attend_block(block, queries, tokens, cells, positions)
    last = transformer.final_attn_token_to_image
    queries = queries + last(queries + tokens, cells + positions, cells)
    return transformer.norm_final_attn(queries), cells


def _attend_block(
    block: TwoWayAttentionBlock, queries: Tensor, pe: Tensor, cells: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Self-attention of the tokens, tokens to image, MLP, image to tokens."""
    if block.skip_first_layer_pe:
        queries = block.self_attn(queries, queries, queries)
    else:
        placed = queries + pe
        queries = queries + block.self_attn(placed, placed, queries)
    queries = block.norm1(queries)
    attended = block.cross_attn_token_to_image(queries + pe, cells + positions, cells)
    queries = block.norm2(queries + attended)
    queries = block.norm3(queries + block.mlp(queries))
    attended = block.cross_attn_image_to_token(cells + positions, queries + pe, queries)
    return queries, block.norm4(cells + attended)
