"""What other programs take from torchvision, which cannot be imported everywhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import torch
from PIL import Image


def box_area(boxes):
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes, scores, idxs, iou_threshold):
    """Greedy suppression within each group; indices by falling score."""
    kept = []
    for index in scores.argsort(descending=True, stable=True).tolist():
        rivals = [k for k in kept if idxs[k] == idxs[index]]
        if rivals and _iou(boxes[index], boxes[rivals]).max() > iou_threshold:
            continue
        kept.append(index)
    return torch.tensor(kept, dtype=torch.int64)


def _iou(box, others):
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    return shared / (box_area(box[None]) + box_area(others) - shared)


def resize(picture, size):
    return picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def to_pil_image(array):
    return Image.fromarray(np.asarray(array))


REAL = {f.__name__: f for f in (box_area, batched_nms, resize, to_pil_image)}


class Anything(type):
    """Makes classes that have every attribute; each is a string."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return f"{cls.__name__}.{name}"


class Stub(ModuleType):
    """A module with the few real functions; every other name is a class that does nothing."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return REAL.get(name) or Anything(name, (), {})


class Finder(MetaPathFinder, Loader):
    """Finds torchvision and all that may lie in it."""

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] == "torchvision" else None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


@contextmanager
def stubbed_torchvision():
    """Offer a torchvision of what segment-anything and timm take from it, then take it away."""
    kept = {name: m for name, m in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    finder = Finder()
    sys.meta_path.insert(0, finder)
    for name in kept:
        del sys.modules[name]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        sys.modules.update(kept)
