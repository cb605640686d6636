"""Labels and image together: ground that looks like objects, labels beside what is shown."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from .examples import Example
from .findings import Box, Finding

FINE, COARSE = 1.5, 4.0
"""Gaussians, pixels, at which brightness and its variation are looked at."""
BINS = 24
APART = 3
"""Pixels between objects and ground that are compared with neither: edges are soft."""
LIKE = 0.75
"""Pixels of this probability look like objects."""
MANY = 5
"""With fewer objects in an image, little is known of what they look like."""
OBJECTS_TOLD, GROUND_TOLD = 0.95, 0.7
"""Ground is looked at where these shares of the pixels of objects and of ground are told right;
the ground may hold objects without a label, so less is asked of it."""
SIZE = 0.5
"""A place is as large as an object from this part of the middle one's area and depth on."""
FOUND = 0.2
"""A proposal is new if less than this part of it is labelled."""
EDGE = 2.0
"""Gaussian, pixels, at which edges are looked for in the image."""
FAR = 3
"""A shift of fewer pixels is none."""
CLEAR = 3.0
"""Standard deviations by which a shift fits better; twice as many where objects are few."""
LONGEST = 512
"""Pixels of a side at which outlines and edges are compared at most."""
REACH = 0.25
"""Largest shift that is looked for, as a part of the image's sides."""


