"""Module, which every layer is, and Parameter, what a layer learns."""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from .. import _arrays, _options, _shapes
from .._arrays import Array
from .init import float_dtype


class Parameter:
    """An array that a layer learns, and the gradient beside it.

    Parameters
    ----------
    data : array
        The first values.

    Attributes
    ----------
    data : array
        The values; change them in place (``p.data -= 0.1 * p.grad``).
    grad : array or None
        The sum of the gradients since `Module.zero_grad`; None before the first.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> p = nn.Parameter(np.ones(2, np.float32))
    >>> p.grad = np.array([1, 2], np.float32)
    >>> p.data -= 0.5 * p.grad
    >>> p.data
    array([0.5, 0. ], dtype=float32)
    """

    __slots__ = ("_data", "grad", "version")

    def __init__(self, data: Array) -> None:
        self._data: Array = data
        self.grad: Array | None = None
        self.version = 0  # how often somebody got hold of the array, and may have changed it

    @property
    def data(self) -> Array:
        self.version += 1
        return self._data

    @data.setter
    def data(self, data: Array) -> None:
        self.version += 1
        self._data = data

    def peek(self) -> Array:
        """The array, for a layer that reads it and lets it go."""
        return self._data

    def alone(self) -> bool:
        """Whether nobody else holds the array or a view of it, who could change it while ``version`` stays."""
        # this attribute and getrefcount's argument hold it; a view would hold it as its base
        return sys.getrefcount(self._data) == 2 and getattr(self._data, "base", self) is None

    def accumulate(self, grad: Array) -> None:
        """Add a gradient; the first one is kept as it is."""
        if self.grad is None:
            self.grad = grad
        else:
            self.grad += grad

    def __repr__(self) -> str:
        return f"Parameter(shape={self.data.shape}, dtype={self.data.dtype})"


