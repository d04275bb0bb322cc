"""Models side by side on the same held-out entries."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.completion import predictive
from mixmend.errors import DataError, EmptyEntityWarning, MixmendError
from mixmend.evaluation import metrics
from mixmend.evaluation.ordering import COUNT_EDGES, errors_by_count, ranking
from mixmend.evaluation.table import EvaluationTable, FoldResult, SplitFacts
from mixmend.observed.compressed import Compressed, line_blocks
from mixmend.observed.matrix import ObservedMatrix
from mixmend.progress import track

Split: TypeAlias = tuple[ObservedMatrix, ObservedMatrix]

_CALLS = {
    "predictive": "predictive(train, rows, columns)",
    "complete": "complete(train, return_std=True)",
    "transform": "transform(train)",
}


def evaluate_models(
    models: Mapping[str, Any],
    splits: Split | Iterable[Split],
    *,
    level: float = 0.9,
    chunk_size: int = 1_000_000,
    count_edges: Sequence[int] = COUNT_EDGES,
    progress: Callable[[FoldResult], None] | None = None,
) -> EvaluationTable:
    """Fit each model to each training part and compare it with what was held out.

    Parameters
    ----------
    models : mapping of str to estimator or factory
        What to compare, by name: unfitted estimators (they are cloned, and stay as they
        are) or functions and classes that make one without arguments. Each must offer
        ``fit(train)`` and ``predictive(train, rows, columns)``.
    splits : (train, test) or iterable of such pairs
        Two matrices of the same shape, without a common entry: from
        `mixmend.fold_entries`, `mixmend.split_entries` or, for files, `align_labels`.
        They are taken one at a time, so a generator saves memory.
    level : float, default 0.9
        Probability of the central intervals whose coverage is measured.
    chunk_size : int, default 1_000_000
        Most held-out entries whose distributions are held at once.
    count_edges : sequence of int, default (0, 1, 5, 20, 100)
        Errors are told apart by how many training entries a row (column) had, too: each
        group goes from one of these numbers up to the next less one.
    progress : callable, optional
        Called with each FoldResult as soon as it is known.

    Returns
    -------
    EvaluationTable
        Root mean squared error, mean absolute error, mean log-likelihood of held-out
        entries, interval coverage, order (NDCG and recall of the first 10 among each row's
        held-out entries) and times; per fold, and as mean ± standard error. ``by_count``
        gives the errors of rows and columns of which little or nothing was known.

    Raises
    ------
    DataError
        If the parts of a split do not belong together or nothing was held out.
    MixmendError
        If there is no model or no split, or an option is out of range.

    Examples
    --------
    >>> from mixmend.datasets import make_ratings
    >>> from mixmend.evaluation import GlobalMean, RowColumnBiases
    >>> X = make_ratings(300, 100, 6000)
    >>> rows, columns, values = X.entries()
    >>> test = np.arange(len(values)) % 10 == 0
    >>> split = tuple(
    ...     type(X).from_triplets(rows[part], columns[part], values[part], X.shape)
    ...     for part in (~test, test)
    ... )
    >>> table = evaluate_models({"mean": GlobalMean(), "biases": RowColumnBiases}, split)
    >>> table.models
    ['mean', 'biases']
    >>> table.summary("biases")["rmse"].mean < table.summary("mean")["rmse"].mean
    True
    """
    if not models:
        raise MixmendError("there is no model to evaluate; give at least one.")
    if not 0 < level < 1:
        raise MixmendError(f"level must lie between 0 and 1; got {level}.")
    if chunk_size < 1:
        raise MixmendError(f"chunk_size must be at least 1; got {chunk_size}.")
    pairs: Iterable[Any] = [splits] if _is_split(splits) else splits
    total = len(models) * len(pairs) if isinstance(pairs, Sized) else None
    results: list[FoldResult] = []
    facts: list[SplitFacts] = []
    with track("evaluating", total=total) as tracker:
        for fold, pair in enumerate(pairs, start=1):
            facts.append(_facts(fold, pair))
            for name, model in models.items():
                tracker.update(0, model=name, fold=fold)
                try:
                    with warnings.catch_warnings():  # the table counts them itself
                        warnings.simplefilter("ignore", EmptyEntityWarning)
                        result = _evaluated(name, model, fold, pair, level, chunk_size, count_edges)
                except Exception as error:
                    error.add_note(f"while evaluating {name!r} on fold {fold}")
                    raise
                results.append(result)
                tracker.update(1)
                if progress is not None:
                    progress(result)
    if not results:
        raise MixmendError("there is no split to evaluate on; give at least one (train, test).")
    return EvaluationTable(tuple(results), tuple(facts), level)


def _evaluated(
    name: str,
    model: Any,
    fold: int,
    pair: Split,
    level: float,
    chunk_size: int,
    count_edges: Sequence[int],
) -> FoldResult:
    train, test = pair
    estimator = fresh(name, model)
    start = time.perf_counter()
    estimator.fit(train)
    fit_seconds = time.perf_counter() - start
    rows, columns, truth = test.entries()
    estimate = np.empty(len(truth))
    log_likelihood = coverage = predict_seconds = 0.0
    for first in range(0, len(truth), chunk_size):
        part = slice(first, first + chunk_size)
        start = time.perf_counter()
        if len(truth) <= chunk_size:
            p = estimator.predictive(train, rows, columns)
        else:  # entries are ordered by row: a chunk needs only its own rows
            lowest, highest = int(rows[part][0]), int(rows[part][-1])
            own = train.select_rows(slice(lowest, highest + 1))
            p = estimator.predictive(own, rows[part] - lowest, columns[part])
        estimate[part] = predictive.mean(p)
        predict_seconds += time.perf_counter() - start
        share = len(truth[part]) / len(truth)
        log_likelihood += share * metrics.mean_log_likelihood(p, truth[part])
        coverage += share * metrics.interval_coverage(p, truth[part], level)
    order = ranking(rows, truth, estimate)
    by_row, by_column = (
        tuple(errors_by_count(train, test, estimate, axis, count_edges))
        for axis in ("row", "column")
    )
    return FoldResult(
        model=name,
        fold=fold,
        rmse=metrics.rmse(truth, estimate),
        mae=metrics.mae(truth, estimate),
        mean_log_likelihood=log_likelihood,
        coverage=coverage,
        fit_seconds=fit_seconds,
        predict_seconds=predict_seconds,
        ndcg=order.ndcg,
        recall=order.recall,
        by_row_count=by_row,
        by_column_count=by_column,
    )


def fresh(name: str, model: Any, verbs: Sequence[str] = ("predictive",)) -> Any:
    """Make an unfitted estimator that belongs to nobody else.

    Parameters
    ----------
    name : str
        What the model is called, for messages.
    model : estimator, class or function
        An estimator is cloned; a class or function is called without arguments.
    verbs : sequence of str, default ("predictive",)
        Methods of which the estimator must offer one, besides ``fit``.

    Raises
    ------
    MixmendError
        If it does not.
    """
    if isinstance(model, type) or (callable(model) and not hasattr(model, "fit")):
        estimator = model()
    elif hasattr(model, "get_params"):
        from sklearn.base import clone

        estimator = clone(model)
    else:
        estimator = copy.deepcopy(model)
    lacking = [] if hasattr(estimator, "fit") else ["fit"]
    if not any(hasattr(estimator, verb) for verb in verbs):
        lacking.append(" or ".join(verbs))
    if lacking:
        calls = " or ".join(_CALLS[verb] for verb in verbs)
        raise MixmendError(
            f"model {name!r} ({type(estimator).__name__}) has no method "
            f"{' and no '.join(lacking)}; a model must offer fit(train) and {calls}."
        )
    return estimator


def _is_split(splits: Any) -> bool:
    return (
        isinstance(splits, tuple)
        and len(splits) == 2
        and all(isinstance(part, ObservedMatrix) for part in splits)
    )


def _facts(fold: int, pair: Any) -> SplitFacts:
    if not _is_split(pair):
        raise DataError(f"split {fold} must be a pair (train, test) of ObservedMatrix.")
    train, test = pair
    if train.shape != test.shape:
        raise DataError(
            f"split {fold}: train is {_size(train)} and test {_size(test)}; both need the same "
            "rows and columns. align_labels(train, test) puts two files on common ones."
        )
    for axis in ("row", "column"):
        labels = [getattr(part, f"{axis}_labels") for part in pair]
        labelled = all(getattr(part, f"has_{axis}_labels") for part in pair)
        if labelled and not np.array_equal(*labels):
            raise DataError(
                f"split {fold}: train and test have different {axis} labels; "
                "put them on common ones by align_labels(train, test)."
            )
    if test.n_observed == 0:
        raise DataError(f"split {fold}: nothing was held out; the test matrix has no entry.")
    _refuse_common_entries(fold, train, test)
    lone_rows, lone_columns = train.row_counts == 0, train.column_counts == 0
    rows, columns, _ = test.entries()
    return SplitFacts(
        fold=fold,
        n_train=train.n_observed,
        n_test=test.n_observed,
        cold_rows=int(np.count_nonzero(lone_rows & (test.row_counts > 0))),
        cold_columns=int(np.count_nonzero(lone_columns & (test.column_counts > 0))),
        cold_entries=int(np.count_nonzero(lone_rows[rows] | lone_columns[columns])),
    )


def _refuse_common_entries(fold: int, train: ObservedMatrix, test: ObservedMatrix) -> None:
    """Held-out entries that the models may see would make every error too small."""
    known, asked = train.by_row, test.by_row
    common, first = 0, (0, 0)
    for lines, span in line_blocks(known.pointers):
        other = slice(int(asked.pointers[lines.start]), int(asked.pointers[lines.stop]))
        in_train = _cell_numbers(known, lines, span, train.shape[1])
        in_test = _cell_numbers(asked, lines, other, train.shape[1])
        place = np.searchsorted(in_train, in_test)  # both are in increasing order
        there = place < len(in_train)
        there[there] = in_train[place[there]] == in_test[there]
        if there.any() and not common:
            first = divmod(int(in_test[there][0]), train.shape[1])
        common += int(np.count_nonzero(there))
    if common:
        raise DataError(
            f"split {fold}: {common} of {test.n_observed} held-out entries are in the training "
            f"part too, the first in row {test.row_labels[first[0]]}, "
            f"column {test.column_labels[first[1]]}. Take them out of one of the two."
        )


def _cell_numbers(view: Compressed, lines: slice, span: slice, d: int) -> NDArray[np.int64]:
    """Number the cells of the entries of a block of rows, counted along the rows."""
    counts = np.diff(view.pointers[lines.start : lines.stop + 1])
    rows = np.repeat(np.arange(lines.start, lines.stop, dtype=np.int64), counts)
    return rows * d + view.indices[span]


def _size(matrix: ObservedMatrix) -> str:
    return f"{matrix.shape[0]} × {matrix.shape[1]}"
