"""Products of matrices: NumPy's BLAS, CuPy's on a device."""

from typing import Any

import numpy as np

from ... import _shapes
from .table import Call, Filling, Step, operator


@operator("MatMul")
def make_matmul(call: Call) -> Step:
    """numpy.matmul, into memory that is there where both are floats of one dtype."""
    xp, a, b = call.xp, call.shape(0), call.shape(1)
    if xp is not np or not call.is_float() or call.dtype(0) != call.dtype(1) or min(len(a), len(b)) < 2:
        return xp.matmul  # type: ignore[no-any-return]
    if a[-1] != b[-2]:
        raise ValueError(f"expects as many columns as the second has rows, got shapes {a} and {b}")
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    return Filling(call.on, shape, call.dtype(), lambda out, a, b: np.matmul(a, b, out=out))


@operator("Gemm")
def make_gemm(call: Call) -> Step:
    """alpha A B + beta C, each of A and B perhaps transposed; linear() where it is one."""
    xp, kind = call.xp, call.dtype().type
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    across_a, across_b = bool(call.attribute("transA", 0)), bool(call.attribute("transB", 0))
    if len(call.shape(0)) != 2 or len(call.shape(1)) != 2:
        raise ValueError(f"expects two matrices, got shapes {call.shape(0)} and {call.shape(1)}")
    rows = call.shape(1)[0] if across_b else call.shape(1)[1]
    plain = call.is_float() and alpha == beta == 1 and across_b and not across_a
    if plain and (not call.has(2) or call.shape(2) == (rows,)):
        _shapes.linear("Gemm", call.shape(0), call.shape(1), call.shape(2) if call.has(2) else None)
        shape, entry = (call.shape(0)[0], rows), call.on.linear.linear
        return Filling(call.on, shape, call.dtype(), lambda out, a, b, c=None: entry(out, a, b, c))
    columns = call.shape(0)[1 if across_a else 0]
    if xp is np and call.is_float() and alpha == beta == 1 and len({call.dtype(i) for i in range(len(call.arrays))}) == 1:

        def fill(out: Any, a: Any, b: Any, c: Any = None) -> None:
            np.matmul(a.T if across_a else a, b.T if across_b else b, out=out)
            if c is not None:
                np.add(out, c, out=out)

        return Filling(call.on, (columns, rows), call.dtype(), fill)

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
