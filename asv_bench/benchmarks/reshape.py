"""flatten, as a view and as a copy."""

from . import LARGE, SMALL, Operator

CASES = {
    "view of small": (SMALL, False, {}),
    "view of large": (LARGE, False, {}),
    "copy of large, channels last in memory": (LARGE, True, {}),
}


class Flatten(Operator, cases=CASES):
    def arrays(self, shape, channels_last):
        (x,) = super().arrays(shape)
        return (x.swapaxes(1, 3) if channels_last else x,)

    def call(self, ops, x):
        return ops.flatten(x, 1) if hasattr(ops, "flatten") else x.flatten(1)  # torch.nn.functional has no flatten

    def time_flatten(self, library, case):
        self.run()
