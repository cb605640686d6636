"""SAM 2's tracking: what is remembered of an object, and what that says of the next frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .sam2_decoder import FineFeatures
from .sam2_memory_attention import Memories
from .sam2_memory_encoder import STRIDE, sine_positions

if TYPE_CHECKING:
    from .sam2_neck import Sam2Features
    from .sam2_net import Sam2Net

POINTERS = 16
"""Frames whose pointers are used at most, the prompted ones beside them."""
SCALE, BIAS = 20.0, -10.0
"""From a mask, 0..1, to what the memory encoder takes, and to logits."""
NO_OBJECT = -1024.0
"""Logit of every cell where there is no object."""
TEMPERATURE = 10000.0
"""Base of the wavelengths of a pointer's place in time."""


class Shown(NamedTuple):
    """What stands for P objects whose masks in a frame are given.

    Attributes
    ----------
    presence : (P,) float
        Logits: above 0 where the mask is not empty.
    pointers : (P, C) float
        Stand for the objects.
    fine : (P, S, S) float
        The masks as logits, in pixels of the input.
    """

    presence: Tensor
    pointers: Tensor
    fine: Tensor


class Tracked(NamedTuple):
    """What the model says of P objects in one frame.

    Attributes
    ----------
    logits : (P, h, w) float
    iou : (P,) float
    presence : (P,) float
        Logits: above 0 where the object is there.
    pointers : (P, C) float
        Stand for the objects.
    fine : (P, 4h, 4w) float
        The logits in pixels of the input.
    """

    logits: Tensor
    iou: Tensor
    presence: Tensor
    pointers: Tensor
    fine: Tensor


class Remembered(NamedTuple):
    """What is kept of one object in one frame.

    Attributes
    ----------
    place : int
        Number of the frame.
    cells : (h*w, M) float or None
        Its memory; None once the frame is too far away.
    pointer : (C,) float
    """

    place: int
    cells: Tensor | None
    pointer: Tensor


@dataclass(frozen=True, eq=False)
class Memory:
    """What is kept of one object on its way in one direction; bounded.

    Attributes
    ----------
    length : int
        Frames of the whole stack.
    prompted : tuple of Remembered
        Frames in which the object was shown to the model.
    followed : tuple of Remembered
        Frames in which it was found, the latest one last.
    """

    length: int
    prompted: tuple[Remembered, ...] = ()
    followed: tuple[Remembered, ...] = ()

    def shown(self, frame: Remembered) -> Memory:
        """Return the memory with a frame in which the object was prompted."""
        return replace(self, prompted=(*self.prompted, frame))

    def found(self, frame: Remembered, frames: int) -> Memory:
        """Return the memory with a frame into which it was followed, and without what is too old.

        Parameters
        ----------
        frame : Remembered
        frames : int
            Memories that the model has at most, that of a prompted frame among them.
        """
        kept = []
        for one in self.followed:
            offset = abs(frame.place - one.place) + 1  # seen from the next frame
            if offset < POINTERS:
                kept.append(one if offset < frames else one._replace(cells=None))
        return replace(self, followed=(*kept, frame))


def given(net: Sam2Net, features: Sam2Features, masks: Tensor) -> Shown:
    """Return what stands for objects whose masks in a frame are known.

    The masks are the answer, and the decoder only finds pointers for them.

    Parameters
    ----------
    net : Sam2Net
    features : Sam2Features
    masks : (P, 1, S, S) float, 0 or 1
    """
    fine = masks * SCALE + BIAS
    dense = net.sam_prompt_encoder.mask_downscaling(net.mask_downsample(masks))
    found = decoded(net, features, features.s2 + dense, _no_points(net, dense), False)
    there = (masks > 0).flatten(1).any(1)
    pointers = torch.where(there[:, None], found.pointers, net.no_obj_ptr)
    presence = there.to(fine.dtype) * SCALE + BIAS
    return Shown(presence, pointers, fine[:, 0])


def followed(
    net: Sam2Net,
    features: Sam2Features,
    memories: Sequence[Memory],
    place: int,
) -> Tracked:
    """Return what is said of P objects in a frame, given what is remembered of them.

    Parameters
    ----------
    net : Sam2Net
    features : Sam2Features
        Of the frame.
    memories : sequence of Memory
        One for each object.
    place : int
        Number of the frame.
    """
    images = conditioned(net, features, memories, place)
    images = images + net.sam_prompt_encoder.no_mask()
    return decoded(net, features, images, _no_points(net, images), True)


def conditioned(
    net: Sam2Net, features: Sam2Features, memories: Sequence[Memory], place: int
) -> Tensor:
    """Return the embedding of a frame (P, C, h, w) as what is remembered of objects changes it.

    Parameters are those of `followed`.
    """
    s2 = features.s2
    size = s2.shape[-2], s2.shape[-1]
    positions = _positions(size, s2.shape[1]).to(s2)
    seen = [_seen(net, one, place, size) for one in memories]
    cells: Tensor = net.memory_attention(s2[0].flatten(1).T, positions, size, seen)
    return cells.mT.reshape(len(cells), -1, *size)


