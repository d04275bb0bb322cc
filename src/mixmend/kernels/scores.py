"""Largest scores of rows over centres, with the rows in vector lanes.

A score is a product of a row and a centre, plus a term of the centre. With a tile of rows
turned so that neighbours in memory are different rows, the best of all centres is found by
comparing registers lane by lane as soon as their products are complete.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from mixmend.kernels.products import wide_registers
from mixmend.kernels.simd import LANES
from mixmend.kernels.vectors import data_of, fused, shuffle, splat

intrinsic: Any = extending.intrinsic


def score_shape(itemsize: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Tokens of centres and of rows whose scores this processor holds at once."""
    lanes = 64 // itemsize  # two registers of 256 bits
    return (LANES[8], LANES[2 * lanes]) if wide_registers() else (LANES[4], LANES[lanes])


def turned_lanes(itemsize: int) -> tuple[int, ...]:
    """Token of the rows and columns that `turn` takes at once: one register of 256 bits."""
    return LANES[32 // itemsize]


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    return builder.gep(data_of(context, builder, array_type, array), [at])


def _element(array_type: Any) -> tuple[Any, int]:
    bits = array_type.dtype.bitwidth
    return (ir.DoubleType() if bits == 64 else ir.FloatType()), bits // 8


def _transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """The columns of n vectors of n lanes: blocks of 1, 2, … lanes swap across the diagonal."""
    n, run = len(lines), 1
    while run < n:
        for i in range(n):
            if i & run:
                continue
            low: list[int] = []
            for place in range(0, n, 2 * run):
                low += [*range(place, place + run), *range(n + place, n + place + run)]
            a, b = lines[i], lines[i | run]
            lines[i] = shuffle(builder, a, b, low)
            lines[i | run] = shuffle(builder, a, b, [lane + run for lane in low])
        run *= 2
    return lines


@intrinsic
def fetch(typingctx: Any, array: Any, at: Any) -> Any:
    """Have a place of a flat array brought to the first-level cache, without waiting for it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = _pointer(context, builder, signature.args[0], args[0], args[1])
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        how = [ir.Constant(number, value) for value in (0, 3, 1)]  # to read, soon, data
        builder.call(function, [builder.bitcast(place, byte), *how])
        return context.get_dummy_value()

    return types.void(array, types.uint64), codegen


@intrinsic
def turn(
    typingctx: Any,
    X: Any,
    width: Any,
    rows: Any,
    first: Any,
    column: Any,
    centre: Any,
    tile: Any,
    at: Any,
    step: Any,
    lanes: Any,
) -> Any:
    """``tile[at + j step + r] = X[rows[first + r], column + j] - centre[column + j]``.

    For ``lanes`` rows r and as many columns j of a flat X that is ``width`` columns wide.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        x, wide, rows, first, column, centre, tile, at, step = args[:9]
        kinds = signature.args
        element, size = _element(kinds[0])
        count = kinds[9].count
        vector = ir.VectorType(element, count)

        def load(array_type: Any, array: Any, at: Any) -> Any:
            place = _pointer(context, builder, array_type, array, at)
            return builder.load(builder.bitcast(place, vector.as_pointer()), align=size)

        common = load(kinds[5], centre, column)
        lines = []
        for r in range(count):
            place = builder.add(first, ir.Constant(first.type, r))
            row = builder.load(_pointer(context, builder, kinds[2], rows, place))
            begin = builder.add(builder.mul(row, wide), column)
            lines.append(builder.fsub(load(kinds[0], x, begin), common))
        for line in _transposed(builder, lines):
            place = _pointer(context, builder, kinds[6], tile, at)
            builder.store(line, builder.bitcast(place, vector.as_pointer()), align=size)
            at = builder.add(at, step)
        return context.get_dummy_value()

    place = types.uint64
    return types.void(X, place, rows, place, place, centre, tile, place, place, lanes), codegen


@intrinsic
def fold_scores(
    typingctx: Any,
    panel: Any,
    panel_at: Any,
    tile: Any,
    tile_at: Any,
    count: Any,
    terms: Any,
    first: Any,
    scores: Any,
    scores_at: Any,
    leaders: Any,
    leaders_at: Any,
    centres: Any,
    lanes: Any,
) -> Any:
    """Scores of a panel of m centres for as many rows as there are lanes, and their leaders.

    ``scores[scores_at + k lanes + r] = terms[first + k] + sum_t panel[panel_at + t m + k]
    tile[tile_at + t lanes + r]`` for t < ``count``. ``leaders`` is (best, second, chosen), by
    row from ``leaders_at`` on: the two largest scores so far and the place of the largest, the
    first of equals, as a number of the scores' type.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        panel, panel_at, tile, tile_at, count, terms, first, scores, scores_at = args[:9]
        kinds = signature.args
        element, size = _element(kinds[2])
        height, width = kinds[11].count, kinds[12].count
        kind = ir.VectorType(element, width)

        def vector_at(array_type: Any, array: Any, at: Any) -> Any:
            place = _pointer(context, builder, array_type, array, at)
            return builder.bitcast(place, kind.as_pointer())

        def times(number: Any, factor: int) -> Any:
            return builder.mul(number, ir.Constant(number.type, factor))

        def plus(number: Any, more: int) -> Any:
            return builder.add(number, ir.Constant(number.type, more))

        sums = []
        for k in range(height):
            term = builder.load(_pointer(context, builder, kinds[5], terms, plus(first, k)))
            sums.append(cgutils.alloca_once_value(builder, splat(builder, term, kind)))
        with cgutils.for_range(builder, count) as loop:
            at = builder.add(tile_at, times(loop.index, width))
            line = builder.load(vector_at(kinds[2], tile, at), align=size)
            at = builder.add(panel_at, times(loop.index, height))
            for k, total in enumerate(sums):
                value = builder.load(_pointer(context, builder, kinds[0], panel, plus(at, k)))
                factor = splat(builder, value, kind)
                builder.store(fused(builder, factor, line, builder.load(total)), total)
        tops = [
            vector_at(kinds[9][i], builder.extract_value(args[9], i), args[10]) for i in range(3)
        ]
        best, second, chosen = (builder.load(top, align=size) for top in tops)
        number = builder.uitofp(first, element)
        for k in range(height):
            score = builder.load(sums[k])
            at = plus(scores_at, k * width)
            builder.store(score, vector_at(kinds[7], scores, at), align=size)
            leads = builder.fcmp_ordered(">", score, best)
            lower = builder.select(leads, best, score)
            second = builder.select(builder.fcmp_ordered(">", lower, second), lower, second)
            here = builder.fadd(number, ir.Constant(element, float(k)))
            chosen = builder.select(leads, splat(builder, here, kind), chosen)
            best = builder.select(leads, score, best)
        for top, value in zip(tops, (best, second, chosen), strict=True):
            builder.store(value, top, align=size)
        return context.get_dummy_value()

    place = types.uint64
    arguments = (panel, place, tile, place, place, terms, place, scores, place, leaders, place)
    return types.void(*arguments, centres, lanes), codegen
