"""SAM 2's prompt encoder: SAM's, but every list of points and corners is closed."""

from __future__ import annotations

import torch
from torch import Tensor

from .prompt_encoder import PromptEncoder


class Sam2PromptEncoder(PromptEncoder):
    """Encode prompts as SAM does; the corners of a box count as points (Ravi et al., ICLR 2025)."""

    def sparse(self, coords: Tensor, labels: Tensor, boxes: Tensor | None) -> Tensor:
        """Encode points and boxes as tokens (B, K, C); arguments as in `PromptEncoder.forward`."""
        tokens = super().sparse(coords, labels, boxes)
        if boxes is None:  # SAM itself has closed the list
            return tokens
        end = self.not_a_point_embed.weight.expand(len(tokens), 1, -1)
        return torch.cat([tokens, end], dim=1)
