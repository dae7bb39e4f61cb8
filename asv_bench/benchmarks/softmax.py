"""softmax and log_softmax on the last dimension and on another."""

from . import Operator

CASES = {
    "small": ((1, 10), {"dim": 1}),
    "1000 classes": ((4096, 1000), {"dim": 1}),
    "attention rows": ((8, 12, 197, 197), {"dim": -1}),
    "segmentation, 21 classes": ((8, 21, 256, 256), {"dim": 1}),
}


class Softmax(Operator, cases=CASES):
    def call(self, ops, x, dim):
        return ops.softmax(x, dim)

    def time_softmax(self, library, case):
        self.run()


class LogSoftmax(Operator, cases=CASES):
    def call(self, ops, x, dim):
        return ops.log_softmax(x, dim)

    def time_log_softmax(self, library, case):
        self.run()
