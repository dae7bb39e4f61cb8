"""The exponential function in arithmetic that vectorises.

A loop with math.exp in it stays scalar wherever numba finds no SVML, 5 times slower than torch (measured on sigmoid).
Here: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r, and a factor 2^n made of exponent bits.
Source of the scheme: Cephes, expf.c and exp.c.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .._jit import inlined, scalar
from .simd.values import Vector, bits_shifted, chosen

# (e^r - 1 - r) / r^2 at the Chebyshev points of |r| <= ln 2 / 2, from r^0 on.  The relative errors of e^r that this
# leaves, 1.0e-8 and 1.7e-17, are an eighth of half an ulp; a degree less leaves 4.1e-7 and 1.2e-15.
_TERMS32 = (0.5, 0.16666576989698775, 0.041666554617204574, 0.008363179052722578, 0.0013926183587713494)
_TERMS64 = (
    0.5, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
    0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07,
    2.510038549551032e-08,
)  # fmt: skip


def polynomial(name: str, coefficients: tuple[Any, ...]) -> Any:
    """A scalar function: Horner's scheme, the coefficient of the highest power first.

    Each step is a function of its own: libnvvm leaves a loop over a tuple a loop, with a choice among its elements.
    """
    *before, last = coefficients
    if len(before) == 1:
        lead = before[0]

        def value(x):
            return x * lead + last
    else:
        rest = polynomial(name, tuple(before))

        def value(x):
            return rest(x) * x + last

    value.__qualname__ = f"polynomial.{name}.{len(before)}"
    return scalar(value)


@scalar
def _either(condition, a, b):
    return a if condition else b


def _exponentials(float_type: Any, int_type: Any, mantissa: int, terms: tuple[float, ...], most: float) -> Any:
    """(exp, power of two, exp of vectors) for one type; ``most`` is a little above the largest number's logarithm."""
    bias = 1023 if mantissa == 52 else 127
    log2e = float_type(1.4426950408889634)
    # ln 2 in two parts; the first has so few bits that n times it is exact
    ln2_high = float_type(0.693359375) if mantissa == 23 else float_type(0.6931471803691238)
    ln2_low = float_type(-2.12194440e-4) if mantissa == 23 else float_type(1.9082149292705877e-10)
    # adding it leaves n + bias - 1 in the low bits: shifted they are 2^(n - 1), whose twin 2 stands in the polynomial,
    # so that the largest results are finite and those beyond infinite
    to_exponent = float_type(1.5 * 2**mantissa + bias - 1)
    shift = int_type(mantissa)
    # the lowest n becomes the exponent bits of 0
    least, most = float_type(-(bias - 0.75) * 0.6931471805599453), float_type(most)
    two, two_ln2 = float_type(2), float_type(2 * 0.6931471805599453)
    twice = polynomial(f"exp.{float_type.__name__}", tuple(float_type(2 * term) for term in reversed(terms)))
    # of r ln 2 instead of r
    of_2 = [2 * term * 0.6931471805599453 ** (i + 2) for i, term in enumerate(terms)]
    twice_of_2 = polynomial(f"exp2.{float_type.__name__}", tuple(map(float_type, reversed(of_2))))

    def power(shifted, count):
        return int_type(float_type(shifted).view(int_type) << int_type(count)).view(float_type)

    power.__qualname__ += float_type.__name__

    def made_of(chosen: Any, power: Any) -> Any:
        def exponential(x):
            x = chosen(x < least, least, x)  # a NaN is neither less nor more, and so goes through
            x = chosen(x > most, most, x)
            shifted = x * log2e + to_exponent
            n = shifted - to_exponent
            r = x - n * ln2_high - n * ln2_low
            p = (twice(r) * r + two) * r + two
            return p * power(shifted, shift)

        return exponential

    power = scalar(power)

    def power_of_two(x):
        """2^x for x from 0.5 - bias to 0, the least of them 0; or NaN."""
        shifted = x + to_exponent
        r = x - (shifted - to_exponent)
        p = (twice_of_2(r) * r + two_ln2) * r + two
        return p * power(shifted, shift)

    of_numbers, of_vectors = made_of(_either, power), made_of(chosen, bits_shifted)
    of_numbers.__qualname__ += float_type.__name__
    power_of_two.__qualname__ += float_type.__name__
    of_vectors.__qualname__ += f"{float_type.__name__}.vector"
    return scalar(of_numbers), scalar(power_of_two), inlined(of_vectors)


exp32, power_of_two32, _vectors32 = _exponentials(np.float32, np.int32, 23, _TERMS32, 88.8)
exp64, power_of_two64, _vectors64 = _exponentials(np.float64, np.int64, 52, _TERMS64, 709.9)


def exp(x):
    """e to the x, within 2 ulp; 0 where that is less than 1.5 of the smallest normal number, NaN for NaN."""
    return exp32(x) if isinstance(x, np.float32) else exp64(x)


@overload(exp)
def _exp(x):
    if isinstance(x, Vector):
        return (lambda x: _vectors32(x)) if x.dtype == types.float32 else (lambda x: _vectors64(x))
    if x == types.float32:
        return lambda x: exp32(x)
    if x == types.float64:
        return lambda x: exp64(x)
    return None
