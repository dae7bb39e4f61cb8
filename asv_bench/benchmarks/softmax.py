"""softmax and log_softmax on the last dimension and on another, and the gradients."""

from . import operator


class Softmax(operator("softmax")):
    pass


class SoftmaxBackward(operator("softmax", backward=True)):
    pass


class LogSoftmax(operator("log_softmax")):
    pass


class LogSoftmaxBackward(operator("log_softmax", backward=True)):
    pass
