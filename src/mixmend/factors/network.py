"""The network of a neural factorisation, frozen: its outputs and their slopes, in NumPy.

In standard units (the data less their offsets, over their standard deviation) a cell is::

    y_ui = b_u + c_i + [q_u . p_i] + [MLP(q_u, p_i)]

with the terms in brackets as the head says. A fitted network needs no torch: what is
predicted, and how new rows are folded in, is computed here in double precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Positions = NDArray[np.signedinteger[Any]]

HEADS = ("both", "dot", "mlp")


class Layer(NamedTuple):
    """One layer of the perceptron: ``weights @ x + bias``, weights of shape (out, in)."""

    weights: Array
    bias: Array


class Network(NamedTuple):
    """What a fit has learned, rows aside.

    Attributes
    ----------
    columns : ndarray, shape (d, r)
        Vectors of the columns: embeddings, and what their features add.
    column_effects : ndarray, shape (d,)
        Likewise; zeros where no effects are fitted.
    dot : bool
        Whether the product of the two vectors is part of a cell.
    layers : tuple of Layer
        The perceptron; the first takes a row's and then a column's vector, the last has one
        output. Empty without one.
    row_map : ndarray, shape (F, r)
        What features of rows add to their vectors; F = 0 without features.
    row_effect_map : ndarray, shape (F,)
        What they add to their effects.
    """

    columns: Array
    column_effects: Array
    dot: bool
    layers: tuple[Layer, ...]
    row_map: Array
    row_effect_map: Array

    @property
    def rank(self) -> int:
        """Numbers in a vector, r."""
        return int(self.columns.shape[1])

    def is_finite(self) -> bool:
        """Whether all that was learned are numbers."""
        learned = [self.columns, self.column_effects, self.row_map, self.row_effect_map]
        learned += [part for layer in self.layers for part in layer]
        return all(bool(np.isfinite(part).all()) for part in learned)

    def row_priors(self, features: Array | None, n_rows: int) -> Array:
        """Vectors and effects that rows have before anything is seen of them, (n, r + 1)."""
        if features is None:
            return np.zeros((n_rows, self.rank + 1))
        return np.column_stack([features @ self.row_map, features @ self.row_effect_map])

    def columns_first(self) -> Array:
        """What each column adds to the first layer, bias included, (d, h)."""
        if not self.layers:
            return np.zeros((len(self.columns), 0))
        first = self.layers[0]
        return np.asarray(self.columns @ first.weights[:, self.rank :].T + first.bias)

    def rows_first(self, vectors: Array) -> Array:
        """What each row adds to the first layer, (n, h)."""
        if not self.layers:
            return np.zeros((len(vectors), 0))
        return np.asarray(vectors @ self.layers[0].weights[:, : self.rank].T)


def outputs(
    network: Network, rows: Array, columns_first: Array, at_rows: Positions, at_columns: Positions
) -> Array:
    """Expected values of single cells in standard units, (m,); ``rows`` is (n, r + 1)."""
    y = rows[at_rows, -1] + network.column_effects[at_columns]
    if network.dot:
        y += np.einsum("mr,mr->m", rows[at_rows, :-1], network.columns[at_columns])
    if network.layers:
        first = network.rows_first(rows[:, :-1])
        for part in _parts(len(y)):
            sums = first[at_rows[part]] + columns_first[at_columns[part]]
            y[part] += _perceptron(network.layers, sums)[0]
    return np.asarray(y)


def slopes(
    network: Network,
    rows: Array,
    columns_first: Array,
    at_rows: Positions,
    at_columns: Positions,
    by: str = "row",
) -> tuple[Array, Array]:
    """Expected values of single cells, (m,), and their derivatives by one side's vectors, (m, r).

    Parameters
    ----------
    by : {"row", "column"}
        Whose vectors.
    """
    y = rows[at_rows, -1] + network.column_effects[at_columns]
    slope = np.zeros((len(y), network.rank))
    if network.dot:
        mine, theirs = rows[at_rows, :-1], network.columns[at_columns]
        y += np.einsum("mr,mr->m", mine, theirs)
        slope += theirs if by == "row" else mine
    if network.layers:
        first = network.rows_first(rows[:, :-1])
        own = slice(network.rank) if by == "row" else slice(network.rank, None)
        entering = np.ascontiguousarray(network.layers[0].weights[:, own])
        for part in _parts(len(y)):
            sums = first[at_rows[part]] + columns_first[at_columns[part]]
            out, by_first = _perceptron(network.layers, sums, with_slopes=True)
            y[part] += out
            slope[part] += by_first @ entering
    return y, slope


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _CELLS) for start in range(0, count, _CELLS))


def all_outputs(network: Network, rows: Array, columns_first: Array) -> Array:
    """Expected values of all cells of some rows, (n, d), as matrix products."""
    n, d = len(rows), len(network.columns)
    y = rows[:, -1:] + network.column_effects
    if network.dot:
        y += rows[:, :-1] @ network.columns.T
    if network.layers:
        first = network.rows_first(rows[:, :-1])
        step = max(1, _CELLS // max(d, 1))
        for start in range(0, n, step):
            sums = first[start : start + step, None, :] + columns_first
            flat = sums.reshape(-1, sums.shape[2])
            y[start : start + step] += _perceptron(network.layers, flat)[0].reshape(-1, d)
    return np.asarray(y)


_CELLS = 1 << 11
"""Cells that run through the perceptron at once: their activations stay in the cache."""


def _perceptron(
    layers: tuple[Layer, ...], sums: Array, with_slopes: bool = False
) -> tuple[Array, Array]:
    """Output for each line of sums of the first layer, and its derivatives by these sums."""
    kept = []
    x = sums
    for layer in layers[1:]:
        kept.append(x > 0.0)
        x = np.maximum(x, 0.0) @ layer.weights.T + layer.bias
    if not with_slopes:
        return x[:, 0], np.zeros((0, 0))
    back = layers[-1].weights * kept[-1]
    for layer, active in zip(reversed(layers[1:-1]), reversed(kept[:-1]), strict=True):
        back = back @ layer.weights
        back *= active
    return x[:, 0], back
