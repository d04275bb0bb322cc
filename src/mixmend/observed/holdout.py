"""Which entries are held out, and which rows and columns are too thin to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import DataError
from mixmend.observed.compressed import Compressed, transposed
from mixmend.observed.matrix import ObservedMatrix

RandomState: TypeAlias = int | np.integer[Any] | np.random.Generator | np.random.RandomState | None


def as_generator(random_state: RandomState) -> np.random.Generator:
    """Return a NumPy generator for what scikit-learn calls ``random_state``.

    Parameters
    ----------
    random_state : int, Generator, RandomState or None
        An integer is a seed. A Generator is used as it is. From a RandomState, and for None from
        NumPy's global one (so that ``numpy.random.seed`` reproduces), a seed is drawn.

    Examples
    --------
    >>> int(as_generator(0).integers(100)) == int(as_generator(0).integers(100))
    True
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.default_rng(np.random.randint(0, 2**32, size=4, dtype=np.uint32))
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if isinstance(random_state, bool) or not isinstance(random_state, int | np.integer):
        raise DataError(
            "random_state must be an integer, a numpy Generator or RandomState, or None; "
            f"got {random_state!r}."
        )
    return np.random.default_rng(int(random_state))


def split_entries(
    obs: ObservedMatrix,
    test_size: float = 0.1,
    random_state: RandomState = 0,
    *,
    min_train_per_row: int = 0,
    min_train_per_column: int = 0,
) -> tuple[ObservedMatrix, ObservedMatrix]:
    """Split the observed entries at random into a training and a test matrix.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed.
    test_size : float or int, default 0.1
        Share of the entries to hold out (a float between 0 and 1, rounded to the nearest whole
        number of entries) or their number (an int).
    random_state : int, Generator, RandomState or None, default 0
        Where the randomness comes from.
    min_train_per_row, min_train_per_column : int, default 0
        Every row (column) keeps at least so many training entries, or all it has.

    Returns
    -------
    train, test : ObservedMatrix
        Of the same shape, labels and row weights; disjoint, and together all entries.

    Raises
    ------
    DataError
        If ``test_size`` is out of range, or more than can be held out under the minima.

    Notes
    -----
    Every subset of the size asked is equally likely. With minima, entries are tried in random
    order and held out where their row and column can spare them.

    Examples
    --------
    >>> import numpy as np
    >>> obs = ObservedMatrix.from_dense(np.arange(20.0).reshape(4, 5))
    >>> train, test = split_entries(obs, test_size=0.25, random_state=1)
    >>> train.n_observed, test.n_observed
    (15, 5)
    """
    train, test = draw_entries(
        obs,
        [test_size],
        random_state,
        min_train_per_row=min_train_per_row,
        min_train_per_column=min_train_per_column,
    )
    return train, test


def draw_entries(
    obs: ObservedMatrix,
    sizes: Sequence[float],
    random_state: RandomState = 0,
    *,
    min_train_per_row: int = 0,
    min_train_per_column: int = 0,
) -> tuple[ObservedMatrix, ...]:
    """Draw several disjoint random parts of the entries, such as validation and test.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed.
    sizes : sequence of float or int
        Size of each part: a share of all entries (float) or a number of entries (int).
    random_state : int, Generator, RandomState or None, default 0
        Where the randomness comes from.
    min_train_per_row, min_train_per_column : int, default 0
        Every row (column) keeps at least so many entries outside the parts, or all it has.

    Returns
    -------
    tuple of ObservedMatrix, length ``1 + len(sizes)``
        What is left for training, then the parts; disjoint, and together all entries.

    Raises
    ------
    DataError
        If a size is out of range, or the parts take more than there is.

    Examples
    --------
    >>> import numpy as np
    >>> obs = ObservedMatrix.from_dense(np.arange(20.0).reshape(4, 5))
    >>> train, validation, test = draw_entries(obs, [4, 0.25], random_state=1)
    >>> train.n_observed, validation.n_observed, test.n_observed
    (11, 4, 5)
    """
    counts = [_whole_size(size, obs.n_observed) for size in sizes]
    if len(counts) > np.iinfo(np.uint8).max:
        raise DataError(f"At most 255 parts can be drawn at once; got {len(counts)}.")
    total = sum(counts)
    if total > obs.n_observed:
        raise DataError(
            f"The parts take {total} entries but only {obs.n_observed} are observed: ask for fewer."
        )
    generator = as_generator(random_state)
    labels = np.repeat(np.arange(1, len(counts) + 1, dtype=np.uint8), counts)
    if min_train_per_row > 0 or min_train_per_column > 0:
        taken = _spared_entries(obs, total, min_train_per_row, min_train_per_column, generator)
        groups = np.zeros(obs.n_observed, np.uint8)
        groups[taken] = generator.permutation(labels)
    else:
        groups = np.zeros(obs.n_observed, np.uint8)
        groups[:total] = labels
        generator.shuffle(groups)
    return tuple(_part(obs, groups, group) for group in range(len(counts) + 1))


