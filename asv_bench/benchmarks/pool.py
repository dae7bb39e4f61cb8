"""max_pool2d, avg_pool2d and roi_pool, and the gradients; torch itself has no roi_pool."""

from . import operator


class MaxPool2d(operator("max_pool2d")):
    pass


class MaxPool2dBackward(operator("max_pool2d", backward=True)):
    pass


class AvgPool2d(operator("avg_pool2d")):
    pass


class AvgPool2dBackward(operator("avg_pool2d", backward=True)):
    pass


class RoiPool(operator("roi_pool")):
    pass


class RoiPoolBackward(operator("roi_pool", backward=True)):
    pass
