"""Features of rows and columns as the numbers that factor models take in.

Numbers are standardised; texts become one column of zeros and ones per level, lists and texts
such as ``"Comedy|War"`` one per tag. What the columns mean is learned once, with the fit, kept
with the model, and applied to new lines as it was learned.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mixmend import checks
from mixmend.errors import DataError
from mixmend.observed.features import LISTS, FeatureTable, align_features, read_features
from mixmend.observed.labels import label_text
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]

SEPARATOR = "|"
"""What stands between several tags in one text."""

MAX_LEVELS = 100
"""Levels of one column that get a feature of their own."""

MISSING = ("error", "unknown")


class Number(NamedTuple):
    """A numeric column: ``(x - mean) / scale``, 0 where missing; with ``indicator``, 1 there."""

    name: str
    mean: float
    scale: float
    indicator: bool


class Levels(NamedTuple):
    """A column of texts: a feature per level, and one that all rare levels share, if any.

    With ``tags`` a cell may hold several levels; a text is split at `SEPARATOR`.
    """

    name: str
    levels: tuple[str, ...]
    rare: tuple[str, ...]
    tags: bool


Column: TypeAlias = Number | Levels


@dataclass(frozen=True, slots=True)
class FeatureEncoder:
    """What features look like to a model; immutable.

    Attributes
    ----------
    axis : {"row", "column"}
        What the lines describe.
    columns : tuple of Number and Levels
    label_column : str or None
        The column that held the labels of the lines.
    """

    axis: str
    columns: tuple[Column, ...]
    label_column: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, F of them."""
        names: list[str] = []
        for column in self.columns:
            if isinstance(column, Number):
                names.append(column.name)
                names += [f"{column.name} missing"] if column.indicator else []
            else:
                names += [f"{column.name}={level}" for level in column.levels]
                names += [f"{column.name}=rare"] if column.rare else []
        return tuple(names)

    @property
    def n_features(self) -> int:
        """Number of features, F."""
        return len(self.names)

    def encode(self, table: Any) -> Array:
        """Features of each line of a table, in its order, shape (n, F).

        Levels that the fit has not met, and missing cells, are zeros. Columns that the fit did
        not have are left aside.

        Raises
        ------
        DataError
            If a column is missing, or holds texts where the fit had numbers.
        """
        given = table if isinstance(table, FeatureTable) else read_features(table, self._table)
        parts = [np.zeros((given.n_lines, 0))]
        for column in self.columns:
            if column.name not in given.columns:
                raise DataError(
                    f"{self._table} lacks the column {column.name!r} that the model was fitted "
                    "with. Add it; single cells may be empty."
                )
            values = given.columns[column.name]
            if isinstance(column, Number):
                parts.append(_standardised(column, values, self._table))
            else:
                parts.append(_indicators(column, values))
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    @property
    def _table(self) -> str:
        return f"{self.axis}_features"

    def to_header(self) -> dict[str, Any]:
        """Plain values, for model files."""
        columns = [{"kind": type(c).__name__.lower()} | c._asdict() for c in self.columns]
        return {"axis": self.axis, "columns": columns, "label_column": self.label_column}

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> FeatureEncoder:
        """The encoder that `to_header` described."""
        columns: list[Column] = []
        for given in header["columns"]:
            rest = {key: value for key, value in given.items() if key != "kind"}
            if given["kind"] == "number":
                columns.append(Number(**rest))
            else:
                rest["levels"], rest["rare"] = tuple(rest["levels"]), tuple(rest["rare"])
                columns.append(Levels(**rest))
        return cls(header["axis"], tuple(columns), header["label_column"])


def fit_encoder(table: Any, axis: str = "row", label_column: str | None = None) -> FeatureEncoder:
    """Learn what the columns of a table of features hold.

    Parameters
    ----------
    table : data frame, dict of columns, array of shape (n, m) or FeatureTable
        Numbers (dates count as numbers, in days) are standardised, with a further feature
        that says where they are missing, if they are anywhere. Texts, booleans and categories get
        one feature per level; lists, and columns of texts in which ``|`` occurs, one per tag.
        Levels on few lines (fewer than 1 % of them, counted as at least 2 and at most 5), and
        those beyond the 100 most frequent, share one feature.
    axis : {"row", "column"}, default "row"
        What the lines describe, for errors.
    label_column : str, optional
        A column that is no feature but holds labels.

    Raises
    ------
    DataError
        For a column in which nothing is known, and for one that mixes lists with other things.

    Warns
    -----
    UserWarning
        For a column of texts in which every level is rare, such as a title: it is left out.

    Examples
    --------
    >>> table = {"age": [20, 40, None], "genres": ["War", "War|Comedy", "Comedy"]}
    >>> encoder = fit_encoder(table)
    >>> encoder.names
    ('age', 'age missing', 'genres=Comedy', 'genres=War')
    >>> encoder.encode(table)
    array([[-1., 0., 0., 1.],
           [ 1., 0., 1., 1.],
           [ 0., 1., 1., 0.]])
    """
    name = f"{axis}_features"
    given = table if isinstance(table, FeatureTable) else read_features(table, name)
    columns: list[Column] = []
    for key, values in given.columns.items():
        if key == label_column:
            continue
        if values.dtype.kind == "f":
            columns.append(_number(key, values, name))
        else:
            levels = _levels(key, values, name)
            if levels.levels:
                columns.append(levels)
            else:
                warnings.warn(
                    f"Column {key!r} of {name} is left out: each of its {len(levels.rare)} levels "
                    "stands on very few lines, so that nothing can be learned of them.",
                    UserWarning,
                    stacklevel=2,
                )
    if not columns:
        raise DataError(f"{name} has no column that says anything.")
    return FeatureEncoder(axis, tuple(columns), label_column)


