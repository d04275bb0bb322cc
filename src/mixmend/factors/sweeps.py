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
from mixmend.kernels import conjugate
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


def diagonal_of(covariances: Array, q: int) -> Array:
    """Diagonals (n, q) of packed upper triangles."""
    return covariances[:, diagonal_places(q)]


def diagonal_places(q: int) -> NDArray[np.int64]:
    """Where the diagonal stands in a packed upper triangle."""
    return np.cumsum([0, *range(q, 1, -1)])


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
    cells, other = _touched(cells, other)
    q = other.values.shape[1]
    n = len(cells.view.pointers) - 1
    no_lines = np.zeros((0, triangle(q)))
    out = _solved(n, q)._replace(
        traces=np.zeros(n if covariances or freedom else 0),
        inverses=np.zeros((n, triangle(q))) if covariances else no_lines,
    )
    design, ridge, shape = _regressions(cells, other, prior, effects)
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


def descend_side(
    cells: Cells, other: Side, prior: Prior, effects: bool, start: Array, steps: int
) -> HalfStep:
    """Come nearer to what `solve_side` gives by a few conjugate gradient steps per line.

    Parameters
    ----------
    cells, other, prior, effects
        As for `solve_side`; the other side is taken as known.
    start : ndarray, shape (n, q)
        Where the lines' unknowns begin.
    steps : int
        Most steps; a line stops when it is solved to double precision.

    Returns
    -------
    HalfStep
        Without log determinants (they are 0) and degrees of freedom.

    References
    ----------
    Takács, Pilászy & Tikk (2011), Applications of the conjugate gradient method for implicit
    feedback collaborative filtering.
    """
    n, q = start.shape
    out = _solved(n, q)
    design, ridge, shape = _regressions(cells, other, prior, effects)
    begin = conjugate.Start(np.ascontiguousarray(start), steps)
    _, lanes = _tokens(q + 1 + effects)
    with threads_for(4 * len(cells.view.indices) * q * (steps + 1)):
        conjugate.descend_lines(cells.view, design, ridge, shape, begin, out, lanes)
    return HalfStep(Side(out.values), out.squares, out.log_dets, out.traces)


def _touched(cells: Cells, other: Side) -> tuple[Cells, Side]:
    """Of many lines of the other side only those that the entries lie in, where these are few.

    New rows are folded in faster than the whole side is copied.
    """
    view, values = cells.view, other.values
    if len(view.indices) > len(values) // 4:
        return cells, other
    lines, places = np.unique(view.indices, return_inverse=True)
    indices = places.astype(view.indices.dtype)
    indices.flags.writeable = False  # as the view's are: one type of array, one kernel
    offsets, weights = cells.other_offsets, cells.other_weights
    return (
        Cells(
            view._replace(indices=indices),
            cells.offsets,
            None if offsets is None else offsets[lines],
            None if weights is None else weights[lines],
        ),
        Side(values[lines], None if other.covariances is None else other.covariances[lines]),
    )


def _solved(n: int, q: int) -> kernels.Solved:
    """Room for what comes out of n lines, without what only posteriors need."""
    lines, empty = np.zeros(n), np.zeros(0)
    none = np.zeros((0, triangle(q)))
    return kernels.Solved(np.zeros((n, q)), lines, lines.copy(), empty, none, np.zeros(n, np.int8))


def _regressions(
    cells: Cells, other: Side, prior: Prior, effects: bool
) -> tuple[kernels.Design, kernels.Ridge, kernels.Shape]:
    """The regressions of all lines as the kernels take them."""
    q, none = other.values.shape[1], np.zeros(0)
    design = kernels.Design(
        design_table(other, effects),
        none if cells.other_weights is None else cells.other_weights,
        np.zeros((0, triangle(q))) if other.covariances is None else other.covariances,
        none if cells.other_offsets is None else cells.other_offsets,
    )
    means = np.zeros((0, q)) if prior.means is None else np.ascontiguousarray(prior.means)
    offsets = none if cells.offsets is None else cells.offsets
    ridge = kernels.Ridge(prior.precision, prior.scales, means, offsets)
    return (
        design,
        ridge,
        kernels.Shape(q, q - 1 if effects else q, q + 1 if effects else q, int(effects)),
    )


def _tokens(width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows and lanes of the kernels' register blocks: wide ones, for products that are long."""
    rows, lanes = block_shape(width)
    return rows, LANES[16] if len(rows) == 8 and width > 16 else lanes
