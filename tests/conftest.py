"""The fixtures of every test: where an operator runs, what it is held against, and the numbers it gets."""

import copy
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import agreement
import browser as chromium
import hypothesis
import numba
import numpy as np
import oracle
import pytest
import selection
from calls import arrays_in, each
from package_copy import Copy

import fastops
from fastops.cli.processes import cores

try:
    from fastops.cuda import _launch
except Exception:  # no toolkit, or a broken one
    _launch = None

# Before any OpenMP is loaded: several processes of pytest share the cores, and threads that spin take them from others.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


class Backend(NamedTuple):
    """A kind of array: `put` makes one of a NumPy array, `take` a NumPy array of one; both leave other values alone."""

    put: Callable[[Any], Any]
    take: Callable[[Any], Any]

    def __call__(self, op: str, *args, **options):
        """What fastops.<op> gives on this kind of array; NumPy arrays go in and come out."""
        args, options = each(self.put, args), each(self.put, options)
        return each(self.take, getattr(fastops, op)(*args, **options))


def itself(value):
    return value


SIMULATED = bool(numba.config.ENABLE_CUDASIM)
IN_SIMULATOR = 1000
"""The most elements of an array in the simulator, which takes 0.1 ms for each thread."""


def to_device(value):
    if not isinstance(value, np.ndarray):
        return value
    if SIMULATED and value.size > IN_SIMULATOR:
        pytest.skip("too many elements for the simulator")
    return _launch.cuda.to_device(value)


def to_host(value):
    return value.copy_to_host() if hasattr(value, "copy_to_host") else value


def kinds() -> list:
    """The kinds of arrays that this process can test: the simulator, if it is on, replaces the device."""
    if SIMULATED:
        import simulator

        simulator.cure()
        return [pytest.param(Backend(to_device, to_host), id="cudasim", marks=pytest.mark.cudasim)]
    found = [pytest.param(Backend(itself, itself), id="cpu")]
    if has_gpu():
        found.append(pytest.param(Backend(to_device, to_host), id="gpu", marks=pytest.mark.gpu))
    return found


def has_gpu() -> bool:
    return _launch is not None and not _launch.available()


KINDS = kinds()


def runs_everything(config) -> bool:
    """Whether no file and no name was asked for; the processes that pytest-xdist starts must start none themselves."""
    asked = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.keyword
    return not asked and not config.option.collectonly and not hasattr(config, "workerinput")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads its options
def pytest_cmdline_main(config):
    """All tests run in several processes, as many of them wait for processes of their own; -n says otherwise."""
    if runs_everything(config) and getattr(config.option, "numprocesses", 0) is None and not config.option.usepdb:
        config.option.numprocesses = min(cores(), 4)  # each has threads, too
        config.option.dist = "loadgroup"


def pytest_sessionstart(session):
    """Before the first test of all of them, compile every kernel: the processes of pytest would do that one by one."""
    config = session.config
    if runs_everything(config) and not SIMULATED:
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(flush=True)
            subprocess.run([sys.executable, "-m", "fastops", "warmup"], check=False)


@pytest.hookimpl(tryfirst=True)  # before -m chooses by the marks
def pytest_collection_modifyitems(config, items):
    """The quick run and the wide one; in the simulator its own."""
    if not SIMULATED:
        mark_what_is_wide(config, items)
    else:
        select_in_the_simulator(config, items)


def mark_what_is_wide(config, items):
    """Of a test with many cases those that repeat what others have: `-m wide` runs them, and pytest alone does not."""
    if any("[" in argument for argument in config.args):  # somebody asks for one case
        return
    tests = defaultdict(list)
    for item in items:
        if getattr(item, "callspec", None):
            tests[item.module, item.cls, item.originalname].append(item)
    for cases in tests.values():
        # the id of each decorator's row, and of each fixture's parameter: callspec.params takes the rows apart
        quick = selection.covering({item.name: dict(enumerate(item.callspec._idlist)) for item in cases})
        for item in cases:
            if item.name not in quick:
                item.add_marker(pytest.mark.wide)


def select_in_the_simulator(config, items):
    """In the simulator, the short run: of the cases of a test that has many one in twenty, and none beside torch.

    FASTOPS_SIMULATOR=all runs every case, which takes two hours.  FASTOPS_SIMULATOR=1/20, =2/20 and so on to =20/20
    run a twentieth of them each: all of them in parts, one after the other or beside one another.
    """
    wanted = os.environ.get(selection.VARIABLE, "")
    if not SIMULATED or wanted == "all":
        return
    cases = {item: selection.Case(item.originalname, item.name) for item in items if item.get_closest_marker("cudasim")}
    chosen = set(selection.chosen(list(cases.values()), wanted))
    left = [item for item in items if cases.get(item) in chosen]
    config.hook.pytest_deselected(items=[item for item in items if cases.get(item) not in chosen])
    items[:] = left


@pytest.fixture(scope="session", params=KINDS)
def backend(request) -> Backend:
    return request.param


@pytest.fixture(scope="session", params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


@pytest.fixture
def normal(rng, dtype) -> Callable[..., np.ndarray]:
    """normal(2, 3): an array of that shape and the test's dtype."""
    return lambda *shape: np.asarray(rng.standard_normal(shape), dtype)


@pytest.fixture(params=["oracle", "torch"])
def agrees(request, backend) -> Callable:
    """agrees(op, *args, **options): fastops and the reference give the same, and leave the same in their arguments."""
    if request.param == "torch":
        pytest.importorskip("torch")
        import torch_oracle as reference
    else:
        reference = oracle

    def check(op: str, *args, **options):
        if not hasattr(reference, op):
            pytest.skip(f"torch has no {op}")
        theirs = each(copy.copy, (args, options))
        expected = getattr(reference, op)(*theirs[0], **theirs[1])
        mine = each(backend.put, each(copy.copy, (args, options)))
        actual = each(backend.take, getattr(fastops, op)(*mine[0], **mine[1]))
        values = actual[0] if isinstance(actual, tuple) else actual
        assert isinstance(values, (np.ndarray, np.generic)) and values.dtype == args[0].dtype
        agreement.assert_close(actual, expected, exact=op in agreement.EXACT)
        for after, want in zip(arrays_in(each(backend.take, mine)), arrays_in(theirs), strict=True):
            agreement.assert_close(after, want)
        return actual

    return check


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, or skip."""
    with chromium.chromium() as driver:
        yield driver


@pytest.fixture(name="copy")
def copy_of_the_package(tmp_path) -> Copy:
    """The package in a folder of its own, and processes that import it from there."""
    return Copy(tmp_path)
