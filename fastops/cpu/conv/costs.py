"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of a core, float32.

Each algorithm's file says of which parts a convolution consists, and how many there are of each.  The numbers are made
by ``python scripts/measure_costs.py``, which times convolutions on all cores and fits them: here on two of a Zen 5 with
AVX-512 (255 GFLOP/s each).  Only their ratios count, and those hold roughly from one CPU to the next.  With them the
algorithm that is chosen for the 96 geometries of the suite takes 1.03 times the time of the fastest, on the mean.
"""

DIRECT = {
    "call": 15100,
    "copy": 7.55,  # a vector of the padded copy
    "gather": 3.23,  # one of pixels that lie apart
    "plane": 9.14,  # the start of a plane of the copy
    "product": 0.116,  # of an output channel and a vector of pixels
    "tile": 49.4,  # one round of products in it
    "write": 0,  # a vector of outputs, beside what its tile costs
    "scatter": 1.8,  # one that lie apart
    "turn": 0.358,  # a weight of a transposed convolution, where there are none kept
}
BLOCKED = {
    "call": 15400,
    "copy": 3.84,
    "plane": 31.9,
    "product": 0.126,  # of a pixel and a vector of output channels
    "tile": 58.3,
    "write": 0,
    "scatter": 1.33,
    "pack": 0.489,  # a weight, where there are none kept
}
WINOGRAD = {  # by the size m of its tiles of m x m outputs
    2: {
        "call": 8590,
        "plane": 20.4,
        "product": 0.105,  # of two channels and an element of a vector of tiles
        "tile": 37.6,  # a vector of them, of inputs or outputs, transformed
        "weight": 5.5,  # a kernel of 3 x 3 transformed,
        "kept": 2.23,  # or read that was transformed before: 16 / 9 or 4 times the bytes
    },
    4: {"call": 249, "plane": 19.8, "product": 0.0952, "tile": 132, "weight": 11.7, "kept": 6.32},
}
COPIED = 12  # products of an output channel that take as long as to copy an element, for plans that may trade them
