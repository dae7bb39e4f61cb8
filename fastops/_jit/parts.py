"""What fastops asks of numba's own compiler classes, all in one room: a kernel is compiled once, as a whole.

Numba compiles each function that a kernel calls, the body of its ``prange`` and two wrappers around that as programs of
their own: optimised, given an entry for Python, made into machine code, and then linked into the next, where all of it
is done again.  Here they are *parts*: libraries that hold LLVM code until a kernel links them, and no more.  The first
conv2d of a process without a cache took 8.8 s before and 2.9 s so, with the same bits in every result.

The classes are numba's private ones, of 0.67 and 0.68.  tests/test_parts.py says in words what each of them is relied
on for; it is the first test to fail where a newer numba does otherwise.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from llvmlite.binding import Linkage
from numba import jit
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.compiler import Compiler
from numba.core.registry import CPUDispatcher, cpu_target


class _Part(JITCodeLibrary):
    """LLVM code that waits to be linked into a kernel's: not made into machine code, not in memory.

    LLVM simplifies each function by itself, as numba asks: without that some loops took twice as long (cross_entropy of
    probabilities, max_pool2d with indices), since the vectoriser met them as they were written.  What LLVM does to a
    whole module waits for the kernel.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0


class _OptimisedPart(_Part):
    """An @inlined piece of a loop: where it ends up LLVM does less with it, and max_pool2d took 1.25 times as long."""

    def _optimize_final_module(self) -> None:
        JITCodeLibrary._optimize_final_module(self)


class _Parts(JITCPUCodegen):
    """Numba's code generator, but that it makes parts."""

    _library_class = _Part

    def __init__(self, whole: JITCPUCodegen) -> None:
        self.__dict__.update(whole.__dict__)

    def set_env(self, env_name: str, env: Any) -> None:
        pass


class _Whole(JITCodeLibrary):
    """The code of a kernel, which keeps the parts linked into it to itself.

    Numba leaves them weak symbols, and of one name the linker takes the first for all: where two processes numbered
    their functions alike, a kernel loaded from the cache got another's callee (seen here).
    """

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage in (Linkage.linkonce_odr, Linkage.weak_odr) and not function.is_declaration:
                function.linkage = Linkage.internal


class CalleeCompiler(Compiler):
    """Compiles a function that kernels call."""

    def __init__(self, *args: Any) -> None:
        _load_array_functions()
        super().__init__(*args)
        self.state.flags.no_cpython_wrapper = self.state.flags.no_cfunc_wrapper = True

    def compile_extra(self, func: Any) -> Any:
        codegen = self.state.targetctx.codegen()
        if self.state.flags.forceinline and isinstance(codegen, _Parts):
            self.state.library = _OptimisedPart(codegen, func.__qualname__)
            self.state.library.enable_object_caching()
        return super().compile_extra(func)


class NotCompiled(Exception):
    """A kernel would have to be compiled, within `compiled_before`."""


_compiles = True


@contextlib.contextmanager
def compiled_before() -> Iterator[None]:
    """Calls within run what is in this process or in the cache; another kernel raises NotCompiled."""
    global _compiles
    before, _compiles = _compiles, False
    try:
        yield
    finally:
        _compiles = before


class KernelCompiler(Compiler):
    """Compiles a kernel: its own code is a whole, and all that is compiled for it are parts."""

    def __init__(self, *args: Any) -> None:
        if not _compiles:
            raise NotCompiled
        with _no_collection():
            _load_array_functions()
            super().__init__(*args)
        self.state.flags.no_cfunc_wrapper = True

    def compile_extra(self, func: Any) -> Any:
        context = self.state.targetctx
        self.state.library = _Whole(context.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        with _no_collection(), _parts_alone() as parts:
            self.state.targetctx = context.subtarget(
                _internal_codegen=parts,
                # the body of a prange shares its kernel's flags, and would get an entry for Python, too
                create_cpython_wrapper=partial(_unless_a_part, context.create_cpython_wrapper),
            )
            return super().compile_extra(func)


def _unless_a_part(create: Any, library: Any, *args: Any, **kws: Any) -> None:
    if not isinstance(library, _Part):
        create(library, *args, **kws)


class CalleeDispatcher(CPUDispatcher):
    """A function that kernels call.  A part has no entry for Python: calls from there get an ordinary build."""

    _for_python: Any = None

    def add_overload(self, cres: Any) -> None:
        self.overloads[tuple(cres.signature.args)] = cres  # but not where Python's calls look

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        if self._for_python is None:
            self._for_python = jit(**self.targetoptions)(self.py_func)
        return self._for_python


@contextlib.contextmanager
def _parts_alone() -> Iterator[_Parts]:
    """While a kernel compiles, and with it numba's compiler lock is held, numba's own functions are parts as well."""
    context = cpu_target.target_context
    whole = context.codegen()
    parts = context._internal_codegen = _Parts(whole)
    try:
        yield parts
    finally:
        context._internal_codegen = whole


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage waits: while a kernel compiles, looking for it took a sixth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load_array_functions() -> None:
    """Import numba.np.arraymath, which imports scipy.linalg (0.15 s) only to see whether it is there.

    numba asks again where a function needs it, and imports it then.
    """
    if "numba.np.arraymath" in sys.modules or "scipy" not in sys.modules:
        return
    from numba.np import linalg  # not at the top: a process that finds its kernels in the cache does without

    ensure = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath

        arraymath.ensure_blas = ensure
    finally:
        linalg.ensure_blas = ensure
