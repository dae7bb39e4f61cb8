"""How fastops compiles: the decorators, every compiler flag, the choice of a build, the cache on disk.

``@kernel`` is ``@njit(parallel=True)`` with the flags below; it also compiles a serial twin from the same source.
``@scalar`` is for arithmetic on single numbers, which CPU and CUDA kernels call; ``@routine`` is for a loop over a row
or a tile, and ``@reduction`` for one whose order of additions is free.  The last three are compiled once and linked
into both builds of a kernel, so that both compute the same bits.
"""

import contextlib
import hashlib
import os
import pickle
import platform
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import numpy as np
from llvmlite.binding import Linkage
from numba import njit
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel as _threads

# nnan and ninf never: NaN and infinities must come through.  nsz would lose the sign of relu(-0.0), arcp would round
# a division differently from one build to the next.
_FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
_REDUCTION_FLAGS: dict[str, Any] = {**_FLAGS, "fastmath": {"contract", "nsz", "reassoc"}}

# Below this much work (about one unit per element of a plain loop) a parallel region costs more than it saves:
# entering and leaving one took 6 to 10 us on two cores, 100 000 elements of relu 8 us on one.
PARALLEL_WORK = 100_000


index = np.uint64
"""An index that is not negative: ``x[index(a + i)]`` does without the test for Python's negative indices, which keeps
a loop from being vectorised wherever LLVM cannot see the sign of ``a``."""


# ---------------------------------------------------------------------------------------------------- the decorators


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
    return njit(**flags)(function)


class Kernel:
    """A parallel and a serial build of one function; ``kernel(work)`` is the build that suits the amount of work."""

    __slots__ = ("name", "parallel", "serial")

    def __init__(self, function: types.FunctionType) -> None:
        self.name = f"{function.__module__.removeprefix('fastops.')}.{function.__name__}"
        self.parallel = _build(function, "parallel", parallel=True)
        self.serial = _build(function, "serial")
        kernels.append(self)

    def __call__(self, work: int) -> Callable[..., Any]:
        if _forced is not None:
            return getattr(self, _forced)  # type: ignore[no-any-return]
        if work < PARALLEL_WORK or not _threads_usable():
            return self.serial  # type: ignore[no-any-return]
        return self.parallel if _layer != "workqueue" else self._one_at_a_time

    def _one_at_a_time(self, *args: Any) -> None:
        if _workqueue_lock.acquire(blocking=False):
            try:
                self.parallel(*args)
            finally:
                _workqueue_lock.release()
        else:  # another Python thread is in a parallel kernel, and the workqueue layer would abort the process
            self.serial(*args)


kernels: list[Kernel] = []
"""Every kernel of the package, in the order of definition."""


def kernel(function: Any) -> Kernel:
    """Compile an explicit-loop kernel: ``@njit(parallel=True)`` and its serial twin."""
    return Kernel(function)


def _build(function: types.FunctionType, build: str, **flags: Any) -> Any:
    # Numba's cache does not know the decorator's flags: each build needs a name, and so a file, of its own.
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
    twin.__qualname__ = f"{function.__qualname__}.{build}"
    twin.__module__ = function.__module__
    dispatcher = njit(**_FLAGS, **flags, pipeline_class=_Compiler)(twin)
    if _CACHE is not None and not config.DISABLE_JIT:
        dispatcher._cache = _Cache(twin)
    return dispatcher


class _Compiler(Compiler):
    def compile_extra(self, func: types.FunctionType) -> Any:
        self.state.library = _Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(func)


class _Library(JITCodeLibrary):
    """The code of a kernel, which keeps the callees linked into it to itself.

    Numba leaves them weak symbols, and of one name the linker takes the first for all: in the process that compiled a
    kernel a callee's own code, in one that loads it from the cache the kernel's copy, optimised once more, whose sums
    may differ in the last bit; and where two processes numbered their functions alike, another callee (seen here).
    """

    def _optimize_final_module(self) -> None:
        super()._optimize_final_module()
        for function in self._final_module.functions:
            if function.linkage in (Linkage.linkonce_odr, Linkage.weak_odr) and not function.is_declaration:
                function.linkage = Linkage.internal


