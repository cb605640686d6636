"""Strategies that draw arguments: some plausible, some of every other kind."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.types import Mask

DTYPES = (
    np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint64, np.float16, np.float32,
    np.float64, np.bool_, np.complex64, np.object_, "S2", "U2", "M8[s]", [("a", "i4")],
)  # fmt: skip
PLAIN_DTYPES = (np.uint8, np.uint16, np.int32, np.float32, np.bool_)
EXTREMES = (
    0, 1, -1, 2, 0.5, -0.5, 255, 2**31, -(2**31), 2**63, 2**70, -(10**30),
    1e30, -1e300, math.nan, math.inf, -math.inf, 5e-324,
)  # fmt: skip


@st.composite
def arrays(draw, dtypes=DTYPES, dims=(0, 5), side=6):
    """Draw an array of any kind; quick, as its values come from a seed."""
    shape = draw(hnp.array_shapes(min_dims=dims[0], max_dims=dims[1], min_side=0, max_side=side))
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    if dtype.kind not in "buifc":
        return np.zeros(shape, dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        wide = draw(st.booleans())
        low, high = (info.min, info.max) if wide else (0, 4)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    values = rng.normal(size=shape) * draw(st.sampled_from([1.0, 1e3, 1e30]))
    special = draw(st.sampled_from([None, math.nan, math.inf, -math.inf]))
    values = np.asarray(values)
    if special is not None and values.size:
        values.flat[:: draw(st.integers(1, 4))] = special
    with np.errstate(over="ignore"):
        return values.astype(dtype)


numbers = st.one_of(st.integers(-3, 8), st.sampled_from(EXTREMES))
things = st.one_of(
    numbers,
    st.sampled_from([None, True, 1 + 2j, "", "text", b"x", (), {}, {1}, object(), np.int8(3)]),
)


def lists(of=things):
    """Return a strategy of lists and tuples."""
    return st.one_of(st.lists(of, max_size=5), st.lists(of, max_size=5).map(tuple))


anything = st.one_of(arrays(), things, lists(), lists(lists(numbers)))
planes = st.one_of(
    arrays(dims=(2, 3)), arrays(PLAIN_DTYPES, dims=(2, 2), side=20), arrays(), things
)
label_images = st.one_of(arrays((np.int32, np.uint8), dims=(2, 2), side=9), arrays())
pairs = st.one_of(st.tuples(numbers, numbers), st.sampled_from([None, (0, 1)]), anything)
sizes = st.one_of(st.tuples(st.integers(0, 9), st.integers(0, 9)), pairs)


@st.composite
def masks(draw):
    """Draw a mask of a small plane, in which it may lie anywhere."""
    pixels = draw(arrays((np.bool_,), dims=(2, 2), side=7))
    h, w = pixels.shape
    down, right = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return Mask.of(pixels, (right, down), (h + down + draw(st.integers(0, 2)), w + right))


mask_likes = st.one_of(masks(), arrays((np.bool_, np.uint8), dims=(2, 2)), arrays())
