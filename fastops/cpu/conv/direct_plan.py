"""How a direct convolution is shared out: into images copied at a time, tasks of output channels, bands of pixels."""

from functools import lru_cache
from operator import sub
from typing import Any, NamedTuple

import numpy as np

from ..simd.emit import lanes
from ..tasks import bands_of
from .micro_kernel import ROWS, VECTORS
from .plan import LONGEST_SUM, Integers, Layout, Plan, Sides, Writing, plan_of, sides

CHANNELS = 64  # output channels of a task at most: their sums of one tile are 12 KiB and stay in L1
SPLIT = 0.03  # of a task's time, that tasks of half the channels cost at most: inputs are read again, 0.3 to 2.5 %
# Padded copies of so many images at a time: in L2 they are there when they are read.  With 4 MiB 8 images of 3x224x224
# took 1.7 times as long an image as 4.
BUFFER_BYTES = 2**20


class Table(NamedTuple):
    """How many of each follow in a plan's table after Layout, Writing and this: an array costs a call less than six."""

    shifts_y: int
    shifts_x: int
    phases: int
    tiles: int
    offsets: int
    rows: int  # output channels of a task
    bands: int  # of the tiles of an image
    straight: int  # whether whole tiles go from registers to the output, where pixels lie as they are summed


class Call(NamedTuple):
    """What a call needs to know beside its arrays; small convolutions took as long to find it as to be computed."""

    plan: Plan
    side: Sides
    table: Integers  # the plan as the kernel takes it
    threads: int
    together: int  # padded copies of as many images at a time as BUFFER_BYTES hold
    buffer: int  # elements; the last tile may reach beyond the images
    one: bool  # one row of weights cannot use the micro-kernel's registers; long sums need its partial sums
    work: int  # of an image


@lru_cache(maxsize=64)
def call_of(g: Any, transposed: bool, itemsize: int, threads: int) -> Call:
    """What a call for a geometry needs to know."""
    plan, side = plan_of(g, transposed, itemsize), sides(g, transposed)
    parts = plan.y.shifts, plan.x.shifts, plan.phases, plan.tiles, plan.offsets
    together, buffer = g.batch, 0
    if plan.copies:
        image_size = plan.image_size(side.channels)
        together = images_together(g.batch, image_size * itemsize, BUFFER_BYTES)
        buffer = together * image_size + VECTORS * lanes(itemsize)
    rows = _rows_of_task(side.out_channels // g.groups, together * g.groups, len(plan.tiles), threads)
    weights, inputs = side.out_channels * plan.offsets.size, together * side.channels * side.height * side.width
    bands = bands_of(-(-threads // max(1, together)), len(plan.tiles), weights, inputs) if len(plan.phases) == 1 else 1
    counts = [*map(len, parts), rows, bands, straight(plan)]
    table = np.concatenate([plan.numbers, counts, *(part.reshape(-1) for part in parts)])
    one = side.out_channels == g.groups and plan.offsets.size <= LONGEST_SUM  # 3 times slower with the micro-kernel
    return Call(plan, side, table, threads, together, buffer, one, side.out_channels * plan.work)


def _rows_of_task(filters: int, groups: int, tiles: int, threads: int) -> int:
    """How many output channels a task takes, so that threads have as many: tasks are shared out by their number.

    In tasks of 64 and 32 of 96 channels the first thread had twice what the second had: 403 us instead of 340.
    """

    def longest(rows: int) -> float:
        """What the thread with most to do has, in channels of a tile."""
        chunks = -(-filters // rows)
        tasks = groups * chunks * tiles

        def before(task: int) -> int:
            rest, tile = divmod(task, tiles)
            group, chunk = divmod(rest, chunks)
            each = min(rows, filters - chunk * rows)
            return group * filters * tiles + chunk * rows * tiles + tile * each

        shares = [before(tasks * i // threads) for i in range(threads + 1)]
        return max(map(sub, shares[1:], shares)) * (1 + SPLIT * chunks / least)

    if not filters * groups * tiles:
        return ROWS  # there are no tasks
    least = -(-filters // CHANNELS)
    return min((-(-filters // (count * ROWS)) * ROWS for count in range(least, least + threads)), key=longest)


def straight(plan: Plan) -> bool:
    """Whether pixels of a tile are a run of the output, summed in one round; and nothing is beyond the image.

    From registers to the output takes 0.7 to 0.95 of the time by sums in L1; with two rounds in one, as long.
    """
    writing = Writing(*plan.numbers[len(Layout._fields) :])
    run = (writing.step_y, writing.step_x, writing.out_width) == (1, 1, plan.x.size)
    return run and not plan.copies and len(plan.phases) == 1 and plan.offsets.size <= writing.block


def images_together(batch, image_bytes, most):
    """How many images of a batch to copy at a time, in parts of nearly one size of at most so many bytes."""
    rounds = -(-batch // max(1, min(batch, most // max(1, image_bytes))))
    return -(-batch // rounds)
