"""Where `pocket` answers a prompt: in a window about it, or in the whole plane at half the size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .pocket_encoder import STRIDE, PocketFeatures

WINDOW = 256
"""Side of the window that a prompt is answered in, pixels of the input."""
LARGEST = 176
"""A box whose longer side exceeds this, in pixels of the input, is answered at half the size."""
OUTSIDE = -10.0
"""Logit of what lies outside the window."""
COARSE = 16
"""Stride of the coarsest features: windows begin at its multiples."""


class Asked(NamedTuple):
    """P prompts in the frame that they are answered in.

    Attributes
    ----------
    points : (P, N, 2) float, (x, y) in pixels of the frame
    kinds : (P, N) int
    boxes : (P, 4) float; NaN where there is none
    masks : (P, h, w) float at stride 4; NaN where there is none
    earlier : (P, h, w) float at stride 4
        Logits of the object in an earlier plane; NaN where there is none.
    """

    points: Tensor
    kinds: Tensor
    boxes: Tensor
    masks: Tensor
    earlier: Tensor

    def of(self, chosen: Tensor) -> Asked:
        """Return some of the prompts, chosen by (P,) bool."""
        return Asked(*(part[chosen] for part in self))

    def moved(self, start: Tensor, size: Tensor) -> Asked:
        """Return them in windows of `size` at `start` (P, 2), without points beyond a window."""
        points = self.points - start[:, None]
        seen = ((points >= -0.5) & (points <= size - 0.5)).all(dim=-1)
        kinds = torch.where(seen, self.kinds, -1)
        masks, earlier = (
            torch.stack([cut(m, place, size, STRIDE) for m, place in zip(part, start, strict=True)])
            for part in (self.masks, self.earlier)
        )
        return Asked(points, kinds, self.boxes - start.repeat(1, 2), masks, earlier)


class Question(NamedTuple):
    """Prompts and what they are asked of.

    Attributes
    ----------
    features : PocketFeatures of B images
    owner : (P,) int
        The image that each prompt is asked of.
    asked : Asked, in that image
    earlier : (B, C, h, w) float or None
        Features of an earlier plane at stride 16, in the same windows.
    """

    features: PocketFeatures
    owner: Tensor
    asked: Asked
    earlier: Tensor | None


def windows_of(span: tuple[Tensor, Tensor], frame: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the size (x, y) of windows in a frame (h, w), and where each prompt's begins (P, 2).

    They lie about the `extent` of each prompt and begin at whole cells of every level of features.
    """
    h, w = frame
    size = torch.tensor([min(WINDOW, w), min(WINDOW, h)])
    low, high = span
    start = ((low + high - size) / 2 / COARSE).round() * COARSE
    return size, start.clamp(min=0).minimum(torch.tensor([w, h]) - size).long()


def in_windows(
    features: PocketFeatures, earlier: Tensor | None, asked: Asked, start: Tensor, size: Tensor
) -> Question:
    """Ask each prompt in a window about it."""
    starts, owner = torch.unique(start, dim=0, return_inverse=True)
    strides = (STRIDE, 2 * STRIDE, COARSE, STRIDE)

    def windows(level: Tensor, stride: int) -> Tensor:
        return torch.cat([cut(level, place, size, stride) for place in starts])

    shown = PocketFeatures(*map(windows, features, strides))
    before = None if earlier is None else windows(earlier, COARSE)
    return Question(shown, owner, asked.moved(start, size), before)


def at_half(features: PocketFeatures, earlier: Tensor | None, asked: Asked) -> Question:
    """Ask each prompt in the whole plane at half its size."""
    h, w = features.s4.shape[-2:]
    masks, outlines = (
        fitted(F.avg_pool2d(part[:, None], 2, ceil_mode=True)[:, 0], (h, w))
        for part in (asked.masks, asked.earlier)
    )
    halved = Asked(
        (asked.points + 0.5) / 2 - 0.5, asked.kinds, (asked.boxes + 0.5) / 2 - 0.5, masks, outlines
    )
    return Question(features, torch.zeros(len(masks), dtype=torch.int64), halved, earlier)


def whole_frame(answers: Tensor, start: Tensor, cells: tuple[int, int]) -> Tensor:
    """Put answers (P, C, h, w) to windows that begin at `start` into the frame of `cells`."""
    h, w = answers.shape[-2:]
    if (h, w) == cells:
        return answers
    logits = answers.new_full((*answers.shape[:2], *cells), OUTSIDE)
    for (x, y), whole, part in zip((start // STRIDE).tolist(), logits, answers, strict=True):
        whole[:, y : y + h, x : x + w] = part
    return logits


def extent(asked: Asked) -> tuple[Tensor, Tensor]:
    """Return the least and the largest (x, y), (P, 2), of object points, box and outlines."""
    outlines = bounds(torch.where(asked.masks.isnan(), asked.earlier, asked.masks))
    corners = torch.cat([asked.boxes, outlines], dim=1).reshape(-1, 4, 2)
    places = torch.cat([asked.points, corners], dim=1)
    counts = torch.cat([asked.kinds == 1, ~corners[..., 0].isnan()], dim=1)
    if not counts.any(dim=1).all():  # background points alone, or a mask alone
        seen = counts.any(dim=1, keepdim=True)
        counts = torch.where(seen, counts, torch.cat([asked.kinds >= 0, counts[:, -4:]], dim=1))
    low = torch.where(counts[..., None], places, torch.inf).amin(dim=1)
    high = torch.where(counts[..., None], places, -torch.inf).amax(dim=1)
    none = low.isinf()
    return torch.where(none, 0.0, low), torch.where(none, 0.0, high)


def fitting(asked: Asked, span: tuple[Tensor, Tensor], frame: int) -> tuple[Tensor, Tensor]:
    """Tell which prompts (P,) are answered in a window, and which at half the size.

    A frame that is no larger than a window shows everything in it.
    """
    side = (span[1] - span[0]).amax(dim=1)
    outlined = (asked.masks > 0) | (asked.earlier > 0)
    known = ~asked.boxes[:, 0].isnan() | outlined.flatten(1).any(dim=1)
    near = (side <= LARGEST) | torch.tensor(frame <= WINDOW)
    return near, ~near | ~known


def bounds(masks: Tensor) -> Tensor:
    """Return the boxes (P, 4), xyxy in pixels, of logits (P, h, w); NaN where nothing is marked."""
    marked = masks > 0
    corners = []
    for found in (marked.any(dim=1), marked.any(dim=2)):  # columns, then rows
        cells = torch.arange(found.shape[1])
        corners.append(torch.where(found, cells, found.shape[1]).amin(dim=1) * STRIDE)
        corners.append(torch.where(found, cells, -1).amax(dim=1) * STRIDE + STRIDE - 1)
    x0, x1, y0, y1 = corners
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return torch.where(marked.flatten(1).any(dim=1)[:, None], boxes, torch.nan)


def cut(maps: Tensor, start: Tensor, size: Tensor, stride: int) -> Tensor:
    """Return the window of maps (..., h, w) that `start` and `size`, (x, y) in pixels, name."""
    x, y = (start // stride).tolist()
    w, h = (size // stride).tolist()
    return maps[..., y : y + h, x : x + w]


def fitted(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut or continue maps (..., h, w) at their far ends to `size`."""
    h, w = size
    maps = maps[..., :h, :w]
    missing = (0, w - maps.shape[-1], 0, h - maps.shape[-2])
    if not any(missing):
        return maps
    flat = maps.flatten(0, -3)[None]
    padded: Tensor = F.pad(flat, missing, mode="replicate")
    return padded.reshape(*maps.shape[:-2], h, w)
