"""Measure what a call costs inside torch: the choices of fastops/torch/registry.py and smallest.py.

`python scripts/measure_torch_calls.py` times relu on ten elements in microseconds, alone, recorded and with backward:
torch's own, NumPy's call of fastops alone, and fastops by `torch.library.custom_op`, by `define` and `impl`, by an
`autograd.Function` outside of the dispatcher, and as `fastops.torch.relu` is.  `--smallest` finds from how many
elements on a layer is faster by our kernel, forward and backward.  Run it on a quiet machine.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import fastops
import fastops.torch
from fastops.torch.smallest import SMALLEST
from fastops.yardstick.cores import spread

SIZES = [1000 * 2**i for i in range(14)]


def microseconds(call: Callable[[], Any], least: float) -> float:
    """The shortest mean of some calls, of several."""
    call()
    best, calls = float("inf"), 20
    end = time.perf_counter() + least
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def by_custom_op() -> Callable[..., Any]:
    @torch.library.custom_op("measured::relu", mutates_args=(), device_types="cpu")
    def relu(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(fastops.relu(x.numpy()))

    relu.register_fake(lambda x: torch.empty_like(x))
    relu.register_autograd(
        lambda ctx, grad: torch.from_numpy(fastops.relu_backward(grad.numpy(), ctx.saved_tensors[0].numpy())),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(output),
    )
    return relu


def by_function() -> Callable[..., Any]:
    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            output = torch.from_numpy(fastops.relu(x.detach().numpy()))
            ctx.save_for_backward(output)
            return output

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return torch.from_numpy(fastops.relu_backward(grad.numpy(), ctx.saved_tensors[0].numpy()))

    return Relu.apply


def ways() -> dict[str, Callable[..., Any]]:
    return {
        "torch": F.relu,
        "custom_op": by_custom_op(),
        "define and impl": torch.ops.fastops.relu.default,
        "autograd.Function": by_function(),
        "fastops.torch": fastops.torch.relu,
    }


def smallest(name: str, least: float) -> int | None:
    """From how many elements on a function is faster than torch's, in training and evaluation; None: from none."""
    own = getattr(torch, name) if name in ("sigmoid", "clamp") else getattr(F, name)
    options: Any = {"clamp": dict(min=-0.5, max=0.5), "softmax": dict(dim=1), "log_softmax": dict(dim=1)}.get(name, {})
    extra = (torch.full((1,), 0.25),) if name == "prelu" else ()

    def step(function: Callable[..., Any], x: torch.Tensor, gradient: torch.Tensor) -> None:
        function(x, *extra, **options).backward(gradient)  # of a sum it would be one number, expanded: no layer's
        with torch.no_grad():
            function(x, *extra, **options)

    found = None
    for size in reversed(SIZES):
        x = torch.randn(size // 50, 50).requires_grad_()
        gradient = torch.randn(size // 50, 50)
        ours, theirs = partial(step, getattr(fastops.torch, name), x, gradient), partial(step, own, x, gradient)
        if microseconds(ours, least) > microseconds(theirs, least):
            break
        found = size
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each number")
    arguments = parser.parse_args()
    time_of = partial(microseconds, least=arguments.seconds)
    if arguments.smallest:
        large = torch.randn(1_000_000)
        fastops.torch.relu(F.relu(large))  # both pools of threads run
        spread()
        for name in SMALLEST:
            found = smallest(name, arguments.seconds)
            print(f"{name:12} {'never faster' if found is None else f'faster from {found} elements'}")
        return
    x, needing, ones = torch.randn(10), torch.randn(10, requires_grad=True), torch.ones(10)
    print(f"{'relu of ten elements, us':28} {'alone':>8} {'recorded':>8} {'backward':>8}")
    print(f"{'fastops, arrays':28} {time_of(partial(fastops.relu, np.zeros(10, np.float32))):8.2f}")
    for name, function in ways().items():

        def backward(function: Callable[..., Any] = function) -> None:
            function(needing).backward(ones)

        alone, recorded, both = time_of(partial(function, x)), time_of(partial(function, needing)), time_of(backward)
        print(f"{name:28} {alone:8.2f} {recorded:8.2f} {both - recorded:8.2f}")


if __name__ == "__main__":
    main()
