"""The standard normal distribution in arithmetic that vectorises: what the error function is to gelu.

x times (1 + erf(x / sqrt 2)) / 2, as torch has it, keeps nothing of the left tail, where erf is -1 but for its last
bits.  Here the tail beyond a = |x| is exp(-a^2 / 2) R(a) with no branch: R falls from 1/2 like 1 / a, and R(a) (a + K)
is a polynomial in a / (a + K).  a^2 is taken in two parts: rounded once, it would cost exp a^2 / 4 ulp.
Source of the scheme: M. M. Shepherd and J. G. Laframboise, Math. Comp. 36 (1981), 249-253; the polynomials are our own.
"""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .._jit import inlined, scalar
from .exp import exp_of_sum32, exp_of_sum64, polynomial

# All of it is compiled into the caller: LLVM takes it for too large, and a loop that calls it stays scalar.
_INLINED = {"forceinline": True}

# R(a) (a + K) for a up to 13.3 and 37.7, from the power 0 on, which is K / 2: Phi(0) is 1/2.  By Remez's method, of the
# least relative error: 4.7e-9 and 5.9e-17, half of half an ulp or less.
_TERMS32 = (
    1.25, -1.2433900833129883, 0.16951219737529755, 0.2933551073074341, 0.044525258243083954,
    -0.09911654144525528, 0.0029530986212193966, -0.09074609726667404, 0.05804453790187836, 0.04244882985949516,
    -0.028664657846093178,
)  # fmt: skip
_TERMS64 = (
    1.75, -3.1370429349176194, 2.6946641301798917, -0.7103041234866709, -0.48120108931113437,
    0.18809840030184943, 0.1684304239108907, -0.014431151171568173, -0.05957156814967887, -0.032424672125357004,
    0.061520559891314365, -0.17833719909670842, 0.5879877196093612, -1.405069547062154, 2.6799635684758814,
    -4.073779297504865, 4.855340410428805, -4.476810455250225, 3.115306845729854, -1.5689300178451266,
    0.5353862902473893, -0.11012255753565461, 0.010268545069466516,
)  # fmt: skip


def _normal(
    float_type: Any, int_type: Any, dropped: int, terms: tuple[float, ...], K: float, most: float, exp: Any
) -> tuple[Any, Any]:
    """(Phi, phi) for one type; without the ``dropped`` last bits a square is exact, beyond ``most`` exp is 0."""
    K, most = float_type(K), float_type(most)
    half, one, density_at_0 = float_type(0.5), float_type(1), float_type(0.3989422804014327)
    first_bits = int_type(-1 << dropped)
    series = polynomial(f"normal.{float_type.__name__}", tuple(float_type(term) for term in reversed(terms)))

    def fall(x):
        """exp(-x^2 / 2)."""
        high = int_type(float_type(x).view(int_type) & first_bits).view(float_type)
        return exp(-half * high * high, half * (high - x) * (high + x))

    def cumulative(x):
        a = abs(x)
        a = most if a > most else a  # a NaN is not more, and so goes through
        share = one / (a + K)
        tail = fall(a) * (series(a * share) * share)
        return tail if x < 0 else one - tail

    def density(x):
        a = abs(x)
        a = most if a > most else a
        return fall(a) * density_at_0

    for function in (fall, cumulative, density):
        function.__qualname__ += float_type.__name__
    fall = scalar(fall)
    return inlined(cumulative), inlined(density)


cumulative32, density32 = _normal(np.float32, np.int32, 12, _TERMS32, 2.5, 13.25, exp_of_sum32)
cumulative64, density64 = _normal(np.float64, np.int64, 27, _TERMS64, 3.5, 37.75, exp_of_sum64)


def cumulative(x):
    """Phi(x), the share of the standard normal distribution below x: (1 + erf(x / sqrt 2)) / 2.

    Within 5 ulp, of float64 below -8 within 13, above 0 within 2; 0 where exp(-x^2 / 2) is, and at -inf.
    """
    return cumulative32(x) if isinstance(x, np.float32) else cumulative64(x)


def density(x):
    """phi(x), the density of the standard normal distribution, within 3 ulp; 0 where exp(-x^2 / 2) is."""
    return density32(x) if isinstance(x, np.float32) else density64(x)


@overload(cumulative, jit_options=_INLINED)
def _cumulative(x):
    if x == types.float32:
        return lambda x: cumulative32(x)
    if x == types.float64:
        return lambda x: cumulative64(x)
    return None


@overload(density, jit_options=_INLINED)
def _density(x):
    if x == types.float32:
        return lambda x: density32(x)
    if x == types.float64:
        return lambda x: density64(x)
    return None
