"""batch_norm in training and in evaluation."""

from itertools import product

import numpy as np

from . import LARGE, MIDDLE, SMALL, Operator

CASES = {
    f"{'train' if training else 'eval'}, {shape}": (shape, {"training": training})
    for training, shape in product((True, False), (SMALL, MIDDLE, LARGE, (4096, 256)))
}


class BatchNorm(Operator, cases=CASES):
    def arrays(self, shape):
        (x,) = super().arrays(shape)
        mean, variance, weight, bias = np.random.default_rng(1).uniform(0.5, 1.5, (4, shape[1])).astype(self.dtype)
        return x, mean, variance, weight, bias

    def call(self, ops, x, mean, variance, weight, bias, training):
        return ops.batch_norm(x, mean, variance, weight, bias, training)

    def time_batch_norm(self, library, case):
        self.run()
