"""One side of a factor model solved given the other: the half-steps that all fits alternate.

A cell is ``x_ui = offset + q_u . p_i (+ b_u + c_i) + noise``. With effects, a row's unknowns are
(q_u, b_u) and its design vector for the columns is (q_u, 1, b_u); a column's are (p_i, c_i)
and (p_i, 1, c_i). Both half-steps are then the same regression, in which the other side's
effect is one more coordinate that is multiplied by 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixmend.errors import MixmendError
from mixmend.kernels import ridge as kernels
from mixmend.kernels.products import block_shape
from mixmend.kernels.simd import LANES
from mixmend.kernels.threads import threads_for
from mixmend.observed.compressed import Compressed

Array = NDArray[np.float64]


class Side(NamedTuple):
    """The unknowns of the rows, or of the columns.

    Attributes
    ----------
    values : ndarray, shape (n, q)
        Factors, and the effect behind them where effects are fitted.
    covariances : ndarray, shape (n, q (q + 1) / 2), or None
        Upper triangles, row by row, of their posterior covariances; None: taken as known.
    """

    values: Array
    covariances: Array | None = None


class Cells(NamedTuple):
    """Entries by the lines that are to be solved, and what surrounds them.

    Attributes
    ----------
    view : Compressed
        The entries, line by line.
    offsets : ndarray, shape (n,), or None
        What is taken off the entries of each line.
    other_offsets : ndarray, shape (m,), or None
        What is taken off the entries of each line of the other side.
    other_weights : ndarray, shape (m,), or None
        How often the entries of each line of the other side count.
    """

    view: Compressed
    offsets: Array | None = None
    other_offsets: Array | None = None
    other_weights: Array | None = None


class Prior(NamedTuple):
    """Gaussian prior of a side, in units of the noise variance.

    Attributes
    ----------
    precision : ndarray, shape (q,)
        Of each coordinate; a line's is this times its scale.
    scales : ndarray, shape (n,)
    means : ndarray, shape (n, q), or None
        0 where there is none.
    """

    precision: Array
    scales: Array
    means: Array | None = None


class HalfStep(NamedTuple):
    """A side solved, and what is known on the way.

    Attributes
    ----------
    side : Side
        Covariances, where they were asked for, are in units of the noise variance.
    squares : ndarray, shape (n,)
        Squared residuals of each line at the solution, expected under the other side's
        covariances.
    log_dets : ndarray, shape (n,)
        Log determinants of the systems: minus those of the covariances.
    freedom : ndarray, shape (n,)
        Degrees of freedom that each line takes; empty where not asked for.
    """

    side: Side
    squares: Array
    log_dets: Array
    freedom: Array


def triangle(q: int) -> int:
    """Numbers in the upper triangle of a q × q matrix."""
    return q * (q + 1) // 2


def design_table(side: Side, effects: bool) -> Array:
    """Design vectors of one side for the other, padded for the kernels, (n, W)."""
    n, q = side.values.shape
    rank = q - 1 if effects else q
    lanes = len(_tokens(q + 1 + effects)[1])
    table = np.zeros((n, -(-(q + 1 + effects) // lanes) * lanes))
    table[:, :rank] = side.values[:, :rank]
    if effects:
        table[:, rank] = 1.0
        table[:, rank + 1] = side.values[:, rank]
    return table


def solve_side(
    cells: Cells,
    other: Side,
    prior: Prior,
    effects: bool,
    *,
    covariances: bool = False,
    freedom: bool = False,
) -> HalfStep:
    """Solve every line's ridge regression on the other side's design vectors, exactly.

    Parameters
    ----------
    cells : Cells
        The entries, by the lines to be solved.
    other : Side
        What they are regressed on; its covariances, if any, count as doubt about it.
    prior : Prior
        What the solution is drawn towards, and how strongly.
    effects : bool
        Whether each side has an effect as its last unknown.
    covariances, freedom : bool
        Whether to give the inverses of the systems and the degrees of freedom, too.

    Raises
    ------
    MixmendError
        If a line's system is singular.
    """
    q = other.values.shape[1]
    n = len(cells.view.pointers) - 1
    table = design_table(other, effects)
    none, no_lines = np.zeros(0), np.zeros((0, triangle(q)))
    out = kernels.Solved(
        np.zeros((n, q)),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n if covariances or freedom else 0),
        np.zeros((n, triangle(q))) if covariances else no_lines,
        np.zeros(n, np.int8),
    )
    offsets = none if cells.offsets is None else cells.offsets
    design = kernels.Design(
        table,
        none if cells.other_weights is None else cells.other_weights,
        no_lines if other.covariances is None else other.covariances,
        none if cells.other_offsets is None else cells.other_offsets,
    )
    means = np.zeros((0, q)) if prior.means is None else np.ascontiguousarray(prior.means)
    ridge = kernels.Ridge(prior.precision, prior.scales, means, offsets)
    shape = kernels.Shape(q, q - 1 if effects else q, q + 1 if effects else q, int(effects))
    rows, lanes = _tokens(q + 1 + effects)
    with threads_for(len(cells.view.indices) * q * q + n * q**3):
        kernels.solve_lines(cells.view, design, ridge, shape, out, rows, lanes)
    if out.failed.any():
        line = int(np.flatnonzero(out.failed)[0])
        raise MixmendError(
            f"The system of line {line} is singular: regularization is too small beside the data. "
            "Raise it."
        )
    side = Side(out.values, out.inverses if covariances else None)
    return HalfStep(side, out.squares, out.log_dets, out.traces)


def _tokens(width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows and lanes of the kernels' register blocks: wide ones, for products that are long."""
    rows, lanes = block_shape(width)
    return rows, LANES[16] if len(rows) == 8 and width > 16 else lanes
