"""Which cases run: in the quick run of every day, and in numba's simulator, where all of them take two hours."""

import re
import zlib
from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

import pytest

VARIABLE = "FASTOPS_SIMULATOR"
PARTS = 20
FEW = 12
"""A test of no more cases keeps all of them in the short run."""

SMALL = 24
"""A test of no more cases is quick."""
PAIRED = 20
"""Parameters of no more values meet each value of one another in the quick run."""


def covering(cases: Mapping[str, Mapping[int, str]]) -> set[str]:
    """The names of some of a test's cases: every value of every parameter is in one, and every pair of values of two
    parameters of at most PAIRED values.

    ``cases`` has each case's values by parameter.  Names, not places, say who is taken first.
    """
    if len(cases) <= SMALL:
        return set(cases)
    counts = Counter(parameter for parameter, _ in {each for case in cases.values() for each in case.items()})
    few = sorted(parameter for parameter, count in counts.items() if count <= PAIRED)
    taken: set[str] = set()
    seen: set[tuple[tuple[int, str], ...]] = set()
    for name in sorted(cases, key=lambda name: zlib.crc32(name.encode())):
        case = cases[name]
        brings = {(each,) for each in case.items()}
        brings |= {((one, case[one]), (other, case[other])) for one, other in combinations(few, 2)}
        if not brings <= seen:
            taken.add(name)
            seen |= brings
    return taken


class Case(NamedTuple):
    """One case of a test: `name` is the test's own with the parameters in brackets."""

    test: str
    name: str

    @property
    def part(self) -> int:
        """From 1 to PARTS, by the name alone: other cases come and go, and this one stays in its part."""
        return 1 + zlib.crc32(self.name.encode()) % PARTS

    @property
    def beside_torch(self) -> bool:
        return "torch" in self.name


def chosen(cases: list[Case], wanted: str = "") -> list[Case]:
    """The cases that run.

    "k/20" is the k-th of twenty parts of all the cases, those beside torch too: each case is in one of them.  Nothing
    wanted is the short run: every case of a test that has few, the first part of the others, and none beside torch, as
    one oracle is enough.
    """
    if wanted:
        part = part_of(wanted)
        return [case for case in cases if case.part == part]
    cases = [case for case in cases if not case.beside_torch]
    count = Counter(case.test for case in cases)
    return [case for case in cases if count[case.test] <= FEW or case.part == 1]


def part_of(wanted: str) -> int:
    """The k of "k/20"."""
    found = re.fullmatch(rf"([1-9][0-9]?)/{PARTS}", wanted, re.ASCII)
    if found is None or int(found[1]) > PARTS:
        raise pytest.UsageError(
            f"{VARIABLE} expects 'all' or a part from '1/{PARTS}' to '{PARTS}/{PARTS}', got {wanted!r}"
        )
    return int(found[1])
