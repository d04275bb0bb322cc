"""Mixtures learned from a stream of minibatches: `partial_fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixmend.em.engine import Fit
from mixmend.em.restarts import run_restarts
from mixmend.em.stepwise import Schedule, Stream, advance, moved
from mixmend.errors import CollapsedComponentWarning, DataError, EmptyEntityWarning, MixmendError
from mixmend.kernels.threads import fixed_order
from mixmend.mixtures import options as checks
from mixmend.mixtures.family import Family, family_of
from mixmend.mixtures.fitting import Problem, fit_mixture, new_problem
from mixmend.mixtures.options import Options
from mixmend.observed.convert import as_observed
from mixmend.observed.matrix import ObservedMatrix

_CELLS_PER_PARAMETER = 4
"""Observed cells for each free parameter before parameters follow a stream: with fewer, a
component of few rows would take their scatter, nearly singular, for its covariance."""

_FIRST_STEPS = 20
"""Most EM steps over the first minibatch, to tell good starts from bad ones."""


class Online:
    """`partial_fit`, and where a stream of minibatches stands.

    The state is one value, ``_stream``: present parameters and running statistics; the
    density, with what it took from the first rows, is ``_density``.
    """

    _family: Family
    _density: Any
    _stream: Stream[Any] | None
    _streaming: bool
    parameters_: Any
    weights_: NDArray[np.float64]
    collapsed_: bool
    history_: list[float]
    column_labels_: NDArray[Any] | None
    tol: float

    def _new_rows(self, X: Any) -> ObservedMatrix:
        raise NotImplementedError

    def _adopt(self, family: Family, fit: Fit[Any], labels: NDArray[Any] | None) -> Self:
        raise NotImplementedError

    @fixed_order()
    def partial_fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Learn from one more minibatch of rows, which need not be kept: stepwise EM.

        Expected statistics are a running average over minibatches, moved towards each by
        the step size ``(t + learning_offset) ** -learning_decay``, t being the rows so far
        in units of the minibatch (Cappé & Moulines 2009; Liang & Klein 2009). Rows should come
        in random order; several passes over them do what one over more data does.

        Parameters
        ----------
        X : matrix-like, shape (m, d)
            Rows as for `fit`. The first minibatch must have at least ``n_components`` rows
            that observe anything, better hundreds: starts are drawn from it, and what `fit`
            takes from all its data (floors of variances, centres and scales of priors) is
            taken from it for good. Later ones may have any number of rows; one that
            observes nothing counts in ``n_samples_seen_`` and teaches nothing.
        y : ignored
        sample_weight : array-like, shape (m,), optional
            How often each row counts.

        Returns
        -------
        GaussianMixture
            Itself. After `fit` it goes on from there: the rows of the fit count as seen.
            `fit` begins anew unless ``warm_start`` is set.

        Raises
        ------
        DataError
            If the first minibatch is too small, or a later one has other columns.
        MixmendError
            If ``n_components`` or ``covariance_type`` has changed since the stream began.

        Notes
        -----
        Until four cells have been seen for each free parameter, parameters stay at the
        start, and statistics are only gathered.

        Examples
        --------
        >>> import numpy as np
        >>> import mixmend as mm
        >>> rng = np.random.default_rng(0)
        >>> gm = mm.GaussianMixture(2, "full", random_state=0)
        >>> for _ in range(50):
        ...     batch = rng.normal(size=(200, 2)) + rng.choice([-4, 4], (200, 1))
        ...     batch[rng.random((200, 2)) < 0.2] = np.nan
        ...     gm = gm.partial_fit(batch)
        >>> np.sort(gm.means_[:, 0]).round(), gm.n_samples_seen_
        (array([-4.,  4.]), 10000)
        """
        options = checks.checked(self)
        obs = as_observed(X, row_weights=sample_weight, copy=False)
        begun = hasattr(self, "parameters_")
        if "variational" in (options.inference, getattr(self, "_inference", "em")):
            raise MixmendError(
                "partial_fit is stepwise EM: it takes inference='em', and goes on from nothing "
                "else. Fit variationally to all rows at once."
            )
        if begun:
            obs = self._new_rows(obs)
            stream = self._continued(options)
        rows = _telling(obs)
        if not begun:
            stream, density = _begun(new_problem(self, _first(rows, options), options))
            labels = obs.column_labels if obs.has_column_labels else None
            checks.warn_of_empty(obs, EmptyEntityWarning, stacklevel=3)
            self._density, self._streaming, self.n_samples_seen_ = density, False, 0
            family, mean = family_of(options.covariance_type), stream.mean_log_likelihood
        elif rows.n_observed:
            family, labels = self._family, self.column_labels_
            block = family.block(rows, options.n_components)
            schedule = Schedule(options.learning_decay, options.learning_offset)
            enough = _enough(family, stream.parameters)
            stream, mean = advance(self._density, stream, block, schedule, enough)
        if rows.n_observed:
            self._show(family, stream, mean, labels)
        self.n_samples_seen_ += obs.shape[0]
        counted = self.n_samples_seen_
        checks.warn_of_collapse(
            self.weights_, self.collapsed_, counted, CollapsedComponentWarning, stacklevel=3
        )
        return self

    def _continued(self, options: Options) -> Stream[Any]:
        """Where the stream stands, if the options still speak of the same mixture."""
        fitted = self._family.name, len(self.weights_)
        if fitted != (options.covariance_type, options.n_components):
            raise MixmendError(
                f"partial_fit goes on from a {fitted[0]!r} mixture of {fitted[1]} components, but "
                f"covariance_type is {options.covariance_type!r} and n_components is "
                f"{options.n_components}. Fit a new estimator to begin anew."
            )
        if self._stream is None:
            raise MixmendError(
                "This mixture has no statistics to go on from: a model that is saved after fit "
                "keeps parameters only. Call partial_fit once before saving, or go on with fit "
                "and warm_start=True."
            )
        return self._stream

    def _show(
        self, family: Family, stream: Stream[Any], mean: float, labels: NDArray[Any] | None
    ) -> None:
        """Adopt where the stream has come to; ``mean`` is what its last rows scored."""
        before = self._stream.mean_log_likelihood if self._streaming and self._stream else np.nan
        now, density = stream.mean_log_likelihood, self._density
        history = self.history_ if self._streaming else []
        history.append(mean)
        fit = Fit(
            stream.parameters,
            float(density.objective(stream.statistics, stream.parameters)),
            float(stream.statistics.log_likelihood),
            (),
            converged=bool(abs(now - before) <= self.tol * abs(now)),
            collapsed=density.collapsed(stream.parameters),
        )
        seen = self.n_samples_seen_
        self._adopt(family, fit, labels)
        self._density, self._stream, self._streaming = density, stream, True
        self.history_, self.histories_ = history, [history]
        self.n_samples_seen_, self.n_iter_ = seen, len(history)


