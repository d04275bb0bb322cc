"""Imputers side by side on cells of real tables that were hidden from them."""

from __future__ import annotations

import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.completion import predictive
from mixmend.completion.predictive import Predictive
from mixmend.errors import DataError, MixmendError
from mixmend.evaluation import metrics
from mixmend.evaluation.harness import fresh
from mixmend.evaluation.imputation_table import Failure, ImputationResult, ImputationTable, Scenario
from mixmend.evaluation.masking import MASKS, Masked
from mixmend.evaluation.table import FoldResult, SplitFacts
from mixmend.observed.convert import as_observed
from mixmend.progress import track

Array: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = str | Callable[..., Masked]


class _Task(NamedTuple):
    """A table with hidden cells, standardised, and what they held."""

    train: Array
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    truth: Array


def evaluate_imputers(
    models: Mapping[str, Any],
    data: Any,
    masks: str | Sequence[str] | Mapping[str, Mask] = "mcar",
    rates: float | Sequence[float] = 0.3,
    repeats: int = 5,
    *,
    level: float = 0.9,
    standardize: bool = True,
    random_state: int = 0,
    progress: Callable[[ImputationResult | Failure], None] | None = None,
) -> ImputationTable:
    """Hide cells that are known, let each model fill them, and compare.

    Parameters
    ----------
    models : mapping of str to estimator or factory
        What to compare, by name: unfitted estimators (they are cloned, and stay as they
        are) or functions and classes that make one without arguments. Each must offer
        ``fit(X)`` and one of ``predictive(X, rows, columns)``,
        ``complete(X, return_std=True)`` and ``transform(X)``, which are tried in this
        order. The first two say how sure they are. Of the last only errors are measured,
        unless there is ``transform_std(X)`` too (as `mixmend.MixtureImputer` has); standard
        deviations are taken for those of normal distributions.
    data : table or mapping of str to table
        One table (array, data frame, ObservedMatrix) or several by name, each (n, d) and
        possibly with holes: only observed cells are hidden.
    masks : str, sequence of str or mapping of str to callable, default "mcar"
        Names in `mixmend.evaluation.MASKS` (mcar, mar, mar-threshold, mnar,
        mnar-logistic), or functions called as ``mask(X, rate, random_state=seed)`` that
        return a `Masked`.
    rates : float or sequence of float, default 0.3
        Shares of cells to hide.
    repeats : int, default 5
        How often each combination is drawn anew; standard errors are over repeats.
    level : float, default 0.9
        Probability of the central intervals whose coverage is measured.
    standardize : bool, default True
        Whether models see, and errors are measured in, columns of mean 0 and standard
        deviation 1 over what is left of them after hiding. False leaves the units.
    random_state : int, default 0
        Seed of the masks. What is hidden in a combination of table, mask, rate and repeat
        does not depend on what else is evaluated.
    progress : callable, optional
        Called with each ImputationResult or Failure as soon as it is known.

    Returns
    -------
    ImputationTable
        Errors, log-likelihood, coverage, calibration and times by table, mask, rate and
        model. A model that raised, or left a cell without a finite number, is in its
        ``failures`` with the message.

    Raises
    ------
    DataError
        If a table cannot be used, or a mask cannot hide that many of its cells.
    MixmendError
        If there is no model, or an option is out of range.

    Examples
    --------
    >>> import numpy as np, mixmend as mm
    >>> from sklearn.impute import KNNImputer, SimpleImputer
    >>> x = np.random.default_rng(0).normal(size=(300, 1))
    >>> X = x + 0.3 * np.random.default_rng(1).normal(size=(300, 4))
    >>> table = evaluate_imputers({"mean": SimpleImputer(), "knn": KNNImputer()}, X, repeats=2)
    >>> folds = table.evaluation("data", "mcar", 0.3)
    >>> folds.summary("knn")["rmse"].mean < 0.6 < 0.9 < folds.summary("mean")["rmse"].mean
    True
    """
    if not models:
        raise MixmendError("there is no model to evaluate; give at least one.")
    if not 0 < level < 1:
        raise MixmendError(f"level must lie between 0 and 1; got {level}.")
    if isinstance(repeats, bool) or not isinstance(repeats, int | np.integer) or repeats < 1:
        raise MixmendError(f"repeats must be a whole number >= 1; got {repeats!r}.")
    tables = _tables(data)
    mechanisms = _mechanisms(masks)
    shares = tuple(float(rate) for rate in np.atleast_1d(np.asarray(rates, np.float64)))
    scenarios = [
        (Scenario(name, mask, rate), repeat)
        for name in tables
        for mask in mechanisms
        for rate in shares
        for repeat in range(1, repeats + 1)
    ]
    results: list[ImputationResult] = []
    failures: list[Failure] = []
    facts: dict[Scenario, list[SplitFacts]] = {}
    with track("evaluating", total=len(models) * len(scenarios)) as tracker:
        for scenario, repeat in scenarios:
            seed = _seed(random_state, scenario, repeat)
            table = tables[scenario.data]
            masked = mechanisms[scenario.mask](table, scenario.rate, random_state=seed)
            task = _task(scenario, table, masked, standardize)
            facts.setdefault(scenario, []).append(_facts(repeat, task))
            for name, model in models.items():
                tracker.update(0, model=name, data=scenario.data, mask=scenario.mask)
                outcome = _outcome(name, model, scenario, repeat, task, level)
                if isinstance(outcome, Failure):
                    failures.append(outcome)
                else:
                    results.append(outcome)
                tracker.update(1)
                if progress is not None:
                    progress(outcome)
    return ImputationTable(
        tuple(models),
        tuple(results),
        tuple(failures),
        {scenario: tuple(of) for scenario, of in facts.items()},
        level,
    )


