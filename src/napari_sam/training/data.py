"""Labelled images on disk and in memory, and the crops that a training step sees."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..transforms import to_rgb8
from .augment import photometric
from .split import Part, part_of

MIN_PIXELS = 12
"""Objects smaller than this, in pixels of the crop, are not prompted."""


@dataclass(frozen=True)
class LabelledImage:
    """One image with the label of every object.

    Attributes
    ----------
    source, name : str
    image : (H, W) or (H, W, 3) uint8
    labels : (H, W) int32
        0 is background.
    exhaustive : bool
        Whether every object is labelled.
    beside : tuple of (H, W) int32
        Labels of the slices above and below, where there are any.
    """

    source: str
    name: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    exhaustive: bool = True
    beside: tuple[NDArray[np.int32], ...] = ()


EXHAUSTIVE = ("dsb2018", "bbbc039", "axon_sem", "hippocampus_mri", "isbi2012_em")

OUTLINED = ("hc18_fetal_head_us",)
"""Sources whose labels are outlines of the objects."""

FRAMES = {"sunnybrook_cmr": 20}
"""Sources of which a name ends in a running number: images so far apart in it show neighbouring
slices at the same time."""


def load_source(path: Path, parts: Iterable[Part]) -> list[LabelledImage]:
    """Read the images of one source file that belong to `parts`.

    Parameters
    ----------
    path : Path
        A `.npz` with `image_000`, `labels_000`, ..., `names`, `tags` and `n`.
    parts : iterable of str
        "train", "validation", "unseen", "apart".

    Returns
    -------
    list of LabelledImage

    Raises
    ------
    ValueError
        If the file lacks one of the keys.
    """
    wanted = set(parts)
    source = path.stem
    with np.load(path, allow_pickle=True) as archive:
        missing = {"names", "tags", "n"} - set(archive.files)
        if missing:
            raise ValueError(f"{path} is not a source of labelled images: no {sorted(missing)}")
        names, tags = archive["names"], archive["tags"]
        images = []
        for k in range(int(archive["n"])):
            name = str(names[k])
            group = json.loads(str(tags[k])).get("group", "")
            if part_of(source, name, group) not in wanted:
                continue
            raw = archive[f"image_{k:03d}"]
            image = raw if raw.ndim == 3 else to_rgb8(raw)[..., 0]
            labels = archive[f"labels_{k:03d}"].astype(np.int32)
            if source in OUTLINED:
                labels = filled(labels)
            images.append(LabelledImage(source, name, image, labels, source in EXHAUSTIVE))
    return with_neighbours(images, FRAMES[source]) if source in FRAMES else images


def with_neighbours(images: list[LabelledImage], step: int) -> list[LabelledImage]:
    """Return the images with the labels of those whose name's last number is `step` off."""
    places = []
    for item in images:
        series, number = item.name.rsplit("-", 1)
        places.append((series, int(number)))
    labels = {place: item.labels for place, item in zip(places, images, strict=True)}
    linked = []
    for (series, place), item in zip(places, images, strict=True):
        others = [labels.get((series, place + offset)) for offset in (-step, step)]
        same = [o for o in others if o is not None and o.shape == item.labels.shape]
        linked.append(replace(item, beside=tuple(same)))
    return linked


