"""cross_entropy, softmax_cross_entropy_with_logits and mse_loss."""

from itertools import product

import numpy as np

from . import LARGE, MIDDLE, SMALL, Operator

CLASSES = {
    "small": ((32, 10), "numbers", {}),
    "1000 classes": ((4096, 1000), "numbers", {}),
    "1000 classes, probabilities": ((4096, 1000), "probabilities", {}),
}
OPTIONS = {
    "1000 classes, smoothed": ((4096, 1000), "numbers", {"label_smoothing": 0.1}),
    "segmentation, 21 classes": ((8, 21, 256, 256), "numbers", {}),
}
PAIRS = {
    f"{reduction}, {shape}": (shape, shape, {"reduction": reduction})
    for reduction, shape in product(("mean", "none"), (SMALL, MIDDLE, LARGE))
}


class Classification(Operator):
    """Logits, and class numbers or probabilities."""

    def arrays(self, shape, target):
        (x,) = super().arrays(shape)
        rng = np.random.default_rng(1)
        if target == "numbers":
            return x, rng.integers(0, shape[1], (shape[0], *shape[2:]))
        p = rng.uniform(size=shape)
        return x, (p / p.sum(axis=1, keepdims=True)).astype(self.dtype)


class CrossEntropy(Classification, cases=CLASSES | OPTIONS):
    def call(self, ops, x, target, **options):
        return ops.cross_entropy(x, target, **options)

    def time_cross_entropy(self, library, case):
        self.run()


class SoftmaxCrossEntropyWithLogits(Classification, cases=CLASSES):
    """In torch this is cross_entropy without a reduction."""

    def call(self, ops, x, target):
        if hasattr(ops, "softmax_cross_entropy_with_logits"):
            return ops.softmax_cross_entropy_with_logits(x, target)
        return ops.cross_entropy(x, target, reduction="none")

    def time_softmax_cross_entropy_with_logits(self, library, case):
        self.run()


class MseLoss(Operator, cases=PAIRS):
    def call(self, ops, x, target, reduction):
        return ops.mse_loss(x, target, reduction=reduction)

    def time_mse_loss(self, library, case):
        self.run()
