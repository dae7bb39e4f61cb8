"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of one core, float32.

Each algorithm's file says of which parts a convolution consists, and how many there are of each.  The numbers are made
by ``python scripts/measure_costs.py``, which times convolutions and fits them: of one core of a Zen 5 with AVX-512 (255
GFLOP/s).  Only their ratios count, and those hold roughly from one CPU to the next.
"""

DIRECT = {
    "call": 3910,
    "copy": 4.48,  # a vector of the padded copy
    "gather": 1.41,  # one of pixels that lie apart
    "plane": 36.0,  # the start of a plane of the copy
    "product": 0.115,  # of an output channel and a vector of pixels
    "tile": 43.1,  # one round of products in it
    "write": 0.0,  # a vector of outputs, beside what its tile costs
    "scatter": 1.35,  # one that lie apart
    "turn": 0.511,  # a weight of a transposed convolution, where there are none kept
}
BLOCKED = {
    "call": 4700,
    "copy": 2.6,
    "plane": 68.3,
    "product": 0.123,  # of a pixel and a vector of output channels
    "tile": 55.2,
    "write": 0.0,
    "scatter": 1.16,
    "pack": 0.417,  # a weight, where there are none kept
}
WINOGRAD = {  # by the size m of its tiles of m x m outputs
    2: {
        "call": 7440,
        "plane": 34.6,
        "product": 0.0964,  # of two channels and an element of a vector of tiles
        "tile": 32.9,  # a vector of them, of inputs or outputs, transformed
        "weight": 4.76,  # a kernel of 3 x 3 transformed,
        "kept": 1.87,  # or read that was transformed before: 16 / 9 or 4 times the bytes
    },
    4: {"call": 6100, "plane": 25.5, "product": 0.0868, "tile": 94.3, "weight": 8.69, "kept": 4.05},
}
COPIED = 12  # products of an output channel that take as long as to copy an element, for plans that may trade them
