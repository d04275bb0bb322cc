"""Explicit vector registers for Numba kernels.

LLVM's loop vectoriser cannot prove that the rows of a gathered table do not overlap the
accumulators, so an inner loop over components is versioned, checked and re-entered for
every few entries. Holding the accumulators in vector values removes the question: these
intrinsics load, combine and store ``<lanes x float>`` or ``<lanes x double>`` values,
which LLVM splits into whatever registers the user's processor has.

The number of lanes travels in the *type* of a tuple of that length (``LANES[8]``), so
that one kernel source serves every width and Numba's on-disk cache still finds it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model

from mixmend.kernels.vectors import data_of, fused, splat, transposed

intrinsic: Any = extending.intrinsic

LANES = {width: (0,) * width for width in (4, 8, 16, 32, 64)}
"""Width tokens to hand to kernels."""


class _Vector(types.Type):
    def __init__(self, lanes: int, bits: int) -> None:
        self.lanes = lanes
        self.bits = bits
        super().__init__(name=f"Vector({lanes} x float{bits})")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        element = ir.DoubleType() if fe_type.bits == 64 else ir.FloatType()
        super().__init__(manager, fe_type, ir.VectorType(element, fe_type.lanes))


def _address(
    context: Any, builder: Any, array_type: Any, array: Any, offset: Any, vector: Any
) -> Any:
    data = data_of(context, builder, array_type, array)
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def splat_of(context: Any, builder: Any, scalar: Any, scalar_type: Any, vector: Any) -> Any:
    """A scalar, cast to the vector's precision, in all lanes."""
    double = isinstance(vector.element, ir.DoubleType)
    value = context.cast(builder, scalar, scalar_type, types.float64 if double else types.float32)
    return splat(builder, value, vector)


