"""Products of matrices: NumPy's BLAS, CuPy's on a device."""

from typing import Any

from ...linear import linear
from .table import Call, Step, operator


@operator("MatMul")
def make_matmul(call: Call) -> Step:
    return call.xp.matmul  # type: ignore[no-any-return]


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
        return linear

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
