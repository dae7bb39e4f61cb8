"""Layers of fastops.nn refuse bad input in one sentence, and stay as they were."""

import re

import numpy as np
import pytest

from fastops import nn
from fastops.nn import mindspore

IMAGE = np.ones((2, 4, 8, 8), np.float32)
BAD_LAYERS = [
    (lambda: nn.Conv2d(0, 6, 3), ValueError, "Conv2d: in_channels expects an int of at least 1, got 0"),
    (lambda: nn.Conv2d(4, 6.0, 3), ValueError, "Conv2d: out_channels expects an int, got 6.0"),
    (lambda: nn.Conv2d(4, 6, 0), ValueError, "Conv2d: kernel_size expects an int of at least 1, got 0"),
    (lambda: nn.Conv2d(4, 6, 3, groups=3), ValueError, "Conv2d: in_channels expects a multiple of groups=3, got 4"),
    (lambda: nn.Conv2d(4, 6, 3, groups=4), ValueError, "Conv2d: out_channels expects a multiple of groups=4, got 6"),
    (lambda: nn.Conv2d(4, 6, 3, padding=-1), ValueError, "Conv2d: padding expects an int of at least 0, got -1"),
    (lambda: nn.Conv2d(4, 6, 3, padding="full"), ValueError, "Conv2d: padding expects 'valid' or 'same', got 'full'"),
    (lambda: nn.Conv2d(4, 6, 3, padding_mode="mirror"), ValueError, "Conv2d: padding_mode expects 'zeros',"),
    (lambda: nn.Conv2d(4, 6, 3, bias=1), ValueError, "Conv2d: bias expects True or False, got 1"),
    (lambda: nn.Conv2d(4, 6, 3, dtype=int), TypeError, "Conv2d: dtype expects float32 or float64, got int64"),
    (lambda: nn.Conv2d(4, 6, 3, dtype="x"), TypeError, "Conv2d: dtype expects float32 or float64, got 'x'"),
    (lambda: nn.Conv2d(4, 6, 3, dtype=None), TypeError, "Conv2d: dtype expects float32 or float64, got None"),
    (lambda: nn.Conv2d(4, 6, 3, rng=-1), ValueError, "Conv2d: rng expects a seed of at least 0, got -1"),
    (lambda: nn.Conv2d(4, 6, 3, rng="x"), TypeError, "Conv2d: rng expects None, an int, a numpy.random.SeedSequence"),
    (lambda: nn.Conv2d(4, 6, 3, precision="best"), ValueError, "Conv2d: precision expects 'exact' or 'fast'"),
    (lambda: nn.ConvTranspose2d(4, 6, 3, padding="same"), ValueError, "ConvTranspose2d: padding expects an int or two"),
    (lambda: nn.ConvTranspose2d(4, 6, 3, padding_mode="reflect"), ValueError, "ConvTranspose2d: padding_mode expects"),
    (lambda: nn.BatchNorm2d(3, momentum="x"), ValueError, "BatchNorm2d: momentum expects a number, got 'x'"),
    (lambda: nn.BatchNorm1d(3, affine=None), ValueError, "BatchNorm1d: affine expects True or False, got None"),
    (lambda: nn.Dropout(1.5), ValueError, "Dropout: p expects a probability from 0 to 1, got 1.5"),
    (lambda: nn.Linear(3, 0), ValueError, "Linear: out_features expects an int of at least 1, got 0"),
    (lambda: nn.ReLU6(1), ValueError, "ReLU6: inplace expects True or False, got 1"),
    (lambda: nn.Hardswish(None), ValueError, "Hardswish: inplace expects True or False, got None"),
    (lambda: nn.Hardtanh(1, 1), ValueError, "Hardtanh: max_val expects a number above min_val 1.0, got 1.0"),
    (lambda: nn.Hardtanh("0"), ValueError, "Hardtanh: min_val expects a number, got '0'"),
    (lambda: nn.LeakyReLU(None), ValueError, "LeakyReLU: negative_slope expects a number, got None"),
    (lambda: nn.PReLU(0), ValueError, "PReLU: num_parameters expects an int of at least 1, got 0"),
    (lambda: nn.PReLU(init="x"), ValueError, "PReLU: init expects a number, got 'x'"),
    (lambda: nn.PReLU(dtype=int), TypeError, "PReLU: dtype expects float32 or float64, got int64"),
    (lambda: nn.GELU("erf"), ValueError, "GELU: approximate expects 'none' or 'tanh', got 'erf'"),
    (lambda: nn.Softmax(None), ValueError, "Softmax: dim expects an int, got None"),
    (lambda: nn.CrossEntropyLoss(reduction="max"), ValueError, "CrossEntropyLoss: reduction expects 'none', 'mean' or"),
    (lambda: nn.CrossEntropyLoss([1.0]), TypeError, "CrossEntropyLoss: weight expects a NumPy or CUDA array, got list"),
    (lambda: nn.MSELoss("max"), ValueError, "MSELoss: reduction expects 'none', 'mean' or 'sum', got 'max'"),
    (
        lambda: nn.Upsample(scale_factor=0),
        ValueError,
        "Upsample: scale_factor expects numbers greater than 0 and finite",
    ),
    (lambda: nn.Sequential(nn.ReLU(), np.tanh), TypeError, "Sequential: layer 1 expects a Module, got ufunc"),
    (lambda: nn.Sequential({"a.b": nn.ReLU()}), KeyError, "Sequential: the name of a layer expects a new word"),
    (lambda: nn.Sequential({"train": nn.ReLU()}), KeyError, "Sequential: the name of a layer expects a new word"),
    (lambda: nn.Sequential(*[nn.ReLU()] * 2), ValueError, "Sequential: layer 1 expects an object of its own"),
    (lambda: nn.ReLU().train(1), ValueError, "ReLU: mode expects True or False, got 1"),
    (lambda: nn.ReLU().to(np.float16), TypeError, "ReLU: dtype expects float32 or float64, got float16"),
    (lambda: mindspore.Conv2d(4, 6, 3, padding=1), ValueError, "Conv2d: padding expects 0 with pad_mode 'same', got 1"),
    (lambda: mindspore.Conv2d(4, 6, 3, pad_mode="x"), ValueError, "Conv2d: pad_mode expects 'same', 'valid' or 'pad'"),
    (lambda: mindspore.Conv2d(4, 6, 3, 1, "pad", (1, 2, 1)), ValueError, "Conv2d: padding expects an int or (top,"),
    (lambda: mindspore.BatchNorm2d(4, momentum=1.5), ValueError, "BatchNorm2d: momentum expects a number from 0 to 1"),
]
BAD_CALLS = [
    (lambda: nn.Conv2d(3, 6, 3)(IMAGE), ValueError, "conv2d: weight expects 4 input channels per group"),
    (lambda: nn.Conv2d(4, 6, 3)(IMAGE.astype(float)), TypeError, "conv2d: weight expects dtype float64"),
    (lambda: nn.Conv2d(4, 6, 3, padding=8, padding_mode="reflect")(IMAGE), ValueError,
     "Conv2d: padding expects at most 7 with 'reflect' and size 8, got 8"),
    (lambda: nn.Conv2d(4, 6, 3, padding=9, padding_mode="circular")(IMAGE), ValueError,
     "Conv2d: padding expects at most 8 with 'circular' and size 8, got 9"),
    (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")([1.0]), TypeError, "Conv2d: input expects a NumPy"),
    (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular")(IMAGE[0, 0]), ValueError, "Conv2d: input expects"),
    (lambda: nn.ConvTranspose2d(4, 6, 3, 2)(IMAGE, (19, 17)), ValueError,
     "ConvTranspose2d: output_size expects a size from (17, 17) to (18, 18), got (19, 17)"),
    (lambda: nn.BatchNorm2d(4)(IMAGE[0]), ValueError, "BatchNorm2d: input expects shape (N, 4, H, W), got (4, 8, 8)"),
    (lambda: nn.BatchNorm2d(3)(IMAGE), ValueError, "BatchNorm2d: input expects shape (N, 3, H, W), got (2, 4, 8, 8)"),
    (lambda: nn.BatchNorm1d(3)(IMAGE), ValueError, "BatchNorm1d: input expects shape (N, 3) or (N, 3, L), got"),
    (lambda: nn.BatchNorm2d(4)([1.0]), TypeError, "batch_norm: input expects a NumPy or CUDA array, got list"),
    (lambda: nn.PReLU(3)(IMAGE), ValueError, "prelu: weight expects 1 or 4 values, as input (2, 4, 8, 8) has channels"),
    (lambda: nn.PReLU()(IMAGE.astype(float)), TypeError, "prelu: weight expects dtype float64, as input has"),
    (lambda: nn.Linear(7, 3)(IMAGE), ValueError, "linear: input expects shape (..., 7), got (2, 4, 8, 8)"),
    (lambda: nn.Linear(7, 3)(np.float32(1)), TypeError, "linear: input expects a NumPy or CUDA array, got numpy."),
    (lambda: nn.Linear(8, 3)(IMAGE.astype(float)), TypeError, "linear: weight expects dtype float64, as input has"),
    (lambda: nn.Linear(8, 3)(IMAGE.astype(int)), TypeError, "linear: input expects dtype float32 or float64"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "error", "message"), BAD_LAYERS + BAD_CALLS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_bad_layers_and_calls_are_refused_in_one_sentence(call, error, message):
    with pytest.raises(error, match=f"^['\"]?{re.escape(message)}") as caught:
        call()
    assert "\n" not in str(caught.value)


EACH_LAYER = [
    (nn.Conv2d(4, 6, 3), IMAGE),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), IMAGE),
    (nn.ConvTranspose2d(4, 6, 3), IMAGE),
    (nn.MaxPool2d(2), IMAGE),
    (nn.AvgPool2d(2), IMAGE),
    (nn.AdaptiveAvgPool2d(3), IMAGE),
    (nn.Upsample(5), IMAGE),
    (nn.BatchNorm2d(4), IMAGE),
    (nn.BatchNorm1d(8), IMAGE[0, 0]),
    (nn.ReLU(), IMAGE),
    (nn.Sigmoid(), IMAGE),
    (nn.ReLU6(), IMAGE),
    (nn.Hardtanh(), IMAGE),
    (nn.LeakyReLU(), IMAGE),
    (nn.PReLU(4), IMAGE),
    (nn.SiLU(), IMAGE),
    (nn.Hardsigmoid(), IMAGE),
    (nn.Hardswish(), IMAGE),
    (nn.GELU(), IMAGE),
    (nn.Softmax(1), IMAGE),
    (nn.Dropout(), IMAGE),
    (nn.Flatten(), IMAGE),
    (nn.Linear(8, 3), IMAGE),
    (nn.Sequential(nn.Linear(8, 3), nn.ReLU()), IMAGE),
]


@pytest.mark.parametrize(("layer", "input"), EACH_LAYER, ids=lambda value: type(value).__name__)
def test_backward_refuses_what_is_not_the_gradient_and_leaves_the_layer_alone(layer, input):
    output = layer(input)
    bad = [
        (np.ones((*output.shape, 2), output.dtype), ValueError),
        (output.tolist(), TypeError),
        (None, TypeError),
    ]
    if not isinstance(layer, nn.Flatten):  # which is for every dtype
        bad += [(output.astype(np.float64), TypeError), (output.astype(np.int64), TypeError)]
    for grad_output, error in bad:
        with pytest.raises(error, match=r": grad_output expects|: input expects|: output expects") as caught:
            layer.backward(grad_output)
        assert "\n" not in str(caught.value)
    assert all(parameter.grad is None for parameter in layer.parameters())


@pytest.mark.parametrize("layer", [layer for layer, _ in EACH_LAYER], ids=lambda layer: type(layer).__name__)
def test_backward_before_forward(layer):
    fresh = layer.to(np.float32)  # which forgets the last call
    name = type(fresh[-1] if isinstance(fresh, nn.Sequential) else fresh).__name__
    with pytest.raises(RuntimeError, match=f"^{name}: backward expects a forward call before it, got none$"):
        fresh.backward(IMAGE)


@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss(), nn.MSELoss(), nn.SoftmaxCrossEntropyWithLogits()])
def test_backward_of_a_loss_before_forward(criterion):
    with pytest.raises(RuntimeError, match="backward expects a forward call before it"):
        criterion.backward()


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_module_without_forward_or_backward(method):
    with pytest.raises(NotImplementedError, match=f"^Module defines no {method}$"):
        getattr(nn.Module(), method)(IMAGE)


def test_infinities_go_through_linear_in_silence(dtype):
    layer = nn.Linear(2, 1, dtype=dtype, rng=0)
    assert np.isnan(layer(np.array([[np.inf, -np.inf], [np.nan, 0]], dtype) * np.sign(layer.weight.data[0]))).all()
    layer.backward(np.array([[np.inf], [1]], dtype))
    assert np.isinf(layer.bias.grad).all()
