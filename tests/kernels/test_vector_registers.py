"""The vector intrinsics, lane by lane, through the smallest kernels that can hold them."""

from __future__ import annotations

from fractions import Fraction

import numba
import numpy as np
import pytest
from numba import uint64

from mixmend.kernels.simd import LANES, accumulate, add, fma, load, minus, zeros


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
