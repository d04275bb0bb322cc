"""Mixtures whose predictions are averaged, and what each of them needs to make its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.mixtures.doubt import Evidence, parameter_doubt
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.folded_full import FoldedFull
from mixmend.mixtures.normal_scores import ColumnScores, FoldedScores, scored
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

_CELLS_AT_ONCE = 1 << 15
"""Cells whose distributions under all mixtures are held at once."""


class Learner(NamedTuple):
    """A fitted mixture and what makes its predictions honest.

    Attributes
    ----------
    mixture : GaussianMixture
        Fitted to standardised columns.
    known : Evidence or None
        What the covariances rest on (see `mixmend.mixtures.doubt`); None where doubt about
        them is left out.
    scores : ColumnScores or None
        The scale that the mixture was fitted on; None for the values themselves.
    """

    mixture: GaussianMixture
    known: Evidence | None = None
    scores: ColumnScores | None = None

    def fold(self, rows: ObservedMatrix | PatternBlock, variance: bool = True) -> Any:
        """Condition on what rows observe, on the scale of the mixture.

        Without ``variance`` doubt is left out where means do not depend on it.
        """
        folded = self.mixture._fold_in(rows)
        return self.telling(folded) if variance or self.scores is not None else folded

    def telling(self, folded: Any) -> Any:
        """What the mixture has folded, with doubt about its parameters, in the rows' own units."""
        if self.known is not None and isinstance(folded, FoldedFull):
            folded = folded._replace(doubt=parameter_doubt(folded, self.known))
        return folded if self.scores is None else FoldedScores(folded, self.scores)


class Stack(NamedTuple):
    """Mixtures whose predictions are averaged.

    Attributes
    ----------
    learners : tuple of Learner
        At least one.
    shares : ndarray, shape (m,)
        What each counts for; they sum to 1.
    spread : float
        Factor of standard deviations that held-out cells asked for.
    """

    learners: tuple[Learner, ...]
    shares: Array
    spread: float = 1.0

    def fold(self, obs: ObservedMatrix, variance: bool = True) -> FoldedStack:
        """Condition on the observed cells of rows; without ``variance`` for means alone."""
        views: dict[int, ObservedMatrix | PatternBlock] = {}
        most = max(len(learner.mixture.weights_) for learner in self.learners)
        parts = []
        for learner in self.learners:
            scores = learner.scores
            if id(scores) not in views:  # mixtures on one scale share the rows and their layout
                view = obs if scores is None else scored(obs, scores)
                dependent = learner.mixture.covariance_type in ("full", "tied")
                views[id(scores)] = PatternBlock(view, most) if dependent else view
            parts.append(learner.fold(views[id(scores)], variance))
        return FoldedStack(tuple(parts), self.shares, self.spread, obs)


class FoldedStack(NamedTuple):
    """Rows conditioned under every mixture of a stack."""

    parts: tuple[Any, ...]
    shares: Array
    spread: float
    observed: ObservedMatrix

    def cells(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Predictive:
        """Predictive distributions of single cells: those of all mixtures, pooled."""
        parts = [part.cells(rows, columns) for part in self.parts]
        return widened(pooled(parts, self.shares), self.spread)

    def moments(self, rows: slice, variance: bool = True) -> tuple[Array, Array | None]:
        """Predictive means and variances of all cells of some rows."""
        values = self.observed.dense[rows].astype(np.float64)
        spread = np.zeros_like(values) if variance else None
        first = range(self.observed.shape[0])[rows].start
        line, column = np.nonzero(np.isnan(values))
        for start in range(0, len(line), _CELLS_AT_ONCE):
            part = slice(start, start + _CELLS_AT_ONCE)
            cells = self.cells(line[part] + first, column[part])
            values[line[part], column[part]] = predictive.mean(cells)
            if spread is not None:
                spread[line[part], column[part]] = predictive.variance(cells)
        return values, spread

    def draws(self, rng: np.random.Generator, count: int) -> Array:
        """Joint draws of all rows' holes, (count, n, d): mixture, then component, then holes."""
        lines = np.arange(self.observed.shape[0])
        centre = None if self.spread == 1.0 else self.moments(slice(0, len(lines)))[0]
        out = np.empty((count, *self.observed.shape))
        for drawn in out:
            picked = rng.choice(len(self.parts), size=len(lines), p=self.shares)
            drawn[:] = np.stack([part.draw(rng) for part in self.parts])[picked, lines]
            if centre is not None:
                drawn[:] = centre + self.spread * (drawn - centre)
        return out


def pooled(parts: Sequence[Predictive], shares: Array) -> Predictive:
    """The average of several distributions of the same cells, with these shares."""
    return Predictive(
        np.hstack([share * part.weights for share, part in zip(shares, parts, strict=True)]),
        np.hstack([part.means for part in parts]),
        np.hstack([part.variances for part in parts]),
    )


def widened(cells: Predictive, factor: float) -> Predictive:
    """Each distribution stretched about its mean.

    Examples
    --------
    >>> predictive.std(widened(predictive.gaussian([3.0], 4.0), 1.5))
    array([3.])
    """
    if factor == 1.0:
        return cells
    centre = predictive.mean(cells)[:, None]
    means = centre + factor * (cells.means - centre)
    return Predictive(cells.weights, means, factor * factor * cells.variances)
