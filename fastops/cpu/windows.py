"""What the pools share: which rows of a window are inside, what it counts, and vectors of a buffer reduced."""

from .._jit import inlined, scalar
from .simd.values import chosen, first_lanes, lanes_of, load, masked_store, store

BUFFER = 8192  # elements of the buffers of a task, about: 32 or 64 KiB

# ------------------------------------------------------------------------------------------------- scalars


@scalar
def wins(value, best):
    """Whether a value replaces the window's best so far: greater, or NaN (the last one, as in torch)."""
    return (value > best) | (value != value)


@scalar
def winner(value, best):
    """The one of them that is the window's best."""
    return chosen(wins(value, best), value, best)


@scalar
def added(value, sum):
    """Their sum."""
    return sum + value


@scalar
def first_inside(start, step):
    """The smallest k >= 0 with start + k * step >= 0."""
    return (-start + step - 1) // step if start < 0 else 0


@scalar
def end_inside(start, step, size, count):
    """The end of the k < count with start + k * step < size (0 when there are none)."""
    end = (size - 1 - start) // step + 1
    end = end if end < count else count
    return end if end > 0 else 0


@scalar
def window_size(start, extent, pad, size):
    """How many rows (or columns) of a window that starts at ``start`` lie above ``pad`` rows below the input's last."""
    return extent if start + extent < size + pad else size + pad - start


@scalar
def window_part(include_pad, start, extent, pad, size):
    """How many rows (or columns) of a window count, with the padding or without."""
    if include_pad:
        return window_size(start, extent, pad, size)
    part = end_inside(start, 1, size, extent) - first_inside(start, 1)
    return part if part > 1 else 1


@scalar
def whole_vectors(size, lane_count):
    """The size rounded up to vectors of ``lane_count``."""
    return -(-size // lane_count) * lane_count


@scalar
def window_rows(oy, sh, ph, dh, kh, h):
    """(top, first ky, last ky) of a window, of which the ky lie inside the input."""
    iy0 = oy * sh - ph
    return iy0, first_inside(iy0, dh), end_inside(iy0, dh, h, kh)


# ------------------------------------------------------------------------------------------------ routines


def unrolled(make):
    """What ``make(constant)`` gives, as one function, whose first argument is the count: 2 and 3 are constants.

    LLVM unrolls a loop over a constant.  To pass it one comes too late: it has unrolled the callee by eight before.
    """

    def of(constant):
        loop = make(constant)
        loop.__qualname__ = f"{make.__qualname__}_{constant or 'any'}"
        return inlined(loop)

    of_two, of_three, of_any = of(2), of(3), of(0)

    def of_count(count, *arguments):
        if count == 2:
            return of_two(count, *arguments)
        if count == 3:
            return of_three(count, *arguments)
        return of_any(count, *arguments)

    of_count.__qualname__ = make.__qualname__
    return inlined(of_count)


@unrolled
def reduced(constant):
    """reduced(count, rows, at, step, fill, combine): ``count`` vectors of a buffer, ``step`` apart, reduced."""

    def loop(count, rows, at, step, fill, combine):
        value = fill
        for k in range(constant or count):
            value = combine(load(rows, at + k * step), value)
        return value

    return loop


@inlined
def store_left(out, to, value, left):
    """Store a vector, or the ``left`` elements that are left of a row."""
    if left >= lanes_of(out):
        store(out, to, value)
    else:
        masked_store(out, to, value, first_lanes(out, left))