def probed(net: Sam2Net, features: Sam2Features) -> Tensor:
    """Return an embedding (1, C, h, w) as the memory of half of it changes it; of any size."""
    height, width = features.s2.shape[-2:]
    mask = features.s2.new_full((1, 1, STRIDE * height, STRIDE * width), BIAS)
    mask[..., : STRIDE * width // 2] += SCALE
    (cells,) = net.memory_encoder(features.s2, mask).flatten(2).mT
    memory = Memory(2).shown(Remembered(0, cells, net.no_obj_ptr[0]))
    return conditioned(net, features, [memory], 1)


def remembered(
    net: Sam2Net,
    features: Sam2Features,
    objects: Shown | Tracked,
    place: int,
    from_prompts: bool,
) -> list[Remembered]:
    """Return what is kept of objects in a frame.

    Parameters
    ----------
    net : Sam2Net
    features : Sam2Features
    objects : Shown or Tracked
    place : int
        Number of the frame.
    from_prompts : bool
        Whether they were prompted in this frame: then their masks are sharp.
    """
    fine = objects.fine[:, None]
    masks = (fine > 0).to(fine.dtype) if from_prompts else fine.sigmoid()
    cells = net.memory_encoder(features.s2, masks * SCALE + BIAS).flatten(2).mT  # (P, h*w, M)
    cells = cells + (objects.presence <= 0)[:, None, None] * net.no_obj_embed_spatial
    # copies: a row of a batch would keep the whole batch in memory
    return [
        Remembered(place, own.clone(), pointer.clone())
        for own, pointer in zip(cells, objects.pointers, strict=True)
    ]


def decoded(
    net: Sam2Net, features: Sam2Features, images: Tensor, sparse: Tensor, multimask: bool
) -> Tracked:
    """Return the best mask of each object, nothing where it is absent, and its pointer.

    Parameters
    ----------
    net : Sam2Net
    features : Sam2Features
        Its two finer maps are used.
    images : (P, C, h, w) float
        The embedding as it is for each object, with the dense part of its prompt.
    sparse : (P, K, C) float
    multimask : bool
        Whether the best of three masks is taken.
    """
    decoder = net.sam_mask_decoder
    projections = decoder.project_image(None, net.sam_prompt_encoder.get_dense_pe())
    fine_maps = FineFeatures.of(features.s0, features.s1, projections.final_keys.dtype)
    logits, iou, tokens, presence = decoder.answer(
        projections, fine_maps, sparse, images, multimask
    )
    best = iou.argmax(1)
    rows = torch.arange(len(best), device=best.device)
    there = presence > 0
    low = torch.stack([one[at] for one, at in zip(logits, best.tolist(), strict=True)]).to(iou)
    low = torch.where(there[:, None, None], low, NO_OBJECT)
    pointers = torch.where(there[:, None], net.obj_ptr_proj(tokens[rows, best]), net.no_obj_ptr)
    size = 4 * low.shape[1], 4 * low.shape[2]
    fine = F.interpolate(low[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return Tracked(low, iou[rows, best], presence, pointers, fine)


def _no_points(net: Sam2Net, like: Tensor) -> Tensor:
    """Return tokens (P, 2, C) of no prompt: a point that is none, and what closes the points."""
    coords = like.new_zeros(len(like), 1, 2)
    labels = torch.full((len(like), 1), -1, dtype=torch.int64, device=like.device)
    tokens: Tensor = net.sam_prompt_encoder.sparse(coords, labels, None)
    return tokens


def _seen(net: Sam2Net, memory: Memory, place: int, size: tuple[int, int]) -> Memories:
    """Return what the memory attention gets of an object in a frame."""
    times = net.maskmem_tpos_enc[:, 0, 0]  # (T, M): the frame before first, a prompted one last
    frames = [(one.cells, times[-1]) for one in memory.prompted]
    for one in memory.followed:
        offset = abs(place - one.place)
        if 0 < offset < len(times):
            frames.append((one.cells, times[offset - 1]))
    cells = torch.cat([one for one, _ in frames if one is not None])
    in_frame = _positions(size, cells.shape[1]).to(cells)
    positions = torch.cat([in_frame + time for one, time in frames if one is not None])
    pointers, places = _pointers(net, memory, place)
    return Memories(torch.cat([cells, pointers]), torch.cat([positions, places]), len(pointers))


def _pointers(net: Sam2Net, memory: Memory, place: int) -> tuple[Tensor, Tensor]:
    """Return pointers (K, M), each split into as many as it needs, and their places in time."""
    most = min(memory.length, POINTERS)
    used = [
        *memory.prompted,
        *(one for one in memory.followed if 0 < abs(place - one.place) < most),
    ]
    pointers = torch.stack([one.pointer for one in used])
    width = net.maskmem_tpos_enc.shape[-1]
    split = pointers.shape[1] // width
    offsets = pointers.new_tensor([abs(place - one.place) for one in used]) / max(most - 1, 1)
    times = net.obj_ptr_tpos_proj(_sines(offsets, pointers.shape[1]))
    return pointers.reshape(-1, width), times.repeat_interleave(split, dim=0)


def _sines(offsets: Tensor, dim: int) -> Tensor:
    """Return sines and then cosines (K, dim) of distances in time (K,), 0..1."""
    half = dim // 2
    exponents = torch.arange(half, device=offsets.device).div(2, rounding_mode="floor") * 2 / half
    angles = offsets[:, None] / TEMPERATURE ** exponents.to(offsets.dtype)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@lru_cache(maxsize=4)
def _positions(size: tuple[int, int], dim: int) -> Tensor:
    """Return the positional encoding of a grid, kept; see `sine_positions`."""
    return sine_positions(size, dim)
