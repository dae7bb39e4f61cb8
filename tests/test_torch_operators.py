"""fastops.torch's functions: beside torch's own, by torch's own checks of operators, and what they refuse."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch_calls import CALLS, FIRST, NAMES, differentiable, options_of, result, tensors_of  # noqa: E402

import fastops  # noqa: E402
import fastops.torch as ops  # noqa: E402
from fastops.torch import registry  # noqa: E402
from fastops.yardstick.operators import OPERATORS  # noqa: E402


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("call", CALLS, ids=str)
def test_results_and_gradients_are_those_of_the_arrays(call, dtype):
    tensors, arrays, options = tensors_of(call, dtype), call.arrays(dtype), options_of(call)
    for name in differentiable(call):
        tensors[name].requires_grad_()
    made = getattr(ops, call.op)(**tensors, **options)
    expected = getattr(fastops, call.op)(**arrays, **options)
    for mine, theirs in zip(
        *([each] if not isinstance(each, tuple) else each for each in (made, expected)), strict=True
    ):
        np.testing.assert_array_equal(mine.detach().numpy(), theirs)
    if call.op == "batch_norm":
        for name in ("running_mean", "running_var"):
            np.testing.assert_array_equal(tensors[name].numpy(), arrays[name])
    made = result(made)
    grad_output = np.asarray(np.random.default_rng(3).standard_normal(made.shape), dtype)
    made.backward(torch.from_numpy(grad_output))
    operator, given = OPERATORS[call.op], dict(call.arrays(dtype))
    first = given.pop(operator.arrays[0])
    options.pop("return_indices", None)
    forward = getattr(fastops, call.op)(first, **given, **options, **operator.more)
    if call.op == "flatten":
        given["input"] = first
    more = operator.given(first, forward)
    backward = getattr(fastops, f"{call.op}_backward")
    if call.op == "flatten":
        gradients = backward(grad_output, **given, **options)
    else:
        gradients = backward(grad_output, *more, **given, **options)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for name, gradient in zip(operator.differentiated, gradients, strict=True):
        if name in tensors:
            np.testing.assert_array_equal(tensors[name].grad.numpy(), gradient)


@pytest.mark.parametrize("call", FIRST, ids=str)
def test_gradcheck(call):
    tensors, options = tensors_of(call), options_of(call)
    names = differentiable(call)
    if call.op in ("batch_norm", "conv2d"):
        tensors = {
            name: each[:, :2, :4, :4] if each.dim() == 4 and name == "input" else each for name, each in tensors.items()
        }
        if call.op == "conv2d":
            tensors["weight"], tensors["bias"] = tensors["weight"][:3, :2], tensors["bias"][:3]

    def function(*args):
        return result(getattr(ops, call.op)(**(tensors | dict(zip(names, args, strict=True))), **options))

    inputs = [tensors[name].detach().clone().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(function, inputs)


def raw_arguments(call, monkeypatch):
    """(operator, arguments) of every operator that a function and its gradient call, as they call them."""
    seen = []
    called = registry.Operator.__call__

    def record(self, *args):
        seen.append((self, args))
        return called(self, *args)

    monkeypatch.setattr(registry.Operator, "__call__", record)
    tensors = tensors_of(call)
    for name in differentiable(call):
        tensors[name].requires_grad_()
    result(getattr(ops, call.op)(**tensors, **options_of(call))).sum().backward()
    monkeypatch.undo()
    return seen


@pytest.mark.parametrize("call", [each for each in FIRST if each.op != "flatten"], ids=str)
def test_torch_accepts_the_operators(call, monkeypatch):
    """Schema, fake and autograd, traced with symbolic sizes, of the function and of its gradient."""
    seen = raw_arguments(call, monkeypatch)
    assert [operator.name.partition("_backward")[0] for operator, _ in seen]
    gradients = 0
    for operator, args in seen:
        gradient = operator.name.endswith("_backward")
        gradients += gradient
        if gradient:  # it has no gradient itself
            args = [each.detach() if isinstance(each, torch.Tensor) else each for each in args]
        torch.library.opcheck(operator.overload, tuple(args))
    assert gradients == 1 or call.op == "dropout"  # which is its own


def test_torch_accepts_flatten():
    x = torch.randn(2, 3, 4, requires_grad=True)
    assert ops.flatten(x, 1).data_ptr() == x.data_ptr()
    assert torch.autograd.gradcheck(ops.flatten, (x.double().detach().requires_grad_(),))


@pytest.mark.parametrize("call", FIRST, ids=str)
def test_compiled_and_exported(call):
    tensors, options = tensors_of(call), options_of(call)
    if call.op == "dropout":
        options.pop("rng")  # the mask is drawn within the graph
    for name in differentiable(call):
        tensors[name].requires_grad_()

    def function(tensors):
        return result(getattr(ops, call.op)(**tensors, **options))

    def run(function):
        torch.manual_seed(3)
        for each in tensors.values():
            if isinstance(each, torch.Tensor):
                each.grad = None
        copies = {k: v.clone() if k.startswith("running") else v for k, v in tensors.items()}
        out = function(copies)
        out.sum().backward()
        return out, [tensors[name].grad for name in differentiable(call)], copies.get("running_mean")

    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(run(compiled), run(function), rtol=0, atol=0)

    class Model(torch.nn.Module):
        def forward(self, tensors):
            return function(tensors)

    detached = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in tensors.items()}
    exported = torch.export.export(Model(), (detached,)).module()
    torch.manual_seed(3)
    made = exported(detached)
    torch.manual_seed(3)
    torch.testing.assert_close(made, function(detached), rtol=0, atol=0)
    assert call.op == "flatten" or f"fastops.{call.op}" in str(exported.graph)


def test_export_of_any_batch():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)

        def forward(self, x):
            x = ops.conv2d(x, self.conv.weight, self.conv.bias, padding="same")
            x = ops.batch_norm(x, self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias)
            x = ops.max_pool2d(ops.relu(x), 3, 2, 1)
            return ops.adaptive_avg_pool2d(ops.interpolate(x, scale_factor=2), 1).flatten(1)

    model, batch = Model().eval(), torch.export.Dim("batch")
    exported = torch.export.export(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(exported(x), model(x), rtol=0, atol=0)


# ------------------------------------------------------------------------------------------------ autograd


@pytest.mark.parametrize("name", ["conv2d", "batch_norm", "relu", "sigmoid", "max_pool2d", "cross_entropy"])
@pytest.mark.parametrize("way", ["outside", "dispatched"])
def test_a_saved_tensor_that_was_modified_is_an_error(name, way, monkeypatch):
    if way == "dispatched":
        monkeypatch.setattr(registry, "watched", lambda: True)
    call = next(each for each in FIRST if each.op == name)
    tensors = tensors_of(call)
    tensors = {k: v.requires_grad_() if k in differentiable(call) else v for k, v in tensors.items()}
    first = next(iter(tensors))
    tensors[first] = tensors[first] * 1  # no leaf, which in-place changes are allowed of
    out = getattr(ops, name)(**tensors, **options_of(call))
    changed = {"sigmoid": out, "relu": out, "max_pool2d": None}.get(name, tensors[first])  # as torch's relu does
    if changed is None:  # indices are saved, not the input
        tensors[first].add_(1)
        out.sum().backward()
        return
    changed.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


@pytest.mark.parametrize("call", [each for each in FIRST if each.op not in ("flatten", "dropout")], ids=str)
def test_second_derivatives_are_refused(call):
    tensors = tensors_of(call)
    names = differentiable(call)
    for name in names:
        tensors[name].requires_grad_()
    out = result(getattr(ops, call.op)(**tensors, **options_of(call)))
    grad_output = torch.randn_like(out, requires_grad=True)  # every gradient is a function of it
    first = torch.autograd.grad(out, tensors[names[0]], grad_output, create_graph=True)[0]
    with pytest.raises(RuntimeError, match=f"fastops.torch.{call.op}: second derivatives are not there"):
        first.sum().backward()


def test_second_derivatives_of_dropout():
    x = torch.randn(30, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: ops.dropout(x, 0.3, rng=4), (x,))


def test_what_has_no_gradient_says_so():
    logits, target = torch.randn(3, 4), torch.rand(3, 4, requires_grad=True)
    assert ops.cross_entropy(logits, target).requires_grad  # torch's own
    loss = torch.ops.fastops.cross_entropy(logits, target, None, -100, "mean", 0.0)
    with pytest.raises(RuntimeError, match="fastops.torch.cross_entropy: there is no gradient of target"):
        loss.backward()


def test_unneeded_gradients_are_not_made(monkeypatch):
    asked = []
    gradient = fastops.conv._conv2d_backward
    monkeypatch.setattr(
        fastops.conv, "_conv2d_backward", lambda needed, *args: asked.append(tuple(needed)) or gradient(needed, *args)
    )
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3, requires_grad=True)
    ops.conv2d(x, w).sum().backward()
    assert asked == [(False, True, False)] and x.grad is None


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own
def test_forward_mode_is_refused():
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(torch.randn(3), torch.randn(3))
        with pytest.raises(NotImplementedError, match="fastops.torch.relu: forward-mode derivatives are not there"):
            ops.relu(dual)
        assert ops.relu(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of vmap, which goes one by one
def test_functional_transforms():
    x, w = torch.randn(3, 1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    made = torch.func.vmap(lambda x: ops.conv2d(x, w))(x)
    torch.testing.assert_close(made, torch.stack([F.conv2d(each, w) for each in x]), rtol=1e-4, atol=1e-5)
    gradient = torch.func.grad(lambda w: ops.conv2d(x[0], w).square().sum())(w)
    expected = torch.func.grad(lambda w: F.conv2d(x[0], w).square().sum())(w)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)

    def of_each(f):
        return torch.func.vmap(torch.func.grad(lambda x, w: f(x, w).square().sum()), (0, None))(x, w)

    torch.testing.assert_close(of_each(ops.conv2d), of_each(F.conv2d), rtol=1e-4, atol=1e-4)
    made = torch.func.vmap(torch.func.grad(lambda x: ops.max_pool2d(ops.sigmoid(x), 2).sum()))(x)
    expected = torch.func.vmap(torch.func.grad(lambda x: F.max_pool2d(torch.sigmoid(x), 2).sum()))(x)
    torch.testing.assert_close(made, expected)


def test_modes_without_gradients():
    x, w = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3, requires_grad=True)
    with torch.no_grad():
        assert not ops.conv2d(x, w).requires_grad
    with torch.inference_mode():
        inside = ops.conv2d(x, w)
        torch.testing.assert_close(ops.relu(inside), F.relu(inside), rtol=0, atol=0)
    torch.testing.assert_close(inside, F.conv2d(x, w), rtol=1e-4, atol=1e-5)


# --------------------------------------------------------------------------------------------- names


def test_every_operator_is_there():
    assert sorted(ops.__all__) == sorted(set(NAMES) | {"accelerate", "restore"})
    for name in NAMES:
        assert hasattr(torch.ops.fastops, name)


@pytest.mark.parametrize("name", [each for each in NAMES if hasattr(F, each)])
def test_signatures_are_torchs(name):
    try:
        expected = inspect.signature(getattr(F, name))
    except ValueError:
        pytest.skip("torch's own is written in C")
    if list(expected.parameters) == ["args", "kwargs"]:
        pytest.skip("torch's own is one of two functions, by a flag")
    made = inspect.signature(getattr(ops, name))
    theirs = [(each.name, each.default) for each in expected.parameters.values()]
    assert [(each.name, each.default) for each in made.parameters.values()][: len(theirs)] == theirs


def test_importing_fastops_imports_no_torch():
    code = "import sys, fastops; assert 'torch' not in sys.modules; assert 'fastops.torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
