"""Exponentials and logarithms of vectors of lanes (see `mixmend.kernels.simd`)."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import extending

from mixmend.kernels.simd import splat_of
from mixmend.kernels.vectors import fused

intrinsic: Any = extending.intrinsic

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_ROUNDER = 6755399441055744.0
"""1.5 × 2^52: adding it rounds to a whole number and leaves that number in the low bits."""


_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The root of 1/2 as a float64's bits."""


@intrinsic
def exp_below(typingctx: Any, vector: Any, floor: Any) -> Any:
    """``exp(x)`` of float64 lanes that are at most 0; 0 where x is below ``floor`` (> -700).

    x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) by its Taylor polynomial of degree 13,
    whose remainder is 5e-18; 2^n is added into the exponent bits. Within 1 unit in the
    last place of the correctly rounded value.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, kind = args[0], args[0].type
        count = kind.count
        bits = ir.VectorType(ir.IntType(64), count)

        def constant(value: float) -> Any:
            return ir.Constant(kind, [value] * count)

        least = splat_of(context, builder, args[1], floor, kind)
        negligible = builder.fcmp_ordered("<", x, least)
        x = builder.select(negligible, least, x)
        shifted = fused(builder, x, constant(_LOG2_E), constant(_ROUNDER))
        n = builder.fsub(shifted, constant(_ROUNDER))
        r = fused(builder, n, constant(-_LN2_HIGH), x)
        r = fused(builder, n, constant(-_LN2_LOW), r)
        result = constant(1.0 / math.factorial(13))
        for power in range(12, -1, -1):
            result = fused(builder, result, r, constant(1.0 / math.factorial(power)))
        exponent = builder.shl(builder.bitcast(shifted, bits), ir.Constant(bits, [52] * count))
        raised = builder.bitcast(builder.add(builder.bitcast(result, bits), exponent), kind)
        return builder.select(negligible, constant(0.0), raised)

    return vector(vector, floor), codegen


@intrinsic
def log_lanes(typingctx: Any, vector: Any) -> Any:
    """``log(x)`` of float64 lanes that are normal numbers above 0, infinite or not a number.

    x = 2^n m with m between about the root of 1/2 and that of 2; log(m) = 2 artanh(s) with
    s = (m - 1) / (m + 1), |s| < 0.1716, by its Taylor series up to s^23, whose remainder is
    5e-20. Within 1 unit in the last place of the correctly rounded value.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        count = kind.count
        bits = ir.VectorType(ir.IntType(64), count)

        def constant(value: float) -> Any:
            return ir.Constant(kind, [value] * count)

        def whole(value: int) -> Any:
            return ir.Constant(bits, [value] * count)

        x = builder.bitcast(args[0], bits)
        # exponents count from the root of 1/2 on, so that m is near 1 on either side
        above = builder.sub(x, whole(_ROOT_HALF_BITS))
        exponent = builder.lshr(builder.add(above, whole(1023 << 52)), whole(52))
        m = builder.sub(x, builder.shl(builder.sub(exponent, whole(1023)), whole(52)))
        m = builder.bitcast(m, kind)
        rounder = builder.bitcast(constant(_ROUNDER), bits)
        n = builder.bitcast(builder.add(exponent, rounder), kind)
        n = builder.fsub(n, constant(_ROUNDER + 1023.0))
        above_one = builder.fsub(m, constant(1.0))
        s = builder.fdiv(above_one, builder.fadd(m, constant(1.0)))
        square = builder.fmul(s, s)
        series = constant(2.0 / 23.0)
        for power in range(21, 1, -2):
            series = fused(builder, series, square, constant(2.0 / power))
        # 2 s = f - s f with f = m - 1, which is exact: only small terms are rounded
        series = builder.fmul(builder.fmul(series, square), s)
        small = fused(builder, n, constant(_LN2_LOW), series)
        small = fused(builder, builder.fneg(s), above_one, small)
        result = fused(builder, n, constant(_LN2_HIGH), builder.fadd(above_one, small))
        finite = builder.fcmp_ordered("<", args[0], constant(math.inf))
        return builder.select(finite, result, args[0])

    return vector(vector), codegen
