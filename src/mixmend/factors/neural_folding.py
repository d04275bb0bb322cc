"""Rows folded into a frozen network: each one's own small regression.

A row's vector and effect lower, with everything else fixed, what the fit lowers in them::

    sum_i (y_ui - output_ui)^2 + lambda |q_u - prior_u|^2 + lambda_b (b_u - prior_u)^2

in standard units, where the prior is what the row's features say (0 without features). For
products this is one ridge regression. With a perceptron it is approached by Gauss-Newton steps
from the prior: ridge regressions on the outputs' slopes, each shortened where it would raise the
sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion.predictive import Predictive, gaussian
from mixmend.factors.network import Network, all_outputs, outputs, slopes
from mixmend.factors.sweeps import Cells, Prior, Side, solve_side
from mixmend.observed.compressed import Compressed, index_dtype, pointers_from, sealed

Array = NDArray[np.float64]

STEPS = 4
"""Gauss-Newton steps with a perceptron: a fixed number, so that rounding decides nothing."""

HALVINGS = 2
"""Times that a row's step is halved before the row stays where it is."""

_ENTRIES = 1 << 15
"""Entries whose slopes are held at once."""

_SLACK = 1e-9
"""Relative rise that counts as none: steps that short change nothing that could be seen."""


class Penalty(NamedTuple):
    """Lambda of factors and of effects in standard units; whether there are effects."""

    factors: float
    effects: float
    has_effects: bool

    def precision(self, rank: int) -> Array:
        """Of each unknown of a line."""
        own = [self.effects] if self.has_effects else []
        return np.append(np.full(rank, self.factors), own)


class Folded(NamedTuple):
    """Rows solved.

    Attributes
    ----------
    rows : ndarray, shape (n, r + 1)
        Vectors and, last, effects.
    squares : ndarray, shape (n,)
        Squared residuals of each row's entries, in standard units.
    """

    rows: Array
    squares: Array


def fold_rows(network: Network, view: Compressed, priors: Array, penalty: Penalty) -> Folded:
    """Solve for rows given their entries in standard units; ``priors`` is (n, r + 1)."""
    columns_first = network.columns_first()
    rows, squares = priors.copy(), np.zeros(len(priors))
    for lines, entries in _chunks(view.pointers):
        part = Compressed(
            view.pointers[lines.start : lines.stop + 1] - entries.start,
            view.indices[entries],
            view.values[entries],
        )
        folding = _Folding(network, columns_first, part, priors[lines], penalty)
        rows[lines], squares[lines] = folding.solved()
    return Folded(rows, squares)


