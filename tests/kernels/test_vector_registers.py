"""The vector intrinsics, lane by lane, through the smallest kernels that can hold them."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.exponentials import exp_below, log_lanes
from mixmend.kernels.simd import (
    LANES,
    accumulate,
    add,
    div,
    fma,
    larger,
    largest_lane,
    load,
    minus,
    minus_scalar,
    mul,
    scale,
    store,
    store_as,
    sub,
    sum_lanes,
    zeros,
)


@numba.njit
def fused(a, b, c, offset, lanes, out):
    product = fma(load(a, uint64(offset), lanes), load(b, uint64(offset), lanes), zeros(c, lanes))
    exact = fma(
        load(a, uint64(offset), lanes),
        load(b, uint64(offset), lanes),
        load(c, uint64(offset), lanes),
    )
    accumulate(out, uint64(offset), add(exact, minus(c[0], product)))


@numba.njit
def negated_into(values, offset, lanes, out):
    accumulate(out, uint64(offset), minus(np.float32(0.0), load(values, uint64(offset), lanes)))


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lanes_are_kept_apart_and_the_product_is_rounded_once(lanes, dtype):
    rng = np.random.default_rng(lanes)
    eps = np.finfo(dtype).eps
    a = (1 + eps * rng.integers(1, 100, lanes + 6)).astype(dtype)
    b = (1 - eps * rng.integers(1, 100, lanes + 6)).astype(dtype)
    product = a * b  # rounded
    c = -product
    out = np.full(lanes + 6, 7.0)
    fused(a, b, c, 3, LANES[lanes], out)
    inside = slice(3, 3 + lanes)
    # a b - round(a b): what a product rounded before the addition would make 0
    exact = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    error = np.array([float(e - Fraction(float(p))) for e, p in zip(exact, product, strict=True)])
    error = error[inside]
    expected = 7.0 + (error.astype(dtype) + (c[0] - product[inside])).astype(float)
    np.testing.assert_array_equal(out[inside], expected)
    assert np.count_nonzero(error) > lanes // 2
    np.testing.assert_array_equal(out[:3], 7.0)
    np.testing.assert_array_equal(out[3 + lanes :], 7.0)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_single_precision_is_widened_before_it_is_added(lanes):
    values = np.full(lanes + 2, np.float32(0.1))
    out = np.full(lanes + 2, 1e8)
    negated_into(values, 1, LANES[lanes], out)
    np.testing.assert_array_equal(out[1 : 1 + lanes], 1e8 - float(np.float32(0.1)))
    np.testing.assert_array_equal(out[[0, -1]], 1e8)


@numba.njit
def exponentials(x, floor, lanes, out):
    for q in range(0, len(x), len(lanes)):
        store(out, uint64(q), exp_below(load(x, uint64(q), lanes), floor))


def units_in_the_last_place(got, expected):
    return np.abs(got - expected) / np.spacing(np.abs(expected))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_exponentials_are_right_to_the_last_place(lanes):
    rng = np.random.default_rng(lanes)
    x = np.concatenate(
        [
            -rng.uniform(0, 60, 4000),
            -(10.0 ** rng.uniform(-300, 1.7, 4000)),
            -np.arange(64) * np.log(2.0),
            -np.arange(0.5, 64.5) * np.log(2.0),  # where the reduction turns over
            [0.0, -0.0, -60.0, np.nextafter(-60.0, 0), -5e-324, -1e-17] + [-1.0] * 10,
        ]
    )
    x = x[: len(x) // lanes * lanes]
    out = np.empty_like(x)
    exponentials(x, -60.0, LANES[lanes], out)
    exact = np.exp(x.astype(np.longdouble)).astype(float)
    assert units_in_the_last_place(out, exact).max() <= 1.0
    assert (out <= 1.0).all()
    np.testing.assert_array_equal(out[x == 0], 1.0)


@pytest.mark.parametrize("floor", [-60.0, -1.0, -699.0])
def test_exponentials_below_the_floor_are_zero(floor):
    below = np.array([np.nextafter(floor, -np.inf), floor - 1, -1e4, -np.inf])
    out = np.full(8, 7.0)
    exponentials(np.concatenate([below, [floor, floor / 2, -0.1, 0.0]]), floor, LANES[4], out)
    np.testing.assert_array_equal(out[:4], 0.0)
    np.testing.assert_allclose(out[4:], np.exp([floor, floor / 2, -0.1, 0.0]), rtol=1e-15)


def test_exponentials_of_what_is_no_number_are_none():
    out = np.zeros(4)
    exponentials(np.array([np.nan, 0.0, -1.0, -100.0]), -60.0, LANES[4], out)
    assert np.isnan(out[0])
    np.testing.assert_allclose(out[1:], [1.0, np.exp(-1), 0.0], rtol=1e-15)


@numba.njit
def combined(a, b, scalar, offset, lanes, out, narrow):
    x, y = load(a, uint64(offset), lanes), load(b, uint64(offset), lanes)
    store(out, uint64(offset), mul(sub(x, y), scale(scalar, minus_scalar(x, scalar))))
    store_as(narrow, uint64(offset), x)
    return largest_lane(y), sum_lanes(y)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_arithmetic_goes_lane_by_lane(lanes):
    rng = np.random.default_rng(lanes)
    a, b = rng.normal(size=(2, lanes + 5))
    b[:2] = b[-3:] = 99.0  # outside of the vector
    inside = slice(2, 2 + lanes)
    out, single, double = np.zeros(lanes + 5), np.zeros(lanes + 5, np.float32), np.zeros(lanes + 5)
    for narrow in (single, double):
        largest, total = combined(a, b, 0.7, 2, LANES[lanes], out, narrow)
    expected = ((a - b) * (0.7 * (a - 0.7)))[inside]
    np.testing.assert_allclose(out[inside], expected, rtol=1e-15)
    np.testing.assert_array_equal(single[inside], a[inside].astype(np.float32))
    np.testing.assert_array_equal(double[inside], a[inside])
    for table in (out, single, double):
        assert not table[:2].any()
        assert not table[2 + lanes :].any()
    assert largest == b[inside].max()
    in_order = 0.0
    for value in b[inside]:
        in_order += value
    assert total == in_order  # from the first to the last: the same bits everywhere


@numba.njit
def logarithms(x, lanes, out):
    for q in range(0, len(x), len(lanes)):
        store(out, uint64(q), log_lanes(load(x, uint64(q), lanes)))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_logarithms_are_right_to_the_last_place(lanes):
    rng = np.random.default_rng(lanes)
    halves = np.sqrt(0.5) * 2.0 ** np.arange(-8, 8)  # where the reduction turns over
    x = np.concatenate(
        [
            1.0 + 200.0 * rng.random(4000),
            1.0 + 10.0 ** -rng.uniform(0, 16, 4000),
            1.0 - 10.0 ** -rng.uniform(0.3, 16, 4000),
            2.0 ** rng.uniform(-1020, 1020, 4000),
            halves,
            np.nextafter(halves, 0),
            [1.0, 2.0, 0.5, np.finfo(float).tiny, np.finfo(float).max] + [3.0] * 11,
        ]
    )
    out = np.empty_like(x)
    logarithms(x, LANES[lanes], out)
    exact = np.log(x.astype(np.longdouble)).astype(float)
    np.testing.assert_array_equal(out[x == 1], 0.0)
    others = x != 1
    assert units_in_the_last_place(out[others], exact[others]).max() <= 1.0


def test_logarithms_of_what_is_not_finite_are_not_either():
    x = np.array([np.nan, np.inf, 1.0, np.nan])
    out = np.empty(4)
    logarithms(x, LANES[4], out)
    np.testing.assert_array_equal(out, [np.nan, np.inf, 0.0, np.nan])


@numba.njit
def quotients_and_larger(a, b, lanes, quotients, largest):
    left, right = load(a, uint64(0), lanes), load(b, uint64(0), lanes)
    store(quotients, uint64(0), div(left, right))
    store(largest, uint64(0), larger(left, right))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_quotients_and_the_larger_of_two_are_taken_lane_by_lane(rng, lanes):
    a, b = rng.normal(size=lanes), rng.normal(size=lanes)
    quotients, largest = np.empty(lanes), np.empty(lanes)
    quotients_and_larger(a, b, LANES[lanes], quotients, largest)
    np.testing.assert_array_equal(quotients, a / b)
    np.testing.assert_array_equal(largest, np.maximum(a, b))
