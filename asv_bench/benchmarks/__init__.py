"""Benchmarks of fastops with torch beside it: `library` is a parameter, so that a dashboard shows both lines."""

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

LIBRARIES = ("fastops", "torch")
SMALL, MIDDLE, LARGE = (1, 3, 32, 32), (8, 64, 56, 56), (64, 64, 56, 56)


class Operator:
    """One operator, timed on a table of cases: `class Relu(Operator, cases=...)`.

    A case is the shapes of its arrays and the options of the call: `arrays(*shapes)` makes the arrays that
    `call(ops, *arrays, **options)` takes, where ops is fastops or torch.nn.functional, which share names and arguments.
    Arrays are made, kernels compiled and threads started in setup; a library that is not installed is skipped.
    """

    cases: Mapping[str, tuple[Any, ...]]
    dtype = "float32"
    param_names = ("library", "case")

    def __init_subclass__(cls, cases: Mapping[str, tuple[Any, ...]] | None = None) -> None:
        if cases is not None:
            cls.cases = cases
            cls.params = (LIBRARIES, tuple(cases))

    def setup(self, library: str, case: str) -> None:
        try:
            ops = importlib.import_module(library)
        except ImportError:
            raise NotImplementedError(f"{library} is not installed") from None  # to asv this means: skip
        *shapes, options = self.cases[case]
        arrays = self.arrays(*shapes)
        if library == "torch":
            ops.set_grad_enabled(False)
            arrays = tuple(map(ops.from_numpy, arrays))
            ops = ops.nn.functional
        self.run = partial(self.call, ops, *arrays, **options)
        self.run()

    def arrays(self, *shapes: Any) -> tuple[Any, ...]:
        """Standard normal values in every shape."""
        rng = np.random.default_rng(0)
        return tuple(rng.standard_normal(shape).astype(self.dtype) for shape in shapes)

    def call(self, ops: Any, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError
