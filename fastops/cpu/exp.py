"""The exponential function in arithmetic that vectorises.

A loop with math.exp in it stays scalar wherever numba finds no SVML, 5 times slower than torch (measured on sigmoid).
Here: x = n ln 2 + r with |r| <= ln 2 / 2, a Taylor polynomial in r, and n added to the exponent bits.
Source of the scheme: Cephes, expf.c and exp.c.
"""

from math import factorial
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .._jit import scalar


def _exponential(float_type: Any, int_type: Any, mantissa: int, degree: int, least: float, most: float) -> Any:
    """exp for one type: ``degree`` is where r^(degree + 1) / (degree + 1)! drops below half an ulp."""
    log2e = float_type(1.4426950408889634)
    # ln 2 in two parts; the first has so few bits that n times it is exact
    ln2_high = float_type(0.693359375) if mantissa == 23 else float_type(0.6931471803691238)
    ln2_low = float_type(-2.12194440e-4) if mantissa == 23 else float_type(1.9082149292705877e-10)
    to_integer = float_type(1.5 * 2**mantissa)  # adding it leaves the nearest integer in the low bits
    shift = int_type(mantissa)
    least, most, one = float_type(least), float_type(most), float_type(1)
    zero, infinity = float_type(0), float_type(np.inf)
    c = tuple(float_type(1 / factorial(k)) for k in range(degree, 1, -1))

    def exponential(x):
        shifted = x * log2e + to_integer
        n = shifted - to_integer
        r = x - n * ln2_high - n * ln2_low
        p = c[0]
        for coefficient in c[1:]:
            p = p * r + coefficient
        p = p * r * r + r + one
        bits = float_type(p).view(int_type) + (float_type(shifted).view(int_type) << shift)
        y = int_type(bits).view(float_type)
        y = zero if x < least else y
        y = infinity if x > most else y
        return y if x == x else x

    exponential.__qualname__ += float_type.__name__
    return scalar(exponential)


exp32 = _exponential(np.float32, np.int32, 23, 7, -87.3, 88.72283)
exp64 = _exponential(np.float64, np.int64, 52, 13, -708.3, 709.782712893384)


def exp(x):
    """e to the x, within 2 ulp; 0 below the smallest normal number's logarithm, NaN for NaN."""
    return exp32(x) if isinstance(x, np.float32) else exp64(x)


@overload(exp)
def _exp(x):
    if x == types.float32:
        return lambda x: exp32(x)
    if x == types.float64:
        return lambda x: exp64(x)
    return None
