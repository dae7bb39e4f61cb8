"""The activations as formulas of single numbers, under torch's names, and their gradients.

Kernels of both floors call them.  An activation is ``f(x)``, or with numbers of x's own type ``f(x, a, b)``; relu6 is
clamp(x, 0, 6), leaky_relu sloped(x, negative_slope, 1).  A gradient takes grad_output before that.
"""

from .._jit import inlined, scalar
from .exp import exp
from .normal import cumulative, density, times_cumulative

# ------------------------------------------------------------------------------------ in straight pieces


@scalar
def relu(x):
    """max(x, 0); NaN stays NaN and -0.0 stays -0.0, as in torch."""
    return type(x)(0) if x < 0 else x


@scalar
def relu_gradient(gradient, x):
    """The gradient where x > 0 (or NaN), else 0."""
    return type(gradient)(0) if x <= 0 else gradient


@scalar
def clamp(x, low, high):
    """min(max(x, low), high); NaN where one of the three is, and -0.0 counts as 0."""
    x = x if x >= low or x != x else low
    return x if x <= high or x != x else high


@scalar
def between(x, low, high):
    """The same for bounds that are not NaN: a maximum and a minimum, an instruction each."""
    x = low if x < low else x
    return high if x > high else x


@scalar
def clamp_gradient(gradient, x, low, high):
    """The gradient where low <= x <= high, else 0."""
    return gradient if low <= x and x <= high else type(gradient)(0)


@scalar
def relu6_gradient(gradient, x):
    """The gradient where 0 < x < 6, else 0."""
    return gradient if 0 < x and x < 6 else type(gradient)(0)


@scalar
def sloped(x, below, above):
    """x times the slope of its side; 0 (and NaN) is below."""
    return x * above if x > 0 else x * below


@scalar
def sloped_gradient(gradient, x, below, above):
    """The gradient times the slope of x's side."""
    return gradient * above if x > 0 else gradient * below


SIXTH = 1 / 6  # 6 of them are 1 in either type; to divide took longer than all the rest


@scalar
def hardsigmoid(x):
    """min(max(x + 3, 0), 6) / 6."""
    number = type(x)
    return clamp(x + number(3), number(0), number(6)) * number(SIXTH)


@scalar
def hardsigmoid_gradient(gradient, x):
    """A sixth of the gradient where -3 < x < 3, else 0."""
    number = type(gradient)
    return gradient * number(SIXTH) if -3 < x and x < 3 else number(0)


@scalar
def hardswish(x):
    """x hardsigmoid(x): NaN at -inf, as in torch."""
    return x * hardsigmoid(x)


@scalar
def hardswish_gradient(gradient, x):
    """The gradient times x / 3 + 1/2 where -3 < x < 3, else times 0 below and 1 above."""
    number = type(gradient)
    inside = gradient * (x * number(1 / 3) + number(0.5))
    return gradient if x >= 3 else number(0) if x <= -3 else inside


# --------------------------------------------------------------------------------------------------- smooth


@scalar
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    one = type(x)(1)
    return one / (one + exp(-x))


@scalar
def sigmoid_gradient(gradient, y):
    """The gradient of sigmoid, given its value y."""
    return gradient * (type(y)(1) - y) * y


@scalar
def silu(x):
    """x sigmoid(x): NaN at -inf, as in torch."""
    return x / (type(x)(1) + exp(-x))


@scalar
def silu_gradient(gradient, x):
    """The gradient times s (1 + x (1 - s)), where s is sigmoid(x): NaN at the infinities, as in torch."""
    one, s = type(x)(1), sigmoid(x)
    return gradient * (s * (one + x * (one - s)))


@scalar
def finite(x):
    """x from -50 to 50, beyond which gelu is 0 or x and its gradient 0 or 1, in either type."""
    most = type(x)(50)
    x = -most if x < -most else x
    return most if x > most else x


@inlined
def gelu(x):
    """x Phi(x), Phi the standard normal distribution; the limit at the infinities."""
    return times_cumulative(x)


@inlined
def gelu_gradient(gradient, x):
    """The gradient times Phi(x) + x phi(x)."""
    return gradient * (cumulative(x) + finite(x) * density(x))


@scalar
def gelu_tanh(x):
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which is x sigmoid(2 ...)."""
    number = type(x)
    x = number(-50) if x < number(-50) else x
    return x * sigmoid(x * (number(1.5957691216057308) + number(0.07135481627260025) * (x * x)))


@scalar
def gelu_tanh_gradient(gradient, x):
    """The gradient times s + x s (1 - s) u', where gelu_tanh is x s and s is sigmoid(u).

    s (1 - s) without the difference, of which x u' would multiply the error: exp(-|u|) / (1 + exp(-|u|))^2.
    """
    number = type(x)
    x = finite(x)
    square = x * x
    u = x * (number(1.5957691216057308) + number(0.07135481627260025) * square)
    slope = number(1.5957691216057308) + number(0.21406444881780076) * square
    e = exp(-abs(u))
    larger = number(1) / (number(1) + e)
    s = larger if u >= 0 else e * larger
    return gradient * (s + x * slope * (e * larger * larger))
