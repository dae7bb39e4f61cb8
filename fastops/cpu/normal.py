"""The standard normal distribution in arithmetic that vectorises: what the error function is to gelu.

x times (1 + erf(x / sqrt 2)) / 2, as torch has it, keeps nothing of the left tail, where erf is -1 but for its last
bits.  Here the tail beyond a = |x| is exp(-a^2 / 2) R(a) with no branch; R falls from 1/2 like 1 / a, and is a quotient
of two polynomials without a negative coefficient.  a^2 is rounded before exp takes it: its error, up to
0.8 a^2 ulp of the result, is the price of seven operations less.
Source of the scheme: W. J. Cody, Math. Comp. 23 (1969), 631-637; the polynomials are our own.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .._jit import inlined, scalar
from .exp import polynomial, power_of_two32, power_of_two64

# All of it is compiled into the caller: LLVM takes it for too large, and a loop that calls it stays scalar.
_INLINED = {"forceinline": True}

# R(a) for a up to 13.2 and 37.7, numerator and denominator from the power 0 on: Phi(0) is 1/2.  By weighted least
# squares, of the least relative error: 4.9e-9 and 4.8e-17, half of half an ulp or less.
_ABOVE32 = (0.5, 0.4355692188808605, 0.18122048344603833, 0.039955207495996035, 0.0040159190072019575)
_BELOW32 = (1, 1.6690233541728388, 1.1941248242241, 0.4641526396398221, 0.1001602780934686, 0.010066271786763942)
_ABOVE64 = (
    0.5, 0.7740892157516903, 0.5929102853713144, 0.2885218508619857, 0.09733572262531409, 0.02351142264079185,
    0.004065757884052133, 0.0004870143185650711, 3.6945444592280796e-05, 1.37197411980467e-06,
)  # fmt: skip
_BELOW64 = (
    1, 2.3460629923062366, 2.557708010975051, 1.7107294588334672, 0.7797445427793545, 0.2539905888325519,
    0.06014828302250033, 0.010283952153992066, 0.0012242028904029467, 9.260849603146622e-05, 3.4390291207759463e-06,
)  # fmt: skip


def _normal(
    float_type: Any, above: tuple[float, ...], below: tuple[float, ...], most: float, power_of_two: Any
) -> tuple[Any, Any, Any]:
    """(Phi, x Phi, phi) for one type; at ``most`` exp(-x^2 / 2) is 0."""
    most, zero, one = float_type(most), float_type(-0.0), float_type(1)
    half_log2e, density_at_0 = float_type(-0.7213475204444817), float_type(0.3989422804014327)
    name = float_type.__name__
    upper = polynomial(f"normal.{name}", tuple(map(float_type, reversed(above))))
    lower = polynomial(f"normal.below.{name}", tuple(map(float_type, reversed(below))))

    def fall(a):
        """exp(-a^2 / 2)."""
        return power_of_two(half_log2e * a * a)

    def magnitude(x):
        a = abs(x)
        return most if a > most else a  # a NaN is not more, and so goes through

    def cumulative(x):
        a = magnitude(x)
        tail = fall(a) * (upper(a) / lower(a))
        return tail if x < 0 else one - tail

    def share(x):
        a = magnitude(x)
        return (zero if x < 0 else x) - a * (upper(a) / lower(a)) * fall(a)

    def density(x):
        return fall(magnitude(x)) * density_at_0

    for function in (fall, magnitude, cumulative, share, density):
        function.__qualname__ += name
    fall, magnitude = scalar(fall), scalar(magnitude)
    return inlined(cumulative), inlined(share), inlined(density)


cumulative32, share32, density32 = _normal(np.float32, _ABOVE32, _BELOW32, 13.22, power_of_two32)
cumulative64, share64, density64 = _normal(np.float64, _ABOVE64, _BELOW64, 37.64, power_of_two64)


def cumulative(x):
    """Phi(x), the share of the standard normal distribution below x: (1 + erf(x / sqrt 2)) / 2.

    Within 3 + x^2 ulp, above 0 within 2; 0 where exp(-x^2 / 2) is, and at -inf.
    """
    return cumulative32(x) if isinstance(x, np.float32) else cumulative64(x)


def times_cumulative(x):
    """x Phi(x) = max(x, 0) - |x| Phi(-|x|), within 4 + x^2 ulp; the limit at the infinities."""
    return share32(x) if isinstance(x, np.float32) else share64(x)


def density(x):
    """phi(x), the density of the standard normal distribution, within 3 + x^2 ulp; 0 where exp(-x^2 / 2) is."""
    return density32(x) if isinstance(x, np.float32) else density64(x)


def _for_both(function: Any, of_32: Any, of_64: Any) -> None:
    @overload(function, jit_options=_INLINED)
    def choose(x):
        if x == types.float32:
            return lambda x: of_32(x)
        if x == types.float64:
            return lambda x: of_64(x)
        return None


_for_both(cumulative, cumulative32, cumulative64)
_for_both(times_cumulative, share32, share64)
_for_both(density, density32, density64)
