"""How an object looks where it is known, and where else a plane looks like that."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..images.transforms import to_rgb8
from ..types import Contrast

SMOOTHED = (1.0, 2.0, 4.0)
"""Standard deviations of the Gaussians through which brightness is seen, in pixels."""
VARIANCE = 4e-4
"""Added to the variance of each feature, so that a flat object does not exclude its neighbours."""
LARGEST = 4.0
"""Bound of the evidence of one pixel, in logits."""
SHARE = 0.5
"""Neighbouring pixels look alike, so the evidence of each counts for less than it seems."""
FEWEST = 8
"""Pixels that a distribution is estimated from at least."""


def pixel_features(
    plane: ArrayLike, contrast: Contrast | None = None, channels: Any = None
) -> NDArray[np.float32]:
    """Describe each pixel by its brightness, at several scales, and by the local contrast.

    Parameters
    ----------
    plane : (H, W) or (H, W, C) real
    contrast, channels : see `transforms.to_rgb8`

    Returns
    -------
    (H, W, F) float32
        F is the same for all planes of one image; colours add two features.
    """
    rgb = to_rgb8(plane, contrast, channels).astype(np.float32) / 255
    grey = rgb.mean(axis=2)
    levels = [ndimage.gaussian_filter(grey, sigma) for sigma in SMOOTHED]
    squares = ndimage.gaussian_filter(grey * grey, SMOOTHED[1])
    spread = np.sqrt(np.maximum(squares - levels[1] ** 2, 0))
    colours = []
    if np.ndim(plane) == 3:
        colours = [ndimage.gaussian_filter(rgb[..., k] - grey, SMOOTHED[0]) for k in (0, 2)]
    return np.stack([grey, *levels, spread, *colours], axis=-1)


class Gaussian(NamedTuple):
    """A normal distribution of features.

    Attributes
    ----------
    mean : (F,) float
    precision : (F, F) float
        The inverse of the covariance.
    log_determinant : float
        Of the covariance.
    """

    mean: NDArray[np.float64]
    precision: NDArray[np.float64]
    log_determinant: float

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Gaussian:
        """Estimate it from samples (N, F)."""
        count = features.shape[1]
        covariance = np.asarray(np.cov(features.T), np.float64) + np.eye(count) * VARIANCE
        determinant = float(np.linalg.slogdet(covariance)[1])
        mean = np.asarray(features.mean(axis=0), np.float64)
        precision = np.asarray(np.linalg.inv(covariance), np.float64)
        return cls(mean, precision, determinant)

    def log_density(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the logarithm of the density up to a constant, (...)."""
        away = features - self.mean
        distance = ((away @ self.precision) * away).sum(axis=-1)
        return np.asarray(-0.5 * (distance + self.log_determinant))


class Appearance:
    """Tells the pixels of an object from those around it: quadratic discriminant analysis.

    Parameters
    ----------
    features : (N, F) float32
        Of pixels of the object and of its surroundings, in planes where its outline is known.
    inside : (N,) bool
        Which of them are the object's.

    Attributes
    ----------
    usual : float
        Mean evidence of the object's own pixels.
    contrast : float
        Standard deviation of the brightness of all of them.
    """

    def __init__(self, features: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
        self._classes = []
        self.contrast = float(features[:, 0].std())
        for part in (inside, ~inside):
            samples = features[part]
            if len(samples) < FEWEST:
                samples = np.concatenate([samples, features])
            self._classes.append(Gaussian.of(samples))
        self.usual = float(self.evidence(features)[inside].mean()) if inside.any() else 0.0

    def evidence(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how much more pixels look like the object than like what is around it.

        Parameters
        ----------
        features : (..., F) float32

        Returns
        -------
        (...) float32, logits
        """
        own, other = (one.log_density(features) for one in self._classes)
        return np.clip(SHARE * (own - other), -LARGEST, LARGEST).astype(np.float32)
