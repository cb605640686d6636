"""Classes proposed for objects by what they look like, from a few objects of each class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .descriptors import BRIGHTNESS, SHAPE
from .exemplars import STEADY

Floats = NDArray[np.float32]

PLAIN = 0.25
"""Weight of size, shape and brightness together, relative to the features of the encoder."""
RIDGE = 0.3
"""Regularisation of the least squares, for features of length 1."""
SHARPNESS = 6.0
"""From differences of scores to a confidence. This and the two above were chosen on training
images, with three to ten objects of each class."""
LIKELY = 0.8
"""Confidence from which on a class is proposed at first: see benchmarks/classes.py."""
UNNAMED = -1


class Proposed(NamedTuple):
    """The likeliest class of each object, (N,) int, and how likely it is, (N,) float32 0..1."""

    classes: NDArray[np.intp]
    confidence: Floats


def comparable(features: Floats) -> Floats:
    """Return features in which each says about as much as any other.

    Parameters
    ----------
    features : (N, F) float32
        Of all objects that are to be told apart; see `descriptors.described`.

    Returns
    -------
    (N, F) float32, each of length 1
    """
    if not len(features):
        return features
    spread = features.std(axis=0)
    spread = np.maximum(spread, STEADY * spread.mean() + 1e-6)
    relative = (features - features.mean(axis=0)) / spread
    plain = len(SHAPE) + len(BRIGHTNESS)
    relative[:, -plain:] *= (PLAIN * max(features.shape[1] - plain, plain) / plain) ** 0.5
    lengths = np.linalg.norm(relative, axis=1, keepdims=True)
    return np.asarray(relative / np.maximum(lengths, 1e-9), np.float32)


def propose_classes(features: Floats, known: NDArray[np.intp]) -> Proposed:
    """Propose a class for each object, from those whose class is known.

    Regularised least squares (Hoerl and Kennard, Technometrics 12:55, 1970), one class against the
    others, each class of the same weight; the confidence is the softmax of the scores. With a
    single class there is nothing to tell it from, and the confidence is the cosine to the most
    similar object of it, moved to 0..1.

    Parameters
    ----------
    features : (N, F) float32
        See `comparable`.
    known : (N,) int
        The class of each object from 0 up; `UNNAMED` where it is not known.

    Returns
    -------
    Proposed

    Raises
    ------
    ValueError
        If no class is known.
    """
    classes, own = np.unique(known[known != UNNAMED], return_inverse=True)
    if not len(classes):
        raise ValueError("no object has a class yet; give a few objects a class first")
    examples = features[known != UNNAMED].astype(np.float64)
    if len(classes) == 1:
        nearest = (features @ examples.astype(np.float32).T).max(axis=1)
        return Proposed(np.full(len(features), classes[0]), np.clip((1 + nearest) / 2, 0, 1))
    middle = np.mean([examples[own == k].mean(axis=0) for k in range(len(classes))], axis=0)
    share = 1 / len(classes)
    wanted = np.eye(len(classes))[own] - share
    examples -= middle
    if len(examples) > examples.shape[1]:
        square = examples.T @ examples + RIDGE * np.eye(examples.shape[1])
        weights = np.linalg.solve(square, examples.T @ wanted)  # (F, classes)
    else:
        square = examples @ examples.T + RIDGE * np.eye(len(examples))
        weights = examples.T @ np.linalg.solve(square, wanted)
    scores = SHARPNESS * ((features - middle.astype(np.float32)) @ weights.astype(np.float32))
    likely = np.exp(scores - scores.max(axis=1, keepdims=True))
    likely /= likely.sum(axis=1, keepdims=True)
    best = likely.argmax(axis=1)
    return Proposed(classes[best], np.asarray(likely.max(axis=1), np.float32))
