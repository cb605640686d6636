"""`pocket`: a small promptable model of our own, quick on a laptop's processor.

A convolutional encoder (`pocket_encoder`), and a decoder (`pocket_decoder`) with SAM's prompt
tokens and two-way transformer at stride 16 and a light convolutional mask head that also sees the
prompts drawn as maps. Everything that moves with the image moves with the answer: positions are
those of the padded input, the maps are distances in pixels.
"""

from __future__ import annotations

import torch
from torch import nn

from .pocket_decoder import PocketDecoder
from .pocket_encoder import PocketEncoder


class Pocket(nn.Module):
    """Encoder and prompt decoder together."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PocketEncoder()
        self.decoder = PocketDecoder()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
