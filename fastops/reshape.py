"""flatten and its gradient: what is promised."""

from . import _arrays, _shapes
from ._arrays import AnyArray, Array


def flatten(input: AnyArray, start_dim: int = 0, end_dim: int = -1) -> Array:
    """Make one dimension of several neighbouring ones.

    Parameters
    ----------
    input : array of any shape and dtype
        Not copied where a view will do.
    start_dim, end_dim : int
        The first and the last of the dimensions to join.

    Returns
    -------
    array of the same dtype
        The input itself if there is nothing to join, else a view of it where its strides allow, else a copy.

    Raises
    ------
    TypeError
        The input is not an array.
    ValueError
        There is no such dimension, or start_dim comes after end_dim.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.flatten.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.flatten(np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]))
    array([1, 2, 3, 4, 5, 6, 7, 8])
    """
    on, array = _arrays.backend("flatten", "input", input)
    shape = _shapes.flatten("flatten", array.shape, start_dim, end_dim)
    return input if shape == array.shape else on.reshaped(array, shape)


def flatten_backward(grad_output: AnyArray, input: AnyArray, start_dim: int = 0, end_dim: int = -1) -> Array:
    """The gradient of flatten: grad_output in the input's shape.

    Parameters
    ----------
    grad_output : array
        The gradient of the result, of its shape.
    input : array
        As flatten had it; only its shape and dtype count.
    start_dim, end_dim : int
        As flatten had them.

    Returns
    -------
    array of the input's shape
        A view of grad_output where its strides allow, else a copy.

    Raises
    ------
    TypeError
        An argument is not an array, or dtypes differ.
    ValueError
        grad_output is not of the shape of the result, or there are no such dimensions.

    References
    ----------
    https://pytorch.org/docs/stable/generated/torch.flatten.html

    Examples
    --------
    >>> import numpy as np, fastops
    >>> fastops.flatten_backward(np.arange(4.0), np.zeros((2, 2)))
    array([[0., 1.],
           [2., 3.]])
    """
    op = "flatten_backward"
    on, go = _arrays.backend(op, "grad_output", grad_output)
    _, array = _arrays.backend(op, "input", input)
    _arrays.same_dtype(op, "grad_output", go, array)
    _shapes.same(op, "grad_output", go.shape, _shapes.flatten(op, array.shape, start_dim, end_dim))
    return grad_output if go.shape == array.shape else on.reshaped(go, array.shape)
