"""How far predictions are from held-out values, and how honest their uncertainty is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.errors import DataError, MixmendError

DEFAULT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


class CalibrationTable(NamedTuple):
    """What intervals promise and what they keep.

    Attributes
    ----------
    levels : ndarray, shape (L,)
        Nominal probabilities of central intervals.
    coverage : ndarray, shape (L,)
        Share of the values inside them, ends included.
    widths : ndarray, shape (L,)
        Mean widths, in the units of the data.
    pit_edges : ndarray, shape (B + 1,)
        Edges of the histogram's bins, from 0 to 1.
    pit_shares : ndarray, shape (B,)
        Share of the values' probability integral transforms F(x) in each bin: all 1 / B
        for a calibrated model of continuous values; high at both ends where the model is
        too sure, high in the middle where it is not sure enough. Values on a few levels,
        such as stars, make it lumpy; coverage stays meaningful.
    n : int
        How many values were compared.
    """

    levels: NDArray[np.float64]
    coverage: NDArray[np.float64]
    widths: NDArray[np.float64]
    pit_edges: NDArray[np.float64]
    pit_shares: NDArray[np.float64]
    n: int

    def to_dict(self) -> dict[str, Any]:
        """Return the table as lists and numbers, ready for JSON."""
        return {
            name: part.tolist() if isinstance(part, np.ndarray) else part
            for name, part in self._asdict().items()
        }


def rmse(truth: ArrayLike, estimate: ArrayLike) -> float:
    """Return the root mean squared error, in the units of the data.

    Parameters
    ----------
    truth, estimate : array-like of float, of the same shape
        True values and what was predicted for them.

    Raises
    ------
    DataError
        If the arrays differ in shape, are empty or hold a value that is not finite.

    Examples
    --------
    >>> rmse([3.0, 4.0], [3.0, 2.0])
    1.4142135623730951
    """
    error = _errors(truth, estimate)
    return float(np.sqrt(np.mean(error * error)))


def mae(truth: ArrayLike, estimate: ArrayLike) -> float:
    """Return the mean absolute error, in the units of the data; arguments as for `rmse`.

    Examples
    --------
    >>> mae([3.0, 4.0], [3.0, 2.0])
    1.0
    """
    return float(np.mean(np.abs(_errors(truth, estimate))))


def mean_log_likelihood(p: Predictive, truth: ArrayLike) -> float:
    """Return the mean natural log of the predictive density at the true values.

    Higher is better; it rewards a small error and an honest spread at once (a proper
    score). Its zero depends on the units of the data, its differences do not.

    Parameters
    ----------
    p : Predictive
        The predictive distributions of m cells.
    truth : array-like of float, shape (m,)
        The values found there.

    Raises
    ------
    DataError
        If the number of values is not m, is 0, or a value is not finite.

    Examples
    --------
    >>> round(mean_log_likelihood(predictive.gaussian([0.0, 1.0], 1.0), [0.0, 1.0]), 4)
    -0.9189
    """
    return float(np.mean(predictive.log_density(p, _true_values(truth, p))))


def interval_coverage(p: Predictive, truth: ArrayLike, level: float = 0.9) -> float:
    """Return the share of true values inside the central intervals, ends included.

    Parameters
    ----------
    p, truth
        As for `mean_log_likelihood`.
    level : float, default 0.9
        What share the intervals promise.

    Examples
    --------
    >>> interval_coverage(predictive.gaussian([0.0, 0.0], 1.0), [1.0, 2.0], level=0.9)
    0.5
    """
    values = _true_values(truth, p)
    lower, upper = predictive.interval(p, level)
    return float(np.mean((lower <= values) & (values <= upper)))


def sharpness(p: Predictive, level: float = 0.9) -> float:
    """Return the mean width of the central intervals: of honest models the sharpest is best.

    Examples
    --------
    >>> round(sharpness(predictive.gaussian([0.0, 5.0], 1.0), level=0.9), 4)
    3.2897
    """
    if len(p.means) == 0:
        raise DataError("sharpness needs at least one prediction; got none.")
    lower, upper = predictive.interval(p, level)
    return float(np.mean(upper - lower))


def calibration(
    p: Predictive, truth: ArrayLike, levels: ArrayLike = DEFAULT_LEVELS, n_bins: int = 20
) -> CalibrationTable:
    """Compare promised and kept coverage at several levels, with the PIT histogram.

    Parameters
    ----------
    p, truth
        As for `mean_log_likelihood`.
    levels : array-like of float
        Nominal probabilities of the intervals, each between 0 and 1.
    n_bins : int, default 20
        Bins of the histogram.

    References
    ----------
    Gneiting, Balabdaoui, Raftery (2007), Probabilistic forecasts, calibration and
    sharpness. J. R. Stat. Soc. B 69.

    Examples
    --------
    >>> p = predictive.gaussian(np.zeros(4), 1.0)
    >>> calibration(p, [-2.0, -0.1, 0.1, 2.0], levels=[0.5, 0.99], n_bins=2).coverage
    array([0.5, 1. ])
    """
    values = _true_values(truth, p)
    if isinstance(n_bins, bool) or not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise MixmendError(f"n_bins must be a whole number >= 1; got {n_bins!r}.")
    nominal = np.atleast_1d(np.asarray(levels, np.float64))
    coverage, widths = np.empty(len(nominal)), np.empty(len(nominal))
    for at, level in enumerate(nominal.tolist()):
        lower, upper = predictive.interval(p, level)
        coverage[at] = np.mean((lower <= values) & (values <= upper))
        widths[at] = np.mean(upper - lower)
    # rounding may lift the sum of a mixture's weights past 1
    transforms = np.clip(predictive.cdf(p, values), 0.0, 1.0)
    counts, edges = np.histogram(transforms, bins=int(n_bins), range=(0.0, 1.0))
    return CalibrationTable(nominal, coverage, widths, edges, counts / len(values), len(values))


def _errors(truth: ArrayLike, estimate: ArrayLike) -> NDArray[np.float64]:
    true, guess = np.asarray(truth, np.float64), np.asarray(estimate, np.float64)
    if true.shape != guess.shape:
        raise DataError(
            f"truth and estimate must have the same shape; got {true.shape} and {guess.shape}."
        )
    if true.size == 0:
        raise DataError("there are no values to compare; hold out at least one entry.")
    _demand_finite("truth", true)
    _demand_finite("estimate", guess)
    return true - guess


def _true_values(truth: ArrayLike, p: Predictive) -> NDArray[np.float64]:
    values = np.asarray(truth, np.float64)
    if values.shape != (len(p.means),):
        raise DataError(
            f"truth must hold one value per predicted cell ({len(p.means)}); "
            f"got shape {values.shape}."
        )
    if values.size == 0:
        raise DataError("there are no values to compare; hold out at least one entry.")
    _demand_finite("truth", values)
    return values


def _demand_finite(name: str, values: NDArray[np.float64]) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        where = tuple(int(at) for at in np.argwhere(wrong)[0])
        place = where[0] if len(where) == 1 else where
        raise DataError(f"{name} must be finite; at position {place} it is {values[where]}.")