def pose_features(
    table: Any,
    obs: ObservedMatrix,
    axis: str,
    *,
    missing: str = "error",
    encoder: FeatureEncoder | None = None,
) -> tuple[FeatureEncoder, Array]:
    """Features of the rows (or columns) of a matrix, in its order.

    Parameters
    ----------
    table : data frame, dict of columns, or array of shape (n, m)
        A line per row; matched by labels where both sides have some
        (`mixmend.observed.features.align_features` has the rule), and then in any order, further
        lines being left aside; by position otherwise.
    obs : ObservedMatrix, shape (n, d)
    axis : {"row", "column"}
        Whether the lines describe its rows or its columns.
    missing : {"error", "unknown"}, default "error"
        What to do with rows that have no line: "unknown" gives them zeros.
    encoder : FeatureEncoder, optional
        What an earlier call learned; by default it is learned from the lines that are used.

    Returns
    -------
    encoder : FeatureEncoder
    features : ndarray, shape (n, F) or (d, F)

    Raises
    ------
    DataError
        For rows without a line, labels that do not match or occur twice, a wrong number of
        lines, infinite numbers and columns in which nothing is known.

    Examples
    --------
    >>> obs = ObservedMatrix.from_triplets(["ann", "bob"], ["x", "y"], [3.0, 4.0])
    >>> ages = {"name": ["bob", "cid", "ann"], "age": [50, 99, 30]}
    >>> encoder, features = pose_features(ages, obs, "row")
    >>> features
    array([[-1.],
           [ 1.]])
    """
    checks.one_of("missing_features", missing, MISSING)
    given = read_features(table, f"{axis}_features")
    label_column = None if encoder is None else encoder.label_column
    known = () if encoder is None else tuple(column.name for column in encoder.columns)
    lines, found = align_features(
        given, obs, axis, missing=missing, label_column=label_column, known=known
    )
    there = lines >= 0
    used = given._replace(
        columns={key: values[lines[there]] for key, values in given.columns.items()},
        n_lines=int(there.sum()),
    )
    if encoder is None:
        encoder = fit_encoder(used, axis, found)
    features = np.zeros((len(lines), encoder.n_features))
    features[there] = encoder.encode(used)
    return encoder, features


def _number(name: str, values: Array, table: str) -> Number:
    known = values[~np.isnan(values)]
    if len(known) == 0:
        raise _says_nothing(name, table)
    mean = float(known.mean())
    scale = float(np.sqrt(np.mean((known - mean) ** 2)))
    return Number(name, mean, scale if scale > 1e-12 * abs(mean) else 1.0, len(known) < len(values))


def _levels(name: str, values: NDArray[Any], table: str) -> Levels:
    known = [value for value in values if value is not None]
    if not known:
        raise _says_nothing(name, table)
    lists = sum(isinstance(value, LISTS) for value in known)
    if 0 < lists < len(known):
        raise DataError(
            f"Column {name!r} of {table} mixes lists with other values: give lists everywhere."
        )
    tags = lists > 0 or any(isinstance(value, str) and SEPARATOR in value for value in known)
    counts = Counter(level for value in known for level in _cell(value, tags))
    least = min(5, max(2, len(values) // 100))
    # the most frequent first, equally frequent ones by name
    frequent = sorted(counts, key=lambda level: (-counts[level], level))
    kept = {level for level in frequent[:MAX_LEVELS] if counts[level] >= least}
    rare = set(counts) - kept
    if len(rare) == 1 and kept:  # alone it needs no company
        kept, rare = kept | rare, set()
    return Levels(name, tuple(sorted(kept)), tuple(sorted(rare)), tags)


def _says_nothing(name: str, table: str) -> DataError:
    return DataError(
        f"Column {name!r} of {table} is empty on every line that is used: leave it out."
    )


def _cell(value: Any, tags: bool) -> set[str]:
    """The levels that a cell names."""
    if not tags:
        return {label_text(value)}
    parts = value.split(SEPARATOR) if isinstance(value, str) else value
    return {label_text(part).strip() for part in parts if part is not None} - {""}


def _standardised(column: Number, values: NDArray[Any], table: str) -> Array:
    if values.dtype.kind != "f":
        told = next((value for value in values if value is not None), None)
        if told is not None:
            raise DataError(
                f"Column {column.name!r} of {table} held numbers when the model was fitted; now "
                f"it holds {told!r}."
            )
        values = np.full(len(values), np.nan)
    missing = np.isnan(values)
    scaled = np.where(missing, 0.0, (values - column.mean) / column.scale)[:, None]
    return np.column_stack([scaled, missing]) if column.indicator else scaled


def _indicators(column: Levels, values: NDArray[Any]) -> Array:
    place = {level: k for k, level in enumerate(column.levels)}
    place |= dict.fromkeys(column.rare, len(column.levels))
    out = np.zeros((len(values), len(column.levels) + bool(column.rare)))
    for line, value in enumerate(values):
        if value is None or (values.dtype.kind == "f" and np.isnan(value)):
            continue
        for level in _cell(value, column.tags):
            if level in place:
                out[line, place[level]] = 1.0
    return out