def filled(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return labels (H, W) whose objects, drawn as outlines, have no holes."""
    from scipy import ndimage

    whole = labels.copy()
    for label in np.unique(labels[labels > 0]):
        whole[ndimage.binary_fill_holes(labels == label)] = label
    return whole


def load_sources(
    folder: Path, parts: Iterable[Part], exclude: Sequence[str] = ()
) -> dict[str, list[LabelledImage]]:
    """Read every source of a folder; see `load_source`.

    Raises
    ------
    ValueError
        If the folder holds no source.
    """
    wanted = tuple(parts)
    files = sorted(p for p in folder.glob("*.npz") if p.stem not in exclude)
    if not files:
        raise ValueError(f"no .npz source of labelled images in {folder}")
    loaded = {path.stem: load_source(path, wanted) for path in files}
    return {source: images for source, images in loaded.items() if images}


@dataclass
class Crops:
    """A batch of square crops and the objects to be prompted in them.

    Attributes
    ----------
    images : (B, 3, S, S) float, 0..1
    owner : (P,) int64
        The crop of each object.
    masks : (P, S, S) bool
    labels : (B, S, S) int32
        Of all objects, whether prompted or not.
    exhaustive : (B,) bool
        Whether every object is labelled.
    beside : (P, S, S) bool
        Each object in a neighbouring slice; empty where none is known.
    """

    images: Tensor
    owner: Tensor
    masks: Tensor
    labels: Tensor
    exhaustive: Tensor
    beside: Tensor

    def of(self, chosen: Tensor) -> Crops:
        """Return the same crops with some of the objects, chosen by index."""
        parts = {name: getattr(self, name)[chosen] for name in ("owner", "masks", "beside")}
        return replace(self, **parts)


@dataclass
class CropSampler:
    """Draws crops: a source, an image, an object, a scale, a place, an orientation.

    Parameters
    ----------
    sources : dict of str to list of LabelledImage
    weights : dict of str to float
        How often a source is drawn; a source that is not named counts its default (the
        fourth root of its number of objects).
    rng : numpy.random.Generator
    longest, largest_scale
        How the model resizes a plane (`transforms.scaled_size`); the scale that crops vary about.
    """

    sources: dict[str, list[LabelledImage]]
    rng: np.random.Generator
    weights: dict[str, float] = field(default_factory=dict)
    longest: int = 512
    largest_scale: float = 4.0

    def __post_init__(self) -> None:
        self._names = list(self.sources)
        self._objects = {
            source: [_objects(item.labels) for item in items]
            for source, items in self.sources.items()
        }
        raw = []
        for source in self._names:
            count = sum(len(o) for o in self._objects[source])
            raw.append(self.weights.get(source, max(count, 1) ** 0.25))
        self._probability = np.array(raw) / np.sum(raw)

    def replace_source(self, source: str, items: list[LabelledImage]) -> None:
        """Put other images in the place of a source's (freshly drawn synthetic ones)."""
        self.sources[source] = items
        self._objects[source] = [_objects(item.labels) for item in items]

    def batch(self, crops: int, size: int, objects: int) -> Crops:
        """Draw `crops` crops of `size` pixels with at most `objects` objects each."""
        images: list[Tensor] = []
        masks: list[Tensor] = []
        owner: list[int] = []
        maps: list[Tensor] = []
        exhaustive: list[bool] = []
        beside: list[Tensor] = []
        while len(images) < crops:
            image, (labels, other), anchor, complete = self._crop(size)
            chosen = self._choose(labels, anchor, objects)
            if not chosen:
                continue
            owner += [len(images)] * len(chosen)
            masks += [labels == k for k in chosen]
            beside += [other == k for k in chosen]
            images.append(photometric(image, self.rng))
            maps.append(labels)
            exhaustive.append(complete)
        return Crops(
            torch.stack(images),
            torch.tensor(owner, dtype=torch.int64),
            torch.stack(masks),
            torch.stack(maps),
            torch.tensor(exhaustive),
            torch.stack(beside),
        )

    def _choose(self, labels: Tensor, anchor: int, objects: int) -> list[int]:
        ids, counts = np.unique(labels.numpy(), return_counts=True)
        large = [int(i) for i, c in zip(ids, counts, strict=True) if i > 0 and c >= MIN_PIXELS]
        if anchor not in large:
            return []
        others = [i for i in large if i != anchor]
        self.rng.shuffle(others)
        return [anchor, *others[: objects - 1]]

    def _crop(self, size: int) -> tuple[Tensor, Tensor, int, bool]:
        """Return an image, its labels and a neighbouring slice's, an object, `exhaustive`."""
        source = self._names[self.rng.choice(len(self._names), p=self._probability)]
        items = self.sources[source]
        index = int(self.rng.integers(len(items)))
        item, table = items[index], self._objects[source][index]
        if not len(table):
            nothing = torch.zeros(2, size, size, dtype=torch.int32)
            return torch.zeros(3, size, size), nothing, -1, item.exhaustive
        anchor, cx, cy, diameter = table[self.rng.integers(len(table))]
        policy = min(self.longest / max(item.labels.shape), self.largest_scale)
        scale = policy * float(np.exp(self.rng.uniform(np.log(0.5), np.log(1.7))))
        # an object must fit into the crop, and be more than a speck
        scale = min(scale, float(self.rng.uniform(0.45, 0.95)) * size / diameter)
        scale = max(scale, min(6.0, float(self.rng.uniform(8, 14)) / diameter))
        image, labels = _affine(item, (cx, cy), scale, size, self.rng)
        return image, labels, int(anchor), item.exhaustive


def _objects(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return (label, x, y, longest side of the box) of every object, one row each."""
    from scipy import ndimage

    rows = []
    for index, place in enumerate(ndimage.find_objects(labels), start=1):
        if place is None:
            continue
        rows_, columns = place
        side = max(rows_.stop - rows_.start, columns.stop - columns.start)
        middle = ((columns.start + columns.stop - 1) / 2, (rows_.start + rows_.stop - 1) / 2)
        rows.append((index, *middle, side))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _affine(
    item: LabelledImage,
    centre: tuple[float, float],
    scale: float,
    size: int,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Cut a crop about `centre`, scaled, turned, mirrored and slightly stretched.

    Returns the pixels (3, S, S), and the labels of the crop and of a neighbouring slice (2, S, S).
    """
    angle = float(rng.integers(4)) * np.pi / 2
    if rng.random() < 0.5:
        angle += float(rng.uniform(-np.pi / 4, np.pi / 4))
    stretch = float(np.exp(rng.normal(0, 0.08)))
    flip = float(rng.choice([-1.0, 1.0]))
    cos, sin = np.cos(angle), np.sin(angle)
    to_source = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip * stretch, 1 / stretch]) / scale
    shift = rng.uniform(-0.3, 0.3, 2) * size
    middle = np.asarray(centre) + to_source @ shift
    # work in the smallest window of the source that holds the crop
    reach = np.abs(to_source).sum(axis=1) * size / 2 + 2
    h, w = item.labels.shape
    if rng.random() < 0.8:  # seldom show what lies beyond the image
        extent = np.array([w, h])
        middle = np.where(2 * reach < extent, np.clip(middle, reach, extent - reach), middle)
    x0, y0 = (max(0, int(v)) for v in middle - reach)
    x1, y1 = min(w, int(middle[0] + reach[0]) + 2), min(h, int(middle[1] + reach[1]) + 2)
    window = np.s_[y0:y1, x0:x1]
    image, labels = item.image[window], item.labels[window]
    other = np.zeros_like(labels)
    if item.beside:
        other = item.beside[rng.integers(len(item.beside))][window]
    labels = np.stack([labels, other])
    if image.size == 0:
        return torch.zeros(3, size, size), torch.zeros(2, size, size, dtype=torch.int32)
    # shrink by averaging first, so that the sampling below does not alias
    factor = max(1, int(1 / scale + 0.35))
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float() / 255
    pixels = pixels.expand(3, *pixels.shape) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    if factor > 1:
        pixels = F.avg_pool2d(pixels[None], factor, ceil_mode=True)[0]
    grid = _grid(to_source, middle - (x0, y0), size)
    span = torch.tensor([pixels.shape[2], pixels.shape[1]], dtype=torch.float32) * factor
    unit = (grid + 0.5) / span * 2 - 1
    crop = F.grid_sample(pixels[None], unit[None], align_corners=False, padding_mode="zeros")[0]
    column, row = grid.round().long().unbind(-1)
    valid = (column >= 0) & (row >= 0) & (column < x1 - x0) & (row < y1 - y0)
    rows, columns = row.clamp(0, y1 - y0 - 1), column.clamp(0, x1 - x0 - 1)
    return crop, torch.where(valid, torch.from_numpy(labels)[:, rows, columns], 0)


def _grid(to_source: NDArray[np.float64], middle: NDArray[np.float64], size: int) -> Tensor:
    """Return the source coordinate (x, y) of every pixel of the crop, (S, S, 2)."""
    steps = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(steps, steps)
    grid = np.stack([x, y], axis=-1) @ to_source.T + middle
    return torch.from_numpy(grid.astype(np.float32))
