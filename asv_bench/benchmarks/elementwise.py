"""relu, sigmoid and dropout."""

from . import LARGE, MIDDLE, SMALL, Operator

CASES = {str(shape): (shape, {}) for shape in (SMALL, MIDDLE, LARGE)}


class Relu(Operator, cases=CASES):
    def call(self, ops, x):
        return ops.relu(x)

    def time_relu(self, library, case):
        self.run()


class Sigmoid(Operator, cases=CASES):
    def call(self, ops, x):
        return ops.sigmoid(x)

    def time_sigmoid(self, library, case):
        self.run()


class Dropout(Operator, cases=CASES):
    def call(self, ops, x):
        return ops.dropout(x, 0.5)

    def time_dropout(self, library, case):
        self.run()
