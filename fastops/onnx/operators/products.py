"""Products of matrices: as convolutions of one pixel on the CPU, NumPy's and CuPy's for the rest.

Threads of NumPy's BLAS wait actively after a product, and keep the cores from the kernels that come next, and these the
cores from them: between convolutions a product of 240 x 120 and 120 x 6625 took 21 ms by BLAS and 2.1 as a convolution
(medians on two busy cores; alone 1.84 and 1.99).
"""

from math import prod
from typing import Any

import numpy as np

from ... import _shapes
from .table import Call, Filling, Step, operator

FEW_ROWS = 16
"""Rows up to which a product with a constant is made of dots, for which the constant is laid out."""
LAID_OUT = 1 << 22
"""Elements of a constant up to which it is, beside the file's own."""
SMALL = 65536
"""Products up to which one thread of BLAS does them, which nobody waits for."""


@operator("MatMul")
def make_matmul(call: Call) -> Step:
    """Rows of a times a matrix b; of stacks of matrices NumPy's product."""
    xp, a, b = call.xp, call.shape(0), call.shape(1)
    if xp is not np or not call.is_float() or call.dtype(0) != call.dtype(1) or min(len(a), len(b)) < 2:
        return xp.matmul  # type: ignore[no-any-return]
    if a[-1] != b[-2]:
        raise ValueError(f"expects as many columns as the second has rows, got shapes {a} and {b}")
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    if len(b) == 2 and 0 not in (*a, *b):
        return _rows_times(call, shape, (prod(a[:-1]), *b), False)
    return Filling(call.on, shape, call.dtype(), lambda out, a, b: np.matmul(a, b, out=out))


def _rows_times(call: Call, shape: tuple[int, ...], sizes: tuple[int, int, int], across: bool) -> Filling:
    """(rows, inner) times (inner, columns), the second perhaps ``across``, plus what broadcasts to the product."""
    (rows, inner, columns), on, dtype = sizes, call.on, call.dtype()
    dots = across or (rows <= FEW_ROWS and call.is_constant(1) and inner * columns <= LAID_OUT)
    kept = call.kept(1, "product", across) if call.is_constant(1) else None
    conv2d, fast = on.conv.conv2d, call.fast
    if dots and rows * inner * columns > SMALL:
        of_dots = _shapes.conv2d("Gemm", (rows, inner, 1, 1), (columns, inner, 1, 1), None, 1, 0, 1, 1)

        def fill_dots(out: Any, a: Any, b: Any, c: Any = None) -> None:
            if not across:
                assert kept is not None
                turned = kept.get("turned")
                if turned is None:
                    turned = kept["turned"] = np.ascontiguousarray(b.T)
                b = turned
            b, a = b.reshape(columns, inner, 1, 1), a.reshape(rows, inner, 1, 1)
            conv2d(out.reshape(rows, columns, 1, 1), a, b, None, of_dots, fast)
            if c is not None:
                np.add(out, c, out=out)

        return Filling(on, shape, dtype, fill_dots)
    if not across and rows * inner * columns > SMALL:
        g = _shapes.conv2d("MatMul", (1, inner, 1, columns), (rows, inner, 1, 1), None, 1, 0, 1, 1)

        def fill(out: Any, a: Any, b: Any, c: Any = None) -> None:
            a, b = a.reshape(rows, inner, 1, 1), b.reshape(1, inner, 1, columns)
            conv2d(out.reshape(1, rows, 1, columns), b, a, None, g, fast)
            if c is not None:
                np.add(out, c, out=out)

        return Filling(on, shape, dtype, fill)

    def fill_small(out: Any, a: Any, b: Any, c: Any = None) -> None:
        np.matmul(a.reshape(rows, inner), b.T if across else b, out=out.reshape(rows, columns))
        if c is not None:
            np.add(out, c, out=out)

    return Filling(on, shape, dtype, fill_small)


@operator("Gemm")
def make_gemm(call: Call) -> Step:
    """alpha A B + beta C, each of A and B perhaps transposed."""
    xp, kind = call.xp, call.dtype().type
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    across_a, across_b = bool(call.attribute("transA", 0)), bool(call.attribute("transB", 0))
    if len(call.shape(0)) != 2 or len(call.shape(1)) != 2:
        raise ValueError(f"expects two matrices, got shapes {call.shape(0)} and {call.shape(1)}")
    (inner, rows) = call.shape(0) if across_a else call.shape(0)[::-1]
    columns = call.shape(1)[0] if across_b else call.shape(1)[1]
    if call.shape(1)[1 if across_b else 0] != inner:
        raise ValueError(f"expects an inner size that both have, got shapes {call.shape(0)} and {call.shape(1)}")
    dtypes = {call.dtype(i) for i in range(len(call.arrays)) if call.has(i)}
    plain = call.is_float() and len(dtypes) == 1 and alpha == beta == 1 and not across_a
    fits = not call.has(2) or np.broadcast_shapes(call.shape(2), (rows, columns)) == (rows, columns)
    if xp is np and plain and fits and 0 not in (rows, inner, columns):
        return _rows_times(call, (rows, columns), (rows, inner, columns), across_b)

    def run(a: Any, b: Any, c: Any = None) -> Any:
        y = (a.T if across_a else a) @ (b.T if across_b else b)
        if alpha != 1:
            y = y * kind(alpha)
        if c is not None:
            y = y + (c if beta == 1 else c * kind(beta))
        return xp.asarray(y)

    return run


@operator("Einsum")
def make_einsum(call: Call) -> Step:
    xp, equation = call.xp, call.attribute("equation")
    return lambda *arrays: xp.einsum(equation, *arrays)
