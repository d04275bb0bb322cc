"""Several mixtures instead of one: what `MixtureImputer` does for ``n_components="auto"``.

No single number of components is best for filling holes: which one is depends on the rows
left and on where the holes are, and choosing it on few held-out cells chooses by luck.
Averages of the predictions of different mixtures are better than nearly each of them, and
their shares in the average can be estimated (stacking; Wolpert 1992, Breiman 1996).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.em.block import Block
from mixmend.em.restarts import run_restarts
from mixmend.mixtures import options as checks
from mixmend.mixtures import starts, tied
from mixmend.mixtures.doubt import Evidence, evidence
from mixmend.mixtures.estimator import GaussianMixture
from mixmend.mixtures.family import family_of
from mixmend.mixtures.folded_full import FoldedFull
from mixmend.mixtures.leverage import regressions
from mixmend.mixtures.normal_scores import ColumnScores, column_scores
from mixmend.mixtures.pattern_rows import PatternBlock
from mixmend.mixtures.priors import NormalInverseWishart
from mixmend.mixtures.stack import Learner, Stack, pooled, widened
from mixmend.observed.convert import as_observed
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Array = NDArray[np.float64]

HELD_OUT_SHARE = 0.1
"""What part of each column's observed cells is held out to learn shares and spread."""

_EVEN_SHARE = 0.25
_EVEN_CELLS = 25.0
"""How strongly shares are drawn to equality: as by so many squared units of a standardised
column for each held-out cell, and for all of them."""

_SPREAD_CELLS = 50.0
"""Held-out cells that the spread of 1 counts for beside the spread that they say."""

_LEVEL = 0.9
"""The intervals whose coverage the spread sets right."""


class Candidate(NamedTuple):
    """A mixture to be tried.

    Attributes
    ----------
    n_components : int
    covariance_type : str
    scale : str or float
        That of its `NormalInverseWishart` prior.
    scored : bool
        Whether it is fitted to half normal scores (`mixmend.mixtures.normal_scores`).
    """

    n_components: int
    covariance_type: str
    scale: str | float
    scored: bool


LADDER = (
    Candidate(1, "full", "columns", False),
    Candidate(2, "full", "pooled", False),
    Candidate(4, "full", "pooled", False),
    Candidate(3, "full", "columns", False),
    Candidate(8, "tied", "columns", False),
    Candidate(1, "full", "columns", True),
    Candidate(2, "full", "pooled", True),
    Candidate(4, "full", "pooled", True),
)
"""From linear regression on the rest of the row to clusters; the first of a scale has one
component, which the others borrow from."""

_ROWS_EACH = 10
"""Least rows of the table for each component of a candidate; for several full covariances that
borrow from none, at least half as many as each has numbers."""

_SCARCE = 10
"""With fewer rows for each column a firm prior takes part, and the others borrow from it."""

_FIRM = 0.5
"""Rows of columns without any dependence, for each column, that the firm prior counts for."""


def ladder(n_rows: int, n_columns: int) -> list[Candidate]:
    """The candidates that a table of this size can bear.

    Examples
    --------
    >>> [candidate.n_components for candidate in ladder(40, 2)]
    [1, 2, 4, 3, 1, 2, 4]
    >>> [(candidate.n_components, candidate.scale) for candidate in ladder(20, 6)[:3]]
    [(1, 3.0), (1, 'columns'), (2, 'pooled')]
    """
    borne = [c for c in LADDER if _is_borne(c, n_rows, n_columns)]
    if n_rows >= _SCARCE * n_columns:
        return borne
    firm = Candidate(1, "full", max(1.0, _FIRM * n_columns), False)
    plain, scored = ([c for c in borne if c.scored is on] for on in (False, True))
    return [firm, *plain, firm._replace(scored=True), *scored]


def _is_borne(candidate: Candidate, n_rows: int, n_columns: int) -> bool:
    if candidate.n_components == 1:
        return True
    alone = candidate.covariance_type == "full" and candidate.scale != "pooled"
    numbers = 0.25 * n_columns * (n_columns + 1) if alone else 0.0
    return n_rows >= candidate.n_components * max(_ROWS_EACH, numbers)


# ------------------------------------------------------------------ learning


class Settings(NamedTuple):
    """How the candidates are fitted; ``max_iter`` counts leaps, of three E-steps at most."""

    n_init: int = 1
    min_variance: float = 1e-6
    max_iter: int = 6
    tol: float = 5e-4
    doubt: bool = True
    seed: int = 0
    verbose: bool = False


def single(mixture: GaussianMixture, rows: Array, weights: Array | None, doubt: bool) -> Stack:
    """A stack of one fitted mixture."""
    obs = as_observed(rows, row_weights=weights, copy=False)
    known = _evidence(mixture, obs, doubt)
    if known is not None:
        known = _taught(known, mixture, mixture._fold_in(obs))
    return Stack((Learner(mixture, known),), np.ones(1))


