"""The contract of a backend: what the Protocol names, both sides have, with the same parameters."""

import ast
import inspect
from types import FunctionType, ModuleType

import numpy as np
import pytest
from test_structure import FAMILIES, MODULES, TREES

from fastops import cpu
from fastops._backend import Backend

cuda = pytest.importorskip("fastops.cuda", reason="numba.cuda cannot be imported", exc_type=Exception)

SIDES = {"cpu": cpu, "cuda": cuda.Backend}
FUNCTIONS = {name: value for name, value in vars(Backend).items() if isinstance(value, FunctionType) and name[0] != "_"}
ROOMS = {name for name, value in vars(Backend).items() if isinstance(value, ModuleType)}
NUMPYS = {"empty": np.empty, "zeros": np.zeros, "copyto": np.copyto}
"""The CPU's that are NumPy's own functions, whose parameters have other names: the Protocol's have none."""


def parameters(function):
    """(name, kind, default) of each parameter, without a method's self."""
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind, each.default) for each in found if each.name != "self"]


def called():
    """Each on.<room>.<entry> of the public functions."""
    for family in FAMILIES:
        for node in ast.walk(TREES[MODULES[family]]):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id == "on"
            ):
                yield node.value.attr, node.attr


def asked():
    """Each on.<name> of the public functions and of the room where arrays come in."""
    for module in (*FAMILIES, "_arrays"):
        for node in ast.walk(TREES[MODULES[module]]):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "on":
                yield node.attr


ENTRIES = sorted(set(called()))


def test_something_is_found():
    assert ("conv", "conv2d") in ENTRIES and len(ENTRIES) > 25
    assert {"enter", "integers", "empty", "sum_to"} <= set(FUNCTIONS) and "conv" in ROOMS


def test_the_contract_is_what_operators_use():
    """Nothing is asked for that it does not name, and nothing is named that nobody asks for."""
    assert set(asked()) == {"kind"} | set(FUNCTIONS) | ROOMS


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("side", SIDES)
def test_a_backend_has_every_function(side, name):
    function = getattr(SIDES[side], name)
    if side == "cpu" and name in NUMPYS:
        assert function is NUMPYS[name]
        return
    assert function is not FUNCTIONS[name], f"{side} has no {name} of its own"
    wanted = [(each, default) for each, _, default in parameters(FUNCTIONS[name])]
    assert [(each, default) for each, _, default in parameters(function)] == wanted


@pytest.mark.parametrize("side", SIDES)
def test_a_backend_has_nothing_else(side):
    names = set(cpu.__all__) if side == "cpu" else {name for name in vars(cuda.Backend) if name[0] != "_"}
    assert names - {"kind"} == set(FUNCTIONS) | ROOMS


def test_a_backend_has_a_kind():
    """As an error tells it, and arrays of one kind may meet."""
    kinds = [cpu.kind, *(cuda.Backend(place(0)).kind for place in places()), cuda.Backend(cuda.Place(1)).kind]
    assert all(kind.startswith("a ") for kind in kinds) and len(set(kinds)) == len(kinds)


def places():
    return [cuda.Place, *cuda.Place.__subclasses__()]


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_is_the_backends_own(room):
    assert getattr(cpu, room).__name__.startswith("fastops.cpu.")
    assert getattr(cuda.Backend, room).__name__.startswith("fastops.cuda.")
    assert getattr(Backend, room) is getattr(cpu, room), "an editor goes to the CPU's kernels"


@pytest.mark.parametrize("room, entry", ENTRIES, ids=lambda name: name)
def test_an_entry_is_on_both_sides(room, entry):
    mine, theirs = getattr(getattr(cpu, room), entry), getattr(getattr(cuda.Backend, room), entry)
    assert parameters(mine) == parameters(theirs)


DASKS = {"admit", "by_blocks", "of_network", "warmup"}
"""What `fastops.dask` has beside the contract: `_arrays` and networks ask for it, or users."""


def test_dask_arrays_have_the_same_contract():
    """Every function, room and entry, with the CPU's parameters."""
    pytest.importorskip("dask.array")
    import fastops.dask as lazy

    assert set(lazy.__all__) - {"kind"} - DASKS == set(FUNCTIONS) | ROOMS
    assert lazy.kind.startswith("a ") and lazy.kind != cpu.kind
    for name in FUNCTIONS:
        wanted = [(each, default) for each, _, default in parameters(FUNCTIONS[name])]
        assert [(each, default) for each, _, default in parameters(getattr(lazy, name))] == wanted, name
    for room, entry in ENTRIES:
        assert getattr(lazy, room).__name__.startswith("fastops.dask.")
        assert parameters(getattr(getattr(lazy, room), entry)) == parameters(getattr(getattr(cpu, room), entry)), entry


def functions_of(module):
    """A room's own public functions in plain Python: entries, and what other modules of its side call."""
    own = {name: each for name, each in vars(module).items() if isinstance(each, FunctionType) and name[0] != "_"}
    return {name: each for name, each in own.items() if each.__module__.startswith(module.__name__)}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_functions_of_one_name_have_equal_parameters(room):
    """Also those that only other modules of their side call, or that are found by a name in a string."""
    here, there = (functions_of(getattr(side, room)) for side in SIDES.values())
    assert here.keys() & there.keys()
    for name in here.keys() & there.keys():
        assert parameters(here[name]) == parameters(there[name]), name
