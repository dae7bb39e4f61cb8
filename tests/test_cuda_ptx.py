"""Every CUDA kernel compiles for sm_80 and sm_90, without spills and without float64 where nobody asked for it."""

import functools

import numpy as np
import pytest
from calls import CALLS, each
from numba import config

import fastops

if config.ENABLE_CUDASIM:
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

import ptx

if ptx.assembler() is None:
    pytest.skip("needs ptxas and libnvvm (the extra `ptx`)", allow_module_level=True)


PARTS = 5  # of the launches, each a test


@functools.cache
def launches() -> list[ptx.Launch]:
    """Everything that the calls of every function launch, once for each list of types."""
    prepared = [(call, call.arrays(dtype)) for call in CALLS for dtype in (np.float32, np.float64)]
    with ptx.dry_run() as found:
        for call, arrays in prepared:
            dry = each(lambda value: ptx.Dry(value) if isinstance(value, np.ndarray) else value, arrays)
            getattr(fastops, call.op)(**dry, **call.options)
        for dtype in (np.float32, np.float64):  # what no call of the list does
            x, apart = ptx.Dry(np.ones((4, 3), dtype)), ptx.Dry(np.ones(6, dtype)[::2])
            fastops.mse_loss_backward(x, x, x, "none", x)
            image = ptx.Dry(np.ones((1, 1, 2, 2), dtype))
            fastops.conv2d(image, ptx.Dry(np.ones((1, 1, 1, 1), dtype)), add=image, activation="relu")
            fastops.batch_norm(x, apart, apart, training=True)
            fastops.cross_entropy(x, ptx.Dry(np.zeros(4, np.uint64)))
    return list({str(launch): launch for launch in found}.values())


def test_every_kernel_is_launched():
    assert {launch.kernel.name for launch in launches()} == {kernel.name for kernel in ptx._launch.kernels}


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.wide) for part in range(1, PARTS))])
@pytest.mark.parametrize(
    "capability",
    [(8, 0), pytest.param((9, 0), marks=pytest.mark.wide)],
    ids=lambda capability: "sm_{}{}".format(*capability),
)
def test_kernels_compile_without_spills(capability, part):
    wrong = []
    for launch in launches()[part::PARTS]:
        code = ptx.of_kernel(launch, capability)
        used = ptx.resources(code, capability)
        if used["spill_stores"] or used["spill_loads"] or used["stack"] or used["shared"] > 48 * 1024:
            wrong.append(f"{launch}: {used}")
        if launch.of_float32 and not launch.kernel.float64 and ".f64" in code:
            wrong.append(f"{launch}: float64 arithmetic")
    assert wrong == []
