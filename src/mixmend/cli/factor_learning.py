"""Choose the number of factors of a matrix factorisation on held-out entries."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

from mixmend.cli.options import Modelling, Select

if TYPE_CHECKING:
    from mixmend.cli.learning import Learned
    from mixmend.factors.estimator import MatrixFactorization
    from mixmend.observed.matrix import ObservedMatrix

_HOLDOUT_TO_CHOOSE = 0.1


def factors(obs: ObservedMatrix, options: Modelling, rank: int) -> MatrixFactorization:
    """The factorisation that is fitted: its strengths are learned, not set.

    A matrix with fewer rows or columns than factors were asked for gets as many as it has.
    """
    from mixmend.factors.estimator import MatrixFactorization

    return MatrixFactorization(
        min(rank, *obs.shape),
        center="biases",
        inference="variational",
        init="svd" if rank < min(obs.shape) else "random",
        max_iter=options.max_iter,
        random_state=options.random_state,
    )


def chosen_factors(obs: ObservedMatrix, options: Modelling) -> Learned:
    """Fit each number of factors with early stopping, take the best, and fit it to everything.

    The last fit takes as many steps as were best on the held-out entries.
    """
    from sklearn.base import clone

    from mixmend.cli.learning import Learned, measured
    from mixmend.observed.holdout import split_entries

    # another draw than the one that the chosen model is measured on
    train, held_out = split_entries(obs, _HOLDOUT_TO_CHOOSE, random_state=options.random_state + 1)
    candidates: list[dict[str, Any]] = []
    models = []
    for rank in options.counts():
        start = time.perf_counter()
        with warnings.catch_warnings():
            # what the training part lacks concerns nobody
            warnings.simplefilter("ignore")
            model = factors(train, options, rank).fit(train, validation=held_out)
        if model.interrupted_:
            raise KeyboardInterrupt  # half a fit is no candidate
        errors = measured(model, train, held_out)
        models.append(model)
        candidates.append(
            {
                "n_components": model.n_factors,
                "steps": model.best_iteration_,
                "rmse": errors["rmse"],
                "mae": errors["mae"],
                "log_likelihood": errors["mean_log_likelihood"],
                "coverage": errors["coverage"],
                "seconds": time.perf_counter() - start,
            }
        )
    best = min(range(len(models)), key=lambda position: candidates[position]["rmse"])
    steps = {"max_iter": candidates[best]["steps"], "tol": 0.0}
    final = clone(models[best]).set_params(**steps).fit(obs)
    return Learned(final, candidates, Select.heldout.value, best)
