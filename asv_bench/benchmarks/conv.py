"""conv2d and conv_transpose2d on the layers of well-known networks, and the gradients."""

from . import operator


class Conv2d(operator("conv2d")):
    pass


class Conv2dBackward(operator("conv2d", backward=True)):
    pass


class ConvTranspose2d(operator("conv_transpose2d")):
    pass


class ConvTranspose2dBackward(operator("conv_transpose2d", backward=True)):
    pass
