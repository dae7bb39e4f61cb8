"""batch_norm in training and in evaluation, and the gradients."""

from . import operator


class BatchNorm(operator("batch_norm")):
    pass


class BatchNormBackward(operator("batch_norm", backward=True)):
    pass
