"""Layers of fastops.nn beside torch.nn's: the same weights in both, NumPy arrays in and out."""

from typing import Any, NamedTuple

import numpy as np
import torch

from fastops import nn

TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def assert_near(actual, expected, tolerance: float | None = None) -> None:
    """|actual - expected| within 1e-4 of the largest |expected| in float32, 1e-9 in float64; same shape and dtype."""
    expected = np.asarray(expected)
    assert np.shape(actual) == expected.shape and actual.dtype == expected.dtype
    largest = np.abs(expected).max(initial=0.0)
    limit = (TOLERANCE.get(actual.dtype, 0) if tolerance is None else tolerance) * max(largest, 1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


def arrays(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    """A torch state_dict as NumPy arrays of its own memory."""
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def tensor(value):
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


class Step(NamedTuple):
    """What one step through a layer gives: the output, and gradients of the input and of each parameter."""

    output: np.ndarray
    grad_input: np.ndarray
    grads: dict[str, np.ndarray]


class Twins:
    """The same layer, with the same weights, in fastops and in torch."""

    def __init__(self, mine: nn.Module, theirs: torch.nn.Module, dtype: Any):
        self.mine, self.theirs = mine, theirs.to(torch.float64 if np.dtype(dtype) == np.float64 else torch.float32)
        assert type(self.mine.load_state_dict(arrays(self.theirs.state_dict()))).__name__ == "Loaded"

    def train(self, mode: bool = True) -> "Twins":
        self.mine.train(mode)
        self.theirs.train(mode)
        return self

    def steps(self, *inputs: np.ndarray, rng: np.random.Generator) -> tuple[Step, Step]:
        """One forward and one backward call of each, for a random gradient of the output."""
        first, *others = map(tensor, inputs)
        first = first.clone().requires_grad_()
        self.theirs.zero_grad()
        expected = self.theirs(first, *others)
        grad_output = rng.standard_normal(tuple(expected.shape)).astype(inputs[0].dtype)
        expected.backward(torch.from_numpy(np.asarray(grad_output)))
        grads = {name: p.grad.numpy() for name, p in self.theirs.named_parameters()}
        theirs = Step(expected.detach().numpy(), first.grad.numpy(), grads)

        self.mine.zero_grad()
        output = self.mine(*inputs)
        grad_input = self.mine.backward(grad_output)
        mine = Step(output, grad_input, {name: p.grad for name, p in self.mine.named_parameters()})
        return mine, theirs

    def agree(self, *inputs: np.ndarray, rng: np.random.Generator) -> None:
        """Outputs, gradients and the state afterwards are the same in both."""
        mine, theirs = self.steps(*inputs, rng=rng)
        assert_near(mine.output, theirs.output)
        assert_near(mine.grad_input, theirs.grad_input)
        assert list(mine.grads) == list(theirs.grads)
        for name, grad in theirs.grads.items():
            assert_near(mine.grads[name], grad)
        self.agree_in_state()

    def agree_in_state(self) -> None:
        mine, theirs = self.mine.state_dict(), arrays(self.theirs.state_dict())
        assert list(mine) == list(theirs)
        for name, array in theirs.items():
            assert_near(mine[name], array)


def twins(name: str, *args: Any, dtype: Any = np.float32, **options: Any) -> Twins:
    """fastops.nn.<name> and torch.nn.<name> made by the same arguments."""
    typed = dict(dtype=dtype) if hasattr(getattr(torch.nn, name)(*args, **options), "weight") else {}
    mine = getattr(nn, name)(*args, **options, **typed)
    return Twins(mine, getattr(torch.nn, name)(*args, **options), dtype)
