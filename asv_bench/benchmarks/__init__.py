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
DEVICES = ("cpu", "cuda")


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

    A library that is not installed, or has no such operator, is skipped, and so is a device that is not there.
    """

    cases: dict[str, Any]
    param_names = ("library", "case", "device")
    timeout = 300

    def setup(self, library: str, name: str, device: str = "cpu") -> None:
        timed, place = self.cases[name], on_device(device)
        try:
            peer = importlib.import_module(library)
            work = importlib.import_module(f"{YARDSTICK}.work")
            torch = peer if library == "torch" else None
            if torch:
                torch.set_grad_enabled(timed.backward)
            self.arrays = timed.arrays()
            made = (work.of_gradient if timed.backward else work.of_operator)(
                timed.case, self.arrays, torch, device=place
            )
        except (ImportError, AttributeError) as error:
            raise NotImplementedError(f"{library} lacks it: {error}") from None  # to asv this means: skip
        self.call = made.theirs if library == "torch" else made.ours
        self.wait = place.wait
        if self.call is None:
            raise NotImplementedError(f"{library} has no such operator")
        try:
            self.result = self.call()
        except AttributeError as error:
            raise NotImplementedError(f"{library} lacks it: {error}") from None


def on_device(name: str) -> Any:
    """The place to run on, or asv's word for skipping it."""
    devices = importlib.import_module(f"{YARDSTICK}.devices")
    if name == "cpu":
        return devices.CPU
    try:
        cupy = importlib.import_module("cupy")
        cupy.zeros(1)
    except Exception as trouble:  # not installed, no driver, no device
        raise NotImplementedError(f"no CUDA device: {trouble}") from None
    return devices.cuda(cupy)


def on(cases: list[Any], devices: tuple[str, ...] = ("cpu",)) -> type[Cases]:
    """A base class whose parameters are the libraries, these cases and the devices."""
    table = {timed.name: timed for timed in cases}
    return type("On", (Cases,), {"cases": table, "params": (LIBRARIES, tuple(table), devices)})


def operator(name: str, backward: bool = False) -> type[Cases]:
    """A base class for the timings of an operator, or of its gradient, on all cases of the suite."""
    chosen = [each for each in suite.SUITE if each.case.operator == name and each.backward == backward]

    def time_call(self: Any, library: str, name: str, device: str) -> None:
        self.call()
        if self.wait:
            self.wait()

    base = on(chosen, DEVICES)
    base.time_call = time_call  # type: ignore[attr-defined]
    return base
