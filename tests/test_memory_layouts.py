"""Every function takes arrays of any layout, leaves them as they are, and writes into `out` when asked."""

import copy

import calls
import numpy as np
import pytest
from agreement import assert_close
from calls import arrays_in, each

import fastops
from fastops.yardstick.examples import example, normal
from fastops.yardstick.operators import OPERATORS, TABLE

# Same values, another layout


def fortran(array):
    return np.array(array, order="F")


def reversed_strides(array):
    backwards = (..., *[slice(None, None, -1)] * array.ndim)
    return array[backwards].copy()[backwards]


def sliced(array):
    wide = np.full([2 * n + 1 for n in array.shape], 77, array.dtype)
    part = wide[(..., *[slice(1, None, 2)] * array.ndim)]
    part[...] = array
    return part


def transposed(array):
    return np.ascontiguousarray(array.swapaxes(0, -1)).swapaxes(0, -1) if array.ndim else array


def unaligned(array):
    part = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    part[...] = array
    return part


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def repeated(array):
    """The first entry along the first axis, repeated without memory of its own: stride 0."""
    return np.broadcast_to(array[:1], array.shape) if array.ndim else read_only(array)


class Subclass(np.ndarray):
    pass


def subclass(array):
    return array.view(Subclass)


def has_out(op):
    return op in OPERATORS and OPERATORS[op].out  # no gradient has


LAYOUTS = [fortran, reversed_strides, sliced, transposed, unaligned, read_only, repeated, subclass]
INTO_OUT = [call for call in calls.CALLS if has_out(call.op) and not call.options.get("return_indices")]
IN_PLACE = [(each.name, each.rows(1)[0]) for each in TABLE if each.in_place]  # arrays beside the input have one value
STATISTICS = ("running_mean", "running_var")


def run(call, arrays, **more):
    return getattr(fastops, call.op)(**arrays, **call.options, **more)


def writes_statistics(call):
    return call.op == "batch_norm" and call.options.get("training")


def same_bits(actual, expected):
    for mine, theirs in zip(arrays_in(actual), arrays_in(expected), strict=True):
        assert_close(mine, theirs, exact=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", calls.CALLS, ids=str)
def test_the_layout_makes_no_difference(call, dtype, layout):
    arrays = each(layout, call.arrays(dtype))
    if writes_statistics(call):
        arrays |= {name: call.arrays(dtype)[name] for name in STATISTICS}
    contiguous = each(lambda array: np.array(array, order="C", subok=False), arrays)
    before = copy.deepcopy(contiguous)
    expected = run(call, contiguous)
    actual = run(call, arrays)
    same_bits((actual,), (expected,))
    assert type(actual) is type(expected) or call.op in ("flatten", "flatten_backward")
    if writes_statistics(call):
        for name in STATISTICS:
            same_bits((arrays.pop(name),), (contiguous[name],))
            del before[name]
    same_bits(arrays, before)


@pytest.mark.parametrize("layout", [reversed_strides, sliced, unaligned])
@pytest.mark.parametrize("shape", [(20, 5), (4, 5, 3, 3)], ids=str)
def test_running_statistics_of_any_layout_are_updated_in_place(dtype, layout, shape):
    input, mean, var = normal(*shape)(np.random.default_rng(1), dtype), np.zeros(5, dtype), np.ones(5, dtype)
    strided = layout(mean), layout(var)
    fastops.batch_norm(input, *strided, training=True)
    fastops.batch_norm(input, mean, var, training=True)
    assert mean.all()
    same_bits(strided, (mean, var))


@pytest.mark.parametrize("call", INTO_OUT, ids=str)
def test_out_is_filled_and_returned(call, dtype):
    expected = run(call, call.arrays(dtype))
    out = np.full_like(expected, np.nan)
    assert run(call, call.arrays(dtype), out=out) is out
    assert_close(out, expected, exact=True)


@pytest.mark.parametrize("call", INTO_OUT, ids=str)
def test_an_unfit_out_is_refused_and_left_alone(call, dtype):
    arrays = call.arrays(dtype)
    expected = run(call, call.arrays(dtype))
    other = np.float32 if dtype is np.float64 else np.float64
    unfit = [
        (ValueError, np.full((*expected.shape, 1), 5, dtype)),
        (ValueError, np.full(expected.size + 1, 5, dtype)),
        (ValueError, read_only(np.full(expected.shape, 5, dtype))),
        (ValueError, unaligned(np.full(expected.shape, 5, dtype))),
        (TypeError, np.full(expected.shape, 5, other)),
        (TypeError, np.full(expected.shape, 5, np.int32)),
        (TypeError, np.full(expected.shape, 5, dtype).tolist()),
    ]
    if np.ndim(expected) and expected.size > 1:
        unfit += [(ValueError, sliced(np.full(expected.shape, 5, dtype)))]
        unfit += [(ValueError, reversed_strides(np.full(expected.shape, 5, dtype)))]
    for error, out in unfit:
        with pytest.raises(error, match=f"^{call.op}: out ") as caught:
            run(call, arrays, out=out)
        assert type(caught.value) is error
        assert (np.array(out) == 5).all()
    same_bits(arrays, call.arrays(dtype))


@pytest.mark.parametrize("call", INTO_OUT, ids=str)
def test_out_may_not_overlap_an_input(call, dtype):
    """Every float input in turn shares one element with out: the last of one is the first of the other."""
    expected = run(call, call.arrays(dtype))
    for name, array in call.arrays(dtype).items():
        if isinstance(array, list) or not array.size or not expected.size:
            continue
        memory = np.zeros(array.size + expected.size - 1, dtype)
        inside = memory[: array.size].reshape(array.shape)
        out = memory[array.size - 1 :].reshape(expected.shape)
        if array.shape == expected.shape and array.size == 1:
            continue
        inside[...] = array
        arrays = call.arrays(dtype)
        arrays[name] = inside
        with pytest.raises(ValueError, match=f"^{call.op}: out .*overlap"):
            run(call, arrays, out=out)
        assert_close(inside, array, exact=True)


@pytest.mark.parametrize("op, example", IN_PLACE, ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (5, 40)], ids=str)
def test_out_may_be_the_input(rng, op, example, shape, dtype):
    input, *others = (make(rng, dtype) for make in (normal(*shape), *example.makers[1:]))
    expected = getattr(fastops, op)(input.copy(), *others, **example.options)
    assert getattr(fastops, op)(input, *others, **example.options, out=input) is input
    assert_close(input, expected, exact=True)