class Loaded(NamedTuple):
    """What `Module.load_state_dict` did not find on one side or the other."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A layer, or several: ``forward`` and ``backward``, parameters, and a state to save.

    A layer of your own derives from it, keeps layers and `Parameter` objects in attributes, and defines ``forward`` and
    ``backward``.

    Attributes
    ----------
    training : bool
        What `train` and `eval` switch.

    Notes
    -----
    A layer remembers the arrays of its last forward call, not copies of them, until the next one: ``backward`` is about
    that call, and a layer that stands twice in a network must be two objects.  Copies and pickles of a layer forget it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastops import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         self.linear = nn.Linear(2, 3, rng=0)
    ...     def forward(self, input):
    ...         return 2 * self.linear(input)
    ...     def backward(self, grad_output):
    ...         return self.linear.backward(2 * grad_output)
    >>> model = Twice()
    >>> model(np.ones((4, 2), np.float32)).shape
    (4, 3)
    >>> model.backward(np.ones((4, 3), np.float32)).shape
    (4, 2)
    >>> {name: parameter.grad.shape for name, parameter in model.named_parameters()}
    {'linear.weight': (3, 2), 'linear.bias': (3,)}
    """

    training: bool = True
    _buffers: ClassVar[tuple[str, ...]] = ()  # the attributes that are arrays of the state, but not learnt
    _state_names: ClassVar[Mapping[str, str]] = {}  # how the state spells attributes, where it is not by their names
    _saved: Any = None  # what backward needs of the last forward call

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.forward(*args, **options)

    def forward(self, *args: Any, **options: Any) -> Any:
        """The output for an input; the same as calling the layer."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def backward(self, *args: Any, **options: Any) -> Any:
        """The gradient of the last call's input, from that of its output; parameters add up theirs in ``grad``."""
        raise NotImplementedError(f"{type(self).__name__} defines no backward")

    def forget(self) -> None:
        """Let go of what ``backward`` needs of the last call: arrays as large as all layers' inputs together."""
        for _, module in self.named_modules():
            if module._saved is not None:
                module._saved = None

    def _remembered(self) -> Any:
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}: backward expects a forward call before it, got none")
        return self._saved

    # ------------------------------------------------------------------------------------------ what it is made of

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The layers directly in this one, with their names."""
        for name, value in list(vars(self).items()):  # of now: other threads may call the layer, or let it forget
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This layer and all within it, with names such as ``'0.conv'``."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Each `Parameter` once, with names such as ``'0.weight'``."""
        seen = set()
        for key, module, name in self._state():
            value = getattr(module, name)
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield key, value

    def parameters(self) -> Iterator[Parameter]:
        """Each `Parameter` once; an optimiser changes their ``data`` by their ``grad``."""
        for _, parameter in self.named_parameters():
            yield parameter

    def _state(self) -> Iterator[tuple[str, "Module", str]]:
        """(name in the state, module, attribute) of each parameter and buffer."""
        for prefix, module in self.named_modules():
            for name, value in list(vars(module).items()):
                if isinstance(value, Parameter) or (name in module._buffers and value is not None):
                    key = module._state_names.get(name, name)
                    yield f"{prefix}.{key}" if prefix else key, module, name

    # ----------------------------------------------------------------------------------------------- what it can do

    def train(self, mode: bool = True) -> Self:
        """Let dropout drop and batch norm use the batch's own statistics (or not); returns the layer itself."""
        mode = _options.flag(type(self).__name__, "mode", mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """The same as ``train(False)``."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients: each ``grad`` becomes None."""
        for parameter in self.parameters():
            parameter.grad = None

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move parameters, gradients and running statistics, or change their dtype; returns the layer itself.

        Parameters
        ----------
        *args
            A device, a dtype, or both in this order, as torch takes them.
        device : {'cpu', 'cuda', 'cuda:0', ...}, optional
            'cpu' makes NumPy arrays of them, 'cuda' CuPy's, on the current device or the one of that number.
        dtype : float32 or float64, optional

        Raises
        ------
        TypeError
            Neither is given, dtype is another one, or CuPy is not installed.
        ValueError
            There is no such device.

        Examples
        --------
        >>> import numpy as np
        >>> from fastops import nn
        >>> nn.Linear(2, 3).to("cpu", np.float64).weight
        Parameter(shape=(3, 2), dtype=float64)
        """
        op = type(self).__name__
        for value in args:
            if isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda"):
                device = value
            else:
                dtype = float_dtype(op, value)
        if device is None and dtype is None:
            raise TypeError(f"{op}: to expects a device or a dtype, got neither")
        dtype = None if dtype is None else float_dtype(op, dtype)

        def moved(value: Array) -> Array:
            value = value if device is None else _arrays.to_device(op, value, device)
            return value if dtype is None else value.astype(dtype, copy=False)

        self.forget()
        for _, module, name in list(self._state()):
            value = getattr(module, name)
            if isinstance(value, Parameter):
                value.data = moved(value.data)
                value.grad = None if value.grad is None else moved(value.grad)
            elif value.dtype.kind == "f":  # a counter stays on the host
                setattr(module, name, moved(value))
        return self

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters and running statistics as NumPy arrays, by torch's names."""
        return {
            key: np.array(_arrays.to_device("state_dict", _array(module, name), "cpu"))
            for key, module, name in self._state()
        }

    def load_state_dict(self, state_dict: Mapping[str, Array], strict: bool = True) -> Loaded:
        """Copy in the arrays of a `state_dict`: fastops's, or torch's as NumPy arrays; on whatever device the layer is.

        Parameters
        ----------
        state_dict : mapping of names to arrays
            Floats of another precision are rounded to the layer's dtype.
        strict : bool
            Whether both sides must have the same names.

        Returns
        -------
        missing_keys, unexpected_keys : lists of names
            Empty where strict.

        Raises
        ------
        KeyError
            Names are missing or unexpected.
        TypeError
            An entry is no array, or not of floats (of integers for num_batches_tracked).
        ValueError
            An entry has the wrong shape.

        Notes
        -----
        Nothing is changed unless all of it fits.

        Examples
        --------
        >>> from fastops import nn
        >>> a, b = nn.Linear(2, 3), nn.Linear(2, 3)
        >>> b.load_state_dict(a.state_dict())
        Loaded(missing_keys=[], unexpected_keys=[])
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict expects a mapping of arrays, got {type(state_dict).__name__}")
        strict = _options.flag("load_state_dict", "strict", strict)
        own = {key: _array(module, name) for key, module, name in self._state()}
        loaded = Loaded([key for key in own if key not in state_dict], [key for key in state_dict if key not in own])
        if strict and any(loaded):
            wrong = [f"{what} {', '.join(map(repr, keys))}" for what, keys in zip(_WRONG, loaded, strict=True) if keys]
            raise KeyError(f"load_state_dict: state_dict expects this layer's names, got {' and '.join(wrong)}")
        copies = {key: _checked(key, state_dict[key], array) for key, array in own.items() if key in state_dict}
        for key, copy in copies.items():
            device = f"cuda:{own[key].device.id}" if _arrays.is_cuda(own[key]) else "cpu"
            own[key][...] = _arrays.to_device("load_state_dict", copy, device)
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_saved"}

    # -------------------------------------------------------------------------------------------------- how it looks

    def extra_repr(self) -> str:
        """What ``repr`` shows between the brackets."""
        return ""

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        inside = "\n".join(["", *lines, ""]) if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


_WRONG = "missing", "unexpected"


def _array(module: Module, name: str) -> Array:
    value = getattr(module, name)
    return value.data if isinstance(value, Parameter) else value


def _checked(key: str, value: Array, own: Array) -> Array:
    """A copy of an entry in the dtype of the array that it is for, or the error that it deserves."""
    if _arrays.is_cuda(value):
        value = _arrays.to_device("load_state_dict", value, "cpu")
    _, array = _arrays.backend("load_state_dict", key, value)
    if array.dtype.kind not in ("f" if own.dtype.kind == "f" else "iu"):
        expected = "floats" if own.dtype.kind == "f" else "integers"
        raise TypeError(f"load_state_dict: {key} expects {expected}, got dtype {array.dtype}")
    _shapes.same("load_state_dict", key, array.shape, own.shape)
    return array.astype(own.dtype)
