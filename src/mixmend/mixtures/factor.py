"""Mixtures of factor analysers on incomplete rows: low rank plus diagonal covariances.

The model of row u, whose observed columns are C_u::

    c_u ~ Categorical(p),  z_u ~ N(0, I_r)
    x_ui | c_u = k, z_u ~ N(mu_ki + w_ki . z_u, psi_ki)        for i in C_u

so that Sigma_k = W_k W_k^T + diag(psi_k) (Ghahramani & Hinton 1996); with equal psi it is
a mixture of probabilistic principal components (Tipping & Bishop 1999). Columns depend on
each other through the factors, so holes are predicted from the row's other cells, and
nothing larger than d × r is ever formed: d may be in the thousands.

The M-step is column by column: (mu_ki, w_ki) jointly by one (r + 1) × (r + 1) system, then
psi_ki. It is taken in the model with factors N(alpha, R), whose maximum is then written
with standard normal factors again: parameter-expanded EM (Liu, Rubin & Wu 1998), which
raises the likelihood at least as surely as EM and takes far fewer steps.

Under a `FactorPrior` the systems are those of a ridge regression, and the factors stay as they
are: writing them as standard normal ones again would change loadings, and with them their
prior density. (mu_ki, w_ki) are then best given the old noise, psi_ki given the new
coefficients, so that the penalised likelihood cannot fall (Meng & Rubin 1993).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mixmend.em.block import Block
from mixmend.mixtures.factor_e_step import (
    Parameters,
    Posterior,
    Statistics,
    e_step,
    posterior,
    row_bytes,
    row_factors,
    statistics_of,
)
from mixmend.mixtures.spherical_e_step import Array

_TINY = 1e-300


def _none() -> Array:
    return np.zeros(1)


@dataclass(frozen=True, slots=True)
class PriorScales:
    """A `FactorPrior` in the units of the data, each array of shape (d,).

    Parameters
    ----------
    centre, mean_precisions : ndarray
        Centre and inverse variance of the means' normal prior.
    loading_precisions : ndarray
        Inverse variances of the loadings' normal prior around 0.
    noise_shape : float
        a, shape of the noise variances' inverse-gamma prior; 0 is none.
    noise_scale : ndarray
        b, its scale.
    excess : float
        Dirichlet concentration of the weights, less 1.
    """

    centre: Array
    mean_precisions: Array
    loading_precisions: Array
    noise_shape: float
    noise_scale: Array
    excess: float


@dataclass(frozen=True, slots=True)
class FactorDensity:
    """The options of a mixture of factor analysers and the steps that EM takes with them.

    Parameters
    ----------
    n_factors : int
        r, the rank of the covariances beside their diagonal.
    isotropic : bool
        Whether all columns of a component share one noise variance.
    min_variance : ndarray, shape (d,) or (1,)
        Floor of the noise variances of each column; the largest, where they are shared.
    min_support : float
        A column's mean, loadings and noise are updated only where the posterior weight of
        its observed cells reaches this; elsewhere they keep their values (mean and loadings
        but for the change of the factors that they refer to).
    singular_variance : ndarray, shape (d,) or (1,)
        A component whose marginal variance of some column is below this has collapsed onto
        points: its likelihood has no bound and says nothing.
    prior : PriorScales or None
        Priors of means, loadings, noise and weights; ``min_support`` is then ignored.
    """

    n_factors: int
    isotropic: bool = False
    min_variance: Array = field(default_factory=_none)
    min_support: float = 0.0
    singular_variance: Array = field(default_factory=_none)
    prior: PriorScales | None = None

    def e_step(self, parameters: Parameters, block: Block) -> Statistics:
        """Expected sufficient statistics of a block of rows."""
        return e_step(parameters, block)

    def m_step(self, statistics: Statistics, parameters: Parameters) -> Parameters:
        """Parameters that raise the objective."""
        return m_step(statistics, parameters, self)

    def recentred(self, statistics: Statistics, old: Parameters, new: Parameters) -> Statistics:
        """Statistics taken at ``old`` as they are around ``new``, where an M-step led."""
        return recentred(statistics, old, new, expanded=self.prior is None)

    def objective(self, statistics: Statistics, parameters: Parameters) -> float:
        """Log-likelihood plus log prior density at the parameters of the E-step."""
        return statistics.log_likelihood + log_prior(parameters, self)

    def collapsed(self, parameters: Parameters) -> bool:
        """Whether a marginal variance has fallen below ``singular_variance``.

        Or all noise variances of a component sit at their floors: fewer rows than the
        factors can pass through exactly.
        """
        if np.any(parameters.variances < self.singular_variance):
            return True
        at_floor = parameters.noise <= self.floors(parameters)
        return bool(np.any(at_floor.all(axis=1) & (self.singular_variance > 0).any()))

    def floors(self, parameters: Parameters) -> Array:
        """Floor of each column's noise, (d,)."""
        lowest = np.max(self.min_variance) if self.isotropic else self.min_variance
        return np.maximum(np.broadcast_to(lowest, parameters.means.shape[1:]), _TINY)

    def rounding(self, statistics: Statistics, parameters: Parameters, precision: float) -> float:
        """How far rounding may move the objective.

        The steps are taken in double precision whatever the values' type: squares of
        cells, in units of the noise, lose what their factors explain.
        """
        eps = float(np.finfo(np.float64).eps)
        return 8.0 * eps * float((statistics.squares / parameters.noise).sum())

    def pack(self, parameters: Parameters) -> Array:
        """The parameters as one unconstrained vector, for acceleration."""
        return np.concatenate(
            [
                np.log(np.maximum(parameters.weights, _TINY)),
                parameters.means.ravel(),
                parameters.loadings.ravel(),
                np.log(parameters.noise).ravel(),
            ]
        )

    def unpack(self, vector: Array, like: Parameters) -> Parameters:
        """The parameters that a vector of `pack`'s stands for; weights are normalised again."""
        sizes = [len(like.weights), like.means.size, like.loadings.size]
        log_weights, means, loadings, log_noise = np.split(vector, np.cumsum(sizes))
        weights = np.exp(log_weights - log_weights.max())
        noise = np.exp(log_noise).reshape(like.noise.shape)
        return Parameters(
            weights / weights.sum(),
            means.reshape(like.means.shape),
            loadings.reshape(like.loadings.shape),
            np.maximum(noise, self.floors(like)),
        )


