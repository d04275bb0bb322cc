"""Stepwise EM: a stream of minibatches, each met once, whatever the density.

Expected statistics are a running average over the minibatches (Cappé & Moulines 2009,
*On-line expectation–maximization algorithm for latent data models*; Liang & Klein 2009,
*Online EM for unsupervised models*): an E-step over the minibatch, the average moved
towards its statistics by the step size, an M-step from the average. Statistics are centred
at the parameters of their E-step, and moved around the new ones before they are averaged
with others: raw second moments never appear.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from mixmend.em.block import Block
from mixmend.em.engine import Density

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Step sizes ``(t + offset)^-decay``.

    t counts minibatches of the size of the present one, ``rows so far / rows of this one``:
    the number of the minibatch where all are of one size. A smaller one is trusted less.

    Parameters
    ----------
    decay : float
        In (0.5, 1]. With 1 and no offset the average is that of all rows alike, those
        included that were met with poor parameters; smaller ones forget these sooner.
    offset : float
        Not negative. Larger ones take the first steps shorter.

    Examples
    --------
    >>> Schedule(1.0, 0.0).size(rows=100.0, of=400.0)
    0.25
    """

    decay: float
    offset: float

    def size(self, rows: float, of: float) -> float:
        """The step size of a minibatch of so many rows, of all rows so far with it."""
        return float((of / rows + self.offset) ** -self.decay)


@dataclass(frozen=True, slots=True)
class Stream(Generic[P]):
    """How far a stream has come.

    Attributes
    ----------
    parameters
        The present parameters.
    statistics
        Average expected statistics times ``seen``: what those of all rows would be, centred
        at ``parameters``. Priors count as they do beside so many rows.
    seen : float
        Total weight of the rows so far.
    cells : int
        Observed cells so far.
    moving : bool
        Whether parameters follow; before, statistics are only gathered.
    """

    parameters: P
    statistics: Any
    seen: float
    cells: int
    moving: bool

    @property
    def mean_log_likelihood(self) -> float:
        """Running average of the rows' log-likelihood."""
        return float(self.statistics.log_likelihood) / self.seen


def advance(
    density: Density[P, Any], stream: Stream[P], block: Block, schedule: Schedule, enough: int
) -> tuple[Stream[P], float]:
    """One minibatch further.

    Parameters
    ----------
    density
        The model's functions.
    stream : Stream
        Where it stands.
    block : Block
        The rows of the minibatch, each of which observes something.
    schedule : Schedule
        Step sizes.
    enough : int
        Observed cells from which on parameters follow: with fewer, covariances would fall
        onto single rows. Until then the statistics are summed, which is exact as all are
        taken at the same parameters.

    Returns
    -------
    Stream
    float
        Mean log-likelihood of the rows, before they were learned from.
    """
    found = density.e_step(stream.parameters, block)
    weights = block.row_weights
    rows = float(len(block.counts) if weights is None else weights.sum())
    total = stream.seen + rows
    if stream.moving:
        size = schedule.size(rows, total)
        kept = (1.0 - size) * total / stream.seen
        statistics = scaled(stream.statistics, kept) + scaled(found, size * total / rows)
    else:
        statistics = stream.statistics + found
    cells = stream.cells + int(block.counts.sum())
    following = Stream(stream.parameters, statistics, total, cells, stream.moving)
    return moved(density, following, enough), float(found.log_likelihood) / rows


def moved(density: Density[P, Any], stream: Stream[P], enough: int) -> Stream[P]:
    """The stream after an M-step from its statistics, once it has seen enough."""
    if not stream.moving and stream.cells < enough:
        return stream
    parameters = density.m_step(stream.statistics, stream.parameters)
    statistics = density.recentred(stream.statistics, stream.parameters, parameters)
    return replace(stream, parameters=parameters, statistics=statistics, moving=True)


def scaled(statistics: Any, factor: float) -> Any:
    """Statistics of ``factor`` times as many rows that say the same."""
    named = {field.name: getattr(statistics, field.name) for field in fields(statistics)}
    return replace(statistics, **{name: factor * value for name, value in named.items()})