@pytest.mark.parametrize("options", [dict(p=0.0), dict(training=False), dict(p=1.0)], ids=str)
def test_out_of_dropout_where_nothing_is_random(options, dtype):
    input = np.arange(6, dtype=dtype)
    expected = np.zeros(6) if options.get("p") == 1 else np.arange(6)
    for out in (np.full(6, 9, dtype), input):
        assert fastops.dropout(input, **options, out=out) is out
        assert_close(out, expected, exact=True)


@pytest.mark.parametrize("op, example", [*IN_PLACE, ("softmax", example(normal(1), dim=0))], ids=str)
def test_out_may_not_be_the_input_in_another_order(rng, op, example, dtype):
    memory, *others = (make(rng, dtype) for make in (normal(4, 4), *example.makers[1:]))
    for input in (memory.T, memory[::-1], np.broadcast_to(memory[0], (4, 4))):
        with pytest.raises(ValueError, match="overlap"):
            getattr(fastops, op)(input, *others, **example.options, out=memory)


def test_out_may_not_be_the_input_where_values_are_read_twice(dtype):
    square, weight = np.ones((1, 1, 4, 4), dtype), np.ones((1, 1, 1, 1), dtype)
    for op, arrays, options in [
        ("conv2d", (square, weight), {}),
        ("conv_transpose2d", (square, weight), {}),
        ("max_pool2d", (square, 1), {}),
        ("avg_pool2d", (square, 1), {}),
        ("batch_norm", (square, np.zeros(1, dtype), np.ones(1, dtype)), {}),
        ("softmax", (square, 1), {}),
        ("log_softmax", (square, 1), {}),
    ]:
        with pytest.raises(ValueError, match=f"^{op}: out .*overlap"):
            getattr(fastops, op)(*arrays, **options, out=square)


def test_out_and_indices_do_not_go_together(dtype):
    with pytest.raises(ValueError, match="^max_pool2d: .*out"):
        fastops.max_pool2d(np.ones((1, 4, 4), dtype), 2, return_indices=True, out=np.ones((1, 2, 2), dtype))
