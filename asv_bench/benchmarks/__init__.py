"""Benchmarks of fastops with torch beside it: `library` is a parameter, so that a plot shows both lines.

The cases are those of `fastops compare --suite`. They are loaded from this checkout, as a package of its own: the
fastops that is measured may be an older one, which has others or none.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

LIBRARIES = ("fastops", "torch")
DEVICES = ("cpu", "cuda") if importlib.util.find_spec("cupy") else ("cpu",)

# Compiled kernels outlive asv's environments. They are kept apart by the source that they were compiled from: a commit
# is compiled once, in the setup of the first benchmarks that need it, and commits of the same kernels share them.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(__file__).parents[1] / "kernels"))


def load(folder: Path) -> str:
    """Make a package of a folder, and return the name that its modules import one another by."""
    name = "fastops_yardstick"
    spec: Any = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return name


def imported(library: str) -> Any:
    """The library; torch gets as many threads as numba has."""
    try:
        found, numba = map(importlib.import_module, (library, "numba"))
    except ImportError as error:
        raise Skip(f"{library} is not installed: {error}") from None
    if library == "torch":
        found.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    return found


class Skip(NotImplementedError):
    """To asv a NotImplementedError in setup means: skip."""


# asv forks the process of a benchmark from one that has imported this module: with both libraries in it a case takes
# half a second in place of two, and both lines of the plots of memory hold the same.
for library in LIBRARIES:
    with contextlib.suppress(ImportError):
        importlib.import_module(library)

YARDSTICK = load(Path(__file__).parents[2] / "fastops" / "yardstick")
suite = importlib.import_module(f"{YARDSTICK}.suite")
OPERATORS = importlib.import_module(f"{YARDSTICK}.operators").OPERATORS


def groups() -> dict[str, list[Any]]:
    """The cases that share a plot: layers of networks by family, all others by operator; gradients apart.

    Tiny arrays are apart, too: on the scale of large ones they would all be nothing.
    """
    families = {(id(timed.case), timed.shape): timed.family for timed in suite.FORWARD}
    found: dict[str, list[Any]] = {}
    for timed in suite.SUITE:
        family = families[id(timed.case), timed.shape]
        name = family if family in suite.LAYERS else timed.case.operator
        words = [name, "gradients" if timed.backward else "", "small arrays" if family in ("small", "middle") else ""]
        found.setdefault(", ".join(filter(None, words)), []).append(timed)
    return found


GROUPS = groups()


def on_device(name: str) -> Any:
    """The place to run on."""
    devices = importlib.import_module(f"{YARDSTICK}.devices")
    if name == "cpu":
        return devices.CPU
    try:
        cupy = importlib.import_module("cupy")
        cupy.zeros(1)
    except Exception as trouble:  # not installed, no driver, no device
        raise Skip(f"no CUDA device: {trouble}") from None
    return devices.cuda(cupy)


class Cases:
    """The base of all benchmarks of calls: arrays are made, kernels compiled and threads started in `prepare`.

    A library that is not installed, or has no such operator, is skipped, and so is a device that is not there.
    """

    cases: dict[str, Any]
    timeout = 300

    def prepare(self, name: str, torch: Any, device: str = "cpu") -> None:
        """The arrays of a case and the calls on them, fastops's and torch's, each called once."""
        timed, place = self.cases[name], on_device(device)
        fastops = imported("fastops")
        if torch:
            torch.set_grad_enabled(timed.backward)
        self.arrays, self.wait = timed.arrays(), place.wait
        try:
            work = importlib.import_module(f"{YARDSTICK}.work")
            of = work.of_gradient if timed.backward else work.of_operator
            self.made = of(timed.case, self.arrays, fastops, torch, place)
            self.result = self.made.ours()
        except (ImportError, AttributeError) as error:
            raise Skip(f"fastops lacks it: {error}") from None
        if torch and not self.made.theirs:
            raise Skip("torch has no such operator")


class OfALibrary(Cases):
    """A call of one library, fastops or torch."""

    param_names = ("library", "case", "device")

    def setup(self, library: str, name: str, device: str = "cpu") -> None:
        self.prepare(name, imported("torch") if library == "torch" else None, device)
        self.call = self.made.theirs if library == "torch" else self.made.ours
        self.result = self.call()


def on(cases: list[Any], devices: tuple[str, ...] = ("cpu",)) -> type[OfALibrary]:
    """A base class whose parameters are the libraries, these cases and the devices."""
    table = {timed.name: timed for timed in cases}
    return type("On", (OfALibrary,), {"cases": table, "params": (LIBRARIES, tuple(table), devices)})


def times(module: str) -> dict[str, type]:
    """Benchmarks of the times of calls, for the groups of the module's operators, by their class's name."""
    family = module.rpartition(".")[2]
    chosen = [group for group, cases in GROUPS.items() if OPERATORS[cases[0].case.operator].family == family]
    return {class_name(group): benchmark_of(group, module) for group in chosen}


def class_name(group: str) -> str:
    return group.replace(", ", "_").replace(" ", "_").replace("-", "_")


def benchmark_of(group: str, module: str) -> type:
    """A benchmark of the time of a call, for each case of a group."""

    class Time(on(GROUPS[group], DEVICES)):  # type: ignore[misc]
        # Ten samples of 10 ms. One round: beside_torch.py is the judge, a second one here would tell little.
        warmup_time, sample_time, repeat, rounds = 0.05, 0.01, (3, 10, 1.0), 1

        def time_call(self, library: str, name: str, device: str) -> None:
            self.call()
            if self.wait:
                self.wait()

        time_call.pretty_name = f"{group}: time of a call"  # type: ignore[attr-defined]

    Time.__name__ = Time.__qualname__ = class_name(group)
    Time.__module__ = module
    return Time
