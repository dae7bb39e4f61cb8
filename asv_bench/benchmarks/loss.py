"""cross_entropy, softmax_cross_entropy_with_logits and mse_loss, and the gradients."""

from . import operator


class CrossEntropy(operator("cross_entropy")):
    pass


class CrossEntropyBackward(operator("cross_entropy", backward=True)):
    pass


class SoftmaxCrossEntropyWithLogits(operator("softmax_cross_entropy_with_logits")):
    pass


class SoftmaxCrossEntropyWithLogitsBackward(operator("softmax_cross_entropy_with_logits", backward=True)):
    pass


class MseLoss(operator("mse_loss")):
    pass


class MseLossBackward(operator("mse_loss", backward=True)):
    pass
