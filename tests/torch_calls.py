"""Calls of fastops.torch's functions, made of the examples of the table of operators."""

import numpy as np
import torch

from fastops.yardstick.calls import EXAMPLES
from fastops.yardstick.operators import OPERATORS, TABLE

NAMES = [operator.name for operator in TABLE]
CALLS = [each for each in EXAMPLES if each.options.get("precision") != "fast"]
# what opcheck, gradcheck and compilers take seconds for: the first call of each operator has all arrays and options
FIRST = [next(each for each in CALLS if each.op == name) for name in NAMES]


def tensors_of(call, dtype=np.float64):
    made = {}
    for name, value in call.arrays(dtype).items():
        made[name] = [torch.from_numpy(v) for v in value] if isinstance(value, list) else torch.from_numpy(value)
    return made


def differentiable(call):
    return [name for name in OPERATORS[call.op].differentiated if name in call.makers]


def options_of(call):
    options = dict(call.options)
    if call.op == "dropout":
        options["rng"] = 5
    return options


def result(values):
    return values[0] if isinstance(values, tuple) else values
