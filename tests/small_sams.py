"""SAMs of every kind of encoder, small and of random weights."""

import torch
from tiny import OneConvolution
from torch import nn

from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.mobile_sam import TinyViT
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.sam import Sam, SamModel
from napari_sam.models.two_way import TwoWayTransformer
from napari_sam.models.vit import ImageEncoderViT

WIDTH, SIZE = 32, 128


def encoders():
    return {
        "convolution": lambda: OneConvolution(WIDTH),
        "vit": lambda: ImageEncoderViT(
            SIZE, 16, 3, 24, depth=3, num_heads=2, mlp_dim=32, window_size=3,
            global_attn_indexes=(1,), out_chans=WIDTH,
        ),
        "mobile_sam": lambda: TinyViT(
            (8, 12, 16, 20), (1, 1, 1, 1), (2, 2, 2), (3, 5, 3), num_classes=0, out_chans=WIDTH
        ),
    }  # fmt: skip


def small_sam(encoder, seed=0, heads=4):
    """Return a SAM with one of the `encoders`, its weights drawn, none of them zero.

    Those behind the encoder depend on the seed and the heads alone.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cells = (SIZE // 16, SIZE // 16)
        prompts = PromptEncoder(WIDTH, cells, (SIZE, SIZE), mask_in_chans=16)
        transformer = TwoWayTransformer(2, WIDTH, heads, 64)
        decoder = MaskDecoder(WIDTH, transformer, iou_head_hidden_dim=WIDTH)
        for module in (prompts, decoder):
            _draw(module)
        image_encoder = encoders()[encoder]()
        _draw(image_encoder)
    sam = Sam(image_encoder, prompts, decoder)
    return SamModel(sam, encoder)


def _draw(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter.data, std=0.2)