# ------------------------------------------------------------------------------------------------------ the CPU


def _vector_unit() -> tuple[int, int]:
    """(bytes of a vector, number of vector registers) of the CPU that numba compiles for."""
    if config.CPU_FEATURES is not None:
        features = set(str(config.CPU_FEATURES).split(","))
    elif str(config.CPU_NAME or "host") != "host":
        features = set()
    else:
        features = {f"+{name}" for name, has in llvmlite.binding.get_host_cpu_features().items() if has}
    if "+avx512f" in features:
        return 64, 32
    if "+avx2" in features:
        return 32, 16
    return 16, 32 if "+neon" in features or platform.machine().lower() in ("arm64", "aarch64") else 16


VECTOR_BYTES, VECTOR_REGISTERS = _vector_unit()
CPU_NAME: str = llvmlite.binding.get_host_cpu_name()

# ------------------------------------------------------------------------------------------------ threads and forks

_forced: str | None = None
_layer: str | None = None
_serial_only = False
_forked = False
_workqueue_lock = threading.Lock()


@contextlib.contextmanager
def only(build: str) -> Iterator[None]:
    """Make every kernel run as its "parallel" or its "serial" build (for tests and for warming the cache)."""
    global _forced
    if build not in ("parallel", "serial"):
        raise ValueError(f"only: build expects 'parallel' or 'serial', got {build!r}")
    before, _forced = _forced, build
    try:
        yield
    finally:
        _forced = before


def threads() -> int:
    """How many threads a parallel kernel runs on (the first call starts them)."""
    return int(numba.get_num_threads()) if _threads_usable() else 1


def threading_layer() -> str:
    """The name of numba's threading layer ("tbb", "omp", "workqueue"), or "none" where kernels run serially."""
    return str(_layer) if _threads_usable() else "none"


def _threads_usable() -> bool:
    global _layer, _serial_only
    if _layer is None and not _serial_only:
        if config.DISABLE_JIT or config.NUMBA_NUM_THREADS == 1:
            _serial_only = True
        else:
            unsafe = _forked and _gnu_openmp_is_loaded()  # before the launch, which loads it
            try:
                with global_compiler_lock, _short_spins():  # a fork waits for the lock
                    _threads._launch_threads()
                _layer = numba.threading_layer()
                _serial_only = unsafe and _layer == "omp"
            except Exception:  # the layer that NUMBA_THREADING_LAYER asks for is not installed
                _serial_only = True
    return not _serial_only


@contextlib.contextmanager
def _short_spins() -> Iterator[None]:
    """Let the threads of a GNU OpenMP that is loaded here wait actively for 2000 rounds, not 300 000.

    A thread that spins for milliseconds at the end of a region keeps from the core the one that it waits for, whenever
    somebody else spins as well: NumPy's own threads after every matrix product did (two 64 x 256 x 256 and two kernels
    took 16 ms instead of 0.5).  2000 rounds are enough to catch the next kernel of a network: 100 slowed kernels down
    by 40 us each, 3000 and more gained nothing.  A setting of the user's own stays.
    """
    name, settings = "GOMP_SPINCOUNT", ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    ours = not any(setting in os.environ for setting in settings)
    if ours:
        os.environ[name] = "2000"  # libgomp reads it when it is loaded
    try:
        yield
    finally:
        if ours:
            del os.environ[name]


def _gnu_openmp_is_loaded() -> bool:
    try:
        return "libgomp" in Path("/proc/self/maps").read_text(errors="replace")
    except OSError:  # not Linux
        return False


