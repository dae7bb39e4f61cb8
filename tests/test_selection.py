"""Which cases run: quick ones, and those in numba's simulator."""

import pytest
import selection
from selection import FEW, PARTS, Case, chosen

NAMES = [f"float{bits}-{oracle}-{shape}" for bits in (32, 64) for oracle in ("oracle", "torch") for shape in range(400)]
MANY = [Case("test_many", f"test_many[{name}]") for name in NAMES]
SMALL = [Case("test_few", f"test_few[{number}]") for number in range(FEW)]
ALONE = [Case("test_alone", "test_alone"), Case("test_torch", "test_torch")]
CASES = [*MANY, *SMALL, *ALONE]


def parts() -> list[list[Case]]:
    return [chosen(CASES, f"{k}/{PARTS}") for k in range(1, PARTS + 1)]


def test_every_case_is_in_one_of_the_twenty_parts():
    together = [case for part in parts() for case in part]
    assert len(together) == len(CASES) and set(together) == set(CASES)


def test_the_parts_are_of_about_one_size_and_in_the_tests_order():
    for part in parts():
        assert len(CASES) / PARTS / 2 < len(part) < len(CASES) / PARTS * 2
        assert part == [case for case in CASES if case in part]


def test_a_case_stays_in_its_part_whatever_others_there_are():
    for k, part in enumerate(parts(), 1):
        assert chosen(MANY[::7], f"{k}/{PARTS}") == [case for case in part if case in MANY[::7]]


def test_the_short_run_has_small_tests_the_first_part_of_others_and_nothing_beside_torch():
    found = chosen(CASES)
    assert {*SMALL, ALONE[0]} <= set(found)
    assert not any("torch" in case.name for case in found)
    of_many = [case for case in found if case.test == "test_many"]
    assert of_many == [case for case in chosen(MANY, f"1/{PARTS}") if "torch" not in case.name] != []


def test_a_test_with_one_case_more_than_few_is_shortened():
    cases = [Case("test_many", f"test_many[{number}]") for number in range(FEW + 1)]
    assert chosen(cases[:-1]) == cases[:-1]
    assert chosen(cases) == [case for case in cases if case.part == 1] != cases


@pytest.mark.parametrize(
    "wanted", ["0/20", "21/20", "-1/20", "1", "1/", "/20", "1/10", "1.5/20", "ALL", " 1/20", "1/20 "]
)
def test_what_is_no_part_is_a_usage_error_that_names_the_variable(wanted):
    with pytest.raises(
        pytest.UsageError, match="^FASTOPS_SIMULATOR expects 'all' or a part from '1/20' to '20/20', got '"
    ):
        chosen(CASES, wanted)


# --------------------------------------------------------------------------------------------------- the quick run


def product(*sizes: int) -> dict[str, dict[int, str]]:
    """Every case of a test with so many values of each parameter."""
    found = [{}]
    for parameter, size in enumerate(sizes):
        found = [{**case, parameter: str(value)} for case in found for value in range(size)]
    return {f"test[{'-'.join(case.values())}]": case for case in found}


def test_a_small_test_is_quick():
    cases = product(selection.SMALL // 2, 2)
    assert selection.covering(cases) == set(cases)


def test_the_quick_run_has_every_value_and_the_pairs_of_few():
    cases = product(40, 2, 3, 2, 2)
    quick = [cases[name] for name in selection.covering(cases)]
    assert len({case[0] for case in quick}) == 40
    for one, other, pairs in ((1, 2, 6), (2, 3, 6), (3, 4, 4)):
        assert len({(case[one], case[other]) for case in quick}) == pairs
    assert len(quick) < 60 < len(cases) / 10


def test_who_is_quick_does_not_depend_on_the_order():
    cases = product(30, 2, 8)
    assert selection.covering(dict(reversed(cases.items()))) == selection.covering(cases)


@pytest.mark.parametrize("number", [1])
@pytest.mark.parametrize("one, other", [(2, 3)], ids=["row"])
def test_pytest_tells_the_rows_of_a_case(request, number, one, other):
    """By an attribute of its own; conftest.py divides the tests with it."""
    assert sorted(request.node.callspec._idlist) == ["1", "row"]
