"""`pocket` as two graphs: forward functions of its loaded layers that can be exported."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.pocket_decoder import attend_two_way
from ..models.pocket_encoder import PocketFeatures, double, normalise
from ..models.pocket_grid import PADDING
from ..models.pocket_net import Pocket
from ..models.pocket_prompts import prompt_maps, sample_features


class PocketEncoderGraph(nn.Module):
    """A plane (h, w, 3) uint8 to its features at both scales, as `PocketModel.encode`.

    Parameters
    ----------
    pocket : Pocket
    """

    def __init__(self, pocket: Pocket) -> None:
        super().__init__()
        self.encoder = pocket.encoder

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return `onnx_pocket.ENCODER_OUTPUTS`."""
        pixels = image.permute(2, 0, 1)[None].float()
        h, w = pixels.shape[-2:]
        even = F.pad(pixels, (0, w % 2, 0, h % 2))
        share = F.pad(torch.ones_like(pixels[:, :1]), (0, w % 2, 0, h % 2))
        half = F.avg_pool2d(even, 2) / F.avg_pool2d(share, 2)  # the means of the pixels there are
        return (*self._features(pixels / 255), *self._features(half / 255))

    def _features(self, pixels: Tensor) -> PocketFeatures:
        h, w = pixels.shape[-2:]
        padded = F.pad(pixels, (0, -w % PADDING, 0, -h % PADDING))
        features: PocketFeatures = self.encoder(normalise(padded))
        return features


class PocketDecoderGraph(nn.Module):
    """What `PocketDecoder.forward` computes, with switches in place of arguments that are missing.

    Parameters
    ----------
    pocket : Pocket
    """

    def __init__(self, pocket: Pocket) -> None:
        super().__init__()
        self.decoder = pocket.decoder

    def forward(
        self,
        features_s4: Tensor,
        features_s8: Tensor,
        image_embeddings: Tensor,
        instances: Tensor,
        owner: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        boxes: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        guide_embeddings: Tensor,
        guide_owner: Tensor,
        guide_mask: Tensor,
        has_guide: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer P prompts on B windows.

        Parameters
        ----------
        features_s4, features_s8, image_embeddings, instances : (B, C, h, w) float
            Of the windows, at strides 4, 8, 16 and 4.
        owner : (P,) int
            The window of each prompt.
        point_coords : (P, N, 2) float, (x, y) in pixels of the window
        point_labels : (P, N) float
            1 object, 0 background, -1 padding.
        boxes : (P, 4) float, xyxy in pixels of the window; NaN where there is none
        mask_input : (P, 1, h, w) float
        has_mask_input : (1,) float
            0 where `mask_input` is to be left aside.
        guide_embeddings : (G, C, h, w) float
            Features of an earlier plane at stride 16.
        guide_owner : (P,) int
        guide_mask : (P, 1, h, w) float
            Logits of the object there.
        has_guide : (1,) float
            0 where the earlier plane is to be left aside.

        Returns
        -------
        low_res_masks : (P, masks, h, w) float
        iou_predictions : (P, masks) float
        presence : (P,) float, a logit
        """
        net = self.decoder
        features = PocketFeatures(features_s4, features_s8, image_embeddings, instances)
        shift = point_coords.new_zeros(2)
        tokens = self._tokens(features, owner, point_coords, point_labels, boxes, shift)
        earlier = torch.where(has_mask_input > 0.5, mask_input, torch.nan)[:, 0]
        size = features_s4.shape[-2:]
        maps = prompt_maps(size, point_coords, point_labels, boxes, earlier)
        outline = has_guide * (guide_mask / 4).tanh()
        maps4 = net.maps4(torch.cat([maps[:, :-1], outline], dim=1))
        maps8 = net.maps8(maps4)
        s16 = image_embeddings[owner] + net.maps16(maps8)
        positions = net._grid_position(s16.shape[-2], s16.shape[-1], shift)
        cells = s16.flatten(2).mT  # (P, h*w, C)
        cells = torch.cond(  # attention to a guide takes a quarter of the time
            has_guide[0] > 0.5,
            self._guided,
            lambda cells, *_: cells.clone(),
            (cells, positions, guide_embeddings, guide_owner, guide_mask),
        )
        hidden, cells = attend_two_way(net.transformer, tokens, cells, positions)
        x = net.up8(cells.mT.reshape(s16.shape))
        x = net.mix8(double(x) + features_s8[owner] + maps8)
        x = double(net.up4(x)) + net.skip4(features_s4)[owner] + maps4
        x = net.mix4(x)
        mask_tokens = hidden[:, 1 : 1 + net.masks]
        weights = torch.stack([m(mask_tokens[:, i]) for i, m in enumerate(net.hyper)], dim=1)
        flat = x.flatten(2)  # (P, width, cells)
        logits = weights[..., :-1] @ flat + weights[..., -1:]
        score = net._score(hidden, logits, flat, instances, owner)
        # ONNX Runtime's own sigmoid is 0 below -18, where the better of two windows is still told
        score = 1 / (1 + torch.exp(-score))
        presence = net.presence_head(hidden[:, 0])[:, 0]
        return logits.reshape(logits.shape[0], net.masks, *size), score, presence

    def _tokens(
        self,
        features: PocketFeatures,
        owner: Tensor,
        coords: Tensor,
        labels: Tensor,
        boxes: Tensor,
        shift: Tensor,
    ) -> Tensor:
        """As `PocketDecoder._tokens`."""
        net = self.decoder
        points = net.prompt_encoder.embed_points(coords + shift, labels.long())
        has_box = ~boxes[:, :1].isnan()
        clean = torch.where(has_box, boxes, 0.0)
        corners = net.prompt_encoder.embed_boxes(clean)
        middle = (clean[:, None, :2] + clean[:, None, 2:]) / 2
        sampled = sample_features(features, owner, torch.cat([coords, middle], dim=1))
        sampled = net.sample(sampled)  # (P, N + 1, C)
        points = points + sampled[:, :-1] * (labels >= 0)[..., None]
        none = net.prompt_encoder.not_a_point_embed.weight
        corners = torch.where(has_box[..., None], corners + sampled[:, -1:], none)
        output_tokens = torch.cat([net.iou_token.weight, net.mask_tokens.weight])
        return torch.cat([output_tokens.expand(coords.shape[0], -1, -1), points, corners], dim=1)

    def _guided(
        self, cells: Tensor, positions: Tensor, earlier: Tensor, owner: Tensor, mask: Tensor
    ) -> Tensor:
        """Add to cells (P, N, C) what they find in an earlier plane; see `GuideAttention`."""
        guide = self.decoder.guide
        outline = guide.outline((mask / 4).tanh()).flatten(2).mT  # (P, N, C)
        image = earlier[owner].flatten(2).mT + outline
        attended: Tensor = guide.attention(cells + positions, image + positions, image)
        return cells + attended
