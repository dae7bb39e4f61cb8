"""Compiled kernels on disk: where they lie, which belong together, when the old ones go.

They lie in the user's cache folder, never in or beside the package: pip removes there only what it has installed, and
a folder of ours that stays behind looks like a package.  A folder ``fastops-<key>`` holds what one state of the
kernels' source was compiled into; a process that adds one removes all but the latest used.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import shutil
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from llvmlite.binding import add_symbol, parse_assembly
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.core.runtime import _nrt_python

try:
    import fcntl
except ImportError:  # Windows, which removes no file that is open
    fcntl = None  # type: ignore[assignment]
    import msvcrt

KEPT = 4  # folders of the latest used keys; each holds up to 20 MB
_IN_USE = "in-use"  # a file in each, locked while a process uses it; its time is that of the last start

_PACKAGE = Path(__file__).parents[1]

# ------------------------------------------------------------------------------------------------------------ where


def cache_folder() -> Path | None:
    """Where this process keeps compiled kernels, or None: turned off by FASTOPS_CACHE=0, or nothing is writable."""
    return _FOLDER


def all_folders() -> list[Path]:
    """This folder and those of other keys, the latest used first."""
    return [] if _FOLDER is None else sorted(_FOLDER.parent.glob("fastops-*"), key=_last_use, reverse=True)


def clear() -> int:
    """Remove what was compiled for any key; processes that use it go on, and compile again. The number of bytes."""
    return sum(_remove(folder) for folder in all_folders())


def _candidates() -> Iterator[Path]:
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR).absolute() / "fastops"
    with contextlib.suppress(RuntimeError):  # no home directory
        if sys.platform == "darwin":
            yield Path.home() / "Library" / "Caches" / "fastops"
        elif os.name == "nt":
            yield Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "fastops" / "Cache"
        else:
            theirs = Path(os.environ.get("XDG_CACHE_HOME", ""))  # a relative one is invalid, says the specification
            yield (theirs if theirs.is_absolute() else Path.home() / ".cache") / "fastops"


def _source_key() -> str:
    """A hash of the kernels' source, the compilers and their settings: what a compiled kernel depends on.

    Numba itself stamps only a kernel's own file: a change in a callee's file would leave a stale binary. Kernels use
    nothing of the package but _jit/ and cpu/ (tests/test_structure.py), so that other edits cost no compilation.
    """
    digest = hashlib.sha256()
    sources = sorted(path for folder in ("_jit", "cpu") for path in (_PACKAGE / folder).rglob("*.py"))
    if not sources:
        raise FileNotFoundError(f"no source files in {_PACKAGE}")
    for path in sources:
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes() + b"\0")
    settings = [config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.BOUNDSCHECK, config.FULL_TRACEBACKS]
    digest.update(repr((numba.__version__, llvmlite.__version__, [str(s) for s in settings])).encode())
    return digest.hexdigest()[:16]


def _open() -> Path | None:
    if os.environ.get("FASTOPS_CACHE") == "0":
        return None
    try:
        key = _source_key()
    except OSError:  # imported from an archive: no source files to hash
        return None
    for base in _candidates():
        folder = base / f"fastops-{key}"
        try:
            new = not folder.is_dir()
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        _use(folder)
        if new:
            _prune(folder)
        return folder
    return None


# ------------------------------------------------------------------------------------------------------ old folders


def _use(folder: Path) -> None:
    """Note that this process uses the folder, until it ends."""
    global _in_use
    with contextlib.suppress(OSError):
        _in_use = os.open(folder / _IN_USE, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        os.utime(folder / _IN_USE)
        if fcntl:
            fcntl.flock(_in_use, fcntl.LOCK_SH | fcntl.LOCK_NB)


def _prune(folder: Path) -> None:
    """Remove the folders of all keys but the latest used, and what earlier versions left in the package itself."""
    siblings = sorted(folder.parent.glob("fastops-*"), key=_last_use, reverse=True)
    old = [sibling for sibling in siblings if sibling != folder][KEPT - 1 :]
    for each in (*old, *folder.parent.glob("removed-*"), *_PACKAGE.glob("__pycache__/fastops-*")):
        if not _used_by_others(each):
            _remove(each)


def _last_use(folder: Path) -> float:
    for path in (folder / _IN_USE, folder):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime
    return 0.0


def _used_by_others(folder: Path) -> bool:
    if not fcntl:
        return False
    try:
        file = os.open(folder / _IN_USE, os.O_RDWR)
    except OSError:  # nobody's, or of an earlier version
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _remove(folder: Path) -> int:
    """Remove a folder, at once out of the sight of other processes; the number of bytes that were in it."""
    with contextlib.suppress(OSError):
        away = folder.rename(folder.with_name(f"removed-{os.getpid()}-{time.monotonic_ns()}"))
        size = size_of(away)
        shutil.rmtree(away, ignore_errors=True)
        return size
    return 0


def size_of(folder: Path) -> int:
    """Bytes in its files."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another process removes it
            total += path.stat().st_size if path.is_file() else 0
    return total


