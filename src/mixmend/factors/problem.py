"""What a factor model is fitted to: entries from both sides, offsets, checked options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend import checks
from mixmend.errors import DataError, MixmendError
from mixmend.factors.features import MISSING
from mixmend.factors.sweeps import Cells
from mixmend.mixtures.starts import grand_mean
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

CENTERS = ("none", "row", "biases")
INITS = ("random", "svd")
INFERENCES = ("ridge", "variational")
WEIGHTINGS = ("constant", "counts")
SOLVERS = ("auto", "cholesky", "cg")

CONJUGATE_FROM = 64
"""Factors from which ``solver="auto"`` takes conjugate gradients."""

DIRECTIONS = 30
"""Directions of the observed places that ``implicit=True`` takes."""


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a matrix factorisation."""

    n_factors: int
    regularization: float
    bias_regularization: float
    center: str
    init: str
    inference: str
    weighting: str
    solver: str
    cg_steps: int
    max_iter: int
    tol: float
    patience: int
    eval_every: int
    implicit: int
    feature_regularization: float
    missing_features: str

    @property
    def effects(self) -> bool:
        """Whether rows and columns have effects beside their factors."""
        return self.center == "biases"

    @property
    def unknowns(self) -> int:
        """Unknowns of a row or column."""
        return self.n_factors + self.effects

    @property
    def descends(self) -> bool:
        """Whether half-steps take conjugate gradient steps instead of solving exactly."""
        if self.inference != "ridge" or self.solver == "cholesky":
            return False
        return self.solver == "cg" or self.n_factors >= CONJUGATE_FROM


def checked(estimator: Any) -> Options:
    """The options of an estimator, each of the right type and in its range."""
    regularization = _positive("regularization", estimator.regularization)
    own = estimator.bias_regularization
    inference = checks.one_of("inference", estimator.inference, INFERENCES)
    solver = checks.one_of("solver", estimator.solver, SOLVERS)
    if solver == "cg" and inference == "variational":
        raise MixmendError(
            "solver='cg' finds no posterior covariances, which inference='variational' needs. "
            "Take solver='auto', or inference='ridge'."
        )
    return Options(
        checks.whole("n_factors", estimator.n_factors, 1),
        regularization,
        regularization if own is None else _positive("bias_regularization", own),
        checks.one_of("center", estimator.center, CENTERS),
        checks.one_of("init", estimator.init, INITS),
        inference,
        checks.one_of("weighting", estimator.weighting, WEIGHTINGS),
        solver,
        checks.whole("cg_steps", estimator.cg_steps, 1),
        checks.whole("max_iter", estimator.max_iter, 1),
        checks.number("tol", estimator.tol),
        checks.whole("patience", estimator.patience, 1),
        checks.whole("eval_every", estimator.eval_every, 1),
        directions_asked(estimator.implicit),
        _positive("feature_regularization", estimator.feature_regularization),
        checks.one_of("missing_features", estimator.missing_features, MISSING),
    )


def directions_asked(value: Any) -> int:
    """How many directions of the observed places ``implicit`` asks for."""
    if isinstance(value, bool | np.bool_):
        return DIRECTIONS if value else 0
    return checks.whole("implicit", value, 0)


def _positive(name: str, value: Any) -> float:
    out = checks.number(name, value)
    if out == 0.0:
        raise MixmendError(
            f"{name} must be positive; got {value!r}. Without it, rows with fewer entries than "
            "factors have no unique solution; for next to none give a small number such as 1e-6."
        )
    return out


