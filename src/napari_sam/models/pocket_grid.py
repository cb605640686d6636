"""The grids of `pocket`: strides of its features, and what its input's sides are multiples of."""

STRIDES = (4, 8, 16)
"""Pixels of the input along a cell of each level of features, finest first; logits have the
finest."""
PADDING = 32
"""The input's sides are multiples of it, in pixels."""
