"""A first guess for the holes of a picture: averages of what is known nearby."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]


def filled(plane: Array, known: NDArray[np.bool_]) -> Array:
    """A plane whose holes are means of known pixels, each as near as enough of them are.

    Normalised Gaussian averages of widths 1, 2, 4, …: a hole takes the narrowest under
    which known pixels weigh a twentieth.

    Examples
    --------
    >>> filled(np.array([[1.0, 0.0, 1.0]]), np.array([[True, False, True]]))
    array([[1., 1., 1.]])
    """
    out = np.where(known, plane, 0.0)
    holes, width = ~known, 0.7
    while holes.any():
        weight = gaussian_filter(known.astype(np.float64), width, mode="nearest")
        mean = gaussian_filter(np.where(known, plane, 0.0), width, mode="nearest")
        last = width > max(plane.shape)
        reached = holes & (weight > (0.0 if last else 0.05))
        out[reached] = mean[reached] / weight[reached]
        holes &= ~reached
        if last:
            out[holes] = plane[known].mean()
            break
        width *= 2.0
    return out
