"""Benchmarks of fastops with torch beside it: `library` is a parameter, so that a dashboard shows both lines.

The cases are those of `fastops compare --suite`. They are loaded from this checkout, as a package of its own: the
fastops that is measured may be an older one, which has others or none.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

CLI = Path(__file__).parents[2] / "fastops" / "cli"
LIBRARIES = ("fastops", "torch")


def load(folder: Path) -> str:
    """Make a package of a folder, and return the name that its modules import one another by."""
    name = "fastops_yardstick"
    spec: Any = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return name


YARDSTICK = load(CLI)
suite = importlib.import_module(f"{YARDSTICK}.suite")


class Cases:
    """A library and a case of the suite; the arrays are made, kernels compiled and threads started in setup.

    A library that is not installed, or has no such operator, is skipped.
    """

    cases: dict[str, Any]
    param_names = ("library", "case")
    timeout = 300

    def setup(self, library: str, name: str) -> None:
        timed = self.cases[name]
        try:
            peer = importlib.import_module(library)
            work = importlib.import_module(f"{YARDSTICK}.work")
            torch = peer if library == "torch" else None
            if torch:
                torch.set_grad_enabled(timed.backward)
            self.arrays = timed.arrays()
            made = (work.of_gradient if timed.backward else work.of_operator)(timed.case, self.arrays, torch)
        except (ImportError, AttributeError) as error:
            raise NotImplementedError(f"{library} lacks it: {error}") from None  # to asv this means: skip
        self.call = made.theirs if library == "torch" else made.ours
        if self.call is None:
            raise NotImplementedError(f"{library} has no such operator")
        try:
            self.result = self.call()
        except AttributeError as error:
            raise NotImplementedError(f"{library} lacks it: {error}") from None


def on(cases: list[Any]) -> type[Cases]:
    """A base class whose parameters are the libraries and these cases."""
    table = {timed.name: timed for timed in cases}
    return type("On", (Cases,), {"cases": table, "params": (LIBRARIES, tuple(table))})


def operator(name: str, backward: bool = False) -> type[Cases]:
    """A base class for the timings of an operator, or of its gradient, on all cases of the suite."""
    chosen = [each for each in suite.SUITE if each.case.operator == name and each.backward == backward]

    def time_call(self: Any, library: str, name: str) -> None:
        self.call()

    base = on(chosen)
    base.time_call = time_call  # type: ignore[attr-defined]
    return base
