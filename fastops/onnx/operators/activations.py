"""Element-wise functions of one array: our kernels where there is one, NumPy's functions where not."""

from math import inf
from typing import Any

import numpy as np

from ...activation import gelu, hardsigmoid, hardswish
from ...elementwise import relu, sigmoid
from ...rectifier import clamp, leaky_relu, prelu
from . import erf
from .table import Call, Step, operator


@operator("Relu")
def make_relu(call: Call) -> Step:
    xp = call.xp
    return relu if call.is_float() else lambda x: xp.maximum(x, x.dtype.type(0))


@operator("Sigmoid")
def make_sigmoid(call: Call) -> Step:
    return sigmoid


@operator("LeakyRelu")
def make_leaky_relu(call: Call) -> Step:
    slope = float(call.attribute("alpha", 0.01))
    return lambda x: leaky_relu(x, slope)


@operator("PRelu")
def make_prelu(call: Call) -> Step:
    """prelu where the slope is one number, or one for each channel; any other slope by NumPy."""
    x, slope, xp = call.shape(0), call.shape(1), call.xp
    size = call.arrays[1].size  # type: ignore[union-attr]
    lead = len(x) - len(slope)
    of_channels = len(x) > 1 and size == x[1] and lead <= 1 and slope[1 - lead] == size
    if len(slope) <= len(x) and call.is_float() and (size == 1 or of_channels):
        return lambda x, slope: prelu(x, slope.reshape(-1))
    return lambda x, slope: xp.where(x < 0, slope * x, x)


@operator("HardSigmoid")
def make_hard_sigmoid(call: Call) -> Step:
    """max(0, min(1, alpha x + beta)); torch's has 1/6 and 1/2, ONNX's own is 1/5 and 1/2."""
    alpha, beta = float(call.attribute("alpha", 0.2)), float(call.attribute("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return hardsigmoid
    kind = call.dtype().type

    def run(x: Any) -> Any:
        y = x * kind(alpha)
        y += kind(beta)
        return clamp(y, 0.0, 1.0)

    return run


@operator("HardSwish")
def make_hard_swish(call: Call) -> Step:
    return hardswish


@operator("Gelu")
def make_gelu(call: Call) -> Step:
    form = call.attribute("approximate", "none")
    return lambda x: gelu(x, form)


@operator("Clip")
def make_clip(call: Call) -> Step:
    """clamp; a lowest above the highest gives the highest."""
    xp = call.xp
    if call.is_float() and all(call.is_constant(i) or not call.has(i) for i in (1, 2)):
        low, high = (float(call.host(i)) if call.has(i) else bound for i, bound in ((1, -inf), (2, inf)))
        return lambda x, *bounds: clamp(x, low, high)

    def run(x: Any, low: Any = None, high: Any = None) -> Any:
        x = x if low is None else xp.maximum(x, low.astype(x.dtype))
        x = x if high is None else xp.minimum(x, high.astype(x.dtype))
        return x

    return run


@operator("Erf")
def make_erf(call: Call) -> Step:
    xp = call.xp
    return lambda x: erf.erf(xp, x)


# Operators that are one of NumPy's functions.
_UFUNCS = {
    "Tanh": "tanh", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Abs": "abs", "Neg": "negative", "Floor": "floor",
    "Ceil": "ceil", "Round": "rint", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "arcsin", "Acos": "arccos",
    "Atan": "arctan", "Sinh": "sinh", "Cosh": "cosh", "Asinh": "arcsinh", "Acosh": "arccosh", "Atanh": "arctanh",
    "Sign": "sign", "Not": "logical_not", "IsNaN": "isnan",
}  # fmt: skip


@operator(*_UFUNCS)
def make_ufunc(call: Call) -> Step:
    function: Step = getattr(call.xp, _UFUNCS[call.node.op_type])
    return function


@operator("Reciprocal")
def make_reciprocal(call: Call) -> Step:
    return lambda x: x.dtype.type(1) / x


def _linear_unit(alpha: float, gamma: float, of: float = 1.0) -> Step:
    """gamma x where x is positive, gamma alpha (exp(x / of) - 1) where not."""

    def make(call: Call) -> Step:
        xp, kind = call.xp, call.dtype().type
        a = kind(call.attribute("alpha", alpha))
        g = kind(call.attribute("gamma", gamma))
        by = a if call.node.op_type == "Celu" else kind(of)
        return lambda x: g * xp.where(x > 0, x, a * xp.expm1(xp.minimum(x, kind(0)) / by))

    return make


operator("Elu", "Celu")(_linear_unit(1.0, 1.0))
operator("Selu")(_linear_unit(1.67326319217681884765625, 1.05070102214813232421875))


@operator("Softplus", "Mish")
def make_softplus(call: Call) -> Step:
    xp = call.xp
    if call.node.op_type == "Mish":
        return lambda x: x * xp.tanh(xp.logaddexp(x, x.dtype.type(0)))
    return lambda x: xp.logaddexp(x, x.dtype.type(0))


@operator("Softsign")
def make_softsign(call: Call) -> Step:
    xp = call.xp
    return lambda x: x / (x.dtype.type(1) + xp.abs(x))


@operator("ThresholdedRelu")
def make_thresholded_relu(call: Call) -> Step:
    xp, alpha = call.xp, call.dtype().type(call.attribute("alpha", 1.0))
    return lambda x: xp.where(x > alpha, x, x.dtype.type(0))


@operator("Swish")
def make_swish(call: Call) -> Step:
    alpha = call.dtype().type(call.attribute("alpha", 1.0))
    return lambda x: x * sigmoid(alpha * x)


@operator("IsInf")
def make_is_inf(call: Call) -> Step:
    xp = call.xp
    below, above = bool(call.attribute("detect_negative", 1)), bool(call.attribute("detect_positive", 1))
    return lambda x: xp.isinf(x) & (np.bool_(below) & (x < 0) | np.bool_(above) & (x > 0))
