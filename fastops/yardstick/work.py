"""What is run for a case, the operator or its gradient: both calls, and what fastops should give."""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .cases import Array, Case
from .devices import CPU, Device
from .operators import OPERATORS

Call = Callable[[], Any]

LAYERS = {"conv2d": "Conv2d", "conv_transpose2d": "ConvTranspose2d"}  # those that keep weights laid out in evaluation
SEED = 4  # of dropout's mask, the operator's and its gradient's


class Work(NamedTuple):
    """The two calls to time, and how to check the result of the first."""

    ours: Call
    theirs: Call | None  # None: torch is absent or has no such operator
    want: Call | None  # what fastops's result should be, where torch can say it,
    expected: Callable[[Any], Any] | None  # and where it cannot: of fastops's result
    exact: bool  # every bit has to agree
    arrays: tuple[Array, ...]  # what the first call reads


def with_precision(ops: Any, precision: str) -> Any:
    """fastops, its convolutions told this precision where it is not their own."""
    if precision == "exact":
        return ops
    functions = {name: getattr(ops, name) for name in ops.__all__}
    told = {name: partial(functions[name], precision=precision) for name in functions if name.startswith("conv")}
    layers = {name: partial(getattr(ops.nn, name), precision=precision) for name in LAYERS.values()}
    return SimpleNamespace(**{**functions, **told, "nn": SimpleNamespace(**layers)})


def of_operator(case: Case, arrays: Sequence[Array], ops: Any, torch: Any, device: Device = CPU) -> Work:
    """The case's operator; `ops` is fastops, or what with_precision makes of it."""
    theirs, want, expected = None, None, case.expected
    operator = OPERATORS[case.operator]
    if torch is not None and operator.in_torch:
        call = partial(case.torch or case.call, torch.nn.functional)
        theirs = want = partial(call, *(device.tensor(a, torch) for a in arrays))
        if device is not CPU:
            want = partial(call, *(CPU.tensor(a, torch) for a in arrays))
    check = None if expected is None else lambda result: expected(result, *arrays)
    return Work(partial(case.call, ops, *device.put_all(arrays)), theirs, want, check, operator.exact, tuple(arrays))


def of_layer(case: Case, arrays: Sequence[Array], ops: Any) -> Call | None:
    """A convolution as a layer of fastops.nn in evaluation: what a user who has the weights for good calls."""
    if case.operator not in LAYERS:
        return None
    noted = Noted(case, arrays)
    x, weight, bias = noted.args
    channels = [weight.shape[0], weight.shape[1] * noted.options.get("groups", 1)]
    if case.operator == "conv2d":
        channels.reverse()
    layer = getattr(ops.nn, LAYERS[case.operator])(*channels, weight.shape[2:], dtype=x.dtype, **noted.options)
    layer.load_state_dict({"weight": weight, "bias": bias})
    return partial(layer.eval(), x)


def of_gradient(case: Case, arrays: Sequence[Array], ops: Any, torch: Any, device: Device = CPU) -> Work:
    """The gradients of the case's operator; what the calls take of the operator itself is made here."""
    operator, noted = OPERATORS[case.operator], Noted(case, arrays)
    first, *rest = noted.args
    options = {**noted.options, "rng": SEED} if operator.takes == "rng" else noted.options
    values = getattr(ops, operator.name)(*noted.args, **options, **operator.more)
    result = values[0] if operator.more else values
    grad_output = np.asarray(np.random.default_rng(5).standard_normal(np.shape(result)), first.dtype)
    given = operator.given(first, values)
    args = device.put_all((grad_output, *given, *rest))
    options = dict(zip(options, device.put_all(options.values()), strict=True))
    ours = partial(getattr(ops, f"{operator.name}_backward"), *args, **options)
    theirs, want, expected = None, None, case.gradient
    if torch is not None and operator.in_torch:
        theirs = autograd(case, arrays, grad_output, torch, device)
        want = partial(in_float64, case, arrays, grad_output, torch)
    check = None if expected is None else lambda _: expected(grad_output, result, *arrays)
    read = (grad_output, *(given[1:] if operator.shape_alone else given), *rest)
    return Work(ours, theirs, want, check, operator.exact_gradient, tuple(a for a in read if isinstance(a, np.ndarray)))


class Noted:
    """Stands for fastops in a case's call, and notes what the operator is called with."""

    def __init__(self, case: Case, arrays: Sequence[Array]) -> None:
        self.args: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        case.call(self, *arrays)

    def __getattr__(self, operator: str) -> Callable[..., None]:
        return self._note

    def _note(self, *args: Any, **options: Any) -> None:
        # batch_norm writes into its running statistics
        self.args = tuple(np.copy(a) if isinstance(a, np.ndarray) else a for a in args)
        self.options = options


def autograd(case: Case, arrays: Sequence[Array], grad_output: Array, torch: Any, device: Device = CPU) -> Call:
    """A call that computes torch's gradients, over and over, on a graph that is made here."""
    tensors = [device.tensor(a, torch) for a in arrays]
    operator = OPERATORS[case.operator]
    leaves = [tensors[operator.arrays.index(name)].requires_grad_() for name in operator.differentiated]
    result = (case.torch or case.call)(torch.nn.functional, *tensors)
    result = result[0] if isinstance(result, tuple) else result
    return partial(torch.autograd.grad, result, leaves, device.tensor(grad_output, torch), retain_graph=True)


def in_float64(case: Case, arrays: Sequence[Array], grad_output: Array, torch: Any) -> tuple[Array, ...]:
    """torch's gradients of the same numbers in float64, rounded: its sums over all pixels lose digits in float32."""
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    found = autograd(case, wide, grad_output.astype(np.float64), torch)()
    return tuple(gradient.numpy().astype(grad_output.dtype) for gradient in found)