def fold_entries(
    obs: ObservedMatrix, n_folds: int = 5, random_state: RandomState = 0
) -> Iterator[tuple[ObservedMatrix, ObservedMatrix]]:
    """Yield (train, test) for each of ``n_folds`` random folds of the observed entries.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed.
    n_folds : int, default 5
        At least 2, at most the number of entries (and 255).
    random_state : int, Generator, RandomState or None, default 0
        Where the randomness comes from.

    Yields
    ------
    train, test : ObservedMatrix
        Of the same shape and labels. Each entry is in the test part exactly once; the folds'
        sizes differ by one entry at most.

    Raises
    ------
    DataError
        If ``n_folds`` is out of range (at the call, not at the first fold).

    Examples
    --------
    >>> import numpy as np
    >>> obs = ObservedMatrix.from_dense(np.arange(10.0).reshape(2, 5))
    >>> [test.n_observed for train, test in fold_entries(obs, 3)]
    [4, 3, 3]
    """
    most = min(obs.n_observed, 255)
    if not 2 <= n_folds <= most:
        raise DataError(
            f"n_folds must lie between 2 and {most} for {obs.n_observed} entries; got {n_folds}."
        )
    sizes = np.full(n_folds, obs.n_observed // n_folds)
    sizes[: obs.n_observed % n_folds] += 1
    folds = np.repeat(np.arange(n_folds, dtype=np.uint8), sizes)
    as_generator(random_state).shuffle(folds)
    return (
        (_part(obs, (folds != fold).view(np.uint8), 1), _part(obs, folds, fold))
        for fold in range(n_folds)
    )


class FilteredEntries(NamedTuple):
    """What `filter_min_entries` keeps.

    Attributes
    ----------
    matrix : ObservedMatrix
        The rows and columns that are left.
    rows, columns : ndarray of int64
        Their positions in the matrix that was filtered.
    """

    matrix: ObservedMatrix
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def filter_min_entries(obs: ObservedMatrix, min_entries: int) -> FilteredEntries:
    """Remove rows and columns with at most ``min_entries`` entries until none is left.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed.
    min_entries : int
        Every row and column that stays has *more* entries than this among what stays; 0 removes
        just the empty ones.

    Returns
    -------
    FilteredEntries
        The filtered matrix (possibly empty) and the positions that were kept.

    Raises
    ------
    DataError
        If ``min_entries`` is negative.

    Notes
    -----
    The result does not depend on the order of removal: it is the largest part in which nothing
    is too thin. Each entry is looked at twice at most, however many rounds it takes.

    Examples
    --------
    >>> obs = ObservedMatrix.from_triplets([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [5, 4, 3, 2, 1])
    >>> filter_min_entries(obs, 1).matrix.dense
    array([[5., 4.],
           [3., 2.]])
    """
    if min_entries < 0:
        raise DataError(f"min_entries must not be negative; got {min_entries}.")
    row_kept, column_kept = _thick_enough(obs, min_entries)
    rows, columns = np.flatnonzero(row_kept), np.flatnonzero(column_kept)
    return FilteredEntries(obs.select_rows(rows).select_columns(columns), rows, columns)


class CentredRows(NamedTuple):
    """What `subtract_row_means` returns.

    Attributes
    ----------
    matrix : ObservedMatrix
        The same cells, less their row's mean.
    means : ndarray of float64, shape (n,)
        Mean of each row's observed values; NaN where nothing was observed.
    """

    matrix: ObservedMatrix
    means: NDArray[np.float64]


def subtract_row_means(obs: ObservedMatrix) -> CentredRows:
    """Subtract from each value the mean of its row's observed values.

    A value that becomes 0 stays observed. Sums are in double precision.

    Parameters
    ----------
    obs : ObservedMatrix
        What was observed.

    Returns
    -------
    CentredRows
        The centred matrix and the means.

    Examples
    --------
    >>> obs = ObservedMatrix.from_dense([[1.0, None, 3.0], [5, 5, 5]])
    >>> centred, means = subtract_row_means(obs)
    >>> centred.dense
    array([[-1., nan,  1.],
           [ 0.,  0.,  0.]])
    >>> means
    array([2., 5.])
    """
    view = obs.by_row
    from mixmend.kernels.compress import line_means, subtract_by_line

    means = line_means(view.pointers, view.values)
    return CentredRows(obs.with_values(subtract_by_line(view.pointers, view.values, means)), means)


# ---------------------------------------------------------------------- the pieces


def _whole_size(size: float, n_observed: int) -> int:
    if isinstance(size, int | np.integer) and not isinstance(size, bool):
        count = int(size)
        if 0 <= count <= n_observed:
            return count
    elif isinstance(size, float | np.floating) and 0.0 <= size <= 1.0:
        return round(float(size) * n_observed)
    raise DataError(
        "A size must be a share between 0.0 and 1.0 (float) or a number of entries between 0 and "
        f"{n_observed} (int); got {size!r}."
    )


def _thick_enough(
    obs: ObservedMatrix, min_entries: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows and columns stay; the columns' view is dropped again unless it was there."""
    from mixmend.kernels.compress import peel_lines

    by_row = obs.by_row
    by_column = obs.by_column if "by_column" in obs.__dict__ else transposed(by_row, obs.shape[1])
    row_kept, column_kept = peel_lines(*by_row[:2], *by_column[:2], min_entries)
    return row_kept, column_kept


def _part(obs: ObservedMatrix, groups: NDArray[Any], group: int) -> ObservedMatrix:
    from mixmend.kernels.compress import take_group

    view = obs.by_row
    return ObservedMatrix(
        obs.shape,
        by_row=Compressed(*take_group(*view, groups, group)),
        row_labels=obs.row_labels if obs.has_row_labels else None,
        column_labels=obs.column_labels if obs.has_column_labels else None,
        row_weights=obs.row_weights,
    )


def _spared_entries(
    obs: ObservedMatrix, count: int, per_row: int, per_column: int, generator: np.random.Generator
) -> NDArray[Any]:
    """Entries (by place in ``by_row``) that can be held out, found in random order."""
    from mixmend.kernels.compress import spare_entries

    narrow = np.uint32 if obs.n_observed <= np.iinfo(np.uint32).max else np.uint64
    order = np.arange(obs.n_observed, dtype=narrow)
    generator.shuffle(order)
    view = obs.by_row
    taken: NDArray[Any] = spare_entries(
        order,
        view.pointers,
        view.indices,
        obs.row_counts - per_row,
        obs.column_counts - per_column,
        count,
    )
    if len(taken) < count:
        raise DataError(
            f"Only {len(taken)} of {count} entries could be held out while leaving "
            f"{per_row} per row and {per_column} per column: lower the size or the minima."
        )
    return taken
