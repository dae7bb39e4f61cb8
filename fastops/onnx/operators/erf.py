"""The error function in NumPy's arithmetic, for where it stands alone; inside of a GELU our kernel makes it.

Source of the rational approximations, of 1e-16: Cephes, ndtr.c (S. L. Moshier), https://netlib.org/cephes.
"""

from typing import Any

_T = (9.60497373987051638749e0, 9.00260197203842689217e1, 2.23200534594684319226e3, 7.00332514112805075473e3,
      5.55923013010394962768e4)  # fmt: skip
_U = (1.0, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3, 2.26290000613890934246e4,
      4.92673942608635921086e4)  # fmt: skip
_P = (2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687e0, 4.86371970985681366614e1,
      1.96520832956077098242e2, 5.26445194995477358631e2, 9.34528527171957607540e2, 1.02755188689515710272e3,
      5.57535335369399327526e2)  # fmt: skip
_Q = (1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2, 9.75708501743205489753e2,
      1.82390916687909736289e3, 2.24633760818710981792e3, 1.65666309194161350182e3,
      5.57535340817727675546e2)  # fmt: skip


def _polynomial(terms: tuple[float, ...], x: Any) -> Any:
    total = x * 0 + x.dtype.type(terms[0])
    for term in terms[1:]:
        total *= x
        total += x.dtype.type(term)
    return total


def erf(xp: Any, x: Any) -> Any:
    """erf of each element, in its dtype."""
    one = x.dtype.type(1)
    square = xp.minimum(x * x, one)
    near = x * _polynomial(_T, square) / _polynomial(_U, square)
    a = xp.minimum(xp.abs(x), x.dtype.type(6.5))  # from there on erfc is 0 in float64
    a = xp.maximum(a, one)
    far = one - xp.exp(-a * a) * _polynomial(_P, a) / _polynomial(_Q, a)
    return xp.where(xp.abs(x) < one, near, xp.where(x != x, x, xp.copysign(far, x)))