def _chunks(pointers: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Runs of lines with about `_ENTRIES` entries, and where their entries are."""
    first, n = 0, len(pointers) - 1
    while first < n:
        last = int(np.searchsorted(pointers, pointers[first] + _ENTRIES, side="right")) - 1
        last = min(max(last, first + 1), n)
        yield slice(first, last), slice(int(pointers[first]), int(pointers[last]))
        first = last


class _Folding:
    """The regressions of a few rows."""

    def __init__(
        self,
        network: Network,
        columns_first: Array,
        view: Compressed,
        priors: Array,
        penalty: Penalty,
    ) -> None:
        self.network, self.columns_first = network, columns_first
        self.view, self.priors, self.penalty = view, priors, penalty
        self.lines = np.repeat(np.arange(len(priors)), np.diff(view.pointers))
        self.targets = view.values.astype(np.float64)

    def solved(self) -> tuple[Array, Array]:
        x = self.priors
        y, slope = self._slopes(x)
        if not self.network.layers:  # linear: the first step is the last
            x = self._proposal(x, y, slope)
            at = self.lines, self.view.indices
            y = outputs(self.network, x, self.columns_first, *at)
            return x, self._squares(y)
        objective = self._objective(x, y)
        for _ in range(STEPS):
            x, y, slope, objective = self._step(x, y, slope, objective)
        return x, self._squares(y)

    def _step(
        self, x: Array, y: Array, slope: Array, objective: Array
    ) -> tuple[Array, Array, Array, Array]:
        """One Gauss-Newton step of every row, halved where it would rise, and what is there."""
        move = self._proposal(x, y, slope) - x
        trial = x + move
        trial_y, trial_slope = self._slopes(trial)
        reached = self._objective(trial, trial_y)
        for halving in range(1, HALVINGS + 2):
            rose = reached > objective * (1 + _SLACK)
            if not rose.any():
                break
            at = np.flatnonzero(rose[self.lines])
            if halving > HALVINGS:
                trial[rose], trial_y[at], trial_slope[at] = x[rose], y[at], slope[at]
                reached[rose] = objective[rose]
                break
            trial[rose] = x[rose] + 0.5**halving * move[rose]
            trial_y[at], trial_slope[at] = self._slopes(trial, at)
            reached = self._objective(trial, trial_y)
        return trial, trial_y, trial_slope, reached

    def _slopes(
        self, x: Array, entries: NDArray[np.int64] | slice = slice(None)
    ) -> tuple[Array, Array]:
        at = self.lines[entries], self.view.indices[entries]
        return slopes(self.network, x, self.columns_first, *at)

    def _squares(self, y: Array) -> Array:
        return np.bincount(self.lines, (self.targets - y) ** 2, len(self.priors)).astype(np.float64)

    def _objective(self, x: Array, y: Array) -> Array:
        """What each row lowers; a hair above 0 where it could be 0."""
        moved = (x - self.priors) ** 2
        factors, effects, _ = self.penalty
        own = factors * moved[:, :-1].sum(axis=1) + effects * moved[:, -1]
        return np.asarray(self._squares(y) + own + np.finfo(np.float64).tiny)

    def _proposal(self, x: Array, y: Array, slope: Array) -> Array:
        """Solve each row's regression on the slopes where it stands."""
        linear = self.targets - y + np.einsum("mr,mr->m", slope, x[self.lines, :-1])
        if self.penalty.has_effects:
            linear += x[self.lines, -1]
        solved = ridge_on(slope, linear, self.view.pointers, self.priors, self.penalty)
        if self.penalty.has_effects:
            return solved
        return np.column_stack([solved, x[:, -1]])


def ridge_on(
    slope: Array,
    targets: Array,
    pointers: NDArray[np.int64],
    priors: Array,
    penalty: Penalty,
) -> Array:
    """Ridge regressions of lines in which every entry has a design vector of its own."""
    return solve_side(*_posed(slope, targets, pointers, priors, penalty)).side.values


def freedom_of(slope: Array, pointers: NDArray[np.int64], penalty: Penalty) -> float:
    """Degrees of freedom that such regressions take together."""
    targets, priors = np.zeros(len(slope)), np.zeros((len(pointers) - 1, slope.shape[1] + 1))
    posed = _posed(slope, targets, pointers, priors, penalty)
    return float(solve_side(*posed, freedom=True).freedom.sum())


def _posed(
    slope: Array,
    targets: Array,
    pointers: NDArray[np.int64],
    priors: Array,
    penalty: Penalty,
) -> tuple[Cells, Side, Prior, bool]:
    entries = np.arange(len(slope), dtype=index_dtype(len(slope)))
    design = slope
    if penalty.has_effects:  # the entries have no effect of their own beside the lines'
        design = np.column_stack([slope, np.zeros(len(slope))])
    wanted = slope.shape[1] + penalty.has_effects
    prior = Prior(penalty.precision(slope.shape[1]), np.ones(len(priors)), priors[:, :wanted])
    # read-only like the views of a matrix: one compiled kernel serves both
    view = sealed(Compressed(pointers, entries, targets))
    return Cells(view), Side(design), prior, penalty.has_effects


class FoldedNetwork(NamedTuple):
    """Rows folded in: enough to predict any of their cells.

    A cell is Gaussian around its output, with the noise measured at the fit.
    """

    network: Network
    rows: Array
    offsets: Array
    scale: float
    noise: float

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells."""
        return gaussian(self.entry_means(rows, columns), self.noise)

    def entry_means(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Array:
        """Expected values of single cells, (m,)."""
        first, mean = self.network.columns_first(), np.empty(len(rows))
        for start in range(0, len(rows), _ENTRIES):
            part = slice(start, start + _ENTRIES)
            mean[part] = outputs(self.network, self.rows, first, rows[part], columns[part])
        return np.asarray(self.offsets[rows] + self.scale * mean)

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows."""
        mean = all_outputs(self.network, self.rows[rows], self.network.columns_first())
        mean *= self.scale
        mean += self.offsets[rows, None]
        return mean, np.full(mean.shape, self.noise) if variance else None


def standard_view(view: Compressed, offsets: Array, scale: float) -> Compressed:
    """Entries in standard units: less their row's offset, over the scale."""
    lines = np.repeat(np.arange(len(offsets)), np.diff(view.pointers))
    values = (view.values.astype(np.float64) - offsets[lines]) / scale
    return Compressed(view.pointers, view.indices, values)


def by_columns(view: Compressed, n_columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order that sorts entries by column, and where each column begins."""
    order = np.argsort(view.indices, kind="stable")
    return order, pointers_from(np.bincount(view.indices, minlength=n_columns))
