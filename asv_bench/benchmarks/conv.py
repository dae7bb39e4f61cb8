"""conv2d and conv_transpose2d on the layers of well-known networks."""

from . import Operator


def layer(batch, channels, size, out_channels, kernel, **options):
    """Shapes of input, weight and bias of a conv2d, and its options."""
    weight = (out_channels, channels // options.get("groups", 1), kernel, kernel)
    return (batch, channels, size, size), weight, (out_channels,), options


def transposed(batch, channels, size, out_channels, kernel, **options):
    """The same for conv_transpose2d."""
    return (batch, channels, size, size), (channels, out_channels, kernel, kernel), (out_channels,), options


RESNET = ((64, 56), (128, 28), (256, 14), (512, 7))  # channels and size of the four stages of ResNet-50
LAYERS = {
    "small k2": layer(1, 3, 32, 6, 2),
    "small k2 stride 2": layer(1, 3, 32, 6, 2, stride=2),
    "small k3": layer(1, 3, 32, 6, 3),
    "resnet 7x7 stride 2, 224": layer(1, 3, 224, 64, 7, stride=2, padding=3),
    **{f"resnet 3x3 {c}, {s}": layer(1, c, s, c, 3, padding=1) for c, s in RESNET},
    **{f"resnet 3x3 {c}, {s}, batch 8": layer(8, c, s, c, 3, padding=1) for c, s in RESNET},
    **{f"resnet 3x3 {c} stride 2, {2 * s}": layer(1, c, 2 * s, c, 3, stride=2, padding=1) for c, s in RESNET[1:]},
    **{f"resnet 1x1 {c} to {4 * c}, {s}": layer(1, c, s, 4 * c, 1) for c, s in RESNET},
    **{f"resnet 1x1 {4 * c} to {c}, {s}": layer(1, 4 * c, s, c, 1) for c, s in RESNET},
    "vgg 3x3 64, 224": layer(1, 64, 224, 64, 3, padding=1),
    "vgg 3x3 128, 112": layer(1, 128, 112, 128, 3, padding=1),
    "5x5 64, 28": layer(1, 64, 28, 64, 5, padding=2),
    "dilation 2": layer(1, 128, 28, 128, 3, padding=2, dilation=2),
    "dilation 4": layer(1, 128, 28, 128, 3, padding=4, dilation=4),
    "32 groups": layer(1, 128, 56, 128, 3, padding=1, groups=32),
}
MOBILENET = ((32, 112), (128, 56), (256, 28), (512, 14), (1024, 7))
DEPTHWISE = {
    **{f"{c}, {s}": layer(1, c, s, c, 3, padding=1, groups=c) for c, s in MOBILENET},
    **{f"{c} stride 2, {s}": layer(1, c, s, c, 3, stride=2, padding=1, groups=c) for c, s in MOBILENET[:-1]},
}
FLOAT64 = {name: LAYERS[name] for name in ("resnet 3x3 128, 28", "resnet 1x1 64 to 256, 56")}
TRANSPOSED = {
    "unet k2 stride 2, 28": transposed(1, 256, 28, 128, 2, stride=2),
    "unet k2 stride 2, 112": transposed(1, 64, 112, 32, 2, stride=2),
    "dcgan k4 stride 2, 8": transposed(8, 256, 8, 128, 4, stride=2, padding=1),
    "dcgan k4 stride 2, 32": transposed(8, 64, 32, 3, 4, stride=2, padding=1),
    "k3, 56": transposed(1, 64, 56, 64, 3, padding=1),
}


class Conv2d(Operator, cases=LAYERS):
    def call(self, ops, x, weight, bias, **options):
        return ops.conv2d(x, weight, bias, **options)

    def time_conv2d(self, library, case):
        self.run()


class Conv2dDepthwise(Conv2d, cases=DEPTHWISE):
    """A filter for each channel, as in MobileNet."""


class Conv2dFloat64(Conv2d, cases=FLOAT64):
    dtype = "float64"


class ConvTranspose2d(Operator, cases=TRANSPOSED):
    def call(self, ops, x, weight, bias, **options):
        return ops.conv_transpose2d(x, weight, bias, **options)

    def time_conv_transpose2d(self, library, case):
        self.run()
