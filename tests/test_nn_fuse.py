"""nn.fuse: the numbers of the network in evaluation, in fewer layers."""

import numpy as np
import pytest

import fastops
from fastops import nn


def trained(model, rng, dtype=np.float32):
    """The model in evaluation, with statistics and factors that are none of the defaults."""
    for module in [module for _, module in model.named_modules()]:
        if isinstance(module, nn.BatchNorm2d):
            for name, low in (("running_mean", -1), ("running_var", 0.1)):
                if getattr(module, name) is not None:
                    getattr(module, name)[...] = rng.uniform(low, 2, module.num_features)
            for parameter in (module.weight, module.bias):
                if parameter is not None:
                    parameter.data = rng.uniform(-1, 2, module.num_features).astype(dtype)
    return model.eval()


ENDS = [nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2), nn.SiLU(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Hardswish(), nn.GELU(),
        nn.GELU("tanh"), nn.Hardtanh(-0.3, 0.4)]  # fmt: skip
BODIES = {
    "conv": lambda dtype: nn.Conv2d(4, 6, 3, padding=1, rng=0, dtype=dtype),
    "no bias": lambda dtype: nn.Conv2d(4, 6, 3, bias=False, rng=0, dtype=dtype),
    "groups": lambda dtype: nn.Conv2d(4, 6, 3, groups=2, rng=0, dtype=dtype),
    "depthwise": lambda dtype: nn.Conv2d(4, 4, 3, groups=4, padding=1, rng=0, dtype=dtype),
    "reflected": lambda dtype: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect", rng=0, dtype=dtype),
    "transposed": lambda dtype: nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, rng=0, dtype=dtype),
    "transposed, groups": lambda dtype: nn.ConvTranspose2d(4, 6, 3, groups=2, rng=0, dtype=dtype),
}


@pytest.mark.parametrize("end", [None, *ENDS], ids=repr)
@pytest.mark.parametrize("body", BODIES)
def test_one_layer_gives_what_three_gave(rng, dtype, body, end):
    conv = BODIES[body](dtype)
    layers = [conv, nn.BatchNorm2d(conv.out_channels, dtype=dtype), *([end] if end else [])]
    model = trained(nn.Sequential({str(i): layer for i, layer in enumerate(layers)}), rng, dtype)
    x = rng.standard_normal((2, 4, 9, 10)).astype(dtype)
    before = {name: array.copy() for name, array in model.state_dict().items()}
    expected, fused = model(x), nn.fuse(model)
    assert len(fused) == 1 and type(fused[0]) is type(conv) and not fused.training
    found = fused(x)
    assert found.dtype == dtype
    close = dict(rtol=1e-5, atol=1e-5) if dtype == np.float32 else dict(rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, expected, **close)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    conv.weight.data[...] = 0
    np.testing.assert_array_equal(fused(x), found)


def test_what_stays(rng):
    model = nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(3, 4, 3),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.Conv2d(4, 5, 1), nn.ReLU(), nn.BatchNorm2d(5), nn.PReLU()),
        nn.Conv2d(5, 5, 1),
        nn.BatchNorm2d(5, track_running_stats=False),
        nn.ReLU(),
        nn.Flatten(),
    )
    fused, x = nn.fuse(trained(model, rng)), rng.standard_normal((2, 3, 12, 12)).astype(np.float32)
    assert [type(layer).__name__ for layer in fused] == [
        "ReLU", "Conv2d", "MaxPool2d", "BatchNorm2d", "Sequential", "Conv2d", "BatchNorm2d", "ReLU", "Flatten",
    ]  # fmt: skip
    assert [repr(layer).partition("(")[0] for layer in fused[4]] == ["Conv2d", "BatchNorm2d", "PReLU"]
    np.testing.assert_allclose(fused(x), model(x), rtol=1e-5, atol=1e-5)


def test_what_fuse_refuses():
    with pytest.raises(TypeError, match=r"fuse: model expects a Sequential, got Conv2d"):
        nn.fuse(nn.Conv2d(1, 1, 1).eval())
    with pytest.raises(ValueError, match=r"fuse: model expects a network in evaluation, but it is in training"):
        nn.fuse(nn.Sequential(nn.ReLU()))
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU()).eval()
    model[0].train()
    with pytest.raises(ValueError, match=r"but layer 0 is in training"):
        nn.fuse(model)
    fused = nn.fuse(model.eval())
    out = fused(np.ones((1, 1, 2, 2), np.float32))
    with pytest.raises(RuntimeError, match=r"Conv2d: backward expects a layer of its own"):
        fused.backward(out)
    assert fastops.relu(np.float32([[-1]])).tolist() == [[0]]
