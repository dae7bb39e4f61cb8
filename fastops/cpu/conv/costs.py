"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of one core, float32.

Each algorithm's file says of which parts a convolution consists, and how many there are of each.  The numbers are made
by ``python scripts/measure_costs.py``, which times convolutions and fits them: of one core of a Zen 5 with AVX-512 (255
GFLOP/s).  Only their ratios count, and those hold roughly from one CPU to the next.
"""

DIRECT = {
    "product": 0.133,  # of an output channel and a vector of pixels
    "copy": 1.36,  # a vector of the padded copy
    "plane": 29.0,  # the start of one of its planes
    "write": 1.53,  # a vector of outputs
}
BLOCKED = {
    "product": 0.131,  # of a pixel and a vector of output channels
    "copy": 2.11,
    "plane": 47.9,
    "write": 2.56,  # a vector of outputs, turned from channels to pixels
    "pack": 0.437,  # a weight, where there are none kept
}
WINOGRAD = {  # by the size m of its tiles of m x m outputs
    2: {
        "product": 0.099,  # of two channels and an element of a vector of tiles
        "tile": 25.8,  # a vector of them, of inputs or outputs, transformed
        "plane": 35.6,
        "weight": 4.64,  # a kernel of 3 x 3 transformed,
        "kept": 2.42,  # or read that was transformed before: 16 / 9 or 4 times the bytes
    },
    4: {"product": 0.101, "tile": 76.8, "plane": 30.7, "weight": 5.09, "kept": 1.39},
}
COPIED = 12  # products of an output channel that take as long as to copy an element, for plans that may trade them
