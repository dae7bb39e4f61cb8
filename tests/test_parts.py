"""What `fastops/_jit/parts.py` relies on in numba's private classes: the first to fail with a newer numba."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import njit, prange
from numba.core import codegen, errors
from numba.core.registry import cpu_target

from fastops import _jit
from fastops._jit.parts import CalleeCompiler, CalleeDispatcher, KernelCompiler

X = np.linspace(-1, 1, 1000)
FLAGS = dict(error_model="numpy", nogil=True)


def new_callee():
    """A function that kernels call, as @scalar and @routine make them; numba compiles one of its own for its min."""

    def doubled(x, most):
        return min(2 * x, most)

    return CalleeDispatcher(doubled, targetoptions={**FLAGS, "nopython": True}, pipeline_class=CalleeCompiler)


def new_kernel(inner, **flags):
    def kernel(out, x):
        for i in prange(x.size):
            out[i] = inner(x[i], 1.0)

    return njit(**FLAGS, **flags, pipeline_class=KernelCompiler)(kernel)


@pytest.mark.parametrize("flags", [{}, dict(parallel=True)], ids=["serial", "parallel"])
def test_a_kernel_alone_becomes_machine_code(monkeypatch, flags):
    """One module: callees, the body of a prange, its two wrappers and numba's own functions are linked into it.

    More of them means that numba makes libraries in another place than the codegen's `_library_class`, or that a part
    is finished by another method than `_finalize_final_module`.
    """
    njit(lambda: 0)()  # what numba compiles once in a process
    modules, add = [], codegen.JitEngine.add_module
    monkeypatch.setattr(codegen.JitEngine, "add_module", lambda *args: (modules.append(args[1].name), add(*args)))
    inner, out = new_callee(), np.empty_like(X)
    new_kernel(inner, **flags)(out, X)
    np.testing.assert_array_equal(out, np.minimum(2 * X, 1))
    assert [name.rpartition(".")[2] for name in modules] == ["kernel"]
    assert len(inner.overloads) == 1


def test_a_kernel_has_one_entry_for_python_and_none_for_c():
    """Each costs the unpacking of a dozen arrays; a prange's body would get the first because it shares the flags."""
    kernel = new_kernel(new_callee(), parallel=True)
    kernel(np.empty_like(X), X)
    (result,) = kernel.overloads.values()
    names = [function.name for function in result.library.get_defined_functions()]
    assert len([name for name in names if name.startswith("_ZN7cpython")]) == 1
    assert not [name for name in names if name.startswith("cfunc")]


def test_python_may_call_a_callee():
    """A part is not in memory: `_compile_for_args` answers with an ordinary build, always the same."""
    inner = new_callee()
    new_kernel(inner)(np.empty_like(X), X)
    assert inner(0.25, 1.0) == 0.5 and inner(3, 1) == 1
    assert inner._compile_for_args(0.25, 1.0) is inner._compile_for_args(0.25, 1.0)


def test_other_peoples_functions_compile_as_ever():
    """What a kernel left as parts (numba's min, a callee) is linked into their code like anything else."""
    inner = new_callee()
    new_kernel(inner)(np.empty_like(X), X)
    assert njit(lambda x, most: min(2 * x, most))(0.75, 1.0) == 1.0
    assert njit(lambda x: inner(x, 1.0))(0.75) == 1.0
    parallel = njit(lambda x: np.minimum(x, 0.5).sum(), parallel=True)
    assert parallel(X) == pytest.approx(np.minimum(X, 0.5).sum())


def test_numba_is_left_as_it_was():
    """Its code generator is put back, and the garbage collector, after a kernel that does not compile as well."""
    whole = cpu_target.target_context.codegen()
    new_kernel(new_callee())(np.empty_like(X), X)
    assert cpu_target.target_context.codegen() is whole and gc.isenabled()
    with pytest.raises(errors.TypingError):
        new_kernel(new_callee())(np.empty_like(X), "text")
    assert cpu_target.target_context.codegen() is whole and gc.isenabled()
    gc.disable()
    try:
        new_kernel(new_callee())(np.empty_like(X), X)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_calls_can_be_kept_from_compiling():
    kernel = new_kernel(new_callee())
    with _jit.compiled_before(), pytest.raises(_jit.NotCompiled):
        kernel(np.empty_like(X), X)
    kernel(np.empty_like(X), X)
    with _jit.compiled_before():
        kernel(np.empty_like(X), X)


def in_a_process(code: str) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=False, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_scipy_is_not_imported_for_nothing():
    """numba.np.arraymath imports scipy.linalg to see whether a BLAS is there; np.dot still finds it."""
    pytest.importorskip("scipy.linalg.cython_blas")
    code = """
import sys, numpy, numba
from test_parts import X, new_callee, new_kernel
new_kernel(new_callee())(numpy.empty_like(X), X)
print("scipy.linalg" in sys.modules)
from numba.np import arraymath, linalg
assert arraymath.ensure_blas is linalg.ensure_blas and linalg.ensure_blas.__name__ == "ensure_blas"
print(numba.njit(lambda a, b: numpy.dot(a, b))(numpy.ones((2, 3)), numpy.ones((3, 2)))[0, 0])
print("scipy.linalg" in sys.modules)
"""
    assert in_a_process(code) == ["False", "3.0", "True"]


def test_kernels_of_the_cache_do_without_what_compiles():
    """Loading numba's registries is most of a first call; a kernel that needs a symbol of them ends the process."""
    if _jit.cache_folder() is None:
        pytest.skip("no cache")
    calls = """
import numpy as np, fastops
x = np.linspace(0.1, 0.9, 2 * 4 * 8 * 8).reshape(2, 4, 8, 8).astype(np.float32)
def run():
    y = fastops.conv2d(x, x[:, :, :3, :3].copy(), padding=1)
    y = fastops.max_pool2d(fastops.batch_norm(fastops.relu(y), None, None, training=True), 2)
    return fastops.cross_entropy(fastops.softmax(y.reshape(4, -1), 1), np.zeros(4, int))
"""
    in_a_process(f"{calls}run()")
    in_a_process(f"{calls}import numba.core.base as base\nbase.BaseContext.refresh = None\nrun()")
