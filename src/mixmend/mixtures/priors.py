"""Priors for maximum a posteriori and variational fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

from mixmend.errors import MixmendError

T = TypeVar("T", bound="WeightPrior")


class WeightPrior:
    """What all priors have in common: a Dirichlet prior of the mixing weights."""

    __slots__ = ()

    weight_concentration: float | None
    proper: ClassVar[tuple[str, ...]]
    """Numbers that are 0 (or None) where the prior is no distribution."""

    @property
    def excess(self) -> float:
        """Concentration less 1, the power of each weight in the prior density."""
        return 0.0 if self.weight_concentration is None else self.weight_concentration - 1.0

    def _check_concentration(self) -> None:
        given = self.weight_concentration
        if given is not None and not 0 < given < float("inf"):
            raise MixmendError(f"weight_concentration must be positive; got {given!r}.")


def settled(prior: T, variational: bool, n_components: int) -> T:
    """The prior with its weight concentration as a number.

    Raises
    ------
    MixmendError
        If it is to be the prior of a variational fit, and is no distribution.

    Examples
    --------
    >>> settled(DiagonalPrior(), True, 20).weight_concentration
    0.05
    """
    if variational:
        for name in prior.proper:
            if not getattr(prior, name):
                raise MixmendError(
                    f"inference='variational' needs a {type(prior).__name__} that is a "
                    f"distribution: {name} must be positive; got {getattr(prior, name)!r}."
                )
    if prior.weight_concentration is not None:
        return prior
    concentration = 1.0 / n_components if variational else 1.0
    return replace(prior, weight_concentration=concentration)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class SphericalPrior(WeightPrior):
    """Priors of a spherical mixture.

    Parameters
    ----------
    mean_variance : "learned", float or None, default "learned"
        Variance s of the prior N(c_i, s) of the component means around the column
        effects c_i (see ``center`` of `GaussianMixture`), in squared units of the data.
        "learned" chooses it by maximising the evidence lower bound: components borrow
        strength from the columns as far as the data say they should. None: no prior on
        the means.
    variance_shape : float, default 0
        Shape a of the inverse-gamma prior of the component variances, density proportional
        to v^(-a-1) exp(-b / v). 0 is no prior on the variances.
    variance_scale : float or "columns", default 0
        b, in squared units of the data; "columns" takes
        ``variance_shape * (mean variance of the columns) / (3 * K^(2 / d))``.
    weight_concentration : float or None, default None
        Dirichlet concentration of the weights. 1 is flat; below 1, components may be
        emptied; above 1, weights are drawn towards equality. None is 1, and 1 / K where
        inference is variational.

    Raises
    ------
    MixmendError
        If a number is not finite or out of its range.

    Examples
    --------
    >>> import mixmend as mm
    >>> mm.SphericalPrior(variance_shape=2.0, variance_scale=0.5).mean_variance
    'learned'
    """

    mean_variance: Literal["learned"] | float | None = "learned"
    variance_shape: float = 0.0
    variance_scale: Literal["columns"] | float = 0.0
    weight_concentration: float | None = None

    proper: ClassVar[tuple[str, ...]] = ("mean_variance", "variance_shape")

    def __post_init__(self) -> None:
        if isinstance(self.mean_variance, str) and self.mean_variance != "learned":
            raise MixmendError(
                f"mean_variance must be 'learned', a positive number or None; "
                f"got {self.mean_variance!r}."
            )
        if isinstance(self.mean_variance, int | float) and not 0 < self.mean_variance < float(
            "inf"
        ):
            raise MixmendError(
                f"mean_variance must be positive and finite; got {self.mean_variance!r}."
            )
        for name in ("variance_shape", "variance_scale"):
            value = getattr(self, name)
            if isinstance(value, str):
                if name == "variance_scale" and value == "columns":
                    continue
                choice = "'columns' or a number" if name == "variance_scale" else "a number"
                raise MixmendError(f"{name} must be {choice}; got {value!r}.")
            if not 0 <= value < float("inf"):
                raise MixmendError(f"{name} must be finite and not negative; got {value!r}.")
        if self.variance_shape > 0 and self.variance_scale == 0:
            raise MixmendError(
                "variance_shape without variance_scale would pull every variance to 0. "
                "Give variance_scale too, for example shape × the variance you expect."
            )
        self._check_concentration()


@dataclass(frozen=True, slots=True)
class DiagonalPrior(WeightPrior):
    """Normal–inverse-gamma priors of a diagonal mixture, one for every column.

    Given its variance, a component's mean of column i is N(c_i, v_ki / mean_strength)
    around the column's mean c_i; the variance v_ki is inverse gamma. EM then finds the
    joint mode. The defaults are those of Fraley & Raftery (2007): a hundredth of a row in
    favour of the column mean, and three degrees of freedom at the column's variance shared
    out among the components.

    Parameters
    ----------
    mean_strength : float, default 0.01
        How many rows the prior mean counts for; 0 is no prior on the means.
    variance_shape : float, default 1.5
        Shape a of the inverse-gamma prior, density proportional to v^(-a-1) exp(-b / v).
        0 is no prior on the variances.
    variance_scale : "columns" or float, default "columns"
        b, in squared units of the data; "columns" takes, for each column,
        ``variance_shape * (variance of the column) / (3 * K^(2 / d))``, so that the prior
        follows whatever units the columns have.
    weight_concentration : float or None, default None
        Dirichlet concentration of the weights. 1 is flat; below 1, components may be
        emptied; above 1, weights are drawn towards equality. None is 1, and 1 / K where
        inference is variational.

    Raises
    ------
    MixmendError
        If a number is not finite or out of its range.

    Examples
    --------
    >>> from mixmend.mixtures.priors import DiagonalPrior
    >>> DiagonalPrior(variance_shape=2.0, variance_scale=0.5).mean_strength
    0.01
    """

    mean_strength: float = 0.01
    variance_shape: float = 1.5
    variance_scale: Literal["columns"] | float = "columns"
    weight_concentration: float | None = None

    proper: ClassVar[tuple[str, ...]] = ("mean_strength", "variance_shape")

    def __post_init__(self) -> None:
        for name in ("mean_strength", "variance_shape"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise MixmendError(f"{name} must be finite and not negative; got {value!r}.")
        scale: Any = self.variance_scale
        number = isinstance(scale, int | float) and 0 < scale < float("inf")
        if not number and scale != "columns":
            raise MixmendError(
                f"variance_scale must be 'columns' or a positive number; "
                f"got {self.variance_scale!r}."
            )
        self._check_concentration()


@dataclass(frozen=True, slots=True)
class NormalInverseWishart(WeightPrior):
    """Conjugate prior of a mixture with full or tied covariances.

    Given its covariance, a component's mean is N(m, covariance / mean_strength); the
    covariance is inverse Wishart with ``degrees`` and a scale matrix S, density
    proportional to ``|C|^(-(degrees + d + 1) / 2) exp(-trace(S C^-1) / 2)``. EM then finds
    the joint mode. The defaults are those of Fraley & Raftery (2007), *Bayesian
    regularization for normal mixture estimation and model-based clustering*, with a
    diagonal scale: weak, in the units of the data, and enough to keep every covariance
    away from singularity. m is the column means of the observed cells.

    Parameters
    ----------
    mean_strength : float, default 0.01
        How many rows the prior mean counts for; 0 is no prior on the means.
    degrees : float or None, default None
        Degrees of freedom, greater than d - 1; None takes d + 2.
    scale : "columns", "pooled" or float, default "columns"
        S, in squared units of the data. A number or "columns" give a diagonal: "columns" the
        variance of each column's observed cells divided by K^(2 / d). "pooled" takes the
        covariance of one component fitted to all rows, times what makes it the prior's mode:
        small components then borrow the correlations of the whole table, as if each held
        ``degrees + d + 1`` rows more of that covariance (one more with a prior on the mean).
        One component has nothing to borrow from: for it "pooled" is "columns" with the
        default degrees.
    weight_concentration : float or None, default None
        Dirichlet concentration of the weights. 1 is flat; below 1, components may be
        emptied; above 1, weights are drawn towards equality. None is 1, and 1 / K where
        inference is variational.

    Raises
    ------
    MixmendError
        If a number is not finite or out of its range.

    Notes
    -----
    "pooled" is an empirical Bayes prior: what it borrows is estimated from the same table.
    It is the full-covariance form of Friedman's (1989) regularized discriminant analysis,
    and suits tables with few rows for the d^2 / 2 numbers of each component's covariance,
    and components that overlap: the distance between components that lie far apart is part
    of the pooled covariance too, and would be borrowed with it.

    Examples
    --------
    >>> from mixmend.mixtures.priors import NormalInverseWishart
    >>> NormalInverseWishart(mean_strength=1.0).scale
    'columns'
    """

    mean_strength: float = 0.01
    degrees: float | None = None
    scale: Literal["columns", "pooled"] | float = "columns"
    weight_concentration: float | None = None

    proper: ClassVar[tuple[str, ...]] = ("mean_strength",)

    def __post_init__(self) -> None:
        if not 0 <= self.mean_strength < float("inf"):
            raise MixmendError(
                f"mean_strength must be finite and not negative; got {self.mean_strength!r}."
            )
        if self.degrees is not None and not 0 < self.degrees < float("inf"):
            raise MixmendError(
                f"degrees must be None or a positive, finite number; got {self.degrees!r}."
            )
        scale: Any = self.scale
        number = isinstance(scale, int | float) and 0 < scale < float("inf")
        if not number and scale not in ("columns", "pooled"):
            raise MixmendError(
                f"scale must be 'columns', 'pooled' or a positive number; got {self.scale!r}."
            )
        self._check_concentration()


@dataclass(frozen=True, slots=True)
class FactorPrior(WeightPrior):
    """Priors of a mixture of factor analysers, in units of the columns' variances.

    EM then finds the joint mode. A component of few rows keeps noise in every column, and
    loadings that rows say little of stay small: without a prior, factors may pass through
    the rows of a small component exactly.

    Parameters
    ----------
    mean_strength : float, default 0.01
        A component's mean of column i is N(c_i, s_i / mean_strength) around the column's
        mean c_i, s_i being the variance of the column's observed cells.
    loading_variance : float, default 1
        Loadings are N(0, loading_variance * s_i), which does not depend on how the factors
        are rotated.
    noise_shape : float, default 1.5
        Shape a of the inverse-gamma prior of the noise variances, density proportional to
        v^(-a-1) exp(-b / v). 0 is no prior on the noise.
    noise_scale : "columns" or float, default "columns"
        b, in squared units of the data; "columns" takes ``noise_shape * s_i / (3 * K^(2 / d))``.
    weight_concentration : float or None, default None
        Dirichlet concentration of the weights. 1, or None, is flat; below 1, components may
        be emptied; above 1, weights are drawn towards equality.

    Raises
    ------
    MixmendError
        If a number is not finite or out of its range.

    Examples
    --------
    >>> import mixmend as mm
    >>> mm.FactorPrior(noise_shape=2.0).noise_scale
    'columns'
    """

    mean_strength: float = 0.01
    loading_variance: float = 1.0
    noise_shape: float = 1.5
    noise_scale: Literal["columns"] | float = "columns"
    weight_concentration: float | None = None

    proper: ClassVar[tuple[str, ...]] = ("noise_shape",)

    def __post_init__(self) -> None:
        for name in ("mean_strength", "loading_variance"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise MixmendError(f"{name} must be positive and finite; got {value!r}.")
        if not 0 <= self.noise_shape < float("inf"):
            raise MixmendError(
                f"noise_shape must be finite and not negative; got {self.noise_shape!r}."
            )
        scale: Any = self.noise_scale
        number = isinstance(scale, int | float) and 0 < scale < float("inf")
        if not number and scale != "columns":
            raise MixmendError(
                f"noise_scale must be 'columns' or a positive number; got {self.noise_scale!r}."
            )
        self._check_concentration()


Prior: TypeAlias = SphericalPrior | DiagonalPrior | NormalInverseWishart | FactorPrior

PRIORS: dict[str, type[Any]] = {
    "spherical": SphericalPrior,
    "diag": DiagonalPrior,
    "tied": NormalInverseWishart,
    "full": NormalInverseWishart,
    "factor": FactorPrior,
}
"""The kind of prior that each covariance type takes; its defaults are prior="default"."""

VARIATIONAL_DEFAULTS: dict[str, dict[str, Any]] = {
    "spherical": {"variance_shape": 1.5, "variance_scale": "columns"}
}
"""What prior="default" sets beside defaults where inference is variational: the prior of
spherical mixtures says nothing of their variances by itself."""
