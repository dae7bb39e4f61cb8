"""From how many elements a layer calls our kernel instead of torch's: below, torch's own call costs less.

A call through NumPy's arrays costs some microseconds more than one of torch's, which matters where an element costs
next to nothing.  `python scripts/measure_torch_calls.py --smallest` measures these numbers again.
"""

SMALLEST = {
    "relu": 100_000,
    "relu6": 100_000,
    "leaky_relu": 100_000,
    "prelu": 100_000,
    "clamp": 100_000,
    "sigmoid": 30_000,
    "silu": 30_000,
    "hardsigmoid": 100_000,
    "hardswish": 100_000,
    "gelu": 100_000,
    "softmax": 100_000,
    "log_softmax": 100_000,
}
