"""linear and its gradient: what is promised."""

from . import _arrays, _shapes
from ._arrays import AnyArray, Array, ArrayT, OtherT


def linear(input: ArrayT, weight: AnyArray, bias: AnyArray | None = None) -> ArrayT:
    """The product of an array's last dimension with a matrix: input @ weight.T + bias.

    Parameters
    ----------
    input : (..., in_features) array
        float32 or float64; any other dimension may be 0.
    weight : (out_features, in_features) array
        Of the input's dtype.
    bias : (out_features,) array, optional
        Added to each row.

    Returns
    -------
    (..., out_features) array

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes do not fit together.

    Notes
    -----
    On the CPU sums of up to 256 products join one after the other, with the same bits for every number of threads.
    Fewer than 8 rows times a matrix of more than 16384 elements are numpy.matmul (and so is everything on a CPU without
    AVX2): that runs in NumPy's BLAS, on that library's own threads (for OpenBLAS OPENBLAS_NUM_THREADS says how many,
    not NUMBA_NUM_THREADS), and their number may change the last bits.  On CUDA it runs in the tiles of the
    convolutions, with the same bits every time.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0], [2.0, 0.0]]), np.full(3, 0.5))
    array([[3.5, 6.5, 2.5]])
    """
    op = "linear"
    on, x, w, b = _arrays.enter(op, ("bias",), input=input, weight=weight, bias=bias)
    out = on.empty(_shapes.linear(op, x.shape, w.shape, None if b is None else b.shape), x.dtype)
    if out.size:
        on.linear.linear(out, x, w, b)
    return out  # type: ignore[no-any-return]


def linear_backward(
    grad_output: AnyArray, input: ArrayT, weight: OtherT, bias: AnyArray | None = None
) -> tuple[ArrayT, OtherT, Array | None]:
    """The gradients of linear with respect to input, weight and bias.

    Parameters
    ----------
    grad_output : (..., out_features) array
        The gradient of the result, of its shape and dtype.
    input, weight, bias
        As linear had them.

    Returns
    -------
    grad_input, grad_weight, grad_bias : arrays of the shapes of input, weight and bias
        None for a bias that is None.

    Raises
    ------
    TypeError
        An argument is not an array of float32 or float64, or dtypes differ.
    ValueError
        Sizes do not fit together.

    Notes
    -----
    grad_input and grad_weight are products as `linear` makes them; the sums of grad_bias join in float64.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.nn.functional.linear.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> grads = fastops.linear_backward(np.ones((2, 1)), np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0]]))
    >>> grads[0], grads[1], grads[2]
    (array([[5., 6.],
           [5., 6.]]), array([[4., 6.]]), None)
    """
    op = "linear_backward"
    on, go, x, w, b = _arrays.enter(op, ("bias",), grad_output=grad_output, input=input, weight=weight, bias=bias)
    _shapes.same(op, "grad_output", go.shape, _shapes.linear(op, x.shape, w.shape, None if b is None else b.shape))
    grad_input, grad_weight = on.empty(x.shape, x.dtype), on.empty(w.shape, w.dtype)
    grad_bias = None if b is None else on.empty(b.shape, b.dtype)
    on.linear.linear_backward(grad_input, grad_weight, grad_bias, go, x, w)
    return grad_input, grad_weight, grad_bias