@intrinsic
def load(typingctx: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """``lanes`` consecutive elements of a flat array from ``offset`` on."""
    vector_type = _Vector(lanes.count, array.dtype.bitwidth)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(vector_type)
        at = _address(context, builder, array, args[0], args[1], vector)
        return builder.load(at, align=array.dtype.bitwidth // 8)

    return vector_type(array, types.uint64, lanes), codegen


@intrinsic
def load_wide(typingctx: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """The same as float64 lanes, whether the array is float64 or float32."""
    vector_type = _Vector(lanes.count, 64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = ir.DoubleType() if array.dtype.bitwidth == 64 else ir.FloatType()
        vector = ir.VectorType(element, lanes.count)
        at = _address(context, builder, array, args[0], args[1], vector)
        value = builder.load(at, align=array.dtype.bitwidth // 8)
        wide = context.get_value_type(vector_type)
        return value if value.type == wide else builder.fpext(value, wide)

    return vector_type(array, types.uint64, lanes), codegen


@intrinsic
def store(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a vector to consecutive elements of a flat array from ``offset`` on."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = _address(context, builder, array, args[0], args[1], args[2].type)
        builder.store(args[2], at, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, value), codegen


@intrinsic
def prefetch(typingctx: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line that holds an element, counted as if the array were flat.

    Nothing waits for it, and an offset beyond the end does no harm.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8), ir.IntType(32)
        data = data_of(context, builder, array, args[0])
        at = builder.bitcast(builder.gep(data, [args[1]]), byte.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [at.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", (at.type,), kind)
        builder.call(function, [at, number(0), number(3), number(1)])  # to read, keep, data
        return context.get_dummy_value()

    return types.void(array, types.uint64), codegen


@intrinsic
def store_transposed(
    typingctx: Any, a: Any, a_at: Any, a_step: Any, out: Any, at: Any, step: Any, lanes: Any
) -> Any:
    """``out[at + i step + j] = a[a_at + j a_step + i]`` for i and j below ``lanes``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = ir.DoubleType() if a.dtype.bitwidth == 64 else ir.FloatType()
        vector, size = ir.VectorType(element, lanes.count), a.dtype.bitwidth // 8
        here, there, lines = args[1], args[4], []
        for _ in range(lanes.count):
            place = _address(context, builder, a, args[0], here, vector)
            lines.append(builder.load(place, align=size))
            here = builder.add(here, args[2])
        for line in transposed(builder, lines):
            place = _address(context, builder, out, args[3], there, vector)
            builder.store(line, place, align=size)
            there = builder.add(there, args[5])
        return context.get_dummy_value()

    place = types.uint64
    return types.void(a, place, place, out, place, place, lanes), codegen


@intrinsic
def zeros(typingctx: Any, array: Any, lanes: Any) -> Any:
    """A vector of zeros of the array's element type."""
    vector_type = _Vector(lanes.count, array.dtype.bitwidth)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(vector_type), None)

    return vector_type(array, lanes), codegen


@intrinsic
def minus(typingctx: Any, scalar: Any, vector: Any) -> Any:
    """``scalar - vector``, the scalar repeated over all lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(splat_of(context, builder, args[0], scalar, args[1].type), args[1])

    return vector(scalar, vector), codegen


@intrinsic
def add(typingctx: Any, a: Any, b: Any) -> Any:
    """``a + b`` lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], args[1])

    return a(a, b), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` lane by lane, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return fused(builder, *args)

    return a(a, b, c), codegen


@intrinsic
def fma_scaled(typingctx: Any, scalar: Any, b: Any, c: Any) -> Any:
    """``scalar * b + c`` lane by lane, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        factor = splat_of(context, builder, args[0], scalar, args[2].type)
        return fused(builder, factor, args[1], args[2])

    return c(scalar, b, c), codegen


@intrinsic
def accumulate(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Add a vector to consecutive float64 elements, widening float32 lanes first.

    This is where short single-precision sums flow into double-precision tables.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.DoubleType(), args[2].type.count)
        at = _address(context, builder, array, args[0], args[1], wide)
        addend = args[2] if args[2].type == wide else builder.fpext(args[2], wide)
        builder.store(builder.fadd(builder.load(at, align=8), addend), at, align=8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, value), codegen


@intrinsic
def mul(typingctx: Any, a: Any, b: Any) -> Any:
    """``a * b`` lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(args[0], args[1])

    return a(a, b), codegen


@intrinsic
def sub(typingctx: Any, a: Any, b: Any) -> Any:
    """``a - b`` lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(args[0], args[1])

    return a(a, b), codegen


@intrinsic
def div(typingctx: Any, a: Any, b: Any) -> Any:
    """``a / b`` lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fdiv(args[0], args[1])

    return a(a, b), codegen


@intrinsic
def larger(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger of two numbers, lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", args[0], args[1]), args[0], args[1])

    return a(a, b), codegen


@intrinsic
def minus_scalar(typingctx: Any, vector: Any, scalar: Any) -> Any:
    """``vector - scalar``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fsub(args[0], splat_of(context, builder, args[1], scalar, args[0].type))

    return vector(vector, scalar), codegen


@intrinsic
def scale(typingctx: Any, scalar: Any, vector: Any) -> Any:
    """``scalar * vector``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(splat_of(context, builder, args[0], scalar, args[1].type), args[1])

    return vector(scalar, vector), codegen


def _reduction(name: str, start: float | None) -> Any:
    @intrinsic
    def reduce(typingctx: Any, vector: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = args[0].type
            bits = 64 if isinstance(kind.element, ir.DoubleType) else 32
            first = [] if start is None else [ir.Constant(kind.element, start)]
            function = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(kind.element, [value.type for value in first] + [kind]),
                f"llvm.vector.reduce.{name}.v{kind.count}f{bits}",
            )
            return builder.call(function, [*first, args[0]])

        return (types.float64 if vector.bits == 64 else types.float32)(vector), codegen

    return reduce


largest_lane = _reduction("fmax", None)
"""The largest lane of a vector."""

sum_lanes = _reduction("fadd", 0.0)
"""The sum of a vector's lanes, from the first to the last."""


@intrinsic
def lanes_at_least(typingctx: Any, vector: Any, scalar: Any) -> Any:
    """A bit for every lane, the first lowest: whether the lane is at least the scalar."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        least = splat_of(context, builder, args[1], scalar, args[0].type)
        truths = builder.fcmp_ordered(">=", args[0], least)
        bits = builder.bitcast(truths, ir.IntType(args[0].type.count))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(vector, scalar), codegen


@intrinsic
def lowest_bit(typingctx: Any, bits: Any) -> Any:
    """The place of the lowest bit that is set; 64 where none is."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), codegen


@intrinsic
def store_as(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """Write a float64 vector to a float64 or float32 array."""
    single = array.dtype.bitwidth == 32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[2]
        if single:
            vector = builder.fptrunc(vector, ir.VectorType(ir.FloatType(), vector.type.count))
        at = _address(context, builder, array, args[0], args[1], vector.type)
        builder.store(vector, at, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.uint64, value), codegen