_in_use: int | None = None  # the open file; the lock ends with the process
_FOLDER = _open()

# ------------------------------------------------------------------------------------------ one compiles, others wait


@contextlib.contextmanager
def compiling(name: str) -> Iterator[None]:
    """Inside, no other process compiles the kernel ``name``: workers that start together then load what one has made.

    The system lets the lock go when its holder ends, however that happens.  Where there are no locks, all compile.
    """
    if _FOLDER is None:
        yield
        return
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    file = -1
    try:
        with contextlib.suppress(OSError):
            file = os.open(_FOLDER / f"{digest}.lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            _lock(file)
        yield
    finally:
        if file >= 0:
            with contextlib.suppress(OSError):
                _unlock(file)  # a forked child may hold the file open
            os.close(file)


def _lock(file: int) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX)
    else:
        msvcrt.locking(file, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]  # gives up after 10 s: then two compile


def _unlock(file: int) -> None:
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_UN)
    else:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------------------- numba's cache of ours


class _Locator(_CacheLocator):
    """Tells numba's cache the folder; the folder's name is the stamp."""

    def get_cache_path(self) -> str:
        return str(_FOLDER)

    def get_source_stamp(self) -> str:
        return _FOLDER.name if _FOLDER else ""

    def get_disambiguator(self) -> str:
        return ""


class _Files(CompileResultCacheImpl):
    def __init__(self, py_func: types.FunctionType) -> None:
        self._lineno = py_func.__code__.co_firstlineno
        self._locator = _Locator()
        self._filename_base = self.get_filename_base(f"{py_func.__module__}.{py_func.__qualname__}", sys.abiflags)

    def reduce(self, cres: Any) -> Any:
        """A kernel's machine code, with no more than names of what numba keeps beside it.

        Numba adds LLVM's code, for others to link in, and the environments of all functions linked, whose modules it
        would import; nobody links a kernel in, and none looks into an environment.  Half of the time of loading one.
        """
        (name, kind, (code, _)), fndesc, *more, _ = super().reduce(cres)
        return ((name, kind, (code, _names(fndesc))), fndesc, *more, ())


def _names(fndesc: Any) -> bytes:
    """LLVM code that says nothing but which functions a kernel's machine code has."""
    names = (fndesc.llvm_func_name, fndesc.llvm_cpython_wrapper_name)
    lines = [f'define void @"{each}"() {{ ret void }}' for each in names]
    module: Any = parse_assembly("\n".join(lines))
    return module.as_bitcode()  # type: ignore[no-any-return]


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


@functools.cache
def _name_runtime() -> None:
    """Tell the linker where numba's runtime is, which allocates and counts references.

    rtsys.initialize would compile its functions, too, which every kernel has in its own code: 20 ms, and 27 MB of
    LLVM's own code in memory.  Where something is compiled, numba calls it.
    """
    for name, address in _nrt_python.c_helpers.items():
        add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


class Cache(FunctionCache):
    """Numba's function cache in our folder; whatever goes wrong with a file is a miss, never an error."""

    _impl_class = _Files

    def __init__(self, py_func: types.FunctionType) -> None:
        super().__init__(py_func)
        self._cache_file = _Entries(self.cache_path, self._impl.filename_base, source_stamp=None)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        # Numba adds hashes of the function's code and of what it closes over; our folder's name has all of that, and
        # the names of kernels are their own (compile.py).
        return sig, codegen.magic_tuple()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        # Numba would load all that it can compile (0.3 s, most of the first call); machine code only needs the
        # functions that count references.
        with contextlib.suppress(Exception):
            _name_runtime()
            return self._load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)
