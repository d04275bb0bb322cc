"""Small systems in registers against NumPy."""

import numpy as np
import pytest

from mixmend.factors.sweeps import _tokens
from mixmend.kernels import cholesky


def room_for(A, tokens, right):
    q = len(A)
    width = cholesky.padded(q + 1, tokens[1])
    room = cholesky.Room(
        np.zeros((width, width)),
        # what an earlier, larger system may have left
        np.full((width, width), 1e3),
        np.zeros((len(tokens[0]), width)),
        np.zeros(width),
    )
    room.system[:q, :q] = np.triu(A)
    room.solution[:q] = right
    return room


def positive(q, seed=0):
    Z = np.random.default_rng(seed).normal(size=(q + 3, q))
    return Z.T @ Z + 0.1 * np.eye(q)


@pytest.mark.parametrize("q", [1, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 64, 65, 100, 129])
def test_systems_of_every_size_are_factored_solved_and_inverted(q):
    A, right, tokens = positive(q), np.arange(q) - 2.5, _tokens(q + 1)
    room = room_for(A, tokens, right)
    upper = np.linalg.cholesky(A).T
    assert cholesky.factor(q, tokens, room)
    assert np.allclose(np.triu(room.upper[:q, :q]), upper, rtol=0, atol=1e-10)
    assert np.allclose(room.solution[:q], np.linalg.solve(upper.T, right), atol=1e-10)
    cholesky.solve(q, tokens[1], room)
    assert np.allclose(room.solution[:q], np.linalg.solve(A, right), atol=1e-9)
    cholesky.invert(q, tokens, room)
    assert np.allclose(room.system[:q, :q], np.linalg.inv(upper).T, atol=1e-9)
    packed = np.zeros(q * (q + 1) // 2)
    cholesky.square(q, tokens, room, packed)
    assert np.allclose(packed, np.linalg.inv(A)[np.triu_indices(q)], atol=1e-9)


@pytest.mark.parametrize("where", [0, 2, 31, 32, 49])
def test_a_pivot_that_is_not_positive_is_told_wherever_it_stands(where):
    A, tokens = positive(50), _tokens(51)
    A[where, where] = -1.0
    assert not cholesky.factor(50, tokens, room_for(A, tokens, np.zeros(50)))


def test_a_system_with_nan_is_not_positive():
    A, tokens = positive(10), _tokens(11)
    A[4, 7] = np.nan
    assert not cholesky.factor(10, tokens, room_for(A, tokens, np.zeros(10)))


def test_products_go_to_the_coordinates_that_are_asked_for():
    tokens = _tokens(20)
    width = cholesky.padded(41, tokens[1])
    packed, out = np.random.default_rng(0).normal(size=(7, width)), np.ones((width, width))
    cholesky.add_gram(packed, 5, 20, tokens, out)
    a, b = np.triu_indices(20)
    assert np.allclose(out[a, b], 1 + (packed[:5].T @ packed[:5])[a, b])
    assert np.all(out[32:] == 1)
    assert np.all(out[:, 32:] == 1)


def test_wide_rooms_have_an_odd_number_of_blocks():
    lanes = _tokens(200)[1]
    n = len(lanes)
    widths = [cholesky.padded(q, lanes) for q in (1, n, n + 1, 4 * n, 4 * n + 1, 5 * n + 1, 16 * n)]
    assert widths == [n, n, 2 * n, 4 * n, 5 * n, 7 * n, 17 * n]
