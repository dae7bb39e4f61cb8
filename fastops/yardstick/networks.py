"""Well-known networks with random weights, for `fastops compare --suite networks`, asv and the measurements of torch.

Each stands here once, as graphs.py writes networks; the numbers of channels are the papers' own.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .graphs import Array, Graph, Value

Shape = tuple[int, ...]


class Network(NamedTuple):
    about: str
    graph: Callable[[], Graph]
    shapes: tuple[Shape, ...]  # of the inputs, without the batch

    def inputs(self, batch: int, edge: int | None = None) -> tuple[Array, ...]:
        """Standard normal values; `edge` in place of the images' own height and width."""
        rng = np.random.default_rng(1)
        shapes = self.shapes if edge is None else tuple((c, edge, edge) for c, *_ in self.shapes)
        return tuple(rng.standard_normal((batch, *shape), np.float32) for shape in shapes)


def resnet18() -> Graph:
    """He et al., Deep residual learning, arXiv 1512.03385."""
    return _resnet((2, 2, 2, 2), _basic_block, 1)


def resnet50() -> Graph:
    """The same paper's, with the stride in the 3 x 3 convolution, as torchvision has it."""
    return _resnet((3, 4, 6, 3), _bottleneck, 4)


def _resnet(depths: tuple[int, ...], block: Callable[..., Value], expansion: int) -> Graph:
    g = Graph(3)
    x = g.max_pool(g.unit(g.inputs[0], 64, 7, stride=2), 3, 2, 1)
    for stage, depth in enumerate(depths):
        channels = 64 << stage
        for number in range(depth):
            stride = 2 if stage and not number else 1
            shortcut = x
            if number == 0 and (stride, g.channels[x]) != (1, channels * expansion):
                shortcut = g.batch_norm(g.conv(x, channels * expansion, 1, stride))
            x = g.activation(g.add(block(g, x, channels, stride), shortcut), "relu")
    return g.ends(g.linear(g.flatten(g.global_avg_pool(x)), 1000))


def _basic_block(g: Graph, x: Value, channels: int, stride: int) -> Value:
    return g.batch_norm(g.conv(g.unit(x, channels, 3, stride=stride), channels, 3), 0.3)


def _bottleneck(g: Graph, x: Value, channels: int, stride: int) -> Value:
    x = g.unit(g.unit(x, channels, 1), channels, 3, stride=stride)
    return g.batch_norm(g.conv(x, 4 * channels, 1), 0.3)


def mobilenet_v2() -> Graph:
    """Sandler et al., MobileNetV2, arXiv 1801.04381."""
    g = Graph(3)
    x = g.unit(g.inputs[0], 32, 3, "relu6", stride=2)
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, channels, depth, first in stages:
        for number in range(depth):
            stride = first if number == 0 else 1
            within = expansion * g.channels[x]
            y = g.unit(x, within, 1, "relu6") if expansion > 1 else x
            y = g.unit(y, within, 3, "relu6", stride=stride, groups=within)
            y = g.batch_norm(g.conv(y, channels, 1))
            x = g.add(x, y) if stride == 1 and g.channels[x] == channels else y
    x = g.flatten(g.global_avg_pool(g.unit(x, 1280, 1, "relu6")))
    return g.ends(g.linear(g.dropout(x, 0.2), 1000))


def vgg16() -> Graph:
    """Simonyan and Zisserman, Very deep convolutional networks, arXiv 1409.1556; for images of 224 x 224 alone."""
    g = Graph(3)
    x = g.inputs[0]
    for channels, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            x = g.activation(g.conv(x, channels, 3, bias=True), "relu")
        x = g.max_pool(x, 2, 2)
    x = g.flatten(x, 49)
    for _ in range(2):
        x = g.dropout(g.activation(g.linear(x, 4096), "relu"), 0.5)
    return g.ends(g.linear(x, 1000))


def unet() -> Graph:
    """Ronneberger et al., U-Net, arXiv 1505.04597, with padding and batch norm and half of its channels."""
    g = Graph(3)

    def twice(x: Value, channels: int) -> Value:
        return g.unit(g.unit(x, channels, 3), channels, 3)

    x, down = g.inputs[0], []
    for level in range(4):
        down.append(twice(x, 32 << level))
        x = g.max_pool(down[-1], 2, 2)
    x = twice(x, 512)
    for level in reversed(range(4)):
        up = g.conv_transpose(x, 32 << level, 2, 2, bias=True)
        x = twice(g.concat(down[level], up), 32 << level)
    return g.ends(g.conv(x, 2, 1, bias=True))


def dcgan() -> Graph:
    """The generator of Radford et al., arXiv 1511.06434, for 64 x 64 pixels."""
    g = Graph(100)
    x = g.activation(g.batch_norm(g.conv_transpose(g.inputs[0], 512, 4)), "relu")
    for channels in (256, 128, 64):
        x = g.activation(g.batch_norm(g.conv_transpose(x, channels, 4, 2, 1)), "relu")
    return g.ends(g.activation(g.conv_transpose(x, 3, 4, 2, 1), "tanh"))


def yolo_neck() -> Graph:
    """Of the kind that YOLOv5 to v8 have, between a backbone and the heads: three maps in, three maps out."""
    g = Graph(64, 128, 256)
    fine, middle, coarse = g.inputs

    def stage(x: Value, channels: int) -> Value:
        """One of two halves goes through two convolutions, with a residual; all of it is joined."""
        a, b = g.split(g.unit(x, channels, 1, "silu"))
        c = g.add(b, g.unit(g.unit(b, channels // 2, 3, "silu"), channels // 2, 3, "silu"))
        return g.unit(g.concat(a, b, c), channels, 1, "silu")

    middle = stage(g.concat(g.resize(coarse), middle), 128)
    fine = stage(g.concat(g.resize(middle), fine), 64)
    middle = stage(g.concat(g.unit(fine, 64, 3, "silu", stride=2), middle), 128)
    coarse = stage(g.concat(g.unit(middle, 128, 3, "silu", stride=2), coarse), 256)
    return g.ends(*(g.activation(g.conv(x, 85, 1, bias=True), "sigmoid") for x in (fine, middle, coarse)))


IMAGE = ((3, 224, 224),)
NETWORKS = {
    "resnet18": Network("ResNet-18", resnet18, IMAGE),
    "resnet50": Network("ResNet-50", resnet50, IMAGE),
    "mobilenet_v2": Network("MobileNetV2", mobilenet_v2, IMAGE),
    "vgg16": Network("VGG-16", vgg16, IMAGE),
    "unet": Network("U-Net", unet, IMAGE),
    "dcgan": Network("DCGAN's generator", dcgan, ((100, 1, 1),)),
    "yolo_neck": Network("a YOLO-like neck", yolo_neck, ((64, 80, 80), (128, 40, 40), (256, 20, 20))),
}
