"""Rows and columns as features: those that users give, those of the observed places, a constant."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixmend.checks import require_arrays
from mixmend.errors import DataError, ModelFileError
from mixmend.factors.features import FeatureEncoder, pose_features
from mixmend.factors.implicit import ImplicitFeatures, fit_implicit
from mixmend.observed.labels import look_up
from mixmend.observed.matrix import ObservedMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RowDescription:
    """How rows become features, and what the training rows' own were.

    Attributes
    ----------
    encoder : FeatureEncoder or None
        What tables of row features hold, where the fit had one.
    implicit : ImplicitFeatures or None
        How observed places become features, where asked for.
    given : ndarray, shape (n, F) or (0, 0)
        The training rows' features from the table.
    labels : ndarray, shape (n,), or None
        The training rows' labels.
    fingerprint : str
        By which the training matrix is known where it has no labels.
    """

    encoder: FeatureEncoder | None
    implicit: ImplicitFeatures | None
    given: Array
    labels: NDArray[Any] | None
    fingerprint: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in the order of `design`'s columns."""
        directions = None if self.implicit is None else self.implicit.table.shape[1]
        return feature_names(self.encoder, directions)

    def explicit(self, obs: ObservedMatrix, table: Any, missing: str) -> Array | None:
        """Features of rows from a table, or else those that training rows had.

        Training rows are known by their labels; without labels, the training matrix as a whole is.

        Raises
        ------
        DataError
            For a table where the fit had none, and for rows of which no features are known.
        """
        if self.encoder is None:
            if table is not None:
                raise DataError("The model was fitted without row_features: it has no use for any.")
            return None
        if table is not None:
            return pose_features(table, obs, "row", missing=missing, encoder=self.encoder)[1]
        out = np.zeros((obs.shape[0], self.encoder.n_features))
        lines = np.full(len(out), -1)
        if self.labels is not None and obs.has_row_labels:
            lines = look_up(self.labels, obs.row_labels, "row")
        elif not obs.has_row_labels and _fingerprint(obs) == self.fingerprint:
            lines = np.arange(len(out))
        strange = np.flatnonzero(lines < 0)
        if len(strange) and missing == "error":
            which = f", such as {obs.row_labels[strange[0]]!s}," if obs.has_row_labels else ""
            raise DataError(
                f"The model was fitted with row_features: give those of the rows{which} that are "
                "not known by label from the training, or set missing_features='unknown'."
            )
        out[lines >= 0] = self.given[lines[lines >= 0]]
        return out

    def design(self, obs: ObservedMatrix, explicit: Array | None) -> Array | None:
        """All features of rows, (n, F); None where there are none."""
        implicit = None if self.implicit is None else self.implicit.encode(obs)
        return _joined(obs.shape[0], explicit, implicit)

    def to_saved(self) -> tuple[dict[str, Any] | None, dict[str, NDArray[Any]]]:
        """Header of the encoder, and arrays."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.encoder is not None:
            arrays["row_features"] = self.given
            arrays["row_fingerprint"] = np.array([self.fingerprint])
            if self.labels is not None:
                arrays["row_labels"] = self.labels
        if self.implicit is not None:
            arrays["implicit_table"], arrays["implicit_counts"] = self.implicit
        return None if self.encoder is None else self.encoder.to_header(), arrays

    @classmethod
    def from_saved(
        cls, header: dict[str, Any] | None, arrays: dict[str, NDArray[Any]], n: int, d: int
    ) -> RowDescription:
        """The description of n training rows from a model file."""
        encoder, given = None, np.zeros((0, 0))
        if header is not None:
            encoder = FeatureEncoder.from_header(header)
            require_arrays(arrays, {"row_features": (n, encoder.n_features)})
            given = arrays["row_features"]
        implicit = None
        if "implicit_table" in arrays:
            width = arrays["implicit_table"].shape[-1]
            require_arrays(arrays, {"implicit_table": (d, width), "implicit_counts": (4,)})
            implicit = ImplicitFeatures(arrays["implicit_table"], arrays["implicit_counts"])
        labels = arrays.get("row_labels")
        if labels is not None and len(labels) != n:
            raise ModelFileError("The model file's row labels do not fit. Save the model again.")
        known = arrays.get("row_fingerprint")
        return cls(encoder, implicit, given, labels, "" if known is None else str(known[0]))


@dataclass(frozen=True, slots=True)
class Described:
    """A training matrix with the features of its rows and columns.

    Attributes
    ----------
    rows : RowDescription
    row_design, column_design : ndarray, shape (n, F) and (d, G), or None
    column_names : tuple of str
    """

    rows: RowDescription
    row_design: Array | None
    column_design: Array | None
    column_names: tuple[str, ...]


def describe(
    obs: ObservedMatrix,
    row_features: Any,
    column_features: Any,
    missing: str,
    directions: int,
    rng: np.random.Generator,
    *,
    known_by: ObservedMatrix | None = None,
) -> Described:
    """Features of the rows and columns of a training matrix.

    ``known_by`` is the matrix by which its rows are found again, where ``obs`` is a part of it.
    """
    row_encoder = column_encoder = None
    row_given = column_given = column_implicit = implicit = None
    if row_features is not None:
        row_encoder, row_given = pose_features(row_features, obs, "row", missing=missing)
    if column_features is not None:
        column_encoder, column_given = pose_features(
            column_features, obs, "column", missing=missing
        )
    if directions:
        implicit, column_implicit = fit_implicit(obs, directions, rng)
    rows = RowDescription(
        row_encoder,
        implicit,
        np.zeros((0, 0)) if row_given is None else row_given,
        obs.row_labels if obs.has_row_labels and row_encoder is not None else None,
        ""
        if row_encoder is None or obs.has_row_labels
        else _fingerprint(obs if known_by is None else known_by),
    )
    return Described(
        rows,
        rows.design(obs, row_given),
        _joined(obs.shape[1], column_given, column_implicit),
        feature_names(column_encoder, directions or None),
    )


def _fingerprint(obs: ObservedMatrix) -> str:
    view = obs.by_row
    digest = hashlib.blake2b(repr(obs.shape).encode(), digest_size=16)
    for part, kind in zip(view, (np.int64, np.int64, np.float64), strict=True):
        digest.update(np.ascontiguousarray(part, kind).tobytes())
    return digest.hexdigest()


def feature_names(encoder: FeatureEncoder | None, directions: int | None) -> tuple[str, ...]:
    """Names of all features of a side; none where it has no features."""
    if encoder is None and directions is None:
        return ()
    names = ["constant", *(() if encoder is None else encoder.names)]
    if directions is not None:
        names += [f"observed {k + 1}" for k in range(directions)] + ["log count"]
    return tuple(names)


def _joined(n: int, *parts: Array | None) -> Array | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    # the constant is the mean of all rows, which is another than that of all entries
    return np.ascontiguousarray(np.column_stack([np.ones(n), *there]))
