"""Choose how large a model is by its errors on held-out entries: clusters, factors, networks."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from mixmend.cli.options import Model, Modelling, Select

if TYPE_CHECKING:
    from mixmend.cli.learning import Learned
    from mixmend.observed.matrix import ObservedMatrix

_HOLDOUT_TO_CHOOSE = 0.1
_STEPS = {Model.als: {"tol": 0.0}, Model.neural: {"validation_share": 0.0}}
"""Models that stop early on held-out entries, and what else makes the last fit take as many
steps as were best there."""


class _Try(NamedTuple):
    model: Any
    row: dict[str, Any]


def chosen_by_heldout(obs: ObservedMatrix, options: Modelling, features: dict[str, Any]) -> Learned:
    """Fit each size to a part of the entries, take the best, and fit it to everything.

    Factors stop early, and the last fit takes as many steps as were best on the held-out
    entries. K-means of one given size, which does not, is fitted at once.
    """
    from mixmend.cli.learning import Learned, measured
    from mixmend.observed.holdout import split_entries

    make, counts = _MAKERS[options.model], options.counts()
    stops = options.model in _STEPS
    if len(counts) == 1 and not stops:
        model = make(obs, options, counts[0]).fit(obs)
        only = {"n_components": counts[0], "inertia": float(model.inertia_)}
        return Learned(model, [only], "none", 0)
    # another draw than the one that the chosen model is measured on
    train, held_out = split_entries(obs, _HOLDOUT_TO_CHOOSE, random_state=options.random_state + 1)
    tries = []
    for count in counts:
        start = time.perf_counter()
        stopping = {"validation": held_out} if stops else {}
        with warnings.catch_warnings():
            # what the training part lacks concerns nobody
            warnings.simplefilter("ignore")
            model = make(train, options, count).fit(train, **stopping, **features)
        if getattr(model, "interrupted_", False):
            raise KeyboardInterrupt  # half a fit is no candidate
        errors = measured(model, train, held_out)
        row = {
            "n_components": count,
            **({"steps": model.best_iteration_} if stops else {}),
            "rmse": errors["rmse"],
            "mae": errors["mae"],
            "log_likelihood": errors["mean_log_likelihood"],
            "coverage": errors["coverage"],
            "seconds": time.perf_counter() - start,
        }
        tries.append(_Try(model, row))
    best = min(range(len(tries)), key=lambda position: tries[position].row["rmse"])
    rows = [one.row for one in tries]
    final = make(obs, options, counts[best])
    if stops:
        final.set_params(max_iter=rows[best]["steps"], **_STEPS[options.model])
    return Learned(final.fit(obs, **features), rows, Select.heldout.value, best)


def _clusters(obs: ObservedMatrix, options: Modelling, count: int) -> Any:
    from mixmend.mixtures.kmeans import KMeans

    return KMeans(
        count,
        n_init=options.n_init,
        init=options.init.value,
        max_iter=options.max_iter,
        random_state=options.random_state,
    )


def _factors(obs: ObservedMatrix, options: Modelling, count: int) -> Any:
    """A factorisation whose strengths are learned, not set.

    A matrix with fewer rows or columns than factors were asked for gets as many as it has.
    """
    from mixmend.factors.estimator import MatrixFactorization

    return MatrixFactorization(
        min(count, *obs.shape),
        center="biases",
        inference="variational",
        init="svd" if count < min(obs.shape) else "random",
        missing_features="unknown",
        max_iter=options.max_iter,
        random_state=options.random_state,
    )


def _network(obs: ObservedMatrix, options: Modelling, count: int) -> Any:
    from mixmend.factors.neural import NeuralFactorization

    return NeuralFactorization(
        min(count, *obs.shape),
        missing_features="unknown",
        max_iter=options.max_iter,
        random_state=options.random_state,
    )


_MAKERS: dict[Model, Callable[[ObservedMatrix, Modelling, int], Any]] = {
    Model.kmeans: _clusters,
    Model.als: _factors,
    Model.neural: _network,
}
