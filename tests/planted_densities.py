"""Densities made for testing the EM engine: their objectives are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixmend.em.block import Block
from mixmend.observed.matrix import ObservedMatrix


def a_block(dtype: Any = np.float64) -> Block:
    """Data for densities that look at none."""
    return Block(ObservedMatrix.from_dense(np.ones((2, 2), dtype)))


@dataclass(frozen=True)
class Sums:
    log_likelihood: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.log_likelihood + other.log_likelihood)


@dataclass
class Planted:
    """What all planted densities share: they count calls, and can break off at one of them."""

    calls: dict[str, int] = field(default_factory=lambda: {"e_step": 0, "m_step": 0})
    break_at: tuple[str, int] | None = None  # KeyboardInterrupt in the so-manieth call
    noise: float = 0.0
    singular: tuple[float, ...] = ()

    def called(self, name: str) -> None:
        self.calls[name] += 1
        if self.break_at == (name, self.calls[name]):
            raise KeyboardInterrupt

    def e_step(self, parameters: Any, block: Block) -> Sums:
        self.called("e_step")
        return Sums(self.value(parameters))

    def m_step(self, statistics: Sums, parameters: Any) -> Any:
        self.called("m_step")
        assert statistics.log_likelihood == self.value(parameters), "statistics from elsewhere"
        return self.following(parameters)

    def objective(self, statistics: Sums, parameters: Any) -> float:
        return statistics.log_likelihood

    def rounding(self, statistics: Sums, parameters: Any, precision: float) -> float:
        return self.noise

    def collapsed(self, parameters: Any) -> bool:
        return bool(np.isin(np.ravel(parameters), self.singular).any())

    def pack(self, parameters: Any) -> np.ndarray:
        return np.atleast_1d(np.asarray(parameters, float))

    def unpack(self, vector: np.ndarray, like: Any) -> Any:
        return vector

    def value(self, parameters: Any) -> float:
        raise NotImplementedError

    def following(self, parameters: Any) -> Any:
        raise NotImplementedError


@dataclass
class Scripted(Planted):
    """The parameter is a position in a list of objectives; each step goes one further."""

    values: Sequence[float] = ()

    def value(self, parameters: int) -> float:
        return self.values[parameters]

    def following(self, parameters: int) -> int:
        return min(parameters + 1, len(self.values) - 1)


@dataclass
class Contraction(Planted):
    """x goes to rates * x; the objective is -|x|^2."""

    rates: Any = 0.5

    def value(self, parameters: np.ndarray) -> float:
        return -float(np.sum(np.square(parameters)))

    def following(self, parameters: np.ndarray) -> np.ndarray:
        return np.asarray(self.rates) * parameters