def m_step(statistics: Statistics, parameters: Parameters, density: FactorDensity) -> Parameters:
    """New parameters from expected statistics taken at ``parameters``."""
    r = parameters.loadings.shape[2]
    support = statistics.systems[..., r, r]
    prior = density.prior
    known = support >= max(density.min_support, _TINY)
    counted = np.where(support > 0, support, 1.0)[..., None]
    # per unit of support, so that the systems' size does not depend on the number of rows
    systems = statistics.systems / counted[..., None]
    deviations = statistics.deviations / counted
    if prior is None:
        systems[~known] = np.eye(r + 1)
    else:
        known = np.ones_like(known)
        precisions = np.repeat(prior.loading_precisions[:, None], r + 1, axis=1)
        precisions[:, r] = prior.mean_precisions
        ridge = parameters.noise[..., None] * precisions / counted
        systems[..., np.arange(r + 1), np.arange(r + 1)] += ridge
        deviations[..., r] += ridge[..., r] * (prior.centre - parameters.means)
    new: Array = np.asarray(np.linalg.solve(systems, deviations[..., None])[..., 0], np.float64)
    old = np.concatenate([parameters.loadings, np.zeros((*support.shape, 1))], axis=2)
    new[~known] = old[~known]
    noise = _noise(statistics, new, support, parameters, density)
    means, loadings = parameters.means + new[..., r], new[..., :r]
    if prior is None:
        return _standardised(statistics, parameters, means, loadings, noise)
    raised = np.maximum(statistics.factors[:, r, r] + prior.excess, 0.0)
    if not raised.any():  # a concentration below 1 would empty them all: the fullest stays
        raised[np.argmax(statistics.factors[:, r, r])] = 1.0
    weights = np.maximum(raised / raised.sum(), _TINY)
    return Parameters(weights, means, np.ascontiguousarray(loadings), noise)


def log_prior(parameters: Parameters, density: FactorDensity) -> float:
    """Log prior density of the parameters, without the constants."""
    prior = density.prior
    if prior is None:
        return 0.0
    gaps = (parameters.means - prior.centre) ** 2 * prior.mean_precisions
    lengths = (parameters.loadings**2).sum(axis=2) * prior.loading_precisions
    total = -0.5 * float((gaps + lengths).sum())
    if prior.noise_shape > 0:
        noise = parameters.noise[:, :1] if density.isotropic else parameters.noise
        scale = prior.noise_scale.mean() if density.isotropic else prior.noise_scale
        total -= float(((prior.noise_shape + 1.0) * np.log(noise) + scale / noise).sum())
    if prior.excess != 0.0:
        total += prior.excess * float(np.log(np.maximum(parameters.weights, _TINY)).sum())
    return total


