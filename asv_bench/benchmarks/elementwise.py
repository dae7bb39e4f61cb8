"""relu, sigmoid and dropout, and the gradients."""

from . import operator


class Relu(operator("relu")):
    pass


class ReluBackward(operator("relu", backward=True)):
    pass


class Sigmoid(operator("sigmoid")):
    pass


class SigmoidBackward(operator("sigmoid", backward=True)):
    pass


class Dropout(operator("dropout")):
    pass


class DropoutBackward(operator("dropout", backward=True)):
    pass