@dataclass(frozen=True, slots=True)
class Problem:
    """Entries by row and by column with what is taken off them.

    Attributes
    ----------
    observed : ObservedMatrix
        The training entries.
    options : Options
    mean : float
        Mean of the entries (rows counted by their weights); 0 with ``center="none"``.
    row_means : ndarray, shape (n,), or None
        With ``center="row"``: what is taken off each row; the mean where a row has no entry.
    row_features, column_features : ndarray, shape (n, F) and (d, G), or None
        What the unknowns are drawn towards regressions on.
    """

    observed: ObservedMatrix
    options: Options
    mean: float
    row_means: Array | None
    row_features: Array | None = None
    column_features: Array | None = None

    @property
    def offsets(self) -> Array:
        """What is taken off the entries of each row, (n,)."""
        if self.row_means is not None:
            return self.row_means
        return np.full(self.observed.shape[0], self.mean)

    @property
    def by_row(self) -> Cells:
        """Entries by row, to solve for the rows."""
        return Cells(self.observed.by_row, self.offsets)

    @property
    def by_column(self) -> Cells:
        """Entries by column, to solve for the columns; rows count by their weights."""
        return Cells(self.observed.by_column, None, self.offsets, self.observed.row_weights)

    @property
    def row_weights(self) -> Array:
        """How often each row counts, (n,)."""
        weights = self.observed.row_weights
        return np.ones(self.observed.shape[0]) if weights is None else weights

    @property
    def n_entries(self) -> float:
        """Entries, rows counted by their weights."""
        return float(self.row_weights @ self.observed.row_counts)

    def row_scales(self) -> Array:
        """Scale of each row's regularisation."""
        if self.options.weighting == "constant":
            return np.ones(self.observed.shape[0])
        return np.maximum(self.observed.row_counts, 1).astype(np.float64)

    def column_scales(self) -> Array:
        """Scale of each column's regularisation."""
        d = self.observed.shape[1]
        if self.options.weighting == "constant":
            return np.ones(d)
        weights = np.repeat(self.row_weights, self.observed.row_counts)
        counts = np.bincount(self.observed.by_row.indices, weights, d)
        return np.asarray(np.maximum(counts, 1.0), np.float64)


def pose(obs: ObservedMatrix, options: Options) -> Problem:
    """Find the offsets of the data.

    Raises
    ------
    DataError
        If nothing is observed, or there are more factors than rows or columns.
    """
    demand_cells(obs)
    demand_rank(obs, "n_factors", options.n_factors)
    mean = 0.0 if options.center == "none" else grand_mean(obs)
    return Problem(obs, options, mean, row_means(obs, options, mean))


def demand_cells(obs: ObservedMatrix) -> None:
    """Refuse a matrix without an observed cell that counts."""
    if obs.n_observed == 0:
        raise DataError("X has no observed cell: there is nothing to fit.")
    weights = obs.row_weights
    if weights is not None and not np.any(weights * obs.row_counts > 0):
        raise DataError(
            "All row weights are zero where a cell is observed: nothing is left to fit."
        )


def demand_rank(obs: ObservedMatrix, name: str, rank: int) -> None:
    """Refuse more directions than a matrix has rows or columns."""
    n, d = obs.shape
    if rank > min(n, d):
        raise DataError(
            f"{name}={rank} is more than the {n} × {d} matrix can tell apart. "
            f"Ask for at most {min(n, d)}."
        )


def row_means(obs: ObservedMatrix, options: Options, mean: float) -> Array | None:
    """With ``center="row"``, the mean of each row's entries; ``mean`` where it has none."""
    if options.center != "row":
        return None
    from mixmend.observed.holdout import subtract_row_means

    means = subtract_row_means(obs).means
    return np.where(np.isnan(means), mean, means)


def check_validation(validation: ObservedMatrix, train: ObservedMatrix) -> None:
    """Refuse validation entries that do not belong to the training matrix's rows and columns."""
    if validation.shape != train.shape:
        raise DataError(
            f"validation has shape {validation.shape}, the training matrix {train.shape}: both "
            "must have the same rows and columns, as split_entries gives them."
        )
    for axis in ("row", "column"):
        both = getattr(train, f"has_{axis}_labels") and getattr(validation, f"has_{axis}_labels")
        if both and not np.array_equal(
            getattr(train, f"{axis}_labels"), getattr(validation, f"{axis}_labels")
        ):
            raise DataError(
                f"validation and the training matrix have different {axis} labels: put them on "
                "common ones by align_labels(train, validation)."
            )
    if validation.n_observed == 0:
        raise DataError("validation has no entry: there is nothing to measure on.")
