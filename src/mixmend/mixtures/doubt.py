"""How much wider predictions have to be because the covariances are estimates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.mixtures.folded_full import FoldedFull
from mixmend.mixtures.full_e_step import posterior
from mixmend.mixtures.leverage import Regressions
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.mixtures.spherical_e_step import Array

_LEAST_SHARE = 0.5
"""Least part of a component's rows that is left as degrees of freedom: with nearly as many
regressors as rows the prior decides, and uses up less of them than their number."""


class Evidence(NamedTuple):
    """What each component's covariance rests on.

    Attributes
    ----------
    rows : ndarray, shape (K,)
        Rows that it was learned from.
    borrowed : float
        Rows of the columns' own variances, or of the pooled covariance, that the prior adds.
    divisor : float
        By how much more than ``rows`` the scatter is divided at the joint mode.
    regressions : Regressions or None
        What each column's regression on the others has learned from, where that is known.
    """

    rows: Array
    borrowed: float
    divisor: float
    regressions: Regressions | None = None


def evidence(
    weights: Array,
    seen: NDArray[np.bool_],
    prior: NormalInverseWishart,
    row_weights: Array | None = None,
) -> Evidence:
    """What the covariances of a mixture of standardised columns rest on.

    Parameters
    ----------
    weights : ndarray, shape (K,)
        Mixing weights; ones where all rows teach one covariance.
    seen : ndarray of bool, shape (n, d)
        Which cells were observed. A row of which a share s was observed shows a share s^2 of
        the pairs of columns, and counts for that much.
    prior : NormalInverseWishart
        The prior of the fit.
    row_weights : ndarray, shape (n,), optional
        How often each row counts.

    Examples
    --------
    >>> seen = np.array([[True, True], [True, False]])
    >>> evidence(np.array([0.75, 0.25]), seen, NormalInverseWishart(mean_strength=0.0))
    Evidence(rows=array([0.9375, 0.3125]), borrowed=0.5, divisor=7.0, regressions=None)
    """
    shares = seen.mean(axis=1) ** 2
    total = shares.sum() if row_weights is None else row_weights @ shares
    n_components, d = len(weights), seen.shape[1]
    lone = n_components == 1 and prior.scale == "pooled"
    degrees = d + 2.0 if prior.degrees is None or lone else prior.degrees
    divisor = degrees + d + 1.0 + (prior.mean_strength > 0)
    if prior.scale == "pooled" and not lone:
        borrowed = divisor
    elif isinstance(prior.scale, str):
        borrowed = n_components ** (-2.0 / d)
    else:
        borrowed = float(prior.scale)
    return Evidence(np.asarray(weights * total), borrowed, divisor)


@dataclass(frozen=True, slots=True)
class Doubt:
    """Factors by which conditional variances grow for doubt about the parameters.

    Attributes
    ----------
    known : Evidence
        What the covariances rest on.
    leverage : ndarray, shape (n, K)
        That of whole rows; empty where ``known`` tells those of cells.

    Notes
    -----
    Given its p observed cells, a hole's conditional mean is a regression on them. That
    learned from N rows has N - p - 1 degrees of freedom left; the unbiased variance of a new
    value is the residual sum of squares by those, times ``1 + 1 / N + h`` with the leverage
    h. The joint mode divides by N and by the prior's ``divisor`` instead, which is right for
    where EM climbs to and too little for what a covariance predicts. N are the rows that
    observe the hole's column, h tells how far this one is from them (see
    `mixmend.mixtures.leverage`), and the prior lends some to both. Wide and long tables have
    the same N for all columns, an effective number, and h is ``q / N`` with the squared
    Mahalanobis distance q of the row's observed cells. Where regressors have holes too,
    either is an approximation.
    """

    known: Evidence
    leverage: Array

    def __call__(
        self, folded: FoldedFull, rows: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> Array:
        """The factor of each cell under each component, (cells, K)."""
        known = self.known
        if known.regressions is None:
            taught, leverage = known.rows, self.leverage[rows]
        else:
            taught = known.regressions.counts[columns]
            leverage = known.regressions.leverages(folded, rows, columns)
        many = taught + known.borrowed
        p = folded.observed.row_counts[rows, None]
        freedom = np.maximum(many - p - 1.0, _LEAST_SHARE * many)
        growth = 1.0 + 1.0 / np.maximum(many, 1.0) + leverage
        return np.asarray((taught + known.divisor) / freedom * growth)


def parameter_doubt(folded: FoldedFull, known: Evidence) -> Doubt:
    """How much less sure predictions are because the parameters are estimates.

    Parameters
    ----------
    folded : FoldedFull
        Rows conditioned on the joint mode under a normal-inverse-Wishart prior.
    known : Evidence
        What the covariances rest on.

    Returns
    -------
    Doubt
        Large for short tables, and for rows whose observed cells lie far from what the
        component has seen: there predictions extrapolate.
    """
    leverage = np.zeros((0, len(known.rows)))
    if known.regressions is None:
        rows = known.rows + known.borrowed
        # distances under scatter / N, the covariance at its own size
        sized = rows / (known.rows + known.divisor)
        leverage = mahalanobis(folded) * sized / np.maximum(rows, 1.0)
    return Doubt(known, leverage)


def mahalanobis(folded: FoldedFull) -> Array:
    """Squared Mahalanobis distance of each row's observed cells to each component, (n, K).

    Twice the covariance changes the log density of p cells by ``-p / 2 log 2 + q / 4``, so a
    second pass over the rows tells q. A component without any weight gets 0.
    """
    own = folded.parameters
    twice = posterior(own._replace(covariances=2.0 * own.covariances), folded.block)
    with np.errstate(invalid="ignore"):
        gain = twice.log_joint - folded.posterior.log_joint
    halves = 0.5 * np.log(2.0) * folded.observed.row_counts[:, None]
    return np.maximum(np.where(own.weights > 0, 4.0 * (gain + halves), 0.0), 0.0)
