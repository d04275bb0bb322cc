"""Completed rows, a few at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class CompletedRows(NamedTuple):
    """Some consecutive rows of a completed matrix.

    Attributes
    ----------
    first_row : int
        Position of the first of them.
    mean : ndarray, shape (m, d)
        Observed values, and expected values in the holes.
    std, lower, upper : ndarray, shape (m, d), or None
        Predictive standard deviations and interval ends, where asked for.
    """

    first_row: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64] | None = None
    lower: NDArray[np.float64] | None = None
    upper: NDArray[np.float64] | None = None
