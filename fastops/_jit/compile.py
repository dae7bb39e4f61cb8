"""The decorators of everything that fastops compiles, with every compiler flag, and the choice of a kernel's build."""

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import njit
from numba.core import config

from . import threads
from .cache import Cache, cache_folder, compiling
from .parts import CalleeCompiler, CalleeDispatcher, KernelCompiler

# nnan and ninf never: NaN and infinities must come through.  nsz would lose the sign of relu(-0.0), arcp would round
# a division differently from one build to the next.
_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_REDUCTION_FLAGS: dict[str, Any] = {**_FLAGS, "fastmath": {"contract", "nsz", "reassoc"}}

# Of what numba's parallel=True looks for only the loops that say prange: a tenth of the time of compiling.
_LOOPS_ALONE = dict.fromkeys(
    ("comprehension", "reduction", "inplace_binop", "setitem", "numpy", "stencil", "fusion"), False
)

# Below this much work (about one unit per element of a plain loop) a parallel region costs more than it saves:
# entering and leaving one took 6 to 10 us on two cores, 100 000 elements of relu 8 us on one.
PARALLEL_WORK = 100_000


index = np.uint64
"""An index that is not negative: ``x[index(a + i)]`` does without the test for Python's negative indices, which keeps
a loop from being vectorised wherever LLVM cannot see the sign of ``a``."""


# ------------------------------------------------------------------------------------------------------- callees


def scalar(function: Callable[..., Any]) -> Any:
    """Compile arithmetic on single numbers; also callable from ``@cuda.jit`` kernels."""
    return _callee(function, _FLAGS)


def routine(function: Callable[..., Any]) -> Any:
    """Compile a serial loop that kernels call."""
    return _callee(function, _FLAGS)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a piece of a loop into each caller: a call that passes vectors or buffers costs more than a short row."""
    return _callee(function, {**_FLAGS, "forceinline": True})


def reduction(function: Callable[..., Any]) -> Any:
    """Compile a serial loop that sums in whatever order vectorises."""
    return _callee(function, _REDUCTION_FLAGS)


_names: set[str] = set()


def _callee(function: Callable[..., Any], flags: dict[str, Any]) -> Any:
    # The linker takes functions of one name in several cached kernels for one function.  Numba tells them apart by a
    # counter, which starts again in each process: kernels cached by two processes got each other's callees (seen here).
    name = f"{function.__module__}.{function.__qualname__}"
    if name in _names:
        raise AssertionError(f"two compiled functions are called {name}; give one another __qualname__")
    _names.add(name)
    if config.DISABLE_JIT:
        return function
    return CalleeDispatcher(function, targetoptions={**flags, "nopython": True}, pipeline_class=CalleeCompiler)


# ------------------------------------------------------------------------------------------------------- kernels


class Kernel:
    """A parallel and a serial build of one function; ``kernel(work)`` is the build that suits the amount of work."""

    __slots__ = ("name", "parallel", "serial")

    def __init__(self, function: types.FunctionType) -> None:
        self.name = f"{function.__module__.removeprefix('fastops.')}.{function.__name__}"
        if any(self.name == other.name for other in kernels):  # they would share files in the cache
            raise AssertionError(f"two kernels are called {self.name}; give one another __name__ and __qualname__")
        self.parallel = _build(function, "parallel", parallel=dict(_LOOPS_ALONE))
        self.serial = _build(function, "serial")
        kernels.append(self)

    def __call__(self, work: int) -> Callable[..., Any]:
        if _observer is not None and (build := _observer(self)) is not None:
            return getattr(self, build)  # type: ignore[no-any-return]
        if work < PARALLEL_WORK or not threads.usable():
            return self.serial  # type: ignore[no-any-return]
        return self.parallel if threads._layer != "workqueue" else self._one_at_a_time

    def _one_at_a_time(self, *args: Any) -> Any:
        if not threads.one_at_a_time.acquire(blocking=False):  # another Python thread is in a parallel kernel
            return self.serial(*args)
        try:
            return self.parallel(*args)
        finally:
            threads.one_at_a_time.release()


kernels: list[Kernel] = []
"""Every kernel of the package, in the order of definition."""


def kernel(function: Any) -> Kernel:
    """Compile an explicit-loop kernel: ``@njit(parallel=True)`` and its serial twin."""
    return Kernel(function)


def _build(function: types.FunctionType, build: str, **flags: Any) -> Any:
    # Numba's cache does not know the decorator's flags: each build needs a name, and so a file, of its own.
    twin = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    twin.__qualname__ = f"{function.__qualname__}.{build}"
    twin.__module__ = function.__module__
    dispatcher = njit(**_FLAGS, **flags, pipeline_class=KernelCompiler)(twin)
    if cache_folder() is not None and not config.DISABLE_JIT:
        dispatcher._cache = Cache(twin)
        dispatcher.compile = _alone(f"{twin.__module__}.{twin.__qualname__}", dispatcher.compile)
    return dispatcher


def _alone(name: str, compile: Callable[..., Any]) -> Callable[..., Any]:
    """Numba's `compile`, which looks into the cache first, in one process at a time."""

    def compile_alone(signature: Any) -> Any:
        with compiling(name):
            return compile(signature)

    return compile_alone


_observer: Callable[[Kernel], str | None] | None = None
"""Hears of each kernel before its build is chosen, and may name the build; None of both costs a call one test."""


@contextlib.contextmanager
def _observed(hear: Callable[[Kernel], str | None]) -> Iterator[None]:
    """Inside, `hear` is told of each kernel, after those that are told already; what it names goes before theirs."""
    global _observer
    before = _observer

    def observer(kernel: Kernel) -> str | None:
        named = before(kernel) if before else None
        return hear(kernel) or named

    _observer = observer
    try:
        yield
    finally:
        _observer = before


@contextlib.contextmanager
def only(build: str) -> Iterator[None]:
    """Make every kernel run as its "parallel" or its "serial" build (for tests and for warming the cache)."""
    if build not in ("parallel", "serial"):
        raise ValueError(f"only: build expects 'parallel' or 'serial', got {build!r}")
    with _observed(lambda kernel: build):
        yield


@contextlib.contextmanager
def noting() -> Iterator[dict[str, None]]:
    """The names of the kernels that are called inside, in order, each once."""
    seen: dict[str, None] = {}
    with _observed(lambda kernel: seen.setdefault(kernel.name)):
        yield seen
