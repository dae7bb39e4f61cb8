"""The table of operators says what is so: held to the signatures of the functions, and to what they give."""

import inspect

import numpy as np
import pytest

import fastops
from fastops.yardstick.calls import EXAMPLES, Gradient, calls_of
from fastops.yardstick.operators import OPERATORS, TABLE

EVERY = pytest.mark.parametrize("operator", TABLE, ids=lambda operator: operator.name)


def parameters(name):
    return list(inspect.signature(getattr(fastops, name)).parameters)


def first_call(operator):
    return calls_of(operator.name, operator.examples[:1])[0]


def test_every_function_is_in_the_table():
    public = {name for name in fastops.__all__ if name != "nn"}
    assert {name for each in OPERATORS for name in (each, f"{each}_backward")} == public
    assert list(OPERATORS) == list(dict.fromkeys(each.op for each in EXAMPLES))


@EVERY
def test_the_signature_is_the_tables(operator):
    names = parameters(operator.name)
    assert getattr(fastops, operator.name).__module__.rpartition(".")[2] in (operator.family, operator.name)
    assert [name for name in names if name in operator.arrays] == list(operator.arrays)
    assert names[0] == operator.arrays[0]
    assert operator.out == ("out" in names) and operator.out >= operator.in_place
    expected = ["grad_output", *operator.given_names, *operator.arrays[1:]]
    more = ("grad_output", "indices", "output")
    assert [name for name in parameters(f"{operator.name}_backward") if name in (*operator.arrays, *more)] == expected


@EVERY
def test_the_first_example_has_all_arrays_of_floats(operator, dtype):
    arrays = first_call(operator).arrays(dtype)
    assert tuple(arrays) == operator.arrays and all(array.dtype == dtype for array in arrays.values())


@EVERY
def test_a_gradient_has_the_shape_of_what_it_is_of(operator):
    forward = first_call(operator)
    arrays, backward = forward.arrays(float), Gradient.of(forward, fastops)
    gradients = getattr(fastops, backward.op)(**backward.arrays(float), **backward.options)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert [each.shape for each in gradients] == [arrays[name].shape for name in operator.differentiated]


@EVERY
def test_what_copies_has_the_values_of_the_input_and_nothing_else(operator):
    """No other operator could have every bit in common with torch's."""
    forward = first_call(operator)
    arrays = forward.arrays(float)
    result = getattr(fastops, operator.name)(**arrays, **forward.options)
    assert operator.exact == bool(np.isin(result, [0, *arrays[operator.arrays[0]].ravel()]).all())


@EVERY
def test_where_the_shape_counts_alone_the_input_does_not(operator):
    if operator.takes in ("output", "rng"):
        pytest.skip("which takes no input")
    backward = Gradient.of(first_call(operator), fastops)
    results = []
    for scale in (1, -3):
        arrays = backward.arrays(float)
        arrays[operator.arrays[0]] *= scale
        results.append(getattr(fastops, backward.op)(**arrays, **backward.options))
    same = all(map(np.array_equal, *(each if isinstance(each, tuple) else (each,) for each in results)))
    assert same == operator.shape_alone


@EVERY
def test_torch_has_it_or_not(operator):
    functions = pytest.importorskip("torch.nn.functional")
    own_name = operator.name in ("clamp", "flatten", "softmax_cross_entropy_with_logits")  # in torch by another one
    assert operator.in_torch == (hasattr(functions, operator.name) or own_name)
