"""Operators of element-wise functions whose gradient takes the input."""

from typing import Any

from .registry import Operator


def of_input(name: str, module: Any, options: str = "") -> Operator:
    """The operator of a function whose gradient takes the input: name(input, *options)."""
    forward, backward = getattr(module, name), getattr(module, f"{name}_backward")
    gradient = Operator(
        f"{name}_backward(Tensor grad_output, Tensor input{options}) -> Tensor",
        backward,
        lambda grad_output, input, *numbers: input.new_empty(input.shape),
    )

    def save(ctx, inputs, output):
        input, *ctx.numbers = inputs
        ctx.save_for_backward(input)

    return Operator(
        f"{name}(Tensor input{options}) -> Tensor",
        forward,
        lambda input, *numbers: input.new_empty(input.shape),
        save,
        lambda ctx, grad: (gradient(grad, *ctx.saved_tensors, *ctx.numbers), *(None for _ in ctx.numbers)),
    )