def _after_fork() -> None:
    """In a forked child: stay serial if threads ran in the parent.

    GNU OpenMP ends the process at its first parallel region or, if it was torch that used it in the parent, hangs.
    """
    global _forked, _serial_only, _workqueue_lock
    _forked = True
    _workqueue_lock = threading.Lock()
    _serial_only = _serial_only or _threads._is_initialized
    global_compiler_lock.release()


if hasattr(os, "register_at_fork"):
    # A fork waits until no thread compiles: the child would find numba's lock taken, and wait for ever.
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=_after_fork,
    )


# ---------------------------------------------------------------------------------------------- the cache on disk


def cache_folder() -> Path | None:
    """Where compiled kernels are kept, or None: turned off by FASTOPS_CACHE=0, or nothing is writable."""
    return _CACHE


def _source_key() -> str:
    """A hash of the kernels' source, the compilers and their settings: what a compiled kernel depends on.

    Numba itself stamps only a kernel's own file: a change in a callee's file would leave a stale binary. Kernels use
    nothing of the package but this file and cpu/ (tests/test_structure.py), so that other edits cost no compilation.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    sources = sorted((package / "cpu").rglob("*.py"))
    if not sources:
        raise FileNotFoundError(f"no source files in {package}")
    for path in (Path(__file__), *sources):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    settings = [config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.BOUNDSCHECK, config.FULL_TRACEBACKS]
    digest.update(repr((numba.__version__, llvmlite.__version__, [str(s) for s in settings])).encode())
    return digest.hexdigest()[:16]


def _candidates() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR) / "fastops"
    yield Path(__file__).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home directory
        if sys.platform == "darwin":
            yield Path.home() / "Library" / "Caches" / "fastops"
        elif os.name == "nt":
            yield Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fastops" / "Cache"
        else:
            yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fastops"


def _open_cache() -> Path | None:
    if os.environ.get("FASTOPS_CACHE") == "0":
        return None
    try:
        key = _source_key()
    except OSError:  # imported from an archive: no source files to hash
        return None
    for base in _candidates():
        folder = base / f"fastops-{key}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


_CACHE = _open_cache()


class _Locator(_CacheLocator):
    """Tells numba's cache the folder; the folder's name is the stamp."""

    def get_cache_path(self) -> str:
        return str(_CACHE)

    def get_source_stamp(self) -> str:
        return _CACHE.name if _CACHE else ""

    def get_disambiguator(self) -> str:
        return ""


class _CacheFiles(CompileResultCacheImpl):
    def __init__(self, py_func: types.FunctionType) -> None:
        self._lineno = py_func.__code__.co_firstlineno
        self._locator = _Locator()
        self._filename_base = self.get_filename_base(f"{py_func.__module__}.{py_func.__qualname__}", sys.abiflags)


class _Entries(IndexDataCacheFile):
    """A file for each signature and CPU, named after them and sealed with its digest.

    Numba numbers the files and lists them in an index: processes that store at once overwrite each other's index, or
    give one number to two signatures, so that a kernel loads the code of another dtype (seen here).
    """

    def save(self, key: Any, data: Any) -> None:
        content = self._dump((key, data))
        with self._open_for_write(self._path(key)) as file:
            file.write(hashlib.sha256(content).digest() + content)

    def load(self, key: Any) -> Any:
        stored = Path(self._path(key)).read_bytes()
        digest, content = stored[:32], stored[32:]
        if hashlib.sha256(content).digest() != digest:
            return None
        stored_key, data = pickle.loads(content)
        return data if stored_key == key else None

    def _path(self, key: Any) -> str:
        name = self._index_name.removesuffix(".nbi")
        return str(self._data_path(f"{name}.{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"))


class _Cache(FunctionCache):
    """Numba's function cache in our folder; whatever goes wrong with a file is a miss, never an error."""

    _impl_class = _CacheFiles

    def __init__(self, py_func: types.FunctionType) -> None:
        super().__init__(py_func)
        self._cache_file = _Entries(self.cache_path, self._impl.filename_base, source_stamp=None)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with contextlib.suppress(Exception):
            return super().load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)
