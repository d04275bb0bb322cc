"""Small matrix products in vector registers, for kernels that run one per thread.

A BLAS brings threads of its own, which a parallel loop over tiles of rows must not start,
and has no product that is squared and summed before it is written. These intrinsics hold a
block of ``rows × lanes`` sums in registers and give it to its use. How many rows and
lanes travels in the types of the tokens (see `mixmend.kernels.simd`). All arrays of a call
are of one precision.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import extending, types, uint64
from numba.core import cgutils

from mixmend.kernels.simd import LANES
from mixmend.kernels.vectors import data_of, fused, shuffle, splat

intrinsic: Any = extending.intrinsic


@cache
def wide_registers() -> bool:
    """Whether this processor has registers of 512 bits."""
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))


def block_shape(d: int, itemsize: int = 8) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of rows and lanes that fit this processor's registers for d columns."""
    if d <= 4:
        return LANES[4], LANES[4]
    if itemsize == 4 and not wide_registers():
        return LANES[4], LANES[16 if -(-d // 8) % 2 == 0 else 8]
    if not wide_registers():
        return LANES[4], LANES[8]
    return LANES[8], LANES[16 if -(-d // 8) % 2 == 0 else 8]


def vector_lanes(d: int) -> tuple[int, ...]:
    """Token of a vector for d columns: as wide as this processor's registers."""
    return LANES[8 if wide_registers() and d > 4 else 4]


def whole_vectors(size: int, vector: tuple[int, ...]) -> int:
    """A size rounded up to whole vectors."""
    return -(-size // len(vector)) * len(vector)


def padded_columns(d: int, itemsize: int = 8) -> int:
    """Columns rounded up to whole blocks."""
    return whole_vectors(d, block_shape(d, itemsize)[1])


def _vector_at(builder: Any, data: Any, offset: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _pieces(lanes: int) -> list[int]:
    """Where the vectors begin that ``lanes`` lanes are worked on in: of a power of two each."""
    return list(range(0, lanes, lanes & -lanes))


def _vectors(builder: Any, data: Any, offset: Any, lanes: int, size: int) -> list[Any]:
    """``lanes`` consecutive numbers from ``offset`` on."""
    kind = _vector_kind(lanes, size)
    return [
        builder.load(_vector_at(builder, data, _plus(builder, offset, piece), kind), align=size)
        for piece in _pieces(lanes)
    ]


def _vector_kind(lanes: int, size: int) -> Any:
    return ir.VectorType(ir.DoubleType() if size == 8 else ir.FloatType(), lanes & -lanes)


def _plus(builder: Any, offset: Any, number: int) -> Any:
    return builder.add(offset, ir.Constant(offset.type, number)) if number else offset


def _accumulators(builder: Any, rows: int, lanes: int, kind: Any) -> list[list[Any]]:
    zero = ir.Constant(kind, None)
    return [[cgutils.alloca_once_value(builder, zero) for _ in _pieces(lanes)] for _ in range(rows)]


def _accumulate(builder: Any, scalar: Any, line: list[Any], totals: list[Any]) -> None:
    """Add a number times a line of vectors to accumulators."""
    value = splat(builder, scalar, line[0].type)
    for vector, total in zip(line, totals, strict=True):
        builder.store(fused(builder, value, vector, builder.load(total)), total)


def _accumulate_square(builder: Any, scalar: Any, line: list[Any], totals: list[Any]) -> None:
    """Add the squares of how far a line of vectors lies from a number to accumulators."""
    value = splat(builder, scalar, line[0].type)
    for vector, total in zip(line, totals, strict=True):
        gap = builder.fsub(vector, value)
        builder.store(fused(builder, gap, gap, builder.load(total)), total)


def _outer_sums(
    context: Any, builder: Any, signature: Any, args: Any, accumulate: Any = _accumulate
) -> list[list[Any]]:
    """``sum_t a[a_at + t a_step + r a_gap] * b[b_at + t b_step + lane]``, vectors for each r.

    ``accumulate`` may make something else of the two numbers than their product.
    """
    a_type, b_type = signature.args[0], signature.args[4]
    rows, lanes = signature.args[-2].count, signature.args[-1].count
    a, a_at, a_step, a_gap, b, b_at, b_step, count = args[:8]
    size = b_type.dtype.bitwidth // 8
    left, right = data_of(context, builder, a_type, a), data_of(context, builder, b_type, b)
    sums = _accumulators(builder, rows, lanes, _vector_kind(lanes, size))
    with cgutils.for_range(builder, count) as loop:
        t = loop.index
        at = builder.add(b_at, builder.mul(t, b_step))
        line = _vectors(builder, right, at, lanes, size)
        at = builder.add(a_at, builder.mul(t, a_step))
        for totals in sums:
            accumulate(builder, builder.load(builder.gep(left, [at])), line, totals)
            at = builder.add(at, a_gap)
    return [[builder.load(total) for total in totals] for totals in sums]


def _add_block(context: Any, builder: Any, signature: Any, args: Any, sums: Any) -> None:
    """``out[out_at + r out_step + lane] +=`` vectors for each r."""
    size = signature.args[8].dtype.bitwidth // 8
    data = data_of(context, builder, signature.args[8], args[8])
    at, pieces = args[9], _pieces(signature.args[-1].count)
    for totals in sums:
        for total, piece in zip(totals, pieces, strict=True):
            place = _vector_at(builder, data, _plus(builder, at, piece), total.type)
            whole = builder.fadd(builder.load(place, align=size), total)
            builder.store(whole, place, align=size)
        at = builder.add(at, args[10])


def _arguments(a: Any, b: Any, out: Any, rows: Any, lanes: Any, n_places: int) -> Any:
    place = types.uint64
    return types.void(
        a, place, place, place, b, place, place, place, out, *[place] * n_places, rows, lanes
    )


@intrinsic
def add_outer(
    typingctx: Any,
    a: Any,
    a_at: Any,
    a_step: Any,
    a_gap: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    count: Any,
    out: Any,
    out_at: Any,
    out_step: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """``out[out_at + r out_step + lane] += sum_t a[a_at + t a_step + r a_gap] b[… + lane]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = _outer_sums(context, builder, signature, args)
        _add_block(context, builder, signature, args, sums)
        return context.get_dummy_value()

    return _arguments(a, b, out, rows, lanes, 2), codegen


@intrinsic
def add_whitened_squares(
    typingctx: Any,
    strip: Any,
    strip_at: Any,
    mean: Any,
    residuals: Any,
    whitener: Any,
    step: Any,
    first: Any,
    out: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """``out[lane] += sum_r (sum_{t <= i} whitener[t step + i] z[t, lane])^2``, i = first + r.

    The residuals z, ``strip[strip_at + t lanes + lane] - mean[t]``, are read up to ``first``
    and made and written from there on: block by block, all are made once.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        height, width, size = rows.count, lanes.count, kinds[0].dtype.bitwidth // 8
        source, about, made, white, target = (
            data_of(context, builder, kinds[n], args[n]) for n in (0, 2, 3, 4, 7)
        )
        start, kind = args[6], _vector_kind(width, size)
        sums = _accumulators(builder, height, width, kind)

        def add(t: Any, line: list[Any], r: int) -> None:
            at = builder.add(builder.mul(t, args[5]), builder.add(start, ir.Constant(t.type, r)))
            _accumulate(builder, builder.load(builder.gep(white, [at])), line, sums[r])

        def line_of(t: Any) -> Any:
            return builder.mul(t, ir.Constant(t.type, width))

        with cgutils.for_range(builder, start) as loop:
            line = _vectors(builder, made, line_of(loop.index), width, size)
            for r in range(height):
                add(loop.index, line, r)
        for q in range(height):  # the triangle on the diagonal
            t = _plus(builder, start, q)
            middle = splat(builder, builder.load(builder.gep(about, [t])), kind)
            at = builder.add(args[1], line_of(t))
            line = [
                builder.fsub(vector, middle)
                for vector in _vectors(builder, source, at, width, size)
            ]
            for vector, piece in zip(line, _pieces(width), strict=True):
                place = _vector_at(builder, made, _plus(builder, line_of(t), piece), kind)
                builder.store(vector, place, align=size)
            for r in range(q, height):
                add(t, line, r)
        for column, piece in enumerate(_pieces(width)):
            place = _vector_at(builder, target, ir.Constant(start.type, piece), kind)
            total = builder.load(place, align=size)
            for r in range(height):
                coordinate = builder.load(sums[r][column])
                total = fused(builder, coordinate, coordinate, total)
            builder.store(total, place, align=size)
        return context.get_dummy_value()

    place = types.uint64
    return types.void(
        strip, place, mean, residuals, whitener, place, place, out, rows, lanes
    ), codegen


@intrinsic
def subtract_half_squares(
    typingctx: Any,
    a: Any,
    a_at: Any,
    a_step: Any,
    a_gap: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    count: Any,
    out: Any,
    out_at: Any,
    out_step: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """``out[out_at + r out_step + lane] -= sum_t (b[… + lane] - a[…])^2 / 2``, else as `add_outer`.

    Differences take registers, too: with AVX2, more than two rows of three vectors of sums would
    have to wait in memory.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = _outer_sums(context, builder, signature, args, _accumulate_square)
        half = ir.Constant(sums[0][0].type, [-0.5] * sums[0][0].type.count)
        scaled = [[builder.fmul(half, total) for total in totals] for totals in sums]
        _add_block(context, builder, signature, args, scaled)
        return context.get_dummy_value()

    return _arguments(a, b, out, rows, lanes, 2), codegen


@intrinsic
def add_squares_by_lane(
    typingctx: Any,
    a: Any,
    a_at: Any,
    a_step: Any,
    a_gap: Any,
    b: Any,
    b_at: Any,
    b_step: Any,
    count: Any,
    out: Any,
    out_at: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """``out[out_at + lane] += sum_r (sum_t a[…] b[…])^2``: squared on the spot, over the rows."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = _outer_sums(context, builder, signature, args)
        size = signature.args[8].dtype.bitwidth // 8
        data = data_of(context, builder, signature.args[8], args[8])
        for column, piece in enumerate(_pieces(signature.args[-1].count)):
            at = _plus(builder, args[9], piece)
            place = _vector_at(builder, data, at, sums[0][column].type)
            total = builder.load(place, align=size)
            for vectors in sums:
                total = fused(builder, vectors[column], vectors[column], total)
            builder.store(total, place, align=size)
        return context.get_dummy_value()

    return _arguments(a, b, out, rows, lanes, 1), codegen


@intrinsic
def any_below(typingctx: Any, a: Any, a_at: Any, b: Any, b_at: Any, lanes: Any) -> Any:
    """Whether ``a[a_at + lane] < b[b_at + lane]`` in any lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        size = signature.args[0].dtype.bitwidth // 8
        element = ir.DoubleType() if size == 8 else ir.FloatType()
        kind = ir.VectorType(element, signature.args[-1].count)
        left, right = (
            builder.load(
                _vector_at(builder, data_of(context, builder, kinds, array), at, kind), align=size
            )
            for kinds, array, at in zip(signature.args[:3:2], args[:3:2], args[1:4:2], strict=True)
        )
        below = builder.fcmp_ordered("<", left, right)
        bits = ir.IntType(kind.count)
        return builder.icmp_unsigned("!=", builder.bitcast(below, bits), ir.Constant(bits, 0))

    return types.boolean(a, types.uint64, b, types.uint64, lanes), codegen


def _halved(builder: Any, vector: Any, width: int) -> Any:
    """A vector folded upon itself until it has ``width`` lanes."""
    while vector.type.count > width:
        half = vector.type.count // 2
        low = shuffle(builder, vector, vector, list(range(half)))
        high = shuffle(builder, vector, vector, list(range(half, 2 * half)))
        vector = builder.fadd(low, high)
    return vector


def _lane_sums(builder: Any, vectors: list[Any]) -> Any:
    """Sums over the lanes of n vectors of n lanes, as one vector: a tree of pair sums."""
    while len(vectors) > 1:
        count = vectors[0].type.count
        even, odd = list(range(0, 2 * count, 2)), list(range(1, 2 * count, 2))
        vectors = [
            builder.fadd(shuffle(builder, a, b, even), shuffle(builder, a, b, odd))
            for a, b in zip(vectors[::2], vectors[1::2], strict=True)
        ]
    return vectors[0]


@intrinsic
def lane_totals(typingctx: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """The sums of the lanes of four vectors, by a tree of pair sums."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        totals = _lane_sums(builder, [_halved(builder, vector, 4) for vector in args])
        lanes = [ir.Constant(ir.IntType(32), k) for k in range(4)]
        return context.make_tuple(
            builder, signature.return_type, [builder.extract_element(totals, k) for k in lanes]
        )

    element = types.float64 if a.bits == 64 else types.float32
    return types.UniTuple(element, 4)(a, b, c, d), codegen


@numba.njit(cache=True, nogil=True, error_model="numpy")
def multiply(a: Any, steps: Any, b: Any, out: Any, count: int, tokens: Any) -> None:
    """``out[i, j] += sum_t a[t, i] b[t, j]`` by blocks; ``steps`` are a's for t and for i."""
    rows, lanes = tokens
    flat_a, flat_b, flat = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    height, width = out.shape
    for i in range(0, height, len(rows)):
        for j in range(0, width, len(lanes)):
            add_outer(
                flat_a,
                uint64(i) * uint64(steps[1]),
                uint64(steps[0]),
                uint64(steps[1]),
                flat_b,
                uint64(j),
                uint64(b.shape[1]),
                uint64(count),
                flat,
                uint64(i) * uint64(width) + uint64(j),
                uint64(width),
                rows,
                lanes,
            )