def grey(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the mean of the channels, (H, W)."""
    values = image.astype(np.float32)
    return values if values.ndim == 2 else np.asarray(values.mean(axis=2))


def likeness(one: Example) -> tuple[NDArray[np.float32], float, float]:
    """Return how much each pixel looks like the objects and not like the ground.

    A histogram of smoothed brightness and of its local deviation is counted over the objects and
    over the known ground, each with the same weight.

    Returns
    -------
    (H, W) float32, the probability of the objects; the shares of the objects' pixels and of those
    of the ground that it tells right
    """
    values = grey(one.image)
    smooth = ndimage.gaussian_filter(values, FINE)
    local = ndimage.gaussian_filter(values, COARSE)
    rough = np.sqrt(ndimage.gaussian_filter((values - local) ** 2, COARSE))
    codes = _quantised(smooth) * BINS + _quantised(rough)
    objects = one.labels > 0
    ground = one.known & ~ndimage.binary_dilation(objects, iterations=APART)
    inner = ndimage.binary_erosion(objects, iterations=1)
    counts = [
        ndimage.gaussian_filter(
            np.bincount(codes[part], minlength=BINS**2).reshape(BINS, BINS).astype(np.float32), 1
        )
        for part in (inner, ground)
    ]
    if not inner.any() or not ground.any():
        return np.zeros(values.shape, np.float32), 0.0, 0.0
    share = [count / count.sum() + 1e-6 for count in counts]
    chance = (share[0] / (share[0] + share[1])).ravel()[codes].astype(np.float32)
    return chance, float((chance[inner] > 0.5).mean()), float((chance[ground] < 0.5).mean())


def _quantised(values: NDArray[np.float32]) -> NDArray[np.int64]:
    low, high = np.percentile(values, (0.5, 99.5))
    unit = (values - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(unit * BINS, 0, BINS - 1).astype(np.int64))


def unlabelled(
    number: int, one: Example, proposals: NDArray[np.integer] | None = None
) -> list[Finding]:
    """Find ground that is marked complete and looks like the objects.

    Without proposals of a model, brightness and its local deviation decide, and only where they
    tell the labelled objects from the ground.

    Parameters
    ----------
    number : int
    one : Example
    proposals : (H, W) int, optional
        What a model found in the image.
    """
    if not one.objects or one.sparse:
        return []
    boxes = _like_objects(one) if proposals is None else _not_labelled(one, proposals)
    if not boxes:
        return []
    places = (
        f"{len(boxes)} places in {one.name} look"
        if len(boxes) > 1
        else (f"a place in {one.name} looks")
    )
    return [
        Finding(
            "unlabelled",
            f"{places} like the labelled objects, without a label: label what is an object there, "
            "or leave such places out, so that they are not taught as background",
            number,
            (),
            tuple(boxes),
        )
    ]


def _like_objects(one: Example) -> list[Box]:
    if len(one.objects) < MANY:
        return []
    chance, objects_told, ground_told = likeness(one)
    if objects_told < OBJECTS_TOLD or ground_told < GROUND_TOLD:
        return []
    least_area = SIZE * np.median([one.mask(k).sum() for k in one.objects])
    least_depth = SIZE * np.median([_depth(one.mask(k)) for k in one.objects])
    objects = one.labels > 0
    free = one.known & ~ndimage.binary_dilation(objects, iterations=APART)
    like = ndimage.binary_opening(free & (chance > LIKE), iterations=1)
    parts, _ = ndimage.label(like)
    boxes: list[Box] = []
    for k, place in enumerate(ndimage.find_objects(parts), 1):
        mask = parts[place] == k
        if mask.sum() < least_area or _depth(mask) < least_depth:
            continue
        rows, columns = place
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    return boxes


def _not_labelled(one: Example, proposals: NDArray[np.integer]) -> list[Box]:
    found = Example(one.name, one.image, np.ascontiguousarray(proposals, np.int32))
    areas = [int(one.mask(k).sum()) for k in one.objects]
    low, high = np.percentile(areas, (5, 95))
    boxes = []
    for k, box in found.boxes.items():
        x0, y0, x1, y1 = box
        mask = found.mask(k)
        labelled = one.labels[y0:y1, x0:x1][mask] > 0
        known = one.known[y0:y1, x0:x1][mask]
        if low / 2 <= mask.sum() <= 2 * high and labelled.mean() < FOUND and known.mean() > 0.5:
            boxes.append(box)
    return boxes


def _depth(mask: NDArray[np.bool_]) -> float:
    return float(ndimage.distance_transform_edt(np.pad(mask, 1)).max())


class Fit(NamedTuple):
    """How well the outlines of labels lie on edges of the image.

    Attributes
    ----------
    own : float
        At their own place, in standard deviations above the mean of all places.
    best : float
        At the best place.
    shift : (dx, dy) int
        Of the best place.
    """

    own: float
    best: float
    shift: tuple[int, int]


def shifted(number: int, one: Example, found: Fits) -> list[Finding]:
    """Find labels whose outlines lie on the image's edges only when all are moved.

    Edges are steps of brightness, and lines; both must tell the same shift.
    """
    if not one.objects:
        return []
    steps, lines, step = found
    (dx, dy), (other_x, other_y) = steps.shift, lines.shift
    alike = max(abs(dx - other_x), abs(dy - other_y)) <= FAR
    least = CLEAR if len(one.objects) >= MANY else 2 * CLEAR
    clear = min(each.best - max(each.own, 0) for each in (steps, lines)) > least
    if not alike or not clear or max(abs(dx), abs(dy)) <= FAR:
        return []
    dx, dy = dx * step, dy * step
    across = f"{_pixels(dx)} to the {'right' if dx > 0 else 'left'}" if dx else ""
    down = f"{_pixels(dy)} {'down' if dy > 0 else 'up'}" if dy else ""
    moved = " and ".join(part for part in (across, down) if part)
    return [
        Finding(
            "shifted",
            f"the labels of {one.name} fit better {moved}: they look shifted against the image; "
            "move them, or leave the image out",
            number,
            one.objects,
            tuple(one.boxes.values()),
        )
    ]


Fits = tuple[Fit, Fit, int]
"""On steps of brightness, on lines, and how many times the image was reduced for that."""


def fits(one: Example) -> Fits:
    """Compare outlines with steps of brightness and with lines; see `fit`.

    Large images are reduced for that; shifts are those of the reduced image.
    """
    step = -(-max(one.labels.shape) // LONGEST)
    height, width = (side // step * step for side in one.labels.shape)
    values = grey(one.image)[:height, :width]
    values = values.reshape(height // step, step, width // step, step).mean(axis=(1, 3))
    labels = one.labels[:height:step, :width:step]
    steps = fit(ndimage.gaussian_gradient_magnitude(values, EDGE), labels)
    lines = fit(np.abs(ndimage.gaussian_laplace(values, EDGE)), labels)
    return steps, lines, step


def fit(edges: NDArray[np.float32], labels: NDArray[np.int32]) -> Fit:
    """Compare outlines with edges (H, W) at all shifts within `REACH`, by FFT."""
    edges = np.minimum(edges, np.percentile(edges, 98))
    edges = (edges - edges.mean()) / max(float(edges.std()), 1e-6)
    outline = np.zeros(labels.shape, np.float32)
    outline[:, 1:] += labels[:, 1:] != labels[:, :-1]
    outline[1:] += labels[1:] != labels[:-1]
    outline = np.minimum(outline, 1)
    size = [fft.next_fast_len(2 * side) for side in labels.shape]
    seen = np.ones(labels.shape, np.float32)
    spectrum = np.conj(fft.rfft2(outline, size))
    total = fft.irfft2(fft.rfft2(edges, size) * spectrum, size)
    inside = fft.irfft2(fft.rfft2(seen, size) * spectrum, size)
    reach = [max(FAR + 1, int(REACH * side)) for side in labels.shape]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    score = total[np.ix_(rows, columns)] / np.maximum(inside[np.ix_(rows, columns)], 1)
    spread = max(float(score.std()), 1e-6)
    score = (score - score.mean()) / spread
    inner = score[1:-1, 1:-1]  # at the end of the reach it rises on
    row, column = np.add(np.unravel_index(int(np.argmax(inner)), inner.shape), 1)
    own = float(score[reach[0], reach[1]])
    return Fit(own, float(inner.max()), (int(columns[column]), int(rows[row])))


def _pixels(number: int) -> str:
    return f"{abs(number)} pixel{'' if abs(number) == 1 else 's'}"
