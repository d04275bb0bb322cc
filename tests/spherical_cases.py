"""Random matrices with holes, and random parameters, for the tests of spherical mixtures."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixmend.em.block import Block
from mixmend.mixtures.spherical_e_step import Parameters
from mixmend.observed.matrix import ObservedMatrix


def with_holes(
    rng: np.random.Generator,
    n: int,
    d: int,
    missing: float = 0.3,
    dtype: Any = np.float64,
    empty_rows: tuple[int, ...] = (),
    empty_columns: tuple[int, ...] = (),
) -> np.ndarray:
    """Normal values around three levels per column; NaN marks the holes."""
    X = rng.normal(0, 1, (n, d)) + rng.choice([-2.0, 0.5, 3.0], (n, 1)) + rng.normal(0, 1, d)
    X[rng.random((n, d)) < missing] = np.nan
    X[list(empty_rows)] = np.nan
    X[:, list(empty_columns)] = np.nan
    return X.astype(dtype)


def block_of(
    X: np.ndarray, tile_rows: int | None = None, row_weights: np.ndarray | None = None
) -> Block:
    block = Block(ObservedMatrix.from_dense(X, row_weights=row_weights))
    if tile_rows is not None:
        block.tile_rows = tile_rows
    return block


def parameters(
    rng: np.random.Generator,
    K: int,
    d: int,
    mean_prior: bool = False,
    row_offsets: bool = False,
    dtype: Any = np.float64,
) -> Parameters:
    """Random parameters whose means are exact in ``dtype``."""
    exact = np.dtype(dtype).type
    spread = rng.gamma(2.0, 0.1, (K, d)).astype(exact).astype(float) if mean_prior else None
    return Parameters(
        weights=rng.dirichlet(np.full(K, 3.0)),
        means=np.asfortranarray(rng.normal(0, 2, (K, d)).astype(exact).astype(float)),
        variances=rng.gamma(3.0, 0.4, K) + 0.1,
        mean_variances=None if spread is None else np.asfortranarray(spread),
        prior_variance=0.7 if mean_prior else np.inf,
        offset_variance=0.6 if row_offsets else 0.0,
    )