def learn(rows: Array, weights: Array | None, settings: Settings) -> tuple[Stack, bool]:
    """Fit the candidates, learn their shares and spread, and say whether all was done.

    Parameters
    ----------
    rows : ndarray, shape (n, d)
        Standardised, NaN in the holes; every row observes something.
    weights : ndarray, shape (n,), optional
        How often each row counts.
    settings : Settings

    Returns
    -------
    stack : Stack
    interrupted : bool
        Whether Ctrl-C came: then the candidates fitted so far are averaged evenly.
    """
    rng = np.random.default_rng(settings.seed)
    held = held_out(rows, rng)
    train = rows.copy()
    train[held] = np.nan
    candidates = ladder(*rows.shape)
    learners: list[Learner] = []
    said: list[Predictive] = []
    interrupted, spread = False, 1.0
    shown = settings.verbose or None
    with track("stacking", total=2 * len(candidates), enabled=shown) as progress:
        try:
            for learner, seen in _fits(candidates, train, weights, settings, rng):
                learners.append(learner)
                if len(held[0]):
                    said.append(learner.telling(seen).cells(*held))
                progress.update()
            counts = np.ones(len(held[0])) if weights is None else weights[held[0]]
            shares, spread = _judged(said, rows[held], counts, len(learners))
            # each goes on from what it learned without the cells that were held out
            few = settings._replace(max_iter=-(-settings.max_iter // 3))
            again = _fits(candidates, rows, weights, few, rng, tuple(learners))
            for at, (learner, _) in enumerate(again):
                learners[at] = _with_more(learner, rows, train)
                progress.update()
        except KeyboardInterrupt:
            if not learners:
                raise
            interrupted = True
    if len(learners) < len(candidates):
        shares = np.full(len(learners), 1.0 / len(learners))
    return Stack(tuple(learners), shares, spread), interrupted


def _fits(
    candidates: Sequence[Candidate],
    rows: Array,
    weights: Array | None,
    settings: Settings,
    rng: np.random.Generator,
    earlier: Sequence[Learner] = (),
) -> Iterator[tuple[Learner, Any]]:
    """Fit one candidate after the other; those on one scale share layout and pooled fit.

    With each that was not fitted ``earlier`` come the rows, conditioned on what they observe.
    """
    data: dict[bool, _Data] = {}
    lone: Any = None
    for at, candidate in enumerate(candidates):
        before = earlier[at] if earlier else None
        if candidate.scored not in data:
            scores = None
            if candidate.scored:
                scores = column_scores(rows, weights) if before is None else before.scores
            data[candidate.scored] = _laid_out(rows, weights, scores)
        own = data[candidate.scored]
        # one component under another prior or on the other scale is a start close by
        near = lone if candidate.n_components == 1 else None
        begin = near if before is None else before.mixture.parameters_
        mixture = _fitted(candidate, own, settings, rng, begin)
        if candidate.n_components == 1:
            lone = mixture.parameters_
            own.base.append(lone)
        seen = mixture._fold_in(own.block) if before is None else None
        known = _evidence(mixture, own.observed, settings.doubt)
        if known is not None:
            if before is None:
                known = _taught(known, mixture, seen)
            elif before.known is not None:
                known = known._replace(regressions=before.known.regressions)
        yield Learner(mixture, known, own.scores), seen


class _Data(NamedTuple):
    """Rows as the candidates on one scale see them; ``base`` holds the pooled fit."""

    observed: ObservedMatrix
    block: PatternBlock
    seeding: tuple[Block, Any]
    scores: ColumnScores | None
    base: list[Any]


def _laid_out(rows: Array, weights: Array | None, scores: ColumnScores | None) -> _Data:
    values = rows if scores is None else scores.forward(rows)
    obs = as_observed(values, row_weights=weights, copy=False)
    plain = Block(obs)
    largest = max(candidate.n_components for candidate in LADDER)
    seeding = (plain, starts.pooled(plain, starts.column_means(obs)))
    return _Data(obs, PatternBlock(obs, largest), seeding, scores, [])


def _fitted(
    candidate: Candidate,
    data: _Data,
    settings: Settings,
    rng: np.random.Generator,
    begin: Any,
) -> GaussianMixture:
    """Run EM for a candidate from the parameters to ``begin`` with, or from seeds."""
    mixture = GaussianMixture(
        candidate.n_components,
        candidate.covariance_type,  # type: ignore[arg-type, unused-ignore]
        n_init=settings.n_init,
        prior=NormalInverseWishart(scale=candidate.scale),  # type: ignore[arg-type, unused-ignore]
        min_variance=settings.min_variance,
        max_iter=settings.max_iter,
        tol=settings.tol,
        accelerate=True,
    )
    family, options = family_of(candidate.covariance_type), checks.checked(mixture)
    density = family.density(options, data.observed)
    begun = [begin]
    if candidate.n_components == 1:
        if begin is None:
            begun = [family.pooled(density, data.block)]
    else:
        base = data.base[0]
        if candidate.covariance_type == "tied":
            base = tied.Parameters(base.weights, base.means, base.covariances[0])
        density = family.informed(density, base, options)
        if begin is None:
            shares = [
                starts.seeded_responsibilities(*data.seeding, candidate.n_components, rng)
                for _ in range(settings.n_init)
            ]
            begun = [family.from_responsibilities(s, base, density, data.block) for s in shares]
    found = run_restarts(
        density,
        begun,
        [data.block],
        tol=settings.tol,
        max_iter=settings.max_iter,
        accelerate=True,
    )
    if found.interrupted:
        raise KeyboardInterrupt
    return mixture._adopt(family, found.best, None)


def _evidence(mixture: GaussianMixture, obs: ObservedMatrix, doubt: bool) -> Evidence | None:
    """What the mixture's covariances rest on; None where doubt about them is left out."""
    prior: Any = mixture.prior
    if isinstance(prior, str):
        prior = NormalInverseWishart()
    if not doubt or prior is None or mixture.covariance_type not in ("full", "tied"):
        return None
    if mixture.inference == "variational":
        return None  # part of its predictions
    # all rows teach the one covariance of "tied"
    taught = np.ones(1) if mixture.covariance_type == "tied" else mixture.weights_
    return evidence(taught, ~np.isnan(obs.dense), prior, obs.row_weights)


def _taught(known: Evidence, mixture: GaussianMixture, seen: Any) -> Evidence:
    """The same with what each column's regression has learned from the rows that it has seen."""
    assert isinstance(seen, FoldedFull)
    shared = mixture.covariance_type == "tied"
    # one row more, so that scatters of few rows can be inverted
    learned = regressions(seen, seen.observed.row_weights, known.borrowed + 1.0, shared=shared)
    return known._replace(regressions=learned)


def _with_more(learner: Learner, rows: Array, train: Array) -> Learner:
    """The same with what was learned from ``train`` counting for the cells of ``rows``."""
    if learner.known is None or learner.known.regressions is None:
        return learner
    seen, less = (np.maximum((~np.isnan(part)).sum(axis=0), 1) for part in (rows, train))
    regressions = learner.known.regressions.grown(seen / less)
    return learner._replace(known=learner.known._replace(regressions=regressions))


def held_out(rows: Array, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cells to learn from: the same part of every column's, none of columns with few."""
    at_rows, at_columns = [], []
    for j in range(rows.shape[1]):
        seen = np.flatnonzero(~np.isnan(rows[:, j]))
        count = int(np.ceil(HELD_OUT_SHARE * len(seen))) if len(seen) >= 4 else 0
        at_rows.append(np.sort(rng.permutation(seen)[:count]))
        at_columns.append(np.full(count, j))
    return np.concatenate(at_rows), np.concatenate(at_columns)


def _judged(
    said: Sequence[Predictive], truth: Array, counts: Array, n_learners: int
) -> tuple[Array, float]:
    """Shares and spread by what the learners said of cells that they have not seen."""
    if not said:
        return np.full(n_learners, 1.0 / n_learners), 1.0
    shares = stacked_shares(np.stack([predictive.mean(p) for p in said], axis=1), truth, counts)
    return shares, learned_spread(pooled(said, shares), truth, counts)


def stacked_shares(estimates: Array, truth: Array, counts: Array) -> Array:
    """Shares of estimates (cells, m) whose average errs least, drawn towards equal ones.

    Examples
    --------
    >>> truth = np.linspace(-1.0, 1.0, 2000)
    >>> stacked_shares(np.stack([truth, 0.0 * truth], axis=1), truth, np.ones(2000)).round(1)
    array([0.7, 0.3])
    """
    from scipy.optimize import nnls

    m = estimates.shape[1]
    root = np.sqrt(counts)
    pull = np.sqrt(_EVEN_SHARE * counts.sum() + _EVEN_CELLS)
    firm = 1e4 * pull  # what holds the sum at 1
    system = np.vstack([estimates * root[:, None], pull * np.eye(m), np.full((1, m), firm)])
    target = np.concatenate([truth * root, np.full(m, pull / m), [firm]])
    shares, _ = nnls(system, target)
    return np.asarray(shares / shares.sum())


def learned_spread(cells: Predictive, truth: Array, counts: Array) -> float:
    """Factor of standard deviations with which 90 % intervals would have held 90 % of cells.

    Bisection on the weighted coverage of central intervals; drawn towards 1 where there are
    few cells.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> cells = predictive.gaussian(np.zeros(4000), 1.0)
    >>> round(learned_spread(cells, 2.0 * rng.normal(size=4000), np.ones(4000)), 1)
    2.0
    """
    tail = 0.5 * (1.0 - _LEVEL)
    low, high = np.log(0.5), np.log(4.0)
    for _ in range(20):
        middle = 0.5 * (low + high)
        below = predictive.cdf(widened(cells, float(np.exp(middle))), truth)
        inside = np.average((below >= tail) & (below <= 1.0 - tail), weights=counts)
        low, high = (middle, high) if inside < _LEVEL else (low, middle)
    trust = counts.sum() / (counts.sum() + _SPREAD_CELLS)
    return float(np.exp(trust * 0.5 * (low + high)))
