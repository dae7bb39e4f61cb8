"""How fastops compiles.

compile.py has the decorators, with every compiler flag, and the two builds of a kernel; parts.py what they ask of
numba's own compiler; cpu.py the CPU's vectors; threads.py threads and forks; cache.py the compiled kernels on disk.

``@kernel`` is ``@njit(parallel=True)`` and a serial twin from the same source.  ``@scalar`` is for arithmetic on single
numbers, which CPU and CUDA kernels call; ``@routine`` is for a loop over a row or a tile, ``@inlined`` for a piece of
one, and ``@reduction`` for one whose order of additions is free.  These are linked into both builds of a kernel.
"""

from .cache import cache_folder as cache_folder
from .compile import PARALLEL_WORK as PARALLEL_WORK
from .compile import Kernel as Kernel
from .compile import index as index
from .compile import inlined as inlined
from .compile import kernel as kernel
from .compile import kernels as kernels
from .compile import noting as noting
from .compile import only as only
from .compile import reduction as reduction
from .compile import routine as routine
from .compile import scalar as scalar
from .cpu import CPU_NAME as CPU_NAME
from .cpu import VECTOR_BYTES as VECTOR_BYTES
from .cpu import VECTOR_REGISTERS as VECTOR_REGISTERS
from .parts import NotCompiled as NotCompiled
from .parts import compiled_before as compiled_before
from .threads import serially as serially
from .threads import thread_count as thread_count
from .threads import threading_layer as threading_layer
