"""Spherical Gaussian mixtures on incomplete rows, with optional row offsets and mean priors.

The model of row u, whose observed columns are C_u::

    z_u ~ Categorical(p)
    b_u ~ N(0, tau)                                  (only with row offsets)
    x_ui | z_u = k, b_u ~ N(mu_ki + b_u, v_k)        for i in C_u
    mu_ki ~ N(c_i, s)                                (only with a prior on the means)

z and b are integrated out exactly. Under the prior the means have Gaussian posteriors
N(m_ki, w_ki), found together with everything else by variational EM (Beal 2003, ch. 2):
the objective is then the evidence lower bound, which no step lowers, and the prior
variance s is learned as the value that maximises it.

Without prior and offsets this is maximum likelihood by the observed-data EM of
Ghahramani & Jordan (1994), whose steps are written out in the functions below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixmend.em.block import Block
from mixmend.kernels.spherical import RUN
from mixmend.mixtures.priors import SphericalPrior
from mixmend.mixtures.spherical_e_step import (
    Array,
    Parameters,
    Posterior,
    Statistics,
    e_step,
    posterior,
    row_bytes,
    statistics_of,
)
from mixmend.observed.matrix import ObservedMatrix

_TINY = 1e-300
_SAMPLE = 1 << 20


@dataclass(frozen=True, slots=True)
class SphericalDensity:
    """The options of a spherical mixture and the steps that EM takes with them.

    Parameters
    ----------
    min_variance : float
        Floor of the component variances.
    min_support : float
        A mean is updated only where the posterior weight of its column's observed cells
        reaches this; elsewhere it keeps its value. Ignored under a prior.
    prior : SphericalPrior or None
        Priors of means, variances and weights.
    prior_means : ndarray, shape (d,), or None
        c, the centre of the means' prior.
    row_offsets : bool
        Whether rows have offsets b_u.
    singular_variance : float
        A component whose variance is below this has collapsed onto points: its likelihood
        has no bound and says nothing.
    """

    min_variance: float = 0.0
    min_support: float = 0.0
    prior: SphericalPrior | None = None
    prior_means: Array | None = None
    row_offsets: bool = False
    singular_variance: float = 0.0

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows."""
        return e_step(parameters, block)

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """Parameters that raise the objective the most, block-coordinate by block-coordinate."""
        return m_step(statistics, parameters, self)

    def recentred(self, statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led."""
        return recentred(statistics, old, new)

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """Log-likelihood (bound) plus log prior densities at the parameters of the E-step."""
        return statistics.log_likelihood + log_prior(parameters, self)

    def collapsed(self, parameters: Parameters) -> bool:
        """Whether a component's variance has fallen below ``singular_variance``."""
        return bool(np.any(parameters.variances < self.singular_variance))

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the objective where values have relative ``precision``.

        Squared residuals are rounded relative to their size before a row's offset is taken
        out of them, and means where cells are compared with them, which moves the objective
        along its slope and curvature there: all matter where variances are small beside
        offsets or means.
        """
        cells_per_row = statistics.cells / np.maximum(statistics.rows, _TINY)
        # an offset makes a row's residuals alike, so that errors of their sum do not cancel
        alike = cells_per_row * (1.0 + 0.5 * np.minimum(cells_per_row, RUN))
        squares = statistics.residuals + alike * statistics.offset_squares
        ulp = precision * np.abs(parameters.means).max(axis=1)
        slope = np.abs(statistics.deviations).sum(axis=0)
        total = precision * squares + ulp * (slope + statistics.cells * ulp)
        return float((total / parameters.variances).sum())

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        parts = [parameters.means.ravel(), np.log(np.maximum(parameters.weights, _TINY))]
        parts.append(np.log(np.maximum(parameters.variances, _TINY)))
        if parameters.mean_variances is not None:
            parts.append(np.log(parameters.mean_variances).ravel())
            parts.append(np.log([parameters.prior_variance]))
        if self.row_offsets:
            parts.append(np.log([max(parameters.offset_variance, _TINY)]))
        return np.concatenate(parts)

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for; weights are normalised again."""
        n_components, d = like.means.shape
        take = iter(np.split(vector, np.cumsum(_sizes(like, self.row_offsets))[:-1]))
        means = next(take).reshape(n_components, d)
        weights = np.exp(next(take))
        out = like._replace(
            means=np.asfortranarray(means),
            weights=weights / weights.sum(),
            variances=np.maximum(np.exp(next(take)), self.min_variance),
        )
        if like.mean_variances is not None:
            out = out._replace(
                mean_variances=np.asfortranarray(np.exp(next(take)).reshape(n_components, d)),
                prior_variance=float(np.exp(next(take))[0]),
            )
        if self.row_offsets:
            out = out._replace(offset_variance=float(np.exp(next(take))[0]))
        return out


def _sizes(like: Parameters, row_offsets: bool) -> list[int]:
    n_components, d = like.means.shape
    sizes = [n_components * d, n_components, n_components]
    if like.mean_variances is not None:
        sizes += [n_components * d, 1]
    return sizes + [1] * row_offsets


# ------------------------------------------------------------------------------ M-step


def m_step(statistics: Statistics, parameters: Parameters, density: SphericalDensity) -> Parameters:
    """New parameters from expected statistics taken at ``parameters``.

    Every block of parameters is set to its maximiser given the others (means with the old
    variances, then variances with the new means, then the hyperparameters), so the
    objective cannot fall.
    """
    out, residuals = moved(statistics, parameters, density)
    return out._replace(
        weights=_weights(statistics.rows, density.prior),
        variances=_variances(residuals, statistics.cells, parameters.variances, density),
    )


def moved(
    statistics: Statistics, parameters: Parameters, density: SphericalDensity
) -> tuple[Parameters, Array]:
    """New means with the variances of their prior and of row offsets, and what that leaves.

    The second of the pair are the expected squared residuals at the new means, (K,).
    """
    prior = density.prior
    old_means = parameters.means.T
    support, deviations = statistics.support, statistics.deviations
    if parameters.mean_variances is None:
        known = support >= max(density.min_support, _TINY)
        move = np.divide(deviations, support, out=np.zeros_like(deviations), where=known)
        spread = None
        gained = np.einsum("ik,ik->k", move, deviations)
        residuals = statistics.residuals - gained
    else:
        assert density.prior_means is not None  # the estimator gives a prior its centre
        spread = 1.0 / (support / parameters.variances + 1.0 / parameters.prior_variance)
        pull = (density.prior_means[:, None] - old_means) / parameters.prior_variance
        move = spread * (deviations / parameters.variances + pull)
        # E|x - mu|^2 moves from the old posterior of the means to the new one
        change = support * (move * move + spread - parameters.mean_variances.T)
        residuals = statistics.residuals + (change - 2.0 * move * deviations).sum(axis=0)
    means = old_means + move
    out = parameters._replace(means=means.T)
    if spread is not None and prior is not None:
        out = out._replace(mean_variances=spread.T)
        if prior.mean_variance == "learned":
            assert density.prior_means is not None
            squares = spread + (means - density.prior_means[:, None]) ** 2
            out = out._replace(prior_variance=max(float(squares.mean()), _TINY))
    if density.row_offsets and statistics.rows.sum() > 0:
        tau = statistics.offset_squares.sum() / statistics.rows.sum()
        out = out._replace(offset_variance=max(float(tau), _TINY))
    return out, residuals


def recentred(statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
    """Expected statistics around ``old``'s means, moved to ``new``'s: exact, without the rows.

    The posteriors of components and row offsets stay those of the E-step. Under a prior on
    the means the squared residuals are expected under ``new``'s posterior of the means.
    """
    move = (new.means - old.means).T
    support, deviations = statistics.support, statistics.deviations
    change = support * move * move - 2.0 * move * deviations
    if old.mean_variances is not None and new.mean_variances is not None:
        change = change + support * (new.mean_variances - old.mean_variances).T
    return replace(
        statistics,
        residuals=statistics.residuals + change.sum(axis=0),
        deviations=deviations - support * move,
    )


def _weights(rows: Array, prior: SphericalPrior | None) -> Array:
    excess = 0.0 if prior is None else prior.excess
    raised = np.maximum(rows + excess, 0.0)
    if not raised.any():  # a concentration below 1 would empty them all: the fullest stays
        raised[np.argmax(rows)] = 1.0
    weights = raised / raised.sum()
    # log_prior counts an emptied component as _TINY: the likelihood must do so too, or a row
    # that only such a component explains would lower the objective
    return np.asarray(np.maximum(weights, _TINY) if excess < 0 else weights)


def _variances(residuals: Array, cells: Array, old: Array, density: SphericalDensity) -> Array:
    shape, scale = 0.0, 0.0
    if density.prior is not None and density.prior.variance_shape > 0:
        shape, scale = density.prior.variance_shape + 1.0, float(density.prior.variance_scale)
    weight = cells + 2.0 * shape
    # a component without any observed cell keeps its variance: nothing was learned of it
    new = np.divide(
        np.maximum(residuals, 0.0) + 2.0 * scale, weight, out=old.copy(), where=weight > 0
    )
    return np.asarray(np.maximum(new, max(density.min_variance, _TINY)))


def log_prior(parameters: Parameters, density: SphericalDensity) -> float:
    """Log prior density of weights and variances minus the means' Kullback–Leibler divergence."""
    prior = density.prior
    if prior is None:
        return 0.0
    total = 0.0
    if prior.excess != 0.0:
        log_weights = np.log(np.maximum(parameters.weights, _TINY))
        total += prior.excess * float(log_weights.sum())
    if prior.variance_shape > 0:
        v = parameters.variances
        total -= float(
            ((prior.variance_shape + 1.0) * np.log(v) + float(prior.variance_scale) / v).sum()
        )
    return total - float(mean_divergences(parameters, density).sum())


def mean_divergences(parameters: Parameters, density: SphericalDensity) -> Array:
    """Divergences of the means' posteriors from their prior, (K,); 0 without a prior."""
    if parameters.mean_variances is None or density.prior_means is None:
        return np.zeros(len(parameters.weights))
    s = parameters.prior_variance
    ratio = parameters.mean_variances / s
    gap = (parameters.means - density.prior_means) ** 2 / s
    return np.asarray(0.5 * (ratio - 1.0 - np.log(ratio) + gap).sum(axis=1))


def with_prior(parameters: Parameters, prior: SphericalPrior | None) -> Parameters:
    """Start parameters given the posterior variances that a prior on the means needs."""
    if prior is None or prior.mean_variance is None:
        return parameters
    if prior.mean_variance == "learned":
        s = 0.1 * float(parameters.variances.mean())
    else:
        s = float(prior.mean_variance)
    spread = np.full_like(parameters.means, 0.0)
    return parameters._replace(mean_variances=spread + 0.1 * s, prior_variance=s)


def rounding_floor(observed: ObservedMatrix, row_offsets: bool = False) -> float:
    """Smallest component variance that rounding lets one tell from 0 in these data.

    A component may shrink onto points (equal rows, or a single one). Below this variance
    its residuals are rounding errors: of the means, a few units in the last place of the
    largest value; with row offsets also of what is left when an offset is taken out, a few
    units in the last place of the squared spread of the values. Likelihoods there jump
    about at random. As ``min_variance`` it keeps EM's rise monotone.

    Examples
    --------
    >>> from mixmend.observed.matrix import ObservedMatrix
    >>> observed = ObservedMatrix.from_dense([[1.0, 5.0], [4.0, 2.0]])
    >>> rounding_floor(observed) < 1e-27 < rounding_floor(observed, row_offsets=True) < 1e-12
    True
    """
    values = observed.by_row.values
    if len(values) == 0:
        return _TINY
    eps = float(np.finfo(values.dtype).eps)
    floor = (16.0 * eps * max(abs(float(values.min())), abs(float(values.max())))) ** 2
    if row_offsets:  # a median over a sample: one wild value must not raise it
        sample = values[:: -(-len(values) // _SAMPLE)].astype(np.float64)
        squares = (sample - np.median(sample)) ** 2
        floor += 64.0 * eps * float(np.median(squares) or squares.mean())
    return max(floor, _TINY)


__all__ = [
    "Parameters",
    "Posterior",
    "SphericalDensity",
    "Statistics",
    "e_step",
    "log_prior",
    "m_step",
    "posterior",
    "recentred",
    "rounding_floor",
    "row_bytes",
    "statistics_of",
    "with_prior",
]
