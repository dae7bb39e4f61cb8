"""Small models in torch, made as torchvision makes the large ones, and what is seen of accelerated ones."""

import torch
from torch import nn

from fastops.torch import planned, registry


def trained(model):
    """A model whose batch norms have statistics as training leaves them."""
    for each in model.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(each.running_mean, -0.5, 0.5)
            nn.init.uniform_(each.running_var, 0.5, 2)
            nn.init.uniform_(each.weight, 0.5, 1.5)
            nn.init.uniform_(each.bias, -0.5, 0.5)
    return model


def conv_norm(channels, filters, kernel=3, stride=1, groups=1, activation=None):
    layers = [
        nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    ]
    return nn.Sequential(*layers, *([activation] if activation else []))


class Block(nn.Module):
    """A basic block of ResNet."""

    def __init__(self, channels, filters, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        same = stride == 1 and channels == filters
        self.downsample = None if same else conv_norm(channels, filters, 1, stride)

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, channels=3, classes=10, width=8):
        super().__init__()
        self.stem = conv_norm(channels, width, activation=nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.Sequential(Block(width, width), Block(width, 2 * width, 2))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.2)
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = self.average(self.layers(self.pool(self.stem(x))))
        return self.linear(self.drop(torch.flatten(x, 1)))


class Inverted(nn.Module):
    """An inverted residual of MobileNetV2."""

    def __init__(self, channels):
        super().__init__()
        wide = 4 * channels
        self.body = nn.Sequential(
            conv_norm(channels, wide, 1, activation=nn.ReLU6(inplace=True)),
            conv_norm(wide, wide, groups=wide, activation=nn.ReLU6(inplace=True)),
            conv_norm(wide, channels, 1),
        )

    def forward(self, x):
        return x + self.body(x)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.pool = conv_norm(3, 8, activation=nn.SiLU()), nn.MaxPool2d(2)
        self.deep = conv_norm(8, 16, activation=nn.LeakyReLU(0.1))
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Sequential(conv_norm(16, 8, activation=nn.GELU()), nn.Conv2d(8, 2, 1))

    def forward(self, x):
        skip = self.down(x)
        x = self.up(self.deep(self.pool(skip)))
        return torch.sigmoid(self.out(torch.cat([skip, x], 1)))


class DenseNet(nn.Module):
    """Norms before convolutions, which cannot be taken in."""

    def __init__(self):
        super().__init__()
        self.norm, self.relu = nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return torch.cat([x, self.conv(self.relu(self.norm(x)))], 1)


def generator():
    """DCGAN's."""
    return nn.Sequential(
        nn.ConvTranspose2d(12, 16, 4, 1, 0, bias=False), nn.BatchNorm2d(16), nn.ReLU(True),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip


def vgg():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(True), nn.Conv2d(8, 8, 3, padding=1), nn.Hardtanh(-0.5, 0.5, True),
        nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.Hardswish(), nn.Flatten(), nn.Linear(128, 5),
    )  # fmt: skip


# how a model is made, the shape of its input, and how many steps it has when it is fused
MODELS = {
    "ResNet": (ResNet, (2, 3, 16, 16), 1 + 1 + 2 + 3 + 4),
    "MobileNetV2": (lambda: nn.Sequential(conv_norm(3, 4, 3, 2), Inverted(4)), (2, 3, 16, 16), 1 + 1),
    "U-Net": (UNet, (2, 3, 16, 16), 7),
    "DenseNet": (DenseNet, (2, 3, 8, 8), 4),
    "DCGAN": (generator, (2, 12, 1, 1), 4),
    "VGG": (vgg, (2, 3, 8, 8), 6),
}


def calls(monkeypatch):
    """The names of our operators that are called from here on."""
    seen = []
    run = registry.Operator._run
    monkeypatch.setattr(registry.Operator, "_run", lambda self, *args: seen.append(self.name) or run(self, *args))
    return seen


def steps_of(model, inputs=1):
    """How many nodes the plan of a model has, or None."""
    plan = planned.plans_of(model)[inputs].plan
    return None if plan is None else [step.node.name for step in plan._steps]