def _outcome(
    name: str, model: Any, scenario: Scenario, repeat: int, task: _Task, level: float
) -> ImputationResult | Failure:
    """Measure one model; what goes wrong inside it is a result, too."""
    verbs = ("predictive", "complete", "transform")
    estimator = fresh(name, model, verbs)  # a wrong model is the caller's mistake, not a result
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            start = time.perf_counter()
            estimator.fit(task.train.copy())
            fitted = time.perf_counter()
            beliefs, estimate = _answer(estimator, task)
            done = time.perf_counter()
        except Exception as error:
            return Failure(name, scenario, repeat, f"{type(error).__name__}: {error}")
    told = tuple(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught))
    wrong = ~np.isfinite(estimate)
    if wrong.any():
        return Failure(
            name,
            scenario,
            repeat,
            f"{int(wrong.sum())} of {len(estimate)} hidden cells did not get a finite number.",
        )
    held = None if beliefs is None else metrics.calibration(beliefs, task.truth, _levels(level))
    result = FoldResult(
        model=name,
        fold=repeat,
        rmse=metrics.rmse(task.truth, estimate),
        mae=metrics.mae(task.truth, estimate),
        mean_log_likelihood=(
            np.nan if beliefs is None else metrics.mean_log_likelihood(beliefs, task.truth)
        ),
        coverage=(
            np.nan if beliefs is None else metrics.interval_coverage(beliefs, task.truth, level)
        ),
        fit_seconds=fitted - start,
        predict_seconds=done - fitted,
    )
    return ImputationResult(scenario, result, held, told)


def _answer(estimator: Any, task: _Task) -> tuple[Predictive | None, Array]:
    """What a fitted model believes of the hidden cells, and its one best guess."""
    X = task.train.copy()
    if hasattr(estimator, "predictive"):
        beliefs = estimator.predictive(X, task.rows, task.columns)
        return beliefs, predictive.mean(beliefs)
    if hasattr(estimator, "complete"):
        filled, std = (_cells(part, task) for part in estimator.complete(X, return_std=True))
    else:
        filled = _cells(estimator.transform(X), task)
        if not hasattr(estimator, "transform_std"):
            return None, filled
        std = _cells(estimator.transform_std(task.train.copy()), task)
    sure = np.isfinite(filled).all() and np.isfinite(std).all()
    return (predictive.gaussian(filled, std * std) if sure else None), filled


