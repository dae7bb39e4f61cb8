"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of a core, float32.

Each algorithm's file says of which parts a convolution consists, and how many there are of each.  The numbers are made
by ``python scripts/measure_costs.py``, which times convolutions on all cores and fits them: here on two of a Zen 5 with
AVX-512 (255 GFLOP/s each).  Only their ratios count, and those hold roughly from one CPU to the next.  With them the
algorithm that is chosen for 62 geometries, most of them the suite's, took 1.01 to 1.03 times the time of the fastest,
on the mean: with L2 full or not, as a layer or a function.
"""

DIRECT = {
    "call": 10600,
    "copy": 6.59,  # a vector of the padded copy
    "gather": 6,  # one of pixels that lie apart, which another core has written
    "plane": 18.1,  # the start of a plane of the copy
    "product": 0.121,  # of an output channel and a vector of pixels
    "tile": 41.2,  # one round of products in it,
    "ended": 33.8,  # or all, straight from registers to the output
    # A vector of outputs beside what its tile costs, where inputs are copied: as for "weight", the script does not find
    # it.  With L2 full and the input written by both cores 3x3 of stride 2 took 1.05 to 1.25 times as long as blocked,
    # 1.1 to 1.46 on cores of two dies.
    "write": 1.5,
    "scatter": 1.92,  # one that lie apart
    # One that is kept, and read in rows that lie apart: from networks, where weights are cold; the script does not find
    # it.  With it the choice for layers took 1.01 to 1.02 times the time of the best, without 1.03.
    "weight": 0.2,
    "turn": 0.39,  # a weight of a transposed convolution, where there are none kept
}
BLOCKED = {
    "call": 12700,
    "copy": 5.39,
    "plane": 0,
    "product": 0.124,  # of a pixel and a vector of output channels
    "tile": 21.8,
    "write": 2.1,
    "scatter": 5.73,
    "pack": 0.227,  # a weight, where there are none kept
}
WINOGRAD = {  # by the size m of its tiles of m x m outputs
    2: {
        "call": 10800,
        "plane": 19.5,
        "product": 0.106,  # of two channels and an element of a vector of tiles
        "tile": 37.5,  # a vector of them, of inputs or outputs, transformed
        "weight": 5.52,  # a kernel of 3 x 3 transformed,
        "kept": 2.22,  # or read that was transformed before: 16 / 9 or 4 times the bytes
    },
    4: {"call": 0, "plane": 66.2, "product": 0.106, "tile": 134, "weight": 25.9, "kept": 7.73},
}
# A number that is picked for Winograd's tiles, or put where it belongs.  The script does not find them: timed alone on
# one core with dilations of 2 to 4 they took 0.15 to 0.56 and 0.32 to 0.72.
DILATED = {"split": 0.35, "join": 0.46}
COPIED = 12  # products of an output channel that take as long as to copy an element, for plans that may trade them
