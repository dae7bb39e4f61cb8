"""torch.ops.fastops: how a function on NumPy arrays becomes an operator of torch's on a CPU, with its gradient.

An operator is registered once by `torch.library` (schema, CPU, fake and autograd), for whatever looks at operators:
torch.compile, torch.export, functorch, tracing, the profiler.  Where nobody does, the same functions are called at
once or by an `autograd.Function` outside of the dispatcher, which costs less: scripts/measure_torch_calls.py measures
all ways.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Tensor = Any  # a torch.Tensor; type checkers see nothing of torch here
Arrays = Any  # what a function of fastops returns: an array, a NumPy scalar, or a tuple of them

library = torch.library.Library("fastops", "DEF")

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_FLOATS = (torch.float32, torch.float64)


def ours(input: Tensor, *others: Tensor | None) -> bool:
    """Whether tensors are for our kernels: dense, on a CPU, all float32 or all float64, no autocast; None is left out.

    All else goes to torch's own function.
    """
    if not isinstance(input, torch.Tensor):
        return False
    dtype = input.dtype
    if (
        dtype not in _FLOATS
        or not input.is_cpu
        or input.layout is not torch.strided
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    for each in others:
        if each is None:
            continue
        if not (isinstance(each, torch.Tensor) and each.dtype == dtype and each.is_cpu):
            return False
        if each.layout is not torch.strided:
            return False
    return True


def watched() -> bool:
    """Whether somebody looks at operators as they are called, who would not see a function called at once."""
    return (  # private, and so the version of torch is pinned in pyproject.toml
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or torch.autograd._profiler_enabled()
        or torch.autograd.forward_ad._current_level >= 0
    )


def plain(args: tuple[Any, ...]) -> bool:
    """Whether all tensors are plain ones: a subclass may have its own idea of every operator."""
    return all(type(each) in _PLAIN or not isinstance(each, torch.Tensor) for each in args)


def array(tensor: Tensor) -> Any:
    """The tensor's memory as a NumPy array."""
    tensor = tensor.detach()
    return (tensor.resolve_neg() if tensor.is_neg() else tensor).numpy()


def tensors(arrays: Arrays) -> Any:
    """Tensors on the memory of new arrays."""
    if type(arrays) is np.ndarray:
        return torch.from_numpy(arrays)
    if isinstance(arrays, tuple):
        return tuple(map(tensors, arrays))
    return torch.from_numpy(np.asarray(arrays))  # a NumPy scalar


class Operator:
    """An operator of torch.ops.fastops, called by its arguments in the schema's order.

    Parameters
    ----------
    schema : str
        As torch has it, in full: "relu(Tensor input) -> Tensor".
    compute : function of the same arguments
        Arrays in the place of tensors; what it returns is new.
    fake : function of the same arguments
        What the results look like, made of tensors without values.
    save : function (ctx, inputs, output)
        Keeps in ``ctx`` what the gradient takes.
    gradient : function (ctx, *gradients of the results)
        The gradient of each argument, in order; None where there is none.  Without one, to differentiate is an error.
    """

    def __init__(
        self,
        schema: str,
        compute: Callable[..., Arrays],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        gradient: Callable[..., tuple[Any, ...]] | None = None,
    ) -> None:
        self.name = name = schema.partition("(")[0]
        self._compute = compute
        self._save = save or (lambda ctx, inputs, output: None)
        self._gradient = gradient
        library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        library.impl(name, self._run, "CPU")
        torch.library.register_fake(f"fastops::{name}", fake, lib=library)
        torch.library.register_autograd(
            f"fastops::{name}", self._backward, setup_context=self._setup_context, lib=library
        )
        self.overload = getattr(torch.ops.fastops, name).default
        self._names = [argument.name for argument in self.overload._schema.arguments]
        methods = {"forward": staticmethod(self._forward), "backward": staticmethod(self._backward)}
        self._function: Any = type(f"fastops_{name}_", (torch.autograd.Function,), methods)
        methods["forward"], methods["setup_context"] = staticmethod(self.overload), staticmethod(self._setup_context)
        transformable = {**methods, "generate_vmap_rule": True}
        self._transformed: Any = type(f"fastops_{name}_", (torch.autograd.Function,), transformable)

    def __call__(self, *args: Any) -> Any:
        if watched() or not plain(args):
            if torch.compiler.is_compiling():
                return self.overload(*args)
            if torch._C._are_functorch_transforms_active():  # which take no operator with a gradient
                return self._transformed.apply(*args)
            if torch.autograd.forward_ad._current_level >= 0:
                self._refuse_dual(args)
            return self.overload(*args)
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return self._function.apply(*args)
        return self._run(*args)

    def _run(self, *args: Any) -> Any:
        return tensors(self._compute(*[array(each) if isinstance(each, torch.Tensor) else each for each in args]))

    def _forward(self, ctx: Any, *args: Any) -> Any:
        output = self._run(*args)
        self._save(ctx, args, output)
        return output

    def _setup_context(self, ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        self._save(ctx, inputs, output)

    def _backward(self, ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        if self._gradient is None:
            forward = self.name.removesuffix("_backward")
            raise RuntimeError(
                f"fastops.torch.{forward}: second derivatives are not there (create_graph=True); "
                "use torch's own function for them"
            )
        found = self._gradient(ctx, *grads)
        for name, needed, gradient in zip(self._names, ctx.needs_input_grad, found, strict=True):
            if needed and gradient is None:
                raise RuntimeError(
                    f"fastops.torch.{self.name}: there is no gradient of {name}; use torch's own function"
                )
        return found

    def _refuse_dual(self, args: tuple[Any, ...]) -> None:
        """torch would leave out the tangents without a word."""
        for each in args:
            if isinstance(each, torch.Tensor) and torch.autograd.forward_ad.unpack_dual(each).tangent is not None:
                raise NotImplementedError(
                    f"fastops.torch.{self.name}: forward-mode derivatives are not there; "
                    "use torch's own function for them"
                )
