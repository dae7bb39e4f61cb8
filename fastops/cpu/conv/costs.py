"""What the parts of a convolution cost, for the choice among algorithms: nanoseconds of one core, float32.

Measured by ``python scripts/measure_costs.py``, which fits these numbers to timed convolutions and prints them, on one
core of a Zen 5 with AVX-512 (255 GFLOP/s).  Only their ratios count, and those hold roughly from one CPU to the next.
"""

PRODUCT = 0.0078  # a multiplication and addition of the micro-kernel
COPY = 0.094  # a pixel copied to the padded buffer
PLANE = 19.8  # the start of a plane of the buffer: one for each phase of a tile's pixels, channel and image

# By the size m of Winograd's tiles of m x m outputs:
WEIGHT = {2: 3.6, 4: 9.9}  # a kernel of 3 x 3 transformed
KEPT_WEIGHT = {m: 0.65 * cost for m, cost in WEIGHT.items()}  # one transformed before: 16 / 9 or 4 times the bytes
TILE = {2: 0.9, 4: 2.03}  # a tile of inputs or outputs transformed
