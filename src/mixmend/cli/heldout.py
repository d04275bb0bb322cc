"""Choose how large a model is by its errors on held-out entries: clusters, factors, networks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from mixmend.cli.choices import Model, Select
from mixmend.cli.options import Modelling

if TYPE_CHECKING:
    from mixmend.cli.learning import Learned
    from mixmend.observed.matrix import ObservedMatrix

_HOLDOUT_TO_CHOOSE = 0.1
_STEPS = {Model.als: {"tol": 0.0}, Model.neural: {"validation_share": 0.0}}
"""Models that stop early on held-out entries, and what else makes the last fit take as many
steps as were best there."""

_SHRINKAGE = (0.0, 0.01, 0.03, 0.05, 0.1)
"""Regularisation of an autoencoder, as shares of all the squares about the mean."""

_AUTOENCODER_STEPS, _AUTOENCODER_TOL = 100, 1e-4
"""Where its fits end at the latest: what comes after changes errors in the fourth digit, and
those that go on longest are the worst."""


class _Try(NamedTuple):
    model: Any
    row: dict[str, Any]


def chosen_by_heldout(obs: ObservedMatrix, options: Modelling, features: dict[str, Any]) -> Learned:
    """Fit each candidate to a part of the entries, take the best, and fit it to everything.

    Candidates are the sizes asked for, an autoencoder's with several strengths of
    regularisation. Of factors the best size is then tried with what was observed as features,
    too. They stop early, and the last fit takes as many steps as were best on the held-out
    entries. K-means of one given size, which does not, is fitted at once.
    """
    from sklearn.base import clone

    from mixmend.cli.learning import Learned
    from mixmend.observed.holdout import split_entries

    stops = options.model in _STEPS
    models = [
        one for count in options.counts() for one in _MAKERS[options.model](obs, options, count)
    ]
    if len(models) == 1 and not stops:
        model = models[0].fit(obs)
        only = {"n_components": options.counts()[0], "inertia": float(model.inertia_)}
        return Learned(model, [only], "none", 0)
    # another draw than the one that the chosen model is measured on
    train, held_out = split_entries(obs, _HOLDOUT_TO_CHOOSE, random_state=options.random_state + 1)
    tries = [_tried(model, train, held_out, features, stops) for model in models]
    if stops:
        varied = clone(tries[_best(tries)].model).set_params(implicit=True)
        tries.append(_tried(varied, train, held_out, features, stops))
    best = _best(tries)
    final = clone(tries[best].model)
    if stops:
        final.set_params(max_iter=tries[best].row["steps"], **_STEPS[options.model])
    rows = [one.row for one in tries]
    return Learned(final.fit(obs, **features), rows, Select.heldout.value, best)


def _best(tries: list[_Try]) -> int:
    return min(range(len(tries)), key=lambda position: tries[position].row["rmse"])


def _tried(
    model: Any,
    train: ObservedMatrix,
    held_out: ObservedMatrix,
    features: dict[str, Any],
    stops: bool,
) -> _Try:
    """Fit a candidate and measure it."""
    from mixmend.cli.learning import measured, size_of

    start = time.perf_counter()
    stopping = {"validation": held_out} if stops else {}
    with warnings.catch_warnings():
        # what the training part lacks concerns nobody
        warnings.simplefilter("ignore")
        model.fit(train, **stopping, **features)
    if getattr(model, "interrupted_", False):
        raise KeyboardInterrupt  # half a fit is no candidate
    errors = measured(model, train, held_out)
    own = {"steps": model.best_iteration_, "implicit": bool(model.implicit)} if stops else {}
    if hasattr(model, "encoder_"):
        own = {"regularization": model.regularization}
    row = {
        "n_components": size_of(model),
        **own,
        "rmse": errors["rmse"],
        "mae": errors["mae"],
        "log_likelihood": errors["mean_log_likelihood"],
        "coverage": errors["coverage"],
        "seconds": time.perf_counter() - start,
    }
    return _Try(model, row)


def _clusters(obs: ObservedMatrix, options: Modelling, count: int) -> list[Any]:
    from mixmend.mixtures.kmeans import KMeans

    model = KMeans(
        count,
        n_init=options.n_init,
        init=options.init.value,
        max_iter=options.max_iter,
        random_state=options.random_state,
    )
    return [model]


def _factors(obs: ObservedMatrix, options: Modelling, count: int) -> list[Any]:
    """A factorisation whose strengths are learned, not set.

    A matrix with fewer rows or columns than factors were asked for gets as many as it has.
    """
    from mixmend.factors.estimator import MatrixFactorization

    model = MatrixFactorization(
        min(count, *obs.shape),
        center="biases",
        inference="variational",
        init="svd" if count < min(obs.shape) else "random",
        missing_features="unknown",
        max_iter=options.max_iter,
        random_state=options.random_state,
    )
    return [model]


def _network(obs: ObservedMatrix, options: Modelling, count: int) -> list[Any]:
    from mixmend.factors.neural import NeuralFactorization

    model = NeuralFactorization(
        min(count, *obs.shape),
        missing_features="unknown",
        max_iter=options.max_iter,
        random_state=options.random_state,
    )
    return [model]


def _autoencoders(obs: ObservedMatrix, options: Modelling, count: int) -> list[Any]:
    import numpy as np

    from mixmend.factors.autoencoder import LinearAutoencoder

    values = obs.by_row.values
    squares = float(np.sum((values - values.mean(dtype=np.float64)) ** 2, dtype=np.float64))
    return [
        LinearAutoencoder(
            min(count, *obs.shape),
            regularization=share * squares,
            max_iter=min(options.max_iter, _AUTOENCODER_STEPS),
            tol=max(options.tol, _AUTOENCODER_TOL),
            random_state=options.random_state,
        )
        for share in _SHRINKAGE
    ]


_MAKERS: dict[Model, Callable[[ObservedMatrix, Modelling, int], list[Any]]] = {
    Model.autoencoder: _autoencoders,
    Model.kmeans: _clusters,
    Model.als: _factors,
    Model.neural: _network,
}