def _noise(
    statistics: Statistics,
    coefficients: Array,
    support: Array,
    parameters: Parameters,
    density: FactorDensity,
) -> Array:
    """Expected squared residuals around given coefficients, per cell."""
    fitted = np.einsum("kiab,kib->kia", statistics.systems, coefficients)
    residuals = statistics.squares + np.einsum(
        "kia,kia->ki", coefficients, fitted - 2.0 * statistics.deviations
    )
    if density.isotropic:
        residuals = np.repeat(residuals.sum(axis=1, keepdims=True), support.shape[1], axis=1)
        support = np.repeat(support.sum(axis=1, keepdims=True), support.shape[1], axis=1)
        known = support > 0
    else:
        # a column below the least support keeps its noise, too
        known = support >= max(density.min_support, _TINY)
    prior = density.prior
    if prior is not None and prior.noise_shape > 0:
        scale = prior.noise_scale.mean() if density.isotropic else prior.noise_scale
        residuals = residuals + 2.0 * scale
        support = support + 2.0 * (prior.noise_shape + 1.0)
        known = np.ones_like(known)
    elif prior is not None:
        known = support > 0
    noise = np.divide(residuals, support, out=parameters.noise.copy(), where=known)
    return np.asarray(np.maximum(noise, density.floors(parameters)))


def _standardised(
    statistics: Statistics, parameters: Parameters, means: Array, loadings: Array, noise: Array
) -> Parameters:
    """Write factors N(alpha, R), as the rows have them, as standard normal ones."""
    r = loadings.shape[2]
    rows = statistics.factors[:, r, r]
    for k in np.flatnonzero(rows > _TINY):
        alpha, root = _factor_law(statistics.factors[k])
        means[k] += loadings[k] @ alpha
        loadings[k] = loadings[k] @ root
    return Parameters(rows / rows.sum(), means, np.ascontiguousarray(loadings), noise)


def _factor_law(sums: Array) -> tuple[Array, Array]:
    """Mean alpha of a component's factors, and the root of their covariance R."""
    r = len(sums) - 1
    moments = sums / sums[r, r]
    alpha = moments[r, :r]
    return alpha, np.linalg.cholesky(moments[:r, :r] - np.outer(alpha, alpha))


def recentred(
    statistics: Statistics, old: Parameters, new: Parameters, expanded: bool = True
) -> Statistics:
    """Statistics at ``old``, in terms of the means and the factors of ``new``.

    Exact, without the rows. ``new`` must be what an M-step made of these statistics: its
    factors are root^-1 (z - alpha), z being ``old``'s, or z itself where the step was not
    ``expanded``. A component whose mean and loadings
    have not moved keeps its factors.
    """
    n_components, _, r = old.loadings.shape
    basis = np.repeat(np.eye(r + 1)[None], n_components, axis=0)
    for k in np.flatnonzero(statistics.factors[:, r, r] > _TINY) if expanded else ():
        if np.array_equal(old.means[k], new.means[k]) and np.array_equal(
            old.loadings[k], new.loadings[k]
        ):
            continue
        alpha, root = _factor_law(statistics.factors[k])
        basis[k, :r, :r] = np.linalg.inv(root)
        basis[k, :r, r] = -basis[k, :r, :r] @ alpha
    each = basis[:, None]
    turned = basis.swapaxes(1, 2)
    move = new.means - old.means
    deviations, support = statistics.deviations, statistics.systems[..., r, r]
    centred = deviations - move[..., None] * statistics.systems[..., r]
    return replace(
        statistics,
        factors=basis @ statistics.factors @ turned,
        systems=each @ statistics.systems @ turned[:, None],
        deviations=(each @ centred[..., None])[..., 0],
        squares=statistics.squares + move * (support * move - 2.0 * deviations[..., r]),
    )


__all__ = [
    "FactorDensity",
    "Parameters",
    "Posterior",
    "PriorScales",
    "Statistics",
    "e_step",
    "log_prior",
    "m_step",
    "posterior",
    "recentred",
    "row_bytes",
    "row_factors",
    "statistics_of",
]