def _cells(filled: Any, task: _Task) -> Array:
    to_numpy = getattr(filled, "to_numpy", None)
    array = np.asarray(filled if to_numpy is None else to_numpy(), np.float64)
    if array.shape != task.train.shape:
        raise DataError(
            f"the filled table is {' × '.join(map(str, array.shape))}, "
            f"not {' × '.join(map(str, task.train.shape))} as the one given."
        )
    return np.asarray(array[task.rows, task.columns])


def _task(scenario: Scenario, table: Array, masked: Masked, standardize: bool) -> _Task:
    values, mask = masked
    if mask.shape != table.shape or not mask.any() or not np.isfinite(table[mask]).all():
        raise DataError(
            f"mask {scenario.mask!r} must hide at least one observed cell of "
            f"{scenario.data!r}, and only observed ones."
        )
    if not np.isnan(values[mask]).all():
        raise DataError(
            f"mask {scenario.mask!r} left values in cells that it calls hidden; "
            "they must be NaN, or models could read them."
        )
    mean, scale = np.zeros(table.shape[1]), np.ones(table.shape[1])
    if standardize:
        seen = ~np.isnan(values)
        count = np.maximum(seen.sum(axis=0), 1)
        mean = np.where(seen, values, 0.0).sum(axis=0) / count
        centred = np.where(seen, values - mean, 0.0)
        scale = np.sqrt((centred * centred).sum(axis=0) / count)
        # a constant column keeps its unit
        scale = np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)
    rows, columns = (at.astype(np.int64) for at in np.nonzero(mask))
    truth = (table[mask] - mean[columns]) / scale[columns]
    return _Task((values - mean) / scale, rows, columns, truth)


def _facts(repeat: int, task: _Task) -> SplitFacts:
    seen = ~np.isnan(task.train)
    lone_rows, lone_columns = seen.sum(axis=1) == 0, seen.sum(axis=0) == 0
    return SplitFacts(
        fold=repeat,
        n_train=int(seen.sum()),
        n_test=len(task.truth),
        cold_rows=len(np.unique(task.rows[lone_rows[task.rows]])),
        cold_columns=len(np.unique(task.columns[lone_columns[task.columns]])),
        cold_entries=int((lone_rows[task.rows] | lone_columns[task.columns]).sum()),
    )


def _tables(data: Any) -> dict[str, Array]:
    named = data if isinstance(data, Mapping) else {"data": data}
    if not named:
        raise MixmendError("there is no table to evaluate on; give at least one.")
    tables = {}
    for name, table in named.items():
        try:
            tables[str(name)] = np.array(as_observed(table).dense, np.float64)
        except DataError as error:
            error.add_note(f"in table {name!r}")
            raise
    return tables


def _mechanisms(
    masks: str | Sequence[str] | Mapping[str, Mask],
) -> dict[str, Callable[..., Masked]]:
    if isinstance(masks, Mapping):
        named: dict[str, Mask] = dict(masks)
    else:
        named = {name: name for name in ([masks] if isinstance(masks, str) else masks)}
    return dict(_resolved(named))


def _resolved(named: Mapping[str, Mask]) -> Iterator[tuple[str, Callable[..., Masked]]]:
    if not named:
        raise MixmendError(f"there is no mask; choose from {', '.join(MASKS)}.")
    for name, mask in named.items():
        if isinstance(mask, str):
            if mask not in MASKS:
                raise MixmendError(f"no mask is called {mask!r}; choose from {', '.join(MASKS)}.")
            yield name, MASKS[mask]
        else:
            yield name, mask


def _seed(random_state: int, scenario: Scenario, repeat: int) -> np.random.Generator:
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise MixmendError(f"random_state must be a whole number; got {random_state!r}.")
    words = f"{scenario.data}\0{scenario.mask}\0{scenario.rate!r}\0{repeat}".encode()
    return np.random.default_rng([int(random_state), zlib.crc32(words)])


def _levels(level: float) -> list[float]:
    return sorted({*metrics.DEFAULT_LEVELS, level})