def stream_of(fit: Fit[Any], obs: ObservedMatrix) -> Stream[Any]:
    """A finished fit as a stream that has met the rows of ``obs``."""
    weights = _telling(obs).row_weights
    told = np.count_nonzero(obs.row_counts)
    seen = float(told if weights is None else weights.sum())
    return Stream(fit.parameters, fit.statistics, seen, obs.n_observed, moving=True)


def _telling(obs: ObservedMatrix) -> ObservedMatrix:
    """The rows that observe something and count."""
    telling = obs.row_counts > 0
    if obs.row_weights is not None:
        telling &= obs.row_weights > 0
    return obs if telling.all() else obs.select_rows(telling)


def _first(rows: ObservedMatrix, options: Options) -> ObservedMatrix:
    """The rows that a stream may begin with."""
    if rows.shape[0] < options.n_components:
        raise DataError(
            f"The first minibatch has {rows.shape[0]} rows that observe anything, but starts of "
            f"{options.n_components} components are drawn from it (n_samples={rows.shape[0]}). "
            "Give partial_fit more rows at first, better some hundred, or ask for fewer components."
        )
    checks.require_rows("n_components", options.n_components, rows)
    return rows


def _enough(family: Family, parameters: Any) -> int:
    """Cells to see before parameters follow."""
    return _CELLS_PER_PARAMETER * family.n_parameters(parameters)


def _begun(problem: Problem) -> tuple[Stream[Any], Any]:
    """The first minibatch: the best start, and a first step where there is enough to learn."""
    obs, options = problem.observed, problem.options
    outcome = fit_mixture(replace(problem, options=replace(options, max_iter=0)))
    if outcome.restarts.interrupted:
        raise KeyboardInterrupt
    best, density = outcome.restarts.best, outcome.density
    enough = _enough(problem.family, best.parameters)
    if obs.n_observed >= enough:
        block = problem.family.block(obs, options.n_components)
        starts = [run.parameters for run in outcome.restarts.runs]
        tried = run_restarts(density, starts, [block], tol=options.tol, max_iter=_FIRST_STEPS)
        if tried.interrupted:
            raise KeyboardInterrupt
        if not tried.best.collapsed:
            best = tried.best
    return moved(density, replace(stream_of(best, obs), moving=False), enough), density
