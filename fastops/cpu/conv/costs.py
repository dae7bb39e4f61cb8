"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of a core, float32.

Each algorithm's file says of which parts a convolution consists, and how many there are of each.  The numbers are made
by ``python scripts/measure_costs.py``, which times convolutions on all cores and fits them: here on two of a Zen 5 with
AVX-512 (255 GFLOP/s each).  Only their ratios count, and those hold roughly from one CPU to the next.  With them the
algorithm that is chosen for the 96 geometries of the suite takes 1.03 times the time of the fastest, on the mean.
"""

DIRECT = {
    "call": 15400,
    "copy": 7.48,  # a vector of the padded copy
    "gather": 2.94,  # one of pixels that lie apart
    "plane": 18.4,  # the start of a plane of the copy
    "product": 0.119,  # of an output channel and a vector of pixels
    "tile": 44.2,  # one round of products in it,
    "ended": 15,  # or all, straight from registers to the output
    "write": 0,  # a vector of outputs, beside what its tile costs
    "scatter": 1.9,  # one that lie apart
    "turn": 0.396,  # a weight of a transposed convolution, where there are none kept
}
BLOCKED = {
    "call": 16800,
    "copy": 4.36,
    "plane": 46.8,
    "product": 0.128,  # of a pixel and a vector of output channels
    "tile": 24.7,
    "write": 1.8,
    "scatter": 5.02,
    "pack": 0.25,  # a weight, where there are none kept
}
WINOGRAD = {  # by the size m of its tiles of m x m outputs
    2: {
        "call": 28800,
        "plane": 22.8,
        "product": 0.0949,  # of two channels and an element of a vector of tiles
        "tile": 36.5,  # a vector of them, of inputs or outputs, transformed
        "weight": 4.88,  # a kernel of 3 x 3 transformed,
        "kept": 1.71,  # or read that was transformed before: 16 / 9 or 4 times the bytes
    },
    4: {"call": 0, "plane": 33.5, "product": 0.121, "tile": 123, "weight": 11.4, "kept": 4.67},
}
COPIED = 12  # products of an output channel that take as long as to copy an element, for plans that may trade them
