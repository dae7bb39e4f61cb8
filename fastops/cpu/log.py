"""The natural logarithm in arithmetic that vectorises, as exp.py has the exponential function.

x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), and log(1 + f) by a polynomial in s = f / (2 + f).
Source of scheme and coefficients: FreeBSD's msun (from Sun's fdlibm), e_log.c and e_logf.c.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .._jit import scalar
from .exp import polynomial

_TERMS32 = (0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841)
_TERMS64 = (
    6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01,
)  # fmt: skip


def _logarithm(float_type: Any, int_type: Any, mantissa: int, terms: tuple[float, ...]) -> Any:
    """log for one type."""
    # ln 2 in two parts; the first has so few bits that k times it is exact
    ln2_high = float_type(6.9313812256e-01) if mantissa == 23 else float_type(6.93147180369123816490e-01)
    ln2_low = float_type(9.0580006145e-06) if mantissa == 23 else float_type(1.90821492927058770002e-10)
    root_half = float_type(0.7071067811865476).view(int_type)
    shift = int_type(mantissa)
    half, one, two, infinity = float_type(0.5), float_type(1), float_type(2), float_type(np.inf)
    series = polynomial(f"log.{float_type.__name__}", tuple(float_type(term) for term in reversed(terms)))

    def logarithm(x):
        bits = float_type(x).view(int_type)
        k = int_type(int_type(bits - root_half) >> shift)
        f = int_type(bits - (k << shift)).view(float_type) - one
        s = f / (two + f)
        z = s * s
        p = series(z)
        h = half * f * f
        n = float_type(k)
        y = n * ln2_high - ((h - (s * (h + p * z) + n * ln2_low)) - f)
        return y if x < infinity else x

    logarithm.__qualname__ += float_type.__name__
    return scalar(logarithm)


log32 = _logarithm(np.float32, np.int32, 23, _TERMS32)
log64 = _logarithm(np.float64, np.int64, 52, _TERMS64)


def log(x):
    """The natural logarithm of a positive normal number, within 2 ulp; infinity and NaN come through."""
    return log32(x) if isinstance(x, np.float32) else log64(x)


@overload(log)
def _log(x):
    if x == types.float32:
        return lambda x: log32(x)
    if x == types.float64:
        return lambda x: log64(x)
    return None
