"""Vectors of lanes in generated code: what the intrinsics of the kernels are put together from."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Pointer to the first number of an array."""
    return context.make_array(array_type)(context, builder, array).data


def splat(builder: Any, scalar: Any, kind: Any) -> Any:
    """A vector of this kind with a scalar in all lanes."""
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return shuffle(builder, single, undefined, [0] * kind.count)


def shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """Lanes of two vectors side by side, by number, as one vector."""
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` of vectors, rounded once."""
    kind = c.type
    bits = 64 if isinstance(kind.element, ir.DoubleType) else 32
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fma.v{kind.count}f{bits}"
    )
    return builder.call(function, [a, b, c])


def transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """The columns of a square of vectors, a power of two a side, as vectors.

    Halves of lines that lie a distance apart change places, from far to near.
    """
    count = len(lines)
    apart = count // 2
    while apart:
        moved = list(lines)
        for i in range(count):
            if i & apart:
                continue
            # lanes without the bit come from one line, those with it from the other
            low = [j if not j & apart else count + j - apart for j in range(count)]
            high = [j + apart if not j & apart else count + j for j in range(count)]
            moved[i] = shuffle(builder, lines[i], lines[i + apart], low)
            moved[i + apart] = shuffle(builder, lines[i], lines[i + apart], high)
        lines, apart = moved, apart // 2
    return lines
