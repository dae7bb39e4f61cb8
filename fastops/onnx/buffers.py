"""Where the values of a plan lie: which share memory, and how little of it holds them all.

A value's root is the value in whose memory it lies, with the place of its first element there.  Roots are inputs and
outputs of a call, constants, or parts of one arena, where those that do not live at the same time overlap.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

ALIGNMENT = 64


class Place(NamedTuple):
    """A value's root and its first element there."""

    root: str
    first: int


class Memory:
    """The roots of values; values join others' memory until the arena is laid out."""

    def __init__(self, specs: Mapping[str, Any]) -> None:
        self._specs = specs
        self._places: dict[str, Place] = {}
        self._members: dict[str, list[str]] = {}
        self.fixed: set[str] = set()
        """Roots that do not lie in the arena."""

    def add(self, name: str, fixed: bool = False) -> None:
        """A value with memory of its own; fixed if that is not the arena's."""
        self._places[name] = Place(name, 0)
        self._members[name] = [name]
        if fixed:
            self.fixed.add(name)

    def view(self, name: str, of: str, first: int) -> None:
        """A value that is part of another one."""
        root, start = self._places[of]
        self._places[name] = Place(root, start + first)
        self._members[root].append(name)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def place(self, name: str) -> Place:
        """Where a value lies."""
        return self._places[name]

    def members(self, root: str) -> list[str]:
        """The values that lie in a root."""
        return self._members[root]

    def whole(self, name: str) -> bool:
        """Whether a value is all of a root of the arena, which so can be put elsewhere."""
        root, first = self._places[name]
        return root not in self.fixed and first == 0 and prod(self._specs[name].shape) == prod(self._specs[root].shape)

    def join(self, name: str, root: str, first: int) -> None:
        """Put the root of a value, of which it is the whole, into another root."""
        old = self._places[name].root
        for each in self._members.pop(old):
            self._places[each] = Place(root, self._places[each].first + first)
            self._members[root].append(each)


def arranged(sizes: Mapping[str, int], lives: Mapping[str, tuple[int, int]]) -> tuple[dict[str, int], int]:
    """(the first byte of each root, bytes of the arena): the largest first, each into the tightest gap that is free.

    ``lives`` are the first and the last step that a root is needed in, both included.
    """
    found: dict[str, int] = {}
    placed: list[tuple[int, int, int, int]] = []  # (first byte, end, first step, last step)
    total = 0
    for name in sorted(sizes, key=lambda name: (-sizes[name], lives[name])):
        size, (begin, end) = -(-sizes[name] // ALIGNMENT) * ALIGNMENT, lives[name]
        at, best, least = 0, None, None
        for first, last, starts, ends in sorted(placed):
            if ends < begin or end < starts:
                continue
            gap = first - at
            if gap >= size and (least is None or gap < least):
                best, least = at, gap
            at = max(at, last)
        best = at if best is None else best
        found[name] = best
        placed.append((best, best + size, begin, end))
        total = max(total, best + size)
    return found, total


def lives(memory: Memory, made: Sequence[Sequence[str]], read: Sequence[Sequence[str]]) -> dict[str, tuple[int, int]]:
    """The steps in which each root of the arena is needed, from what each step makes and reads."""
    found: dict[str, tuple[int, int]] = {}
    for number, names in enumerate(zip(made, read, strict=True)):
        for name in (*names[0], *names[1]):
            root = memory.place(name).root
            if root not in memory.fixed:
                begin, _ = found.get(root, (number, number))
                found[root] = begin, number
    return found
